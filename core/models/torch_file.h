// pytorch_model.bin: a state dict as torch.save writes it. Since PyTorch 1.6 that is a zip archive with a pickle and one entry per storage,
// before it was a row of pickles followed by the storages. The file is untrusted: the pickle is read by core/models/pickle.h, which runs
// nothing.
#pragma once

#include <filesystem>

#include "core/models/safetensors.h"

namespace permille {

// Read-only CPU tensors over the mapped file, as read_safetensors gives them; those that share a storage in the file share it here. Throws
// Error(file) for damage, Error(tensor) for a tensor that lies outside its storage, Error(unsupported) for anything but a state dict of
// tensors.
TensorMap read_torch_file(const std::filesystem::path& file);

}  // namespace permille
