// The program `permille`: reads the command line, runs one verb, turns failures into messages and exit codes.
#include <algorithm>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "app/cli/command.h"
#include "core/base/error.h"
#include "core/base/process.h"

namespace permille::cli {
namespace {

struct Command {
    const char* name;
    const char* summary;
    MakeCommand make;
};

// Every verb, in the order in which --help lists them.
constexpr Command kCommands[] = {
    {"info", "facts of a model: family, sizes, parameters, languages", make_info},
    {"tokenize", "text into the model's token ids", make_tokenize},
    {"detokenize", "token ids into text", make_detokenize},
    {"score", "log-probability of given translations", make_score},
    {"translate", "translate text, with or without an adapter", make_translate},
    {"bleu", "BLEU or chrF of translations, as sacreBLEU gives them", make_bleu},
    {"methods", "the tuning methods and their knobs", make_methods},
    {"budget", "from a share of the base's parameters to a method's size", make_budget},
    {"data", "import, clean, split and describe parallel text", make_data},
    {"pretrain", "train a small multilingual base from scratch", make_pretrain},
    {"inherit", "a model that starts from another: layers, pieces and languages", make_inherit},
    {"train", "tune a base once: one method, one size, one pair", make_train},
    {"run", "run a study: bases x pairs x methods x budgets x data sizes x seeds", make_run},
    {"status", "what the studies of a database are doing", make_status},
    {"results", "the runs of a database with their scores, as a table", make_results},
    {"plot", "the chart of score against trainable percentage, as a file", make_plot},
    {"merge", "an adapter worked into its base: a plain model folder", make_merge},
    {"moefy", "feed-forward blocks as mixtures of experts, compared with the dense model", make_moefy},
    {"adapter", "look into adapter folders", make_adapter},
    {"doctor", "what this machine offers, and what is missing", make_doctor},
};

void report(const Error& error, bool json) {
    if (json) {
        const Json document = {
            {"error",
             {{"kind", std::string(to_string(error.kind()))}, {"where", error.where()}, {"what", error.found()}, {"fix", error.fix()}}}};
        std::cerr << document.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
    } else {
        std::cerr << "permille: " << error.what() << std::endl;
    }
}

// An option with nothing in it means what leaving it out means, or is a variable of a script that was not set.
void refuse_empty(const CLI::App& place) {
    for (const CLI::Option* option : place.get_options())
        for (const std::string& value : option->results())
            if (value.empty()) throw Error(ErrorKind::usage, option->get_name(), "is empty", "give a value, or leave it out");
    for (const CLI::App* deeper : place.get_subcommands()) refuse_empty(*deeper);
}

// What CLI11 says, in words of ours where its own do not help.
std::string explained(const CLI::ParseError& error, const std::vector<std::string>& verbs, const std::string& of, const std::string& word) {
    std::string what = error.what();
    const bool none_given = dynamic_cast<const CLI::RequiredError*>(&error) && what.starts_with("A subcommand");
    if (!verbs.empty() && !word.empty() && word[0] != '-') {
        const std::string near = nearest(word, verbs);
        return "'" + word + "' is not a verb" + of +
               (near.empty() ? "; there " + std::string(verbs.size() > 1 ? "are " : "is ") + list_some(verbs)
                             : "; did you mean '" + near + "'?");
    }
    if (none_given) return "no verb is given";
    // A range without an upper end, which it prints with all of its 309 digits.
    const auto range = what.find(" not in range 0.000000 to ");
    if (range != std::string::npos && what.size() - range > 200) what = what.substr(0, range) + " is not a number from 0 on";
    return what;
}

int exit_code(const Error& error) { return error.kind() == ErrorKind::usage ? kWrongUsage : kFailed; }

int run(int argc, char** argv) {
    CLI::App app("Permille: parameter-efficient fine-tuning for machine translation. Every verb has its own --help.", "permille");
    app.set_version_flag("--version", PERMILLE_VERSION);
    app.require_subcommand(1);
    app.fallthrough(false);
    app.failure_message([](const CLI::App*, const CLI::Error& error) { return std::string(error.what()); });
    app.footer("Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted (what is finished is kept).");

    bool json = false;
    bool quiet = false;
    std::vector<std::pair<CLI::App*, Action>> actions;
    for (const Command& command : kCommands) {
        CLI::App* verb = app.add_subcommand(command.name, command.summary);
        actions.emplace_back(verb, command.make(*verb));
        std::vector<CLI::App*> places = verb->get_subcommands({});
        places.push_back(verb);
        for (CLI::App* place : places) {
            place->add_flag("--json", json, "print one JSON document on standard output and nothing else");
            place->add_flag("--quiet,-q", quiet, "no progress and no messages, errors only");
        }
    }

    // Errors of the parsing itself must follow --json too.
    const bool json_asked = std::any_of(argv + 1, argv + argc, [](const char* word) { return std::string_view(word) == "--json"; });
    try {
        app.parse(argc, argv);
        refuse_empty(app);
        Console console(json, quiet);
        for (const auto& [verb, action] : actions) {
            if (verb->parsed()) return action(console);
        }
        return kWrongUsage;
    } catch (const CLI::Success& success) {  // --help, --version
        return app.exit(success);
    } catch (const CLI::ParseError& error) {
        // The verb that was meant, as deep as it was understood, and the verbs that may come next.
        std::string verb;
        int words = 1;
        const CLI::App* place = &app;
        for (auto parsed = place->get_subcommands(); !parsed.empty(); parsed = place->get_subcommands()) {
            place = parsed.front();
            verb += place->get_name() + " ";
            ++words;
        }
        std::vector<std::string> verbs;
        for (const CLI::App* next : place->get_subcommands([](const CLI::App*) { return true; })) verbs.push_back(next->get_name());
        const std::string word = words < argc ? argv[words] : "";
        report(Error(ErrorKind::usage, "", explained(error, verbs, verb.empty() ? "" : " of " + verb.substr(0, verb.size() - 1), word),
                     "see permille " + verb + "--help"),
               json_asked);
        return kWrongUsage;
    } catch (const Error& error) {
        report(error, json_asked);
        return exit_code(error);
    } catch (const std::bad_alloc&) {
        report(Error(ErrorKind::device_memory, "", "out of memory", "use smaller batches (--batch-tokens) or a smaller model"), json_asked);
        return kFailed;
    } catch (const std::exception& error) {
        report(Error(ErrorKind::internal, "", error.what(), "this is a mistake in Permille itself; please report it with what you did"),
               json_asked);
        return kFailed;
    }
}

}  // namespace
}  // namespace permille::cli

int main(int argc, char** argv) {
    permille::prepare_process();
    std::ios::sync_with_stdio(false);
    return permille::cli::run(argc, argv);
}
