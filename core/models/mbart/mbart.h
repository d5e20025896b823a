// mBART (Liu et al. 2020, arXiv 2001.08210) and mBART-50 (Tang et al. 2020, arXiv 2008.00401): pre-norm with a norm over the embeddings,
// learned positions, one table for encoder, decoder and projection, scaled by sqrt(D).
#pragma once

#include "core/models/family.h"

namespace permille {

Family mbart_family();

}  // namespace permille
