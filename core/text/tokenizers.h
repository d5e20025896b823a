// The table of tokenizer families.
#pragma once

#include <filesystem>
#include <memory>

#include "core/text/tokenizer.h"

namespace permille {

// The tokenizer of a model folder in Hugging Face layout, chosen by tokenizer_config.json's tokenizer_class, else by config.json's
// model_type and the files that are there. Throws Error(file) for missing or damaged files, Error(unsupported) for a family that is not
// known here.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_folder);

// Copies a model's tokenizer files, of any family, beside a model that was made from it. The target folder must be there. Throws
// Error(file).
void copy_tokenizer(const std::filesystem::path& model_folder, const std::filesystem::path& target_folder);

}  // namespace permille
