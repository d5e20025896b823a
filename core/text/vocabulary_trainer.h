// Training a subword vocabulary with sentencepiece (byte-pair encoding, Sennrich et al. 2016).
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/fields.h"

namespace permille {

struct VocabularySettings {
    std::int64_t pieces = 8000;          // special pieces <unk>, <s>, </s> included
    double character_coverage = 0.9995;  // share of all characters that get a piece; the rest is <unk>
    bool byte_fallback = false;          // rare characters as bytes in place of <unk>; M2M-100 has none
    std::int64_t longest_line = 4000;    // bytes; longer lines are left out
    std::int64_t most_lines = 2000000;   // evenly picked when there are more
    static const Fields<VocabularySettings>& fields();
};

// Trains on `lines` (the caller balances languages) and writes the model file. The same lines and settings give the same file. Throws
// Error(config) when the text is too small for that many pieces, Error(file) when the file cannot be written.
void train_vocabulary(const std::vector<std::string>& lines, const VocabularySettings& settings, const std::filesystem::path& output,
                      const std::stop_token& stop = {});

}  // namespace permille
