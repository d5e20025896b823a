// The tokenizers of mBART (Liu et al. 2020, arXiv 2001.08210) and mBART-50 (Tang et al. 2020, arXiv 2008.00401) in Hugging Face layout: the
// ids of sentencepiece.bpe.model moved by one for <pad>, then the languages in a fixed order, then <mask>. Text is normalised by
// sentencepiece, as the models were trained and as transformers 4 does it; transformers 5 leaves mBART-25's text as it is, and gives
// mBART-50 a piece for a space at the end of a text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/text/tokenizer.h"
#include "core/text/tokenizer_files.h"

namespace permille {

// mBART-50: language, text, </s>. mBART-25: text, </s>, language; its decoder begins with the language. Which of the two is said by
// tokenizer_class, else by how many ids config.json's vocab_size leaves for languages. The pieces come from sentencepiece.bpe.model, or
// from tokenizer.json when only that is there. Throws Error(file) for missing or damaged files.
std::unique_ptr<Tokenizer> load_mbart_tokenizer(const TokenizerFiles& files);

// The 25 and the 52 codes in their order; the 25 are the first of the 52.
std::vector<std::string> mbart25_languages();
const std::vector<std::string>& mbart50_languages();

}  // namespace permille
