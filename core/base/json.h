// JSON values, and reading JSON files with errors that name the file and place. Objects keep the order of their keys.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace permille {

using Json = nlohmann::ordered_json;

// Throws Error(file) when the file cannot be read or is not JSON (with line and column), or nests more than 500 deep.
Json read_json(const std::filesystem::path& file);
Json parse_json(const std::string& text, const std::string& where);
// Pretty-printed, written beside and renamed.
void write_json(const std::filesystem::path& file, const Json& value);

}  // namespace permille
