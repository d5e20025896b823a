// What a fuzz target is: LLVMFuzzerTestOneInput for the engine, and inputs to start from. A reader of untrusted files may throw
// permille::Error and nothing else; any other exception, a crash, a hang or a run out of memory is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/models/safetensors.h"

namespace permille::fuzz {

// Well-formed inputs of this target, small.
std::vector<std::string> seeds();

// A folder of this process's own, made once.
const std::filesystem::path& folder();
// Writes without the care that core/base/files takes: this is done thousands of times.
void put(const std::filesystem::path& file, std::string_view content);
std::string get(const std::filesystem::path& file);
// Runs `read`; an Error is as good as success.
template <class Function>
void tolerate_errors(Function&& read) {
    try {
        read();
    } catch (const Error&) {
    }
}
// Reads every element of what a reader accepted.
void touch(const TensorMap& tensors);

}  // namespace permille::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
