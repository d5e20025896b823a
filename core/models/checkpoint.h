// The weights of a model folder: which files they lie in and one map of tensors out of them. In the order of preference, which is Hugging
// Face's: model.safetensors, its shards under model.safetensors.index.json, pytorch_model.bin, its shards under
// pytorch_model.bin.index.json.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/models/safetensors.h"

namespace permille {

struct Checkpoint {
    std::vector<std::filesystem::path> files;     // in alphabetical order
    std::filesystem::path index;                  // empty: one file
    std::map<std::string, std::string> shard_of;  // by tensor, as the index says; the shard is a name within the folder
};

// Shards are files of the folder itself and all there. Throws Error(file) that names what is missing or wrong.
Checkpoint find_checkpoint(const std::filesystem::path& folder);

// Mapped, not read: opening costs no copy of the weights. Throws Error(file, tensor, unsupported); a tensor that the index names is in its
// shard and no tensor is in two.
TensorMap read_checkpoint(const Checkpoint& checkpoint);

// A JSON file that comes with a model. Larger than any real one is an error, before it is read.
Json read_model_json(const std::filesystem::path& file);

}  // namespace permille
