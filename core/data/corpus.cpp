#include "core/data/corpus.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/data/unicode.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr int kFormat = 1;
constexpr const char* kDescription = "corpus.json";

const std::string kRebuild = "import the corpus again, or build it again with 'permille data recipe'";

const std::vector<Row>& rows_of(const Splits& splits, Split split) {
    return split == Split::train ? splits.train : split == Split::valid ? splits.valid : splits.test;
}

bool same_language(const std::string& a, const std::string& b) {
    if (a == b) return true;
    try {
        return Language(a) == Language(b);
    } catch (const Error&) {
        return false;  // a model's own code that is no locale
    }
}

}  // namespace

std::string CorpusInfo::fingerprint() const {
    std::string all = source_language + " " + target_language;
    for (const auto& [split_name, split] : splits) all += "\n" + split_name + " " + split.sha256;
    return sha256(all);
}

std::optional<double> CorpusInfo::raised_percent() const {
    const auto found = splitting.find("raised_percent");
    return found != splitting.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

std::string CorpusInfo::licences() const {
    std::set<std::string> known;
    for (const auto& source : sources) {
        if (!source.licence.empty()) known.insert(source.licence);
    }
    std::string text;
    for (const auto& licence : known) text += (text.empty() ? "" : ", ") + licence;
    return text;
}

Json CorpusInfo::to_json() const {
    Json json = {{"format", kFormat},
                 {"name", name},
                 {"source_language", source_language},
                 {"target_language", target_language},
                 {"made", made},
                 {"inputs", inputs},
                 {"fingerprint", fingerprint()},
                 {"splits", Json::object()},
                 {"sources", Json::array()},
                 {"cleaning", cleaning},
                 {"splitting", splitting}};
    for (const Split split : {Split::train, Split::valid, Split::test}) {
        const auto found = splits.find(to_string(split));
        if (found == splits.end()) continue;
        const SplitInfo& one = found->second;
        json["splits"][found->first] = {
            {"rows", one.rows}, {"source_words", one.source_words}, {"target_words", one.target_words}, {"sha256", one.sha256}};
    }
    for (const auto& source : sources) {
        json["sources"].push_back({{"name", source.name}, {"version", source.version}, {"licence", source.licence}, {"rows", source.rows}});
    }
    return json;
}

CorpusInfo CorpusInfo::from_json(const Json& json, const std::string& where) {
    try {
        if (json.at("format").get<int>() > kFormat) {
            throw Error(ErrorKind::file, where, "was written by a newer version of Permille",
                        "use that version, or build the corpus again");
        }
        CorpusInfo info;
        info.name = json.at("name").get<std::string>();
        info.source_language = json.at("source_language").get<std::string>();
        info.target_language = json.at("target_language").get<std::string>();
        info.made = json.value("made", "");
        info.inputs = json.value("inputs", "");
        for (const auto& [name, split] : json.at("splits").items()) {
            split_from_name(name, where);
            info.splits[name] = {split.at("rows").get<std::int64_t>(), split.value("source_words", std::int64_t{0}),
                                 split.value("target_words", std::int64_t{0}), split.at("sha256").get<std::string>()};
        }
        for (const auto& source : json.value("sources", Json::array())) {
            info.sources.push_back({source.value("name", ""), source.value("version", ""), source.value("licence", ""),
                                    source.value("rows", std::int64_t{0})});
        }
        info.cleaning = json.value("cleaning", Json::object());
        info.splitting = json.value("splitting", Json::object());
        return info;
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorKind::file, where, "is not a whole description of a corpus", kRebuild);
    }
}

namespace {

// The text of the splits under names of its own, until all of it is there; what is left of it goes away at the end.
class NewSplits {
public:
    explicit NewSplits(fs::path folder) : folder_(std::move(folder)), made_(!fs::exists(folder_)) { make_folder(folder_); }
    ~NewSplits() {
        std::error_code ignored;
        for (const Split split : {Split::train, Split::valid, Split::test}) fs::remove(file(split), ignored);
        if (made_) fs::remove(folder_, ignored);  // fails, as it should, when something is in it
    }
    NewSplits(const NewSplits&) = delete;
    NewSplits& operator=(const NewSplits&) = delete;

    fs::path file(Split split) const { return folder_ / (std::string("new-") + to_string(split) + ".tsv"); }
    void put_in_place() const {
        std::error_code code;
        fs::remove(folder_ / kDescription, code);
        for (const Split split : {Split::train, Split::valid, Split::test}) {
            const fs::path place = folder_ / (std::string(to_string(split)) + ".tsv");
            fs::rename(file(split), place, code);
            if (code) throw file_error(place, "write", code.value());
        }
    }

private:
    fs::path folder_;
    bool made_;
};

}  // namespace

