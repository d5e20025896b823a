// The text that a run trains on: rows of a corpus or a file, and their token ids.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "core/data/batches.h"
#include "core/data/clean.h"
#include "core/data/split.h"
#include "core/text/tokenizer.h"

namespace permille {

// Token pairs with the sha256 over their ids, in their order: what a checkpoint and a record of trials belong to.
struct TokenText {
    std::vector<TokenPair> pairs;
    std::string fingerprint;
};

// Texts longer than the model reads are cut, its special tokens kept. Throws Stopped when asked to stop.
std::vector<TokenPair> token_pairs(const Tokenizer& tokenizer, const std::vector<Row>& rows, const std::string& source,
                                   const std::string& target, const std::stop_token& stop = {});
// The same with their fingerprint.
TokenText tokenise(const Tokenizer& tokenizer, const std::vector<Row>& rows, const std::string& source, const std::string& target,
                   const std::stop_token& stop = {});

// The first `limit` rows (0: all) of a corpus folder's split, or of a TSV file. Throws Error(file) naming a line without a tab or a side.
std::vector<Row> read_rows(const std::filesystem::path& texts, Split split, const std::string& source, const std::string& target,
                           std::int64_t limit);

}  // namespace permille
