#include "core/jobs/data.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <unordered_set>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/data/unicode.h"
#include "core/store/store.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kReportEvery = 50000;  // rows between two signs of life

std::int64_t rows_in(const CorpusInfo& info, Split split) {
    const auto found = info.splits.find(to_string(split));
    return found == info.splits.end() ? 0 : found->second.rows;
}

void record(const CorpusReport& report, const std::optional<fs::path>& database) {
    if (!database) return;
    const CorpusInfo& info = report.info;
    CorpusRow row;
    row.name = info.name;
    row.source_language = info.source_language;
    row.target_language = info.target_language;
    row.path = fs::absolute(report.folder).string();
    row.fingerprint = info.fingerprint();
    row.train_sentences = rows_in(info, Split::train);
    row.valid_sentences = rows_in(info, Split::valid);
    row.test_sentences = rows_in(info, Split::test);
    row.licence = info.licences();
    row.details = info.to_json();
    Store(*database).put_corpus(row);
}

void count_sources(CorpusInfo& info, const Splits& splits) {
    std::map<std::string, std::int64_t> kept;
    std::int64_t all = 0;
    for (const auto* rows : {&splits.train, &splits.valid, &splits.test}) {
        for (const Row& row : *rows) ++kept[row.origin];
        all += static_cast<std::int64_t>(rows->size());
    }
    std::set<std::string> counted;
    for (CorpusSource& one : info.sources) {
        // Several packages of one origin, such as the help pages of two languages, share its rows: they are counted with the first.
        const std::string& origin = one.origin.empty() ? one.name : one.origin;
        one.rows = info.sources.size() == 1 ? all : counted.insert(origin).second ? kept[origin] : 0;
    }
}

CorpusReport write(CorpusInfo info, const Splits& splits, const CleanCounts& counts, const Json& clean, const Json& split,
                   const fs::path& folder, const std::stop_token& stop) {
    CorpusReport report;
    report.folder = folder;
    report.cleaning = counts;
    report.withheld = splits.withheld;
    report.leaking = splits.leaking;
    info.cleaning = {{"settings", clean}, {"counts", counts.to_json()}};
    info.splitting = {{"settings", split}, {"counts", {{"withheld", splits.withheld}, {"leaking", splits.leaking}}}};
    if (splits.raised_percent) info.splitting["raised_percent"] = *splits.raised_percent;
    count_sources(info, splits);
    write_corpus(folder, info, splits, stop);
    report.info = std::move(info);
    return report;
}

CorpusReport report_of(const Corpus& corpus) {
    CorpusReport report;
    report.info = corpus.info();
    report.folder = corpus.folder();
    report.cleaning = CleanCounts::from_json(report.info.cleaning.value("counts", Json::object()));
    const Json counts = report.info.splitting.value("counts", Json::object());
    report.withheld = counts.value("withheld", std::int64_t{0});
    report.leaking = counts.value("leaking", std::int64_t{0});
    report.was_there = true;
    return report;
}

// Reads and cleans; throws when nothing is left.
std::vector<Row> read_clean(const TextInput& text, Cleaner& cleaner, const EventSink& events, const std::stop_token& stop) {
    std::vector<Row> rows;
    const std::int64_t before = cleaner.counts().read;
    read_rows(text, [&](Row row) {
        throw_if_stopped(stop);
        cleaner.clean(std::move(row), rows);
        const std::int64_t read = cleaner.counts().read;
        if (events && read % kReportEvery == 0) events(Progress{"cleaning", read});
    });
    if (rows.empty()) {
        std::string reasons;
        const CleanCounts& counts = cleaner.counts();
        for (std::size_t i = 0; i < counts.counts.size(); ++i) {
            if (counts.counts[i] == 0) continue;
            reasons += ", " + std::string(to_string(static_cast<CleanCount>(i))) + " " + std::to_string(counts.counts[i]);
        }
        throw Error(ErrorKind::file, text.files.front().string(),
                    "nothing is left of " + std::to_string(cleaner.counts().read - before) + " rows after cleaning" + reasons,
                    "check the languages, or loosen the cleaning settings");
    }
    return rows;
}

