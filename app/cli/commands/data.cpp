#include "core/jobs/data.h"

#include <filesystem>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/base/files.h"

namespace permille::cli {

namespace {

// What the kinds of text input have in common.
struct TextOptions {
    std::vector<std::filesystem::path> files;
    std::string format, source, target;
    Json clean = Json::object(), split = Json::object();

    TextInput input() const {
        return {format.empty() ? guess_format(files).id : text_format(format, "--format").id, files, source, target};
    }
};

void add_text_options(CLI::App& verb, TextOptions& options) {
    verb.add_option("FILES", options.files, "the text: files or folders in one of the formats of --format")->required();
    std::string formats;
    for (const auto& format : text_formats()) formats += (formats.empty() ? "" : "; ") + format.id + ": " + format.help;
    verb.add_option("--format,-f", options.format, "without it the file names decide. " + formats)->type_name("FORMAT");
    verb.add_option("--src-lang,-s", options.source, "source language, such as de")->required();
    verb.add_option("--tgt-lang,-t", options.target, "target language, such as en")->required();
}

void add_clean_options(CLI::App& verb, Json& given) { add_field_options(verb, CleanSettings::fields().list(), given, "Cleaning"); }
void add_split_options(CLI::App& verb, Json& given) { add_field_options(verb, SplitSettings::fields().list(), given, "Splits"); }

void print_report(Console& console, const CorpusReport& report) {
    if (console.json()) console.print(report.to_json());
    else console.out() << report.to_text() << std::flush;
}

Action make_import(CLI::App& verb) {
    struct Options : TextOptions {
        ImportRequest request;
        std::filesystem::path database;
        bool raw = false;
    };
    auto options = std::make_shared<Options>();
    add_text_options(verb, *options);
    verb.add_option("--name,-n", options->request.name, "the name of the corpus, as studies and train will call it")->required();
    verb.add_option("--valid", options->request.valid_files, "your own validation text, in the same format; then nothing is split off")
        ->type_name("FILE");
    verb.add_option("--test", options->request.test_files, "your own test text, in the same format; then nothing is split off")
        ->type_name("FILE");
    verb.add_option("--licence", options->request.licence, "the licence of the text, kept with it");
    verb.add_flag("--replace", options->request.replace, "an existing corpus of that name");
    add_database_option(verb, options->database);
    add_clean_options(verb, options->clean);
    add_split_options(verb, options->split);
    return [options](Console& console) {
        ImportRequest request = options->request;
        request.text = options->input();
        request.clean = CleanSettings::fields().parse(options->clean, "");
        request.split = SplitSettings::fields().parse(options->split, "");
        request.home = data_home();
        request.database = options->database;
        print_report(console, import_corpus(request, console.sink(), console.stop_token()));
        return kDone;
    };
}

// A folder, or the name of a corpus.
std::filesystem::path find_corpus(const std::string& name) {
    std::error_code ignored;
    if (std::filesystem::is_directory(name, ignored)) return name;
    const auto folder = corpus_folder(data_home(), name);
    if (std::filesystem::is_directory(folder, ignored)) return folder;
    std::vector<std::string> names;
    for (const auto& corpus : list_corpora(data_home())) names.push_back(corpus.name);
    const std::string near = nearest(name, names);
    throw Error(ErrorKind::file, name, "there is no corpus of that name in " + (data_home() / "corpora").string(),
                !near.empty()   ? "did you mean '" + near + "'?"
                : names.empty() ? "make one with permille data import"
                                : "corpora there: " + list_some(names));
}

Action make_stats(CLI::App& verb) {
    auto names = std::make_shared<std::vector<std::string>>();
    verb.add_option("CORPUS", *names, "names or folders of corpora; without one, all are listed");
    return [names](Console& console) {
        Json document = Json::array();
        if (names->empty()) {
            std::vector<std::vector<std::string>> rows = {{"corpus", "source", "target", "train", "valid", "test", "licences"}};
            for (const auto& corpus : list_corpora(data_home())) {
                document.push_back(corpus.to_json());
                const auto count = [&](const char* split) {
                    const auto found = corpus.splits.find(split);
                    return shown_count(found == corpus.splits.end() ? 0 : found->second.rows);
                };
                rows.push_back({corpus.name, corpus.source_language, corpus.target_language, count("train"), count("valid"), count("test"),
                                corpus.licences()});
            }
            if (console.json()) console.print(document);
            else if (rows.size() == 1)
                console.say("no corpus in " + (data_home() / "corpora").string() + " yet; permille data import makes one");
            else console.print_table(rows);
            return kDone;
        }
        for (const auto& name : *names) document.push_back(corpus_stats(find_corpus(name)));
        if (console.json()) {
            console.print(document);
            return kDone;
        }
        for (const Json& stats : document) print_tree(console.out(), stats);
        return kDone;
    };
}

Action make_clean(CLI::App& verb) {
    struct Options : TextOptions {
        std::filesystem::path output;
    };
    auto options = std::make_shared<Options>();
    add_text_options(verb, *options);
    verb.add_option("--out,-o", options->output, "the cleaned text, source TAB target")->required()->type_name("FILE.tsv");
    add_clean_options(verb, options->clean);
    return [options](Console& console) {
        const CleanCounts counts = clean_text(options->input(), CleanSettings::fields().parse(options->clean, ""), options->output,
                                              console.sink(), console.stop_token());
        if (console.json()) console.print(counts.to_json());
        else print_tree(console.out(), counts.to_json());
        return kDone;
    };
}

Action make_split(CLI::App& verb) {
    struct Options : TextOptions {
        std::filesystem::path folder;
    };
    auto options = std::make_shared<Options>();
    add_text_options(verb, *options);
    verb.add_option("--out,-o", options->folder, "the folder that gets train.tsv, valid.tsv and test.tsv")->required()->type_name("DIR");
    add_split_options(verb, options->split);
    return [options](Console& console) {
        print_report(console, split_text(options->input(), SplitSettings::fields().parse(options->split, ""), options->folder,
                                         console.sink(), console.stop_token()));
        return kDone;
    };
}

Action make_recipe(CLI::App& verb) {
    struct Options {
        std::string recipe, pairs;
        std::filesystem::path packages = data_home() / "packages", database;
        bool list_packages = false, rebuild = false;
    };
    auto options = std::make_shared<Options>();
    verb.add_option("RECIPE", options->recipe, "the name of a shipped recipe, such as software-texts, or a file")->required();
    verb.add_option("--pairs", options->pairs, "only these, such as it-en,tr-en")->type_name("PAIR[,PAIR...]");
    verb.add_option("--packages", options->packages, "the folder that packaging/fetch-texts filled")
        ->capture_default_str()
        ->type_name("DIR");
    verb.add_flag("--list-packages", options->list_packages, "only name the packages that packaging/fetch-texts must get");
    verb.add_flag("--rebuild", options->rebuild, "make corpora again that are there already");
    add_database_option(verb, options->database);
    return [options](Console& console) {
        const auto pairs = split_list(options->pairs);
        if (options->list_packages) {
            const auto packages = recipe_packages(options->recipe, pairs);
            if (console.json()) console.print(Json(packages));
            else {
                for (const auto& package : packages) console.out() << package << '\n';
            }
            return kDone;
        }
        RecipeRequest request;
        request.recipe = options->recipe;
        request.packages = options->packages;
        request.home = data_home();
        request.pairs = pairs;
        request.database = options->database;
        request.rebuild = options->rebuild;
        Json document = Json::array();
        for (const auto& report : build_recipe(request, console.sink(), console.stop_token())) {
            if (console.json()) document.push_back(report.to_json());
            else console.out() << report.to_text() << std::flush;
        }
        if (console.json()) console.print(document);
        return kDone;
    };
}

}  // namespace

Action make_data(CLI::App& verb) {
    verb.require_subcommand(1);
    auto parts = std::make_shared<std::vector<std::pair<CLI::App*, Action>>>();
    const auto add = [&](const char* name, const char* summary, MakeCommand make) {
        CLI::App* part = verb.add_subcommand(name, summary);
        parts->emplace_back(part, make(*part));
    };
    add("import", "clean and split your text into a named corpus", make_import);
    add("stats", "what a corpus holds", make_stats);
    add("clean", "clean text, with a count for every reason", make_clean);
    add("split", "split text so that no sentence leaks", make_split);
    add("recipe", "make the corpora of a recipe out of Debian packages", make_recipe);
    return [parts](Console& console) {
        for (const auto& [part, action] : *parts) {
            if (part->parsed()) return action(console);
        }
        return kWrongUsage;
    };
}

}  // namespace permille::cli
