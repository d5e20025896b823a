// Folders that are written whole or not at all: a model, an adapter.
#pragma once

#include <filesystem>
#include <functional>

namespace permille {

// The folder's path without a slash at its end, where nothing is yet: throws Error(file) when something is.
std::filesystem::path free_place(const std::filesystem::path& folder);
// A folder that is made whole or not at all: `produce` fills PLACE.part, which is then renamed; when it throws, nothing is left behind.
void make_whole_folder(const std::filesystem::path& place, const std::function<void(const std::filesystem::path& part)>& produce);

}  // namespace permille