std::string percent(double share) {
    char text[32];
    std::snprintf(text, sizeof text, "%g %%", share);
    return text;
}

// What there is to say about the splits of a small corpus; "" otherwise.
std::string split_note(const CorpusInfo& info) {
    std::string note;
    if (const auto raised = info.raised_percent())
        note = "a small corpus: " + percent(*raised) + " of the sentences are held out for each of validation and test, instead of " +
               percent(info.splitting.value("settings", Json::object()).value("held_out_percent", 0.0));
    const Json settings = info.splitting.value("settings", Json::object());
    std::string empty;
    for (const auto& [split, name] : {std::pair(Split::valid, "validation"), std::pair(Split::test, "test")}) {
        const std::string wanted = std::string(permille::to_string(split)) + "_sentences";
        if (rows_in(info, split) == 0 && settings.value(wanted, std::int64_t{0}) > 0)
            empty += (empty.empty() ? "no " : " and no ") + std::string(name);
    }
    if (!empty.empty()) note += (note.empty() ? "" : "; ") + empty + " sentences: studies cannot use this corpus";
    return note;
}

void log_split_note(const EventSink& events, const CorpusInfo& info) {
    if (const std::string note = split_note(info); !note.empty()) log_to(events, info.name + ": " + note);
}

void require_place(const fs::path& folder, const std::string& name, bool replace) {
    if (replace || !fs::exists(folder / "corpus.json")) return;
    throw Error(ErrorKind::usage, folder.string(), "there is a corpus '" + name + "' already",
                "choose another name, or replace it (--replace)");
}

CleanSettings no_cleaning() {
    CleanSettings settings;
    settings.min_words = 0;
    settings.max_words = 1000000;
    settings.max_length_ratio = 0;
    settings.max_placeholder_percent = 100;
    settings.min_script_percent = 0;
    settings.strip_markup = settings.strip_accelerators = settings.split_sentences = settings.drop_equal = settings.drop_duplicates = false;
    return settings;
}

CorpusInfo describe(const std::string& name, const TextInput& text, const std::string& licence, const std::string& made) {
    CorpusInfo info;
    info.name = name;
    info.source_language = Language(text.source_language, "source language").code();
    info.target_language = Language(text.target_language, "target language").code();
    info.made = made;
    const std::size_t step = format_of(text).files;
    for (std::size_t i = 0; i < text.files.size(); i += step) {
        info.sources.push_back({single_spaced(text.files[i].filename().string()), {}, licence, 0, {}});
    }
    return info;
}

}  // namespace

Json CorpusReport::to_json() const {
    Json json = info.to_json();
    json["folder"] = folder.string();
    json["was_there"] = was_there;
    return json;
}

std::string CorpusReport::to_text() const {
    std::string text = info.name + " (" + Language(info.source_language).name() + " - " + Language(info.target_language).name() + ")" +
                       (was_there ? ", was there already" : "") + "\n";
    for (const Split split : {Split::train, Split::valid, Split::test}) {
        const auto found = info.splits.find(permille::to_string(split));
        if (found == info.splits.end()) continue;
        text += "  " + found->first + ": " + std::to_string(found->second.rows) + " rows, " + std::to_string(found->second.source_words) +
                " and " + std::to_string(found->second.target_words) + " words\n";
    }
    text += "  read " + std::to_string(cleaning.read) + ", kept " + std::to_string(cleaning.kept) + ", withheld " +
            std::to_string(withheld) + ", leaking " + std::to_string(leaking) + "\n";
    if (const std::string note = split_note(info); !note.empty()) text += "  " + note + "\n";
    for (std::size_t i = 0; i < cleaning.counts.size(); ++i) {
        if (cleaning.counts[i] > 0)
            text += "  " + std::string(permille::to_string(static_cast<CleanCount>(i))) + " " + std::to_string(cleaning.counts[i]) + "\n";
    }
    if (!info.licences().empty()) text += "  licences: " + info.licences() + "\n";
    return text + "  " + folder.string() + "\n";
}

