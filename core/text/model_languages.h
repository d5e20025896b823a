// Finding the language that a user means among those that a model knows.
#pragma once

#include <string_view>
#include <vector>

#include "core/text/tokenizer.h"

namespace permille {

// Exact codes first, then the same code in other letter case or with '-', then the one language of the list that is the same language as
// `code` (ISO 639-1 and 639-3 are the same to it; a region tells scripts apart: zh_TW is zho_Hant). Throws Error(config) when there is none
// or several.
const ModelLanguage& find_language(const std::vector<ModelLanguage>& languages, std::string_view code);

}  // namespace permille
