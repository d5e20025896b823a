// Precompiled for the sources of the command line.
#pragma once
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
