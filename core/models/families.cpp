#include "core/base/error.h"
#include "core/models/family.h"
#include "core/models/m2m100/m2m100.h"
#include "core/models/marian/marian.h"
#include "core/models/mbart/mbart.h"

namespace permille {

const std::vector<Family>& families() {
    static const std::vector<Family> table = {
        m2m100_family(),
        marian_family(),
        mbart_family(),
    };
    return table;
}

const Family& find_family(const Json& config, const std::string& where) {
    std::vector<std::string> known;
    for (const Family& family : families()) known.push_back(family.model_type);
    if (!config.is_object() || !config.contains("model_type") || !config["model_type"].is_string())
        throw Error(ErrorKind::config, where + "/model_type", "missing", "a model folder's config.json names one of " + list_some(known));
    const auto type = config["model_type"].get<std::string>();
    for (const Family& family : families())
        if (family.model_type == type) return family;
    throw Error(ErrorKind::unsupported, where + "/model_type", "'" + type + "' is not a family that Permille knows",
                "known are " + list_some(known));
}

[[noreturn]] void ConfigReader::fail(const char* name, const std::string& what, const std::string& fix) const {
    throw Error(ErrorKind::config, where_ + "/" + name, what, fix);
}

std::int64_t ConfigReader::size(const char* name, std::int64_t most) const {
    if (!config_.contains(name)) fail(name, "missing");
    if (!config_[name].is_number_integer()) fail(name, config_[name].dump() + " is not a whole number");
    if (config_[name].is_number_unsigned() && config_[name].get<std::uint64_t>() > static_cast<std::uint64_t>(most))
        fail(name, config_[name].dump() + " is above the largest size that makes sense, " + std::to_string(most));
    const auto value = config_[name].get<std::int64_t>();
    if (value < 1) fail(name, std::to_string(value) + " is below 1");
    return value;
}

std::int64_t ConfigReader::integer(const char* name, std::int64_t fallback) const {
    if (!config_.contains(name) || config_[name].is_null()) return fallback;
    if (!config_[name].is_number_integer()) fail(name, config_[name].dump() + " is not a whole number");
    return config_[name].get<std::int64_t>();
}

double ConfigReader::rate(const char* name, double fallback) const {
    if (!config_.contains(name) || config_[name].is_null()) return fallback;
    if (!config_[name].is_number()) fail(name, config_[name].dump() + " is not a number");
    const auto value = config_[name].get<double>();
    if (!(value >= 0 && value < 1)) fail(name, config_[name].dump() + " is not within 0 and 1");
    return value;
}

bool ConfigReader::flag(const char* name, bool fallback) const {
    if (!config_.contains(name) || config_[name].is_null()) return fallback;
    if (!config_[name].is_boolean()) fail(name, config_[name].dump() + " is neither true nor false");
    return config_[name].get<bool>();
}

std::string ConfigReader::text(const char* name, const std::string& fallback) const {
    if (!config_.contains(name) || config_[name].is_null()) return fallback;
    if (!config_[name].is_string()) fail(name, config_[name].dump() + " is not text");
    return config_[name].get<std::string>();
}

void ConfigReader::token(const char* name, std::int64_t id, std::int64_t vocabulary) const {
    if (id < 0 || id >= vocabulary) fail(name, std::to_string(id) + " is not a token of the vocabulary");
}

}  // namespace permille
