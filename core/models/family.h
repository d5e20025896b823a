// A model family: how its published config.json describes an architecture, and what its checkpoints hold beside the parameters. No torch.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/models/architecture.h"

namespace permille {

struct Family {
    std::string model_type;  // as in config.json
    std::string name;        // "M2M-100, NLLB-200"
    std::string paper;
    // `where` is the file's name, for messages. Throws Error(config) naming the field.
    Architecture (*describe)(const Json& config, const std::string& where);
    // config.json for a model made here.
    Json (*config)(const Architecture& architecture);
    // Checkpoint entries that are not parameters and may be there (exact names).
    std::vector<std::string> ignored;
};

// families.cpp: the table, in alphabetical order.
const std::vector<Family>& families();
// By config.json's model_type; throws Error(unsupported) that lists the known ones.
const Family& find_family(const Json& config, const std::string& where);

// Fields of a published config, with errors that name file and field.
class ConfigReader {
public:
    ConfigReader(const Json& config, std::string where) : config_(config), where_(std::move(where)) {}
    std::int64_t size(const char* name, std::int64_t most = std::int64_t{1} << 24) const;  // required, 1 or more
    std::int64_t integer(const char* name, std::int64_t fallback) const;
    double rate(const char* name, double fallback) const;  // within 0 and 1
    bool flag(const char* name, bool fallback) const;
    std::string text(const char* name, const std::string& fallback) const;
    bool says(const char* name) const { return config_.contains(name); }           // null counts
    void token(const char* name, std::int64_t id, std::int64_t vocabulary) const;  // fails unless id is within 0 and vocabulary
    [[noreturn]] void fail(const char* name, const std::string& what, const std::string& fix = {}) const;

private:
    const Json& config_;
    std::string where_;
};

}  // namespace permille
