#include "app/cli/adapters.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille::cli {

namespace fs = std::filesystem;

namespace {

constexpr const char* kNone = "none";  // the base alone

}  // namespace

void Adapters::add_options(CLI::App& verb, const std::string& line) {
    verb.add_option("--adapter,-a", given_,
                    "an adapter folder made for this model, or none for the model alone; given several times, each " + line +
                        " is done with every one of them, in shared batches")
        ->type_name("[NAME=]DIR")
        ->allow_extra_args(false);
    verb.add_option("--adapter-of", file_,
                    "a file with a name for each " + line +
                        ": of the adapter it is done with, or none; an adapter's name is its folder's " + "if no other is given")
        ->type_name("FILE");
}

void Adapters::read() {
    for (const std::string& text : given_) {
        if (text == kNone) {
            names_.emplace_back(kNone);
            folders_.emplace_back();
        } else {
            const auto equals = fs::is_directory(text) ? std::string::npos : text.find('=');
            const fs::path folder = equals == std::string::npos ? text : text.substr(equals + 1);
            const fs::path trimmed = folder.has_filename() ? folder : folder.parent_path();
            names_.push_back(equals == std::string::npos ? trimmed.filename().string() : text.substr(0, equals));
            folders_.emplace_back(folder);
            if (names_.back().empty() || names_.back() == kNone)
                throw Error(ErrorKind::usage, "--adapter", "'" + text + "' has no name of its own", "write NAME=" + folder.string());
        }
        if (std::count(names_.begin(), names_.end(), names_.back()) > 1)
            throw Error(ErrorKind::usage, "--adapter", "two adapters are called '" + names_.back() + "'",
                        "give one of them another name: NAME=DIR");
    }
    // Lines may ask for the base alone without a word about it.
    if (names_.empty() || (chosen() && std::find(names_.begin(), names_.end(), kNone) == names_.end())) {
        names_.emplace_back(kNone);
        folders_.emplace_back();
    }
}

std::vector<AdapterTask> Adapters::tasks(std::size_t lines) const {
    std::vector<AdapterTask> list;
    if (!chosen()) {
        for (std::size_t line = 0; line < lines; ++line)
            for (std::size_t adapter = 0; adapter < names_.size(); ++adapter) list.push_back({line, adapter});
        return list;
    }
    std::istringstream text(read_text(file_));
    for (std::string name; std::getline(text, name);) {
        if (!name.empty() && name.back() == '\r') name.pop_back();
        const auto found = std::find(names_.begin(), names_.end(), name);
        if (found == names_.end())
            throw Error(ErrorKind::file, file_ + ":" + std::to_string(list.size() + 1), "no adapter is called '" + name + "'",
                        "the names are " + list_some(names_) + "; --adapter NAME=DIR gives another");
        list.push_back({list.size(), static_cast<std::size_t>(found - names_.begin())});
    }
    if (list.size() != lines)
        throw Error(ErrorKind::file, file_, "has " + std::to_string(list.size()) + " lines for " + std::to_string(lines) + " of the input",
                    "write one name a line, " + std::string(kNone) + " where the model alone is wanted");
    return list;
}

}  // namespace permille::cli