void write_corpus(const fs::path& folder, CorpusInfo& info, const Splits& splits, const std::stop_token& stop) {
    const Language source(info.source_language), target(info.target_language);
    const NewSplits made(folder);
    info.splits.clear();
    for (const Split split : {Split::train, Split::valid, Split::test}) {
        const auto& rows = rows_of(splits, split);
        const fs::path file = made.file(split);
        SplitInfo counted;
        write_atomically(file, [&](std::ostream& out) {
            for (const Row& row : rows) {
                throw_if_stopped(stop);
                ++counted.rows;
                counted.source_words += source.count_words(code_points(row.source));
                counted.target_words += target.count_words(code_points(row.target));
                out << row.source << '\t' << row.target << '\t' << row.origin;
                if (!row.pivot.empty()) out << '\t' << row.pivot;
                out << '\n';
            }
        });
        counted.sha256 = sha256_of_file(file, stop);
        info.splits[to_string(split)] = counted;
    }
    made.put_in_place();
    write_json(folder / kDescription, info.to_json());
}

fs::path corpus_folder(const fs::path& home, const std::string& name) {
    const bool safe = !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c >= 0x80;
    });
    if (!safe) {
        throw Error(ErrorKind::config, "corpus name", "'" + name + "' cannot name a corpus",
                    "use letters, digits, '-', '_' and '.', such as news-de-en");
    }
    return home / "corpora" / name;
}

Corpus Corpus::load(const fs::path& folder, bool verify, const std::stop_token& stop) {
    const fs::path description = folder / kDescription;
    if (!fs::exists(description)) {
        throw Error(ErrorKind::file, folder.string(), "there is no corpus here (no corpus.json)",
                    "'permille data stats' lists the corpora there are; " + kRebuild);
    }
    Corpus corpus;
    corpus.folder_ = folder;
    corpus.info_ = CorpusInfo::from_json(read_json(description), description.string());
    for (const auto& [name, split] : corpus.info_.splits) {
        const fs::path file = folder / (name + ".tsv");
        if (!fs::exists(file))
            throw Error(ErrorKind::file, file.string(), "the corpus says it has this file, but it is not there", kRebuild);
        if (verify && sha256_of_file(file, stop) != split.sha256) {
            throw Error(ErrorKind::file, file.string(), "has been changed or damaged: its checksum differs from the one in corpus.json",
                        kRebuild);
        }
    }
    return corpus;
}

fs::path Corpus::file(Split split) const { return folder_ / (std::string(to_string(split)) + ".tsv"); }

std::vector<Row> Corpus::rows(Split split, std::int64_t limit) const {
    const fs::path path = file(split);
    const std::string text = read_text(path);
    std::vector<Row> rows;
    std::int64_t line_number = 0;
    for (std::size_t at = 0; at < text.size() && (limit <= 0 || line_number < limit);) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = std::string_view(text).substr(at, end - at);
        at = end + 1;
        ++line_number;
        std::array<std::string_view, 4> columns{};
        std::size_t begin = 0;
        for (auto& column : columns) {
            if (begin > line.size()) break;
            const std::size_t tab = std::min(line.find('\t', begin), line.size());
            column = line.substr(begin, tab - begin);
            begin = tab + 1;
        }
        if (columns[0].empty() || columns[1].empty()) {
            throw Error(ErrorKind::file, path.string() + ":" + std::to_string(line_number),
                        "expected source and target with a tab between them", kRebuild);
        }
        rows.push_back({std::string(columns[0]), std::string(columns[1]), std::string(columns[2]), std::string(columns[3])});
    }
    if (rows.empty()) {
        throw Error(ErrorKind::file, path.string(),
                    "the " + std::string(to_string(split)) + " split of corpus '" + info_.name + "' is empty",
                    "import more text, or choose larger splits");
    }
    return rows;
}

std::vector<Row> Corpus::rows(Split split, const std::string& source, const std::string& target, std::int64_t limit) const {
    const bool forward = same_language(source, info_.source_language) && same_language(target, info_.target_language);
    const bool backward = same_language(source, info_.target_language) && same_language(target, info_.source_language);
    if (!forward && !backward) {
        throw Error(ErrorKind::config, "corpus " + info_.name,
                    "has " + info_.source_language + " and " + info_.target_language + ", not " + source + " and " + target,
                    "choose one of its two directions, or another corpus");
    }
    auto result = rows(split, limit);
    if (!forward) {
        for (Row& row : result) std::swap(row.source, row.target);
    }
    return result;
}

}  // namespace permille
