// What stands behind `permille data import|stats|clean|split|recipe` and the window's corpus page. Knows no torch.
// Everything throws Error; a stopped job throws nothing and returns what it had finished.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/data/corpus.h"
#include "core/data/importers.h"
#include "core/data/recipe.h"

namespace permille {

// What was made, and what the database is told about it.
struct CorpusReport {
    CorpusInfo info;
    std::filesystem::path folder;
    CleanCounts cleaning;
    std::int64_t withheld = 0, leaking = 0;  // see Splits
    bool was_there = false;                  // an equal corpus was found and left as it is

    Json to_json() const;
    // Lines for people: splits, words, cleaning reasons, licences.
    std::string to_text() const;
};

struct ImportRequest {
    std::string name;  // of the corpus
    TextInput text;
    // The user's own held-out text; with them nothing is split off, and training rows of which a side occurs there are dropped.
    std::vector<std::filesystem::path> valid_files = {}, test_files = {};
    std::string licence = {};
    CleanSettings clean = {};
    SplitSettings split = {};
    bool replace = false;                                // an existing corpus of that name
    std::filesystem::path home;                          // the corpus goes to HOME/corpora/NAME
    std::optional<std::filesystem::path> database = {};  // is told about the corpus
};
// This and the next two throw Stopped when asked to stop; nothing is written then.
CorpusReport import_corpus(const ImportRequest& request, const EventSink& events = {}, const std::stop_token& stop = {});

// Cleans without splitting: source TAB target, one row a line.
CleanCounts clean_text(const TextInput& text, const CleanSettings& settings, const std::filesystem::path& output,
                       const EventSink& events = {}, const std::stop_token& stop = {});

// Splits without cleaning, into FOLDER/{train,valid,test}.tsv with a corpus.json.
CorpusReport split_text(const TextInput& text, const SplitSettings& settings, const std::filesystem::path& folder,
                        const EventSink& events = {}, const std::stop_token& stop = {});

// A corpus' own figures, read from its text after comparing the checksums: per split rows, words, mean words a row, distinct words, share
// of full sentences, and per origin rows.
Json corpus_stats(const std::filesystem::path& folder);
// The corpora below HOME/corpora, by name; folders that hold none are passed over.
std::vector<CorpusInfo> list_corpora(const std::filesystem::path& home);

struct RecipeRequest {
    std::string recipe;                   // name of a shipped one, or a file
    std::filesystem::path packages;       // folder that packaging/fetch-texts filled
    std::filesystem::path home;           // corpora go to HOME/corpora, named as the recipe says
    std::vector<std::string> pairs = {};  // empty: all of the recipe's
    std::optional<std::filesystem::path> database = {};
    bool rebuild = false;  // also what is there already
};

// The packages that packaging/fetch-texts must get for these pairs (empty: all).
std::vector<std::string> recipe_packages(const std::string& recipe, const std::vector<std::string>& pairs = {});

// Makes the corpora of a recipe. Packages that are not in the folder are named in the log; Error(file) when a pair has no text at all. A
// pair whose corpus is there, whole and made from the same recipe and package versions, is left as it is. Asked to stop, it gives the pairs
// that are whole by then.
std::vector<CorpusReport> build_recipe(const RecipeRequest& request, const EventSink& events = {}, const std::stop_token& stop = {});

}  // namespace permille
