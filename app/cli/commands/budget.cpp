#include <optional>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/bases/find.h"
#include "core/peft/catalog.h"
#include "core/study/budgets.h"
#include "core/study/study.h"

namespace permille::cli {

namespace {

// The knobs that belong to this method; a knob that none of the asked methods has is an error.
Json knobs_for(const MethodInfo& method, const Json& given, const std::vector<std::string>& methods) {
    Json own = Json::object();
    for (const auto& [name, value] : given.items()) {
        bool known = false;
        std::vector<std::string> names;
        for (const auto& id : methods) {
            for (const Field& knob : find_method(id, "--method").knobs) {
                names.push_back(knob.name);
                if (knob.name != name) continue;
                known = true;
                if (id == method.id) own[name] = checked(knob, value, "--set");
            }
        }
        if (!known) {
            const std::string near = nearest(name, names);
            throw Error(ErrorKind::usage, "--set", "'" + name + "' is not a knob of " + list_some(methods),
                        near.empty() ? "see permille methods " + method.id : "did you mean '" + near + "'?");
        }
    }
    return own;
}

std::string shown_size(const BudgetAnswer& answer) {
    if (!answer.solved) return "-";
    const std::string& knob = answer.size_knob;
    return knob.empty() || !answer.solved->contains(knob) ? "(fixed)" : knob + "=" + (*answer.solved)[knob].dump();
}

}  // namespace

Action make_budget(CLI::App& verb) {
    struct Options {
        std::string model, methods = "all", budgets;
        std::vector<std::string> knobs;
        bool at_most = false;
        Json training = Json::object(), device = Json::object();
    };
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model, "a model folder (config.json is enough), the name of a bundled base, or a hub name")
        ->required();
    verb.add_option("--method", options->methods, "method ids, separated by commas, or all")->type_name("X[,Y...]")->capture_default_str();
    verb.add_option(
            "--budget,-b", options->budgets,
            "shares of the base's parameters (0.5%,5‰), numbers of them (300k,1.2M) or sizes of the adapter file (2MB,500kB); without "
            "it the default sizes are counted")
        ->type_name("P[,Q...]");
    verb.add_flag("--at-most", options->at_most, "never exceed a budget; without it the nearest size is taken")->needs("--budget");
    verb.add_option("--set", options->knobs, "a knob of the method, knob=value; may be given several times")->type_name("KNOB=VALUE");
    add_field_options(verb, TrainingSettings::fields().list(), options->training, "Training (for the estimates)");
    add_device_options(verb, options->device);
    verb.footer(
        "memory: of the process at its peak while it trains on the CPU with these settings, the text not counted. time: of training "
        "alone,\n"
        "without validation, on this machine when nothing else runs, from speeds that are measured once and kept in speed.json of the "
        "data\n"
        "folder. Both are estimates; batches are taken to be full.");
    return [options](Console& console) {
        std::vector<std::string> methods = split_list(options->methods);
        if (options->methods == "all") {
            methods.clear();
            for (const auto& method : method_catalog()) methods.push_back(method.id);
        }
        if (methods.empty())
            throw Error(ErrorKind::usage, "--method", "'" + options->methods + "' names no method", "see permille methods");
        std::vector<std::optional<Budget>> budgets;
        for (Budget budget : parse_budgets(options->budgets, "--budget")) {
            budget.at_most = budget.at_most || options->at_most;
            budgets.emplace_back(budget);
        }
        if (budgets.empty()) budgets.emplace_back();
        const Json knobs = parse_assignments(options->knobs, "--set");
        const auto training = TrainingSettings::fields().parse(options->training, "");
        const auto device = DeviceSettings::fields().parse(options->device, "");

        // Downloads what is not here, with its progress.
        find_model(options->model, console.sink());
        if (!training.teacher.empty()) find_model(training.teacher, console.sink());

        std::vector<BudgetAnswer> answers;
        for (const auto& id : methods) {
            const MethodInfo& method = find_method(id, "--method");
            const Json own = knobs_for(method, knobs, methods);
            if (budgets.front()) refuse_size(method, own);
            for (const auto& budget : budgets) answers.push_back(solve_budget(options->model, method.id, own, budget, training, device));
        }
        if (console.json()) {
            Json document = Json::array();
            for (const auto& answer : answers) document.push_back(answer.to_json());
            console.print(document);
            return kDone;
        }
        std::vector<std::vector<std::string>> rows = {{"method", "asked", "size", "trainable", "% of base", "stored", "train-only", "file",
                                                       "reachable %", "memory", "time / 1,000 updates", ""}};
        for (const auto& answer : answers) {
            const bool solved = answer.solved.has_value();
            rows.push_back({answer.method, answer.budget ? format_budget(*answer.budget) : "-", shown_size(answer),
                            solved ? shown_count(answer.trainable) : "-", solved ? shown_number(answer.percent_base, 3) : "-",
                            solved ? shown_count(answer.stored) : "-", solved ? shown_count(answer.train_only) : "-",
                            solved ? shown_bytes(answer.file_bytes) : "-",
                            answer.min_percent && answer.max_percent
                                ? shown_number(*answer.min_percent, 3) + " to " + shown_number(*answer.max_percent, 3)
                                : "-",
                            solved ? shown_bytes(answer.peak_memory_bytes) : "-",
                            solved ? shown_duration(answer.seconds_per_1000_updates) : "-", answer.reason});
        }
        console.print_table(rows);
        return kDone;
    };
}

}  // namespace permille::cli