CorpusReport import_corpus(const ImportRequest& request, const EventSink& events, const std::stop_token& stop) {
    const fs::path folder = corpus_folder(request.home, request.name);
    require_place(folder, request.name, request.replace);
    CorpusInfo info = describe(request.name, request.text, request.licence, "import");
    const Language source(info.source_language), target(info.target_language);

    Cleaner cleaner(request.clean, source, target);
    std::vector<Row> rows = read_clean(request.text, cleaner, events, stop);
    Splits splits;
    if (request.valid_files.empty() && request.test_files.empty()) {
        splits = split_rows(std::move(rows), request.split, source, target, stop);
    } else {
        // Held-out text is what results are compared on: it is taken as it is.
        const auto given = [&](const std::vector<fs::path>& files) {
            if (files.empty()) return std::vector<Row>();
            TextInput text = request.text;
            text.files = files;
            text.format = guess_format(files).id;
            Cleaner as_it_is(no_cleaning(), source, target);
            return read_clean(text, as_it_is, events, stop);
        };
        splits = given_splits(std::move(rows), given(request.valid_files), given(request.test_files), source, target, stop);
    }
    if (splits.train.empty()) {
        throw Error(ErrorKind::file, request.text.files.front().string(), "no row is left for training",
                    "import more text, or hold less of it out");
    }
    CorpusReport report = write(std::move(info), splits, cleaner.counts(), CleanSettings::fields().to_json(request.clean),
                                SplitSettings::fields().to_json(request.split), folder, stop);
    record(report, request.database);
    log_split_note(events, report.info);
    return report;
}

CleanCounts clean_text(const TextInput& text, const CleanSettings& settings, const fs::path& output, const EventSink& events,
                       const std::stop_token& stop) {
    Cleaner cleaner(settings, Language(text.source_language, "source language"), Language(text.target_language, "target language"));
    const std::vector<Row> rows = read_clean(text, cleaner, events, stop);
    write_atomically(output, [&](std::ostream& out) {
        for (const Row& row : rows) {
            throw_if_stopped(stop);
            out << row.source << '\t' << row.target << '\n';
        }
    });
    return cleaner.counts();
}

CorpusReport split_text(const TextInput& text, const SplitSettings& settings, const fs::path& folder, const EventSink& events,
                        const std::stop_token& stop) {
    const fs::path absolute = fs::absolute(folder).lexically_normal();
    CorpusInfo info = describe((absolute.has_filename() ? absolute : absolute.parent_path()).filename().string(), text, {}, "split");
    const Language source(info.source_language), target(info.target_language);
    const CleanSettings as_it_is = no_cleaning();
    Cleaner cleaner(as_it_is, source, target);
    const Splits splits = split_rows(read_clean(text, cleaner, events, stop), settings, source, target, stop);
    return write(std::move(info), splits, cleaner.counts(), CleanSettings::fields().to_json(as_it_is),
                 SplitSettings::fields().to_json(settings), folder, stop);
}

Json corpus_stats(const fs::path& folder) {
    const Corpus corpus = Corpus::load(folder);
    Json json = corpus.info().to_json();
    const Language source(corpus.info().source_language), target(corpus.info().target_language);
    for (const auto& [name, split] : corpus.info().splits) {
        if (split.rows == 0) continue;
        std::unordered_set<std::string> source_words, target_words;
        const auto collect = [](const std::string& text, std::unordered_set<std::string>& words) {
            std::u32string word;
            for (const char32_t point : code_points(text + " ")) {
                if (is_letter(point)) word.push_back(to_lower(point));
                else if (!word.empty()) words.insert(to_utf8(std::exchange(word, {})));
            }
        };
        std::int64_t full = 0;
        std::map<std::string, std::int64_t> origins;
        for (const Row& row : corpus.rows(split_from_name(name, folder.string()))) {
            if (source.has_spaces()) collect(row.source, source_words);
            if (target.has_spaces()) collect(row.target, target_words);
            full += is_full_sentence(key_text(row, source, target)) ? 1 : 0;
            ++origins[row.origin];
        }
        const auto rows = static_cast<double>(split.rows);
        Json& one = json["splits"][name];
        one["mean_source_words"] = static_cast<double>(split.source_words) / rows;
        one["mean_target_words"] = static_cast<double>(split.target_words) / rows;
        if (source.has_spaces()) one["distinct_source_words"] = source_words.size();
        if (target.has_spaces()) one["distinct_target_words"] = target_words.size();
        one["full_sentence_percent"] = 100.0 * static_cast<double>(full) / rows;
        one["origins"] = origins;
    }
    return json;
}

