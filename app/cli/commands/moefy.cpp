#include <filesystem>
#include <optional>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/moe/moefy.h"

namespace permille::cli {

namespace {

struct Options {
    std::string model, active, texts, test, source, target;
    std::optional<std::string> adapter;
    std::filesystem::path output, database;
    Json settings = Json::object(), decoding = Json::object(), device = Json::object();
};

std::vector<std::int64_t> counts_of(const std::string& list) {
    std::vector<std::int64_t> counts;
    for (const auto& text : split_list(list)) {
        if (text.size() > 6 || text.find_first_not_of("0123456789") != std::string::npos)
            throw Error(ErrorKind::usage, "--active", "'" + text + "' is not a number of experts",
                        "write for example --active 8 or --active 8,4,16");
        counts.push_back(std::stoll(text));
    }
    return counts;
}

int work(Options& options, Console& console) {
    MoefyRequest request;
    request.base = options.model;
    if (options.adapter) request.adapter = *options.adapter;
    request.active = counts_of(options.active);
    request.texts = find_texts(options.texts, "--data", options.database, options.source, options.target);
    if (!options.test.empty()) request.test_texts = find_texts(options.test, "--test", options.database, options.source, options.target);
    else if (std::filesystem::is_directory(request.texts)) request.test_texts = request.texts;  // a corpus has its own test split
    else throw Error(ErrorKind::usage, "--test", "a file of text needs another to compare the models on", "give --test FILE.tsv");
    if (options.source.empty() || options.target.empty())
        throw Error(ErrorKind::usage, options.source.empty() ? "--src-lang" : "--tgt-lang", "is missing",
                    "name both languages; only a named corpus knows its own");
    request.source_language = options.source;
    request.target_language = options.target;
    request.settings = MoefySettings::fields().parse(options.settings, "");
    request.decoding = options.decoding;
    request.device = DeviceSettings::fields().parse(options.device, "");
    request.output = options.output;

    const MoefyReport report = moefy(request, console.sink(), console.stop_token());
    if (console.json()) {
        console.print(report.to_json());
        return report.stopped ? kInterrupted : kDone;
    }
    if (report.stopped) {
        console.say(report.folder.empty() ? "stopped; nothing was written" : "stopped while comparing; " + report.folder + " is whole");
        return kInterrupted;
    }
    std::vector<std::vector<std::string>> table = {
        {"model", "experts", "FFN work", "activation", "BLEU", "ms a sentence", "CPU ms", "speed"}};
    for (const MoefyMeasure& row : report.rows)
        table.push_back({row.model,
                         row.model == "dense" ? "-" : std::to_string(row.active) + " of " + std::to_string(request.settings.experts),
                         shown_number(100 * row.ffn_flops, 1) + " %", shown_number(100 * row.captured, 1) + " %", shown_number(row.bleu, 2),
                         shown_number(1000 * row.seconds_per_sentence, 1), shown_number(1000 * row.cpu_seconds_per_sentence, 1),
                         shown_number(row.speed, 2)});
    console.print_table(table);
    console.out() << '\n';
    console.print_table({{"blocks", shown_count(report.blocks)},
                         {"router parameters", shown_count(report.router_parameters)},
                         {"tokens of each stack", shown_count(report.tokens)},
                         {"compared on", shown_count(report.sentences) + " sentences, " + report.device},
                         {"BLEU", report.signature},
                         {"adapter", report.folder}});
    return kDone;
}

}  // namespace

Action make_moefy(CLI::App& verb) {
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model,
                    "a model folder, the name of a bundled base, or a hub name; its feed-forward blocks have ReLU")
        ->required();
    verb.add_option("--adapter,-a", options->adapter, "an adapter folder made for this model, merged into it first");
    verb.add_option("--active,-k", options->active,
                    "experts that work for each token; of several, 8,4,16, all are compared and the first is kept")
        ->required()
        ->type_name("N[,N]");
    verb.add_option("--data", options->texts, "text to learn from: a TSV file (source, target) or a named corpus")
        ->required()
        ->type_name("TEXT");
    verb.add_option("--test", options->test, "text to compare on; a named corpus has its own")->type_name("TEXT");
    verb.add_option("--src-lang,-s", options->source, "source language; a named corpus knows its own");
    verb.add_option("--tgt-lang,-t", options->target, "target language; a named corpus knows its own");
    verb.add_option("--out,-o", options->output, "the folder to write; it must not exist yet")->required()->type_name("DIR");
    add_database_option(verb, options->database);
    add_field_options(verb, MoefySettings::fields().list(), options->settings, "Experts");
    add_field_options(verb, DecodingSettings::fields().list(), options->decoding, "Search", {{"beam_size", "--beam"}});
    add_device_options(verb, options->device);
    verb.footer(
        "MoEfication (Zhang et al. 2022, arXiv 2110.01786): divides the neurons of every feed-forward block into experts and computes for\n"
        "each token only those that a router chooses. DIR is used as an adapter of the model: --adapter DIR in translate and score.\n"
        "The table compares it with the dense model: FFN work counts multiplications, activation is the share of the held-out tokens'\n"
        "activation that the chosen experts hold. Fewer multiplications are less time only where the blocks are wide.");
    return [options](Console& console) { return work(*options, console); };
}

}  // namespace permille::cli
