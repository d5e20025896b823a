#include <filesystem>
#include <optional>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/peft/catalog.h"
#include "core/run/train.h"

namespace permille::cli {

namespace {

struct Options {
    std::string model, method, budget, train, valid, source, target;
    std::vector<std::string> knobs;
    std::filesystem::path output, database;
    std::int64_t train_sentences = 0, seed = 1;
    bool resume = false, at_most = false;
    Json training = Json::object(), device = Json::object();
};

int work(Options& options, Console& console) {
    TrainRequest request;
    const MethodInfo& method = find_method(options.method, "--method");
    request.base = options.model;
    request.method = method.id;
    request.method_settings = parse_assignments(options.knobs, "--set");
    if (!options.budget.empty()) {
        const auto budgets = parse_budgets(options.budget, "--budget");
        if (budgets.size() != 1)
            throw Error(ErrorKind::usage, "--budget", "one run has one budget, found " + std::to_string(budgets.size()),
                        "give one, such as 2%, or write a study and use permille run");
        request.budget = budgets.front();
        refuse_size(method, request.method_settings);
        request.budget->at_most = request.budget->at_most || options.at_most;
    }
    request.train_texts = find_texts(options.train, "--train", options.database, options.source, options.target);
    if (!options.valid.empty()) {
        request.valid_texts = find_texts(options.valid, "--valid", options.database, options.source, options.target);
    } else if (std::filesystem::is_directory(request.train_texts)) {
        request.valid_texts = request.train_texts;  // a corpus has its own validation split
    } else {
        throw Error(ErrorKind::usage, "--valid", "a file for training needs one for validation", "give --valid FILE.tsv");
    }
    if (options.source.empty() || options.target.empty())
        throw Error(ErrorKind::usage, options.source.empty() ? "--src-lang" : "--tgt-lang", "is missing",
                    "name both languages; only a named corpus knows its own");
    request.source_language = options.source;
    request.target_language = options.target;
    request.train_sentences = options.train_sentences;
    request.seed = options.seed;
    request.training = TrainingSettings::fields().parse(options.training, "");
    request.device = DeviceSettings::fields().parse(options.device, "");
    request.output = options.output;
    request.resume = options.resume;

    const TrainReport report = train_adapter(request, console.sink(), console.stop_token());
    if (console.json()) {
        console.print(report.to_json());
    } else {
        std::vector<std::vector<std::string>> rows = {
            {"method", method.id},
            {"settings", report.settings.dump()},
            {"trainable", shown_count(report.trainable) + " (" + shown_number(report.percent_base, 3) + " % of the base)"},
            {"updates", shown_count(report.updates) + ", best after " + shown_count(report.best_step)},
            {"validation loss", shown_number(report.best_valid_loss, 4) + " nats per target token"}};
        if (report.pruned > 0) rows.push_back({"pruned", shown_count(report.pruned) + " weights of the base"});
        if (report.best_valid_bleu) rows.push_back({"validation BLEU", shown_number(*report.best_valid_bleu, 2)});
        rows.push_back(
            {"learning rate",
             Json(report.learning_rate).dump() +
                 (report.rate_search.is_null() ? "" : ", the best of " + std::to_string(report.rate_search.size()) + " that were tried")});
        rows.push_back({"time", shown_duration(report.seconds) + ", " + shown_count(static_cast<std::int64_t>(report.tokens_per_second)) +
                                    " tokens/s"});
        rows.push_back({"peak memory", shown_bytes(report.peak_memory_bytes)});
        rows.push_back({"adapter", report.adapter});
        console.print_table(rows);
        if (report.stopped) console.say("stopped; the same command with --resume continues");
    }
    return kDone;
}

}  // namespace

Action make_train(CLI::App& verb) {
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model, "a model folder, the name of a bundled base, or a hub name")->required();
    verb.add_option("--method", options->method, "what to train; permille methods lists them")->required();
    verb.add_option("--budget,-b", options->budget,
                    "how large: a share of the base's parameters (2%, 5‰), a number of them (300k, 1.2M) or the size of the adapter file "
                    "(2MB); the size knob is solved from it");
    verb.add_flag("--at-most", options->at_most, "never exceed the budget; without it the nearest size is taken")->needs("--budget");
    verb.add_option("--set", options->knobs, "a knob of the method; may be given several times")->type_name("KNOB=VALUE");
    verb.add_option("--train", options->train, "training text: a TSV file (source, target) or a named corpus")
        ->required()
        ->type_name("TEXT");
    verb.add_option("--valid", options->valid, "validation text; a named corpus has its own")->type_name("TEXT");
    verb.add_option("--src-lang,-s", options->source, "source language; a named corpus knows its own");
    verb.add_option("--tgt-lang,-t", options->target, "target language; a named corpus knows its own");
    verb.add_option("--out,-o", options->output, "the adapter folder to write")->required()->type_name("DIR");
    verb.add_flag("--resume", options->resume, "continue from the checkpoint of a run that was stopped");
    verb.add_option("--train-sentences", options->train_sentences, "the first sentences of the training text; 0: all")
        ->check(from_zero())
        ->capture_default_str();
    verb.add_option("--seed", options->seed, "seed of initial values, dropout and data order")->capture_default_str();
    add_database_option(verb, options->database);
    add_field_options(verb, TrainingSettings::fields().list(), options->training, "Training");
    add_device_options(verb, options->device);
    verb.footer(
        "Ctrl-C saves a checkpoint; the same command with --resume continues from it.\n"
        "--tune-lr 5 trains --tune-lr-updates updates at each of five learning rates half a decade apart around the method's default (or\n"
        "--learning-rate), with the same seed and batches, and takes that of the lowest validation loss. The trials are kept in\n"
        "rate_search.json beside the adapter and under \"training\" in its permille.json.");
    return [options](Console& console) { return work(*options, console); };
}

}  // namespace permille::cli