std::vector<CorpusInfo> list_corpora(const fs::path& home) {
    std::error_code ignored;
    std::vector<CorpusInfo> corpora;
    for (const fs::path& folder : entries_in(home / "corpora", ignored))
        if (fs::exists(folder / "corpus.json", ignored)) corpora.push_back(Corpus::load(folder, false).info());
    return corpora;
}

namespace {

constexpr int kMakingVersion = 4;  // grows whenever the same packages would give other rows

std::string version_of(const fs::path& package) {
    const fs::path file = package / "VERSION";
    return fs::exists(file) ? single_spaced(read_text(file)) : std::string();
}

// What the rows of a pair depend on: the recipe's settings and packages, and which versions of them are there.
std::string inputs_of(const Recipe& recipe, const Language& source, const Language& target, const fs::path& packages) {
    Json inputs = {{"making", kMakingVersion},
                   {"pair", source.code() + "-" + target.code()},
                   {"rows", recipe.rows},
                   {"clean", CleanSettings::fields().to_json(recipe.clean)},
                   {"split", SplitSettings::fields().to_json(recipe.split)},
                   {"packages", Json::array()}};
    for (const RecipePackage& package : recipe.packages) {
        for (const auto& language : {source, target}) {
            if (language.is_english()) continue;
            const std::string name = package.name_for(language);
            const std::string english = package.english.empty() ? std::string() : version_of(packages / package.english);
            inputs["packages"].push_back({name, package.origin, static_cast<int>(package.reader), version_of(packages / name), english});
        }
    }
    return sha256(inputs.dump());
}

struct PairInWork {
    std::string name, inputs;
    Language source, target;
    fs::path folder;
    std::optional<CorpusReport> report = {};  // once it is finished
    std::vector<CorpusSource> sources = {};
};

std::optional<CorpusReport> unchanged(const PairInWork& pair, const std::stop_token& stop) {
    try {
        const Corpus corpus = Corpus::load(pair.folder, true, stop);
        if (corpus.info().inputs == pair.inputs) return report_of(corpus);
    } catch (const Error&) {
        return std::nullopt;  // missing or damaged: it is made anew
    }
    return std::nullopt;
}

// The messages of every package, read once per language and kept while pairs need them.
class Messages {
public:
    Messages(const Recipe& recipe, const fs::path& folder, const std::stop_token& stop) : recipe_(recipe), folder_(folder), stop_(stop) {}

    const std::vector<Message>& of(std::size_t package, const Language& language) {
        static const std::vector<Message> kNone;
        if (language.is_english()) return kNone;
        const auto key = std::pair(language.code(), package);
        auto found = read_.find(key);
        if (found == read_.end()) found = read_.emplace(key, read_package(recipe_.packages[package], folder_, language, stop_)).first;
        return found->second;
    }
    void forget(const std::string& language) {
        std::erase_if(read_, [&language](const auto& entry) { return entry.first.first == language; });
    }

private:
    const Recipe& recipe_;
    fs::path folder_;
    std::stop_token stop_;
    std::map<std::pair<std::string, std::size_t>, std::vector<Message>> read_;
};

void make_pair_corpus(PairInWork& pair, const Recipe& recipe, const RecipeRequest& request, Messages& messages,
                      std::set<std::string>& missing, const EventSink& events, const std::stop_token& stop) {
    Cleaner cleaner(recipe.clean, pair.source, pair.target);
    std::vector<Row> kept;
    for (std::size_t i = 0; i < recipe.packages.size(); ++i) {
        throw_if_stopped(stop);
        const RecipePackage& package = recipe.packages[i];
        if (events) {
            events(Progress{pair.name + ": " + package.package, static_cast<std::int64_t>(i),
                            static_cast<std::int64_t>(recipe.packages.size())});
        }
        auto rows = pair_messages(messages.of(i, pair.source), messages.of(i, pair.target), pair.source, pair.target, package.origin);
        for (const auto& language : {pair.source, pair.target}) {
            if (language.is_english()) continue;
            const std::string name = package.name_for(language);
            const fs::path folder = request.packages / name;
            const bool named = !pair.sources.empty() && pair.sources.back().name == name;
            if (!fs::is_directory(folder)) missing.insert(name);
            else if (!rows.empty() && !named) pair.sources.push_back({name, version_of(folder), package.licence, 0, package.origin});
        }
        for (Row& row : rows) {
            throw_if_stopped(stop);
            cleaner.clean(std::move(row), kept);
        }
    }
    if (kept.empty()) {
        throw Error(
            ErrorKind::file, request.packages.string(), "none of the packages here has text for " + pair.name,
            "fetch them first: packaging/fetch-texts " + request.packages.string() + " " + list_some(recipe.package_names({pair.name}), 3));
    }
    CorpusInfo info;
    info.name = recipe.corpus_name(pair.name);
    info.source_language = pair.source.code();
    info.target_language = pair.target.code();
    info.made = "recipe " + recipe.name;
    info.inputs = pair.inputs;
    info.sources = std::move(pair.sources);
    kept = sample_rows(std::move(kept), recipe.rows, pair.source, pair.target, stop);
    const Splits splits = split_rows(std::move(kept), recipe.split, pair.source, pair.target, stop);
    pair.report = write(std::move(info), splits, cleaner.counts(), CleanSettings::fields().to_json(recipe.clean),
                        SplitSettings::fields().to_json(recipe.split), pair.folder, stop);
}

}  // namespace

