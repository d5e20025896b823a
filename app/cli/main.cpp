// The program `permille`, and with other verbs the programs that it starts: reads the command line, runs one verb, turns failures into
// messages and exit codes.
#include <algorithm>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "app/cli/command.h"
#include "app/cli/programs.h"
#include "core/base/error.h"
#include "core/base/process.h"
#include "core/base/stopped.h"

namespace permille::cli {
namespace {

// Which of the programs this is.
constexpr Program kThis = Program::PERMILLE_PROGRAM;

struct Command {
    const char* name;
    const char* summary;
    Program program;
    MakeCommand make;  // null in the other programs, which know the verb by name only
};

template <Program program, MakeCommand make>
constexpr Command verb(const char* name, const char* summary) {
    if constexpr (program == kThis) return {name, summary, program, make};
    else return {name, summary, program, nullptr};
}

// Every verb, in the order in which --help lists them, and the program that does it.
constexpr Command kCommands[] = {
    verb<Program::engine, make_info>("info", "facts of a model: family, sizes, parameters, languages"),
    verb<Program::light, make_tokenize>("tokenize", "text into the model's token ids"),
    verb<Program::light, make_detokenize>("detokenize", "token ids into text"),
    verb<Program::engine, make_score>("score", "log-probability of given translations"),
    verb<Program::engine, make_translate>("translate", "translate text, with or without an adapter"),
    verb<Program::light, make_bleu>("bleu", "BLEU or chrF of translations, as sacreBLEU gives them"),
    verb<Program::light, make_methods>("methods", "the tuning methods and their knobs"),
    verb<Program::engine, make_budget>("budget", "from a share of the base's parameters to a method's size"),
    verb<Program::light, make_data>("data", "import, clean, split and describe parallel text"),
    verb<Program::engine, make_pretrain>("pretrain", "train a small multilingual base from scratch"),
    verb<Program::engine, make_inherit>("inherit", "a model that starts from another: layers, pieces and languages"),
    verb<Program::engine, make_train>("train", "tune a base once: one method, one size, one pair"),
    verb<Program::engine, make_run>("run", "run a study: bases x pairs x methods x budgets x data sizes x seeds"),
    verb<Program::light, make_status>("status", "what the studies of a database are doing"),
    verb<Program::light, make_results>("results", "the runs of a database with their scores, as a table"),
    verb<Program::plot, make_plot>("plot", "the chart of score against trainable percentage, as a file"),
    verb<Program::engine, make_merge>("merge", "an adapter worked into its base: a plain model folder"),
    verb<Program::engine, make_moefy>("moefy", "feed-forward blocks as mixtures of experts, compared with the dense model"),
    verb<Program::engine, make_adapter>("adapter", "look into adapter folders"),
    verb<Program::engine, make_doctor>("doctor", "what this machine offers, and what is missing"),
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
    const std::string what = error.what();
    const bool none_given = dynamic_cast<const CLI::RequiredError*>(&error) && what.starts_with("A subcommand");
    if (!verbs.empty() && !word.empty() && word[0] != '-') {
        const std::string near = nearest(word, verbs);
        return "'" + word + "' is not a verb" + of +
               (near.empty() ? "; there " + std::string(verbs.size() > 1 ? "are " : "is ") + list_some(verbs)
                             : "; did you mean '" + near + "'?");
    }
    if (none_given) return "no verb is given";
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
        if (!command.make) continue;
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
        // The verb is always the first word; what follows is for the program that does it.
        for (const Command& command : kCommands) {
            if (argc < 2 || argv[1] != std::string_view(command.name) || command.program == kThis) continue;
            if (kThis == Program::light) become(command.program, kThis, argv);
            throw Error(ErrorKind::usage, command.name, "is not done by this program", "start permille, which starts the others");
        }
        app.parse(argc, argv);
        refuse_empty(app);
        Console console(json, quiet);
        for (const auto& [verb, action] : actions) {
            if (!verb->parsed()) continue;
            const int code = action(console);
            return console.stopped() ? kInterrupted : code;
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
    } catch (const Stopped&) {  // before there was anything to keep
        return kInterrupted;
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
