// How BLEU cuts text into words. The score depends on it, so the signature names it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/metrics/characters.h"

namespace permille {

// The text with blanks between the words; a segment of text, its end blanks removed, goes in.
using BleuTokenizer = Characters (*)(std::u32string_view);

// "13a" (mteval-v13a), "char", "intl" (mteval-v14; symbols of scripts newer than the system's ICU stay in their words), "none", "zh".
// Throws Error(config) for others, with the known names.
BleuTokenizer find_bleu_tokenizer(const std::string& name, const std::string& where);
std::vector<std::string> bleu_tokenizer_names();

struct TokenizerChoice {
    std::string name;
    std::string reason;  // for the log: why this one
};
// "auto" by the target language ("zh", "zh_CN", "zho_Hans"...): zh for Chinese, char where words are not set off by blanks (Japanese, Thai,
// Lao, Khmer, Burmese, Tibetan), 13a otherwise. Any other wish is kept.
TokenizerChoice choose_bleu_tokenizer(const std::string& wish, std::string_view target_language);

}  // namespace permille