std::vector<std::string> recipe_packages(const std::string& recipe, const std::vector<std::string>& pairs) {
    const Recipe found = find_recipe(recipe);
    return found.package_names(pairs.empty() ? found.pairs : pairs);
}

std::vector<CorpusReport> build_recipe(const RecipeRequest& request, const EventSink& events, const std::stop_token& stop) {
    const Recipe recipe = find_recipe(request.recipe);
    std::vector<PairInWork> work;
    for (const std::string& pair : request.pairs.empty() ? recipe.pairs : request.pairs) {
        const auto [source, target] = parse_language_pair(pair, "pair");
        if (std::find(recipe.pairs.begin(), recipe.pairs.end(), pair) == recipe.pairs.end()) {
            throw Error(ErrorKind::config, pair, "the recipe " + recipe.name + " has no such pair",
                        "its pairs are " + list_some(recipe.pairs, 40));
        }
        work.push_back({pair, inputs_of(recipe, source, target, request.packages), source, target,
                        corpus_folder(request.home, recipe.corpus_name(pair))});
    }

    Messages messages(recipe, request.packages, stop);
    std::set<std::string> missing;
    std::vector<CorpusReport> reports;
    for (std::size_t i = 0; i < work.size(); ++i) {
        PairInWork& pair = work[i];
        try {
            if (!request.rebuild) pair.report = unchanged(pair, stop);
            if (!pair.report) make_pair_corpus(pair, recipe, request, messages, missing, events, stop);
        } catch (const Stopped&) {
            break;  // the pairs before this one are whole
        }
        record(*pair.report, request.database);
        log_to(events, pair.name + ": " + std::to_string(rows_in(pair.report->info, Split::train)) + " training, " +
                           std::to_string(rows_in(pair.report->info, Split::valid)) + " validation and " +
                           std::to_string(rows_in(pair.report->info, Split::test)) + " test sentences" +
                           (pair.report->was_there ? ", was there already" : ""));
        if (!pair.report->was_there) log_split_note(events, pair.report->info);
        reports.push_back(std::move(*pair.report));
        // Memory: a language is kept only while a later pair needs it.
        for (const Language& language : {pair.source, pair.target}) {
            const bool needed =
                std::any_of(work.begin() + static_cast<std::ptrdiff_t>(i) + 1, work.end(), [&language](const PairInWork& later) {
                    return later.source.code() == language.code() || later.target.code() == language.code();
                });
            if (!needed) messages.forget(language.code());
        }
    }
    if (!missing.empty()) {
        log_to(events, "not in " + request.packages.string() + ": " + list_some({missing.begin(), missing.end()}, 40));
    }
    return reports;
}

}  // namespace permille
