// The checks that a study must pass, whether it was read from YAML or put together in the window. Only for the sources of this folder.
#pragma once

#include <functional>
#include <string>

#include "core/study/study.h"

namespace permille {

// What to call a place of the study in messages: for "methods/2/rank" a file, line and column, or the path itself.
using Locate = std::function<std::string(const std::string& path)>;

// Checks everything that does not need the database, and brings the methods' settings to their proper types.
void check_study(Study& study, const Locate& locate);

// Runs fn(""), which may throw an Error whose where is "/name"; throws it on as "<place>: name: what was found".
template <class Function>
auto at_place(const std::string& place, Function&& fn) {
    try {
        return fn(std::string());
    } catch (const Error& error) {
        const std::string name = error.where().empty() ? "" : error.where().substr(error.where().rfind('/') + 1);
        throw Error(error.kind(), place, name.empty() ? error.found() : name + ": " + error.found(), error.fix());
    }
}

}  // namespace permille
