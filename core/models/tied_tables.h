// The vocabulary tables of a checkpoint: which of those that config.json ties are one. Older checkpoints hold a copy under each name, and
// not all of the copies are equal.
#pragma once

#include <string>

#include "core/models/architecture.h"
#include "core/models/safetensors.h"

namespace permille {

// Equal copies become one. A copy that differs is used where its name says and `architecture` is made to have a table of its own there,
// which is what transformers does from version 5 on; before, it took one of the copies without a word. The copy to which the others are
// compared, and which stands for those that are not stored, is the first of model.shared, lm_head, decoder and encoder. In `stored` remain
// the names that the layout asks for. Copies in one storage cost nothing, others one reading of both. Returns what a user should know, ""
// when all are equal. Throws Error(tensor) for a copy of another shape; `where` is the folder.
std::string settle_tables(Architecture& architecture, TensorMap& stored, const std::string& where);

}  // namespace permille
