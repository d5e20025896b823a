// The tokenizer of OPUS-MT's Marian models (Tiedemann and Thottingal 2020) in Hugging Face layout: source.spm and target.spm cut the text,
// vocab.json (for a target with a vocabulary of its own: target_vocab.json) gives the pieces' ids. Moses' punctuation normalisation is no
// part of it, as in transformers.
#pragma once

#include <memory>

#include "core/text/tokenizer.h"
#include "core/text/tokenizer_files.h"

namespace permille {

// text, </s>; models with several target languages read >>code<< before it, from the text itself or from the language that is asked for.
// The languages are those codes; a model of one pair has the two languages that tokenizer_config.json names, without tokens. Any code is
// taken for the language of the source. Throws Error(file) for missing or damaged files.
std::unique_ptr<Tokenizer> load_marian_tokenizer(const TokenizerFiles& files);

}  // namespace permille
