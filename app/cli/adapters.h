// The adapters of a verb that runs a model: none, one, several side by side, or one for each line.
#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/jobs/model.h"

namespace permille::cli {

class Adapters {
public:
    // Adds --adapter and --adapter-of; `line` is what the verb calls a line of its input.
    void add_options(CLI::App& verb, const std::string& line);

    // What was given, once the command line has been read; throws Error(usage).
    void read();
    // By place, for a session; not set is the base alone.
    const std::vector<std::optional<std::filesystem::path>>& folders() const { return folders_; }
    const std::string& name(std::size_t adapter) const { return names_[adapter]; }
    // Whether every line is done with each of several adapters.
    bool several() const { return file_.empty() && names_.size() > 1; }
    // Whether lines choose their adapter.
    bool chosen() const { return !file_.empty(); }
    // What is to be done: line by line, and for each in the order of the adapters. Throws Error(file) naming the line of --adapter-of.
    std::vector<AdapterTask> tasks(std::size_t lines) const;

private:
    std::vector<std::string> given_;
    std::string file_;
    std::vector<std::string> names_;
    std::vector<std::optional<std::filesystem::path>> folders_;
};

}  // namespace permille::cli
