// Reading tokenizer.json, the one file that newer transformers saves in place of a sentencepiece model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace permille {

struct TokenizerJson {
    std::string sentencepiece_model;  // serialised; piece i is the vocabulary's i + 1 for every i from 3 on
    std::vector<std::pair<std::int64_t, std::string>> added_tokens;
};

// For byte-pair and unigram vocabularies that begin with <s>, <pad>, </s>, <unk> and use sentencepiece's normaliser, as NLLB's and mBART's
// do. Throws Error(file) when the file is damaged and Error(unsupported) when it holds another kind.
TokenizerJson read_tokenizer_json(const std::filesystem::path& file);
// Only the tokens with ids of their own.
std::vector<std::pair<std::int64_t, std::string>> read_added_tokens(const std::filesystem::path& file);

}  // namespace permille
