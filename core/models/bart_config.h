// config.json as the descendants of BART write it: M2M-100, mBART and Marian differ in what they leave out and in what that means.
#pragma once

#include "core/models/architecture.h"
#include "core/models/family.h"

namespace permille {

// What the configs of BART's descendants have in common: sizes, special tokens, rates. `defaults` holds what a config that does not say
// means. Checks that the heads divide d_model.
Architecture read_bart_config(const ConfigReader& reader, Architecture defaults);
// Fails unless the special tokens are tokens: for when the family has settled both vocabularies.
void check_special_tokens(const ConfigReader& reader, const Architecture& architecture);
// The same fields of a config.json.
Json write_bart_config(const Architecture& architecture);

}  // namespace permille
