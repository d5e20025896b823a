// The only include of Catch2. Include it last: libtorch defines CHECK too, and a failed one of its kind would end the whole program.
#pragma once

#ifdef CHECK
#undef CHECK
#endif
#if __has_include(<catch2/catch_all.hpp>)  // Catch2 3, as in Debian 13
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace permille::test {

// The folder tests/golden of the source tree.
inline std::filesystem::path golden(const std::string& name) { return std::filesystem::path(PERMILLE_TESTS_DIR) / "golden" / name; }

// A fresh empty folder, removed with the object.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

// Runs fn; fails unless it throws permille::Error of that kind whose message holds every one of the words.
template <class Function>
void require_error(Function&& fn, ErrorKind kind, const std::vector<std::string>& words) {
    try {
        fn();
    } catch (const Error& error) {
        INFO("message: " << error.what());
        REQUIRE(to_string(error.kind()) == to_string(kind));
        for (const auto& word : words) {
            INFO("expected word: " << word);
            REQUIRE(std::string(error.what()).find(word) != std::string::npos);
        }
        return;
    }
    FAIL("no error was thrown");
}

}  // namespace permille::test
