#include "core/run/texts.h"

#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/data/corpus.h"
#include "core/train/trainer.h"

namespace permille {
namespace fs = std::filesystem;

std::vector<TokenPair> token_pairs(const Tokenizer& tokenizer, const std::vector<Row>& rows, const std::string& source,
                                   const std::string& target, const std::stop_token& stop) {
    const ModelLanguage &from = tokenizer.source_language(source), &to = tokenizer.target_language(target);
    std::vector<TokenPair> pairs;
    pairs.reserve(rows.size());
    for (const Row& row : rows) {
        throw_if_stopped(stop);
        const auto ids = tokenizer.encode_source(row.source, from, to), labels = tokenizer.encode_target(row.target, to);
        pairs.push_back({{ids.begin(), ids.end()}, {labels.begin(), labels.end()}});
    }
    return pairs;
}

TokenText tokenise(const Tokenizer& tokenizer, const std::vector<Row>& rows, const std::string& source, const std::string& target,
                   const std::stop_token& stop) {
    TokenText text{token_pairs(tokenizer, rows, source, target, stop), {}};
    text.fingerprint = fingerprint_of(text.pairs);
    return text;
}

std::vector<Row> read_rows(const fs::path& texts, Split split, const std::string& source, const std::string& target, std::int64_t limit) {
    if (fs::is_directory(texts)) return Corpus::load(texts, false).rows(split, source, target, limit);
    std::istringstream lines(read_text(texts));
    std::vector<Row> rows;
    std::string line;
    for (std::int64_t number = 1; std::getline(lines, line) && (limit == 0 || static_cast<std::int64_t>(rows.size()) < limit); ++number) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        const auto tab = line.find('\t');
        if (tab == std::string::npos)
            throw Error(ErrorKind::file, texts.string() + ":" + std::to_string(number), "has no tab", "each line is source, tab, target");
        Row row{line.substr(0, tab), line.substr(tab + 1)};
        row.target = row.target.substr(0, row.target.find('\t'));
        if (row.source.empty() || row.target.empty())
            throw Error(ErrorKind::file, texts.string() + ":" + std::to_string(number), "has an empty side",
                        "remove the line, or import the file with 'permille data import'");
        rows.push_back(std::move(row));
    }
    if (rows.empty())
        throw Error(ErrorKind::file, texts.string(), "holds no sentence pairs", "give a file with lines of source, tab, target");
    return rows;
}

}  // namespace permille
