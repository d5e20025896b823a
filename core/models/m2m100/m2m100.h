// M2M-100 (Fan et al. 2020, arXiv 2010.11125) and NLLB-200's dense models (NLLB Team 2022, arXiv 2207.04672): pre-norm, ReLU, shared
// embeddings scaled by sqrt(D), fixed sinusoids counted from pad_id + 1.
#pragma once

#include "core/models/family.h"

namespace permille {

Family m2m100_family();

}  // namespace permille
