// Runs a program and keeps what it printed.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace permille::test {

struct Ran {
    int code = 0;  // exit code; 128 + N when signal N ended it
    std::string out, err;
    Json json() const { return Json::parse(out); }
    Json error() const { return Json::parse(err).at("error"); }
};

struct RunOptions {
    std::string input = {};                     // standard input
    std::vector<std::string> environment = {};  // NAME=value, added to or replacing the test's own
    std::optional<std::filesystem::path> folder = {};
    // Sends this signal as soon as `signal_when` occurs in what it has printed to standard error; "": when it has started.
    int signal = 0;
    std::string signal_when = {};
};

// The program `permille` of this build.
Ran permille(const std::vector<std::string>& arguments, const RunOptions& options = {});
Ran run_program(const std::string& program, const std::vector<std::string>& arguments, const RunOptions& options = {});

}  // namespace permille::test
