// A named corpus on disk: parallel text of two languages, cleaned and split.
//
//     <data home>/corpora/<name>/corpus.json   what it is and where it comes from, counts, SHA-256 of each split
//                                train.tsv     source <TAB> target <TAB> origin, one row a line; pairs that were built through English have
//                                valid.tsv     the English text as a fourth column
//                                test.tsv
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/data/split.h"

namespace permille {

struct CorpusSource {
    std::string name;       // a package or a file
    std::string version;    // of the package; "" for files
    std::string licence;    // "" when not known
    std::int64_t rows = 0;  // kept, over all splits
    std::string origin;     // as the third column names it; "" when that is the name
};

struct SplitInfo {
    std::int64_t rows = 0, source_words = 0, target_words = 0;
    std::string sha256;  // of the file
};

struct CorpusInfo {
    std::string name;
    std::string source_language, target_language;
    std::string made = {};                         // how: "recipe software-texts", "import"
    std::string inputs = {};                       // SHA-256 of what it was made from and how; "" when not known
    std::map<std::string, SplitInfo> splits = {};  // by name: train, valid, test
    std::vector<CorpusSource> sources = {};
    Json cleaning = Json::object();   // settings and counts
    Json splitting = Json::object();  // settings and counts

    // SHA-256 over the splits' checksums: equal for equal text.
    std::string fingerprint() const;
    // See Splits::raised_percent.
    std::optional<double> raised_percent() const;
    // "GPL-2+, MPL-2.0"
    std::string licences() const;
    Json to_json() const;
    static CorpusInfo from_json(const Json& json, const std::string& where);
};

// Writes the folder anew: the splits beside and renamed, corpus.json last, so that a folder with a corpus.json is whole. Fills in
// `info.splits`. Throws Stopped when asked to stop: then the folder is as it was.
void write_corpus(const std::filesystem::path& folder, CorpusInfo& info, const Splits& splits, const std::stop_token& stop = {});

// A corpus that was read back. Values; may be copied and used from any thread.
class Corpus {
public:
    // `verify`: compares the checksums, which reads all of the text. Throws Error(file): no corpus there, a split missing or changed.
    // Throws Stopped when asked to stop.
    static Corpus load(const std::filesystem::path& folder, bool verify = true, const std::stop_token& stop = {});

    const CorpusInfo& info() const { return info_; }
    const std::filesystem::path& folder() const { return folder_; }
    std::filesystem::path file(Split split) const;

    // The first `limit` rows; 0: all. Throws Error(file) with the line when one has no target, and when the split is empty.
    std::vector<Row> rows(Split split, std::int64_t limit = 0) const;
    // The same for the wanted direction: sides are exchanged when `source` is the corpus' target language. Throws Error(config) when the
    // corpus is of other languages. Codes may be written as a model writes them, as long as the language is the same ("de", "de_DE",
    // "deu").
    std::vector<Row> rows(Split split, const std::string& source, const std::string& target, std::int64_t limit = 0) const;

private:
    std::filesystem::path folder_;
    CorpusInfo info_;
};

// The folder of a named corpus below the data home; refuses names that are paths with Error(config).
std::filesystem::path corpus_folder(const std::filesystem::path& home, const std::string& name);

}  // namespace permille
