// More pieces and languages for a tokenizer of M2M-100: the old pieces keep their ids and their order of merging, the new ones follow, and
// behind them, moved, the languages. No torch: what the new ids mean for a model's tables is said in ids.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace permille {

struct AddedLanguage {
    std::string code;  // "eu"
    std::string like;  // the language of the base that it starts as; "": the mean of all that the base offers
};

struct ExtendedVocabulary {
    std::int64_t size = 0;                // ids that mean something
    std::int64_t rows = 0;                // vocab_size of the model: `size` rounded up to a multiple of 8
    std::int64_t old_pieces = 0;          // ids below it are what they were
    std::vector<std::string> pieces;      // that were added; the base's other ids move up by so many
    std::vector<std::int64_t> languages;  // the ids of the added ones
    // [rows]: the base's rows whose mean each row starts as; none: nothing is known about it. A new piece starts as those that the old
    // model cuts it into.
    std::vector<std::vector<std::int64_t>> sources;
    // What an id of the base is now.
    std::int64_t moved(std::int64_t id) const { return id < old_pieces ? id : id + static_cast<std::int64_t>(pieces.size()); }
};

// Of the model folder `from`, whose tables have `old_rows` rows; pieces that it has are passed over. Nothing is written.
// Throws Error(unsupported) when its tokenizer is of another kind (M2M-100's, cut by byte-pair encoding, can be extended), Error(config)
// for a language that it offers already or whose code is none, Error(file).
ExtendedVocabulary extended_m2m100_vocabulary(const std::filesystem::path& from, std::int64_t old_rows,
                                              const std::vector<std::string>& pieces, const std::vector<AddedLanguage>& languages);
// The tokenizer's files, which transformers' M2M100Tokenizer reads as well, into the folder `to`.
void save_extended_m2m100(const std::filesystem::path& from, const ExtendedVocabulary& extended,
                          const std::vector<AddedLanguage>& languages, const std::filesystem::path& to);

// The pieces that byte-pair encoding (Sennrich et al. 2016) cuts a piece into with the merges of another model; unknown characters alone.
class SentencePieces;
std::vector<std::string> cut_by_merges(const SentencePieces& model, const std::string& piece);

}  // namespace permille
