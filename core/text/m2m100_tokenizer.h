// The tokenizer of M2M-100 (Fan et al. 2020, arXiv 2010.11125) in Hugging Face layout: vocab.json gives the ids of the pieces of
// sentencepiece.bpe.model, and the languages' ids follow after them in a fixed order.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/text/tokenizer.h"
#include "core/text/tokenizer_files.h"

namespace permille {

// Source and labels are both: language, text, </s>. Throws Error(file) for missing or damaged files.
std::unique_ptr<Tokenizer> load_m2m100_tokenizer(const TokenizerFiles& files);

struct SavedVocabulary {
    std::int64_t size = 0;  // ids that mean something: pieces, special tokens and languages
    std::int64_t rows = 0;  // vocab_size of the model: `size` rounded up to a multiple of 8
};

// Writes vocab.json, sentencepiece.bpe.model and tokenizer_config.json so that transformers' M2M100Tokenizer gives the same ids as ours.
// The library counts language ids over its own list of 100, whichever of them a model has seen; so all 100 get an id, and `languages` only
// says which of them the tokenizer offers here. Throws Error(config) for a language that is not among the 100.
SavedVocabulary save_m2m100_tokenizer(const std::filesystem::path& folder, const std::filesystem::path& sentencepiece_model,
                                      const std::vector<std::string>& languages, std::int64_t max_length = 1024);

// The 100 codes in their order.
const std::vector<std::string>& m2m100_languages();
// "__it__"
std::string m2m100_language_token(const std::string& code);
// tokenizer_config.json of a tokenizer that offers `languages`; those that are not among the 100 get the ids after them, in this order.
// transformers knows such a language by its token, not by its code.
Json m2m100_tokenizer_config(const std::vector<std::string>& languages, std::int64_t max_length);

}  // namespace permille
