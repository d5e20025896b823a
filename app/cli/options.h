// Command-line options made from field lists, and the options that several verbs share.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/method_info.h"
#include "core/base/spec.h"
#include "core/store/store.h"

namespace permille::cli {

// Adds `--learning-rate` for the field learning_rate, with its help, default and range; what is given is checked and put into `given`,
// which must outlive the parsing. `aliases` gives a field further names, such as {"beam_size", "--beam"}.
void add_field_options(CLI::App& verb, const std::vector<Field>& fields, Json& given, const std::string& group,
                       const std::vector<std::pair<std::string, std::string>>& aliases = {});

// --device, --threads, --dtype.
void add_device_options(CLI::App& verb, Json& given);

// --db FILE; the default file when it is not given.
void add_database_option(CLI::App& verb, std::filesystem::path& file);

// The runs of the study of that name, all when it is empty. Throws Error(config) when there is none in the database.
RunFilter runs_of_study(const std::string& study, const Store& store);

// A file or folder as it is, otherwise the folder of the corpus of that name; its languages fill in those that are still empty.
std::filesystem::path find_texts(const std::string& name, const std::string& option, const std::filesystem::path& database,
                                 std::string& source, std::string& target);

// Throws Error(usage) when knobs that go with a budget hold the size that is solved from it.
void refuse_size(const MethodInfo& method, const Json& knobs);

// "name=value" texts as an object; throws Error(usage) for text without "=" and for a name that is there twice. Values stay text: the field
// lists turn them into numbers.
Json parse_assignments(const std::vector<std::string>& assignments, const std::string& option);

// "1%,5‰,300k,2MB" as budgets; throws Error(usage).
std::vector<Budget> parse_budgets(const std::string& list, const std::string& option);

// What a number must be, said in one way whatever release of CLI11 there is.
CLI::Validator above_zero();
CLI::Validator from_zero();
CLI::Validator between(std::int64_t low, std::int64_t high);

// "a, b,c" as its parts, without empty ones.
std::vector<std::string> split_list(const std::string& list);

}  // namespace permille::cli
