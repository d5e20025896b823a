// The tokenizer of NLLB-200 (Costa-jussà et al. 2022, arXiv 2207.04672) in Hugging Face layout: the ids of sentencepiece.bpe.model moved by
// one for <pad>, then the languages, then <mask>. Text is normalised by sentencepiece, as the model was trained; transformers' own
// normaliser differs from it where a mark follows a letter of three bytes and the two have a composed form (Devanagari r with nukta).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/text/tokenizer.h"
#include "core/text/tokenizer_files.h"

namespace permille {

// Source and labels are both: language, text, </s>; with "legacy_behaviour" in tokenizer_config.json: text, </s>, language. The pieces come
// from sentencepiece.bpe.model, or from tokenizer.json when only that is there. Throws Error(file) for missing or damaged files.
std::unique_ptr<Tokenizer> load_nllb_tokenizer(const TokenizerFiles& files);

// The 202 codes in their order.
const std::vector<std::string>& nllb_languages();

}  // namespace permille
