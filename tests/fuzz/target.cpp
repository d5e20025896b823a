#include "tests/fuzz/target.h"

#include <ATen/ATen.h>
#include <stdlib.h>

#include <fstream>
#include <sstream>

namespace permille::fuzz {
namespace fs = std::filesystem;

namespace {

struct OwnFolder {
    fs::path path;
    OwnFolder() {
        std::string pattern = (fs::temp_directory_path() / "permille-fuzz-XXXXXX").string();
        if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make a temporary folder");
        path = pattern;
    }
    ~OwnFolder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

}  // namespace

const fs::path& folder() {
    static const OwnFolder own;
    return own.path;
}

void put(const fs::path& file, std::string_view content) {
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
}

std::string get(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + file.string());
    std::ostringstream text;
    text << in.rdbuf();
    return std::move(text).str();
}

void touch(const TensorMap& tensors) {
    for (const auto& [name, tensor] : tensors) tensor.contiguous().to(at::kDouble).sum();
}

}  // namespace permille::fuzz
