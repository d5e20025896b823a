// Marian's Transformer (Junczys-Dowmunt et al. 2018, arXiv 1804.00344) as OPUS-MT publishes it (Tiedemann and Thottingal 2020): post-norm,
// fixed sinusoids counted from 0, a bias on the logits; the two sides may have vocabularies and tables of their own.
#pragma once

#include "core/models/family.h"

namespace permille {

Family marian_family();

}  // namespace permille
