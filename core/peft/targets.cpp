#include "core/peft/targets.h"

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

#include "core/base/error.h"

namespace permille {

namespace {

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    std::string part;
    while (std::getline(stream, part, separator)) {
        const auto first = part.find_first_not_of(" \t"), last = part.find_last_not_of(" \t");
        parts.push_back(first == std::string::npos ? "" : part.substr(first, last - first + 1));
    }
    if (parts.empty()) parts.emplace_back();
    return parts;
}

// Whether the word's parts are the last ones of the name, or the last but one (a block).
bool matches(const std::string& word, const std::string& name) {
    const auto wanted = split(word, '.'), parts = split(name, '.');
    for (const std::size_t behind : {0U, 1U}) {
        if (wanted.empty() || wanted.size() + behind > parts.size()) continue;
        const auto from = parts.end() - static_cast<std::ptrdiff_t>(wanted.size() + behind);
        if (std::equal(wanted.begin(), wanted.end(), from, [](const auto& a, const auto& b) { return a == "*" || a == b; })) return true;
    }
    return false;
}

std::string expanded(const std::string& word) {
    if (word == "qv") return "q,v";
    if (word == "attention") return "self_attn,cross_attn";
    if (word == "all") return "self_attn,cross_attn,ffn";
    return word;
}

bool is_token_embedding(const Site& site) { return site.kind == SiteKind::embedding && matches("embedding.tokens", site.name); }

// All that a method could go to, whatever the stacks and layers.
std::vector<int> places(const Layout& layout, bool with_embeddings) {
    std::vector<int> list;
    for (std::size_t i = 0; i < layout.sites.size(); ++i) {
        const Site& site = layout.sites[i];
        if (site.kind == SiteKind::linear || (with_embeddings && is_token_embedding(site))) list.push_back(static_cast<int>(i));
    }
    return list;
}

const Site& site_at(const Layout& layout, int index) { return layout.sites[static_cast<std::size_t>(index)]; }

bool named(const std::string& word, const Site& site) {
    if (site.kind != SiteKind::linear) return word == "embeddings" || matches(word, site.name);
    const auto words = split(expanded(word), ',');
    return std::any_of(words.begin(), words.end(), [&](const std::string& one) { return matches(one, site.name); });
}

}  // namespace

std::vector<int> Targets::sites(const Layout& layout, const std::string& method, bool with_embeddings) const {
    const std::string where = method + "/targets";
    std::set<int> found;
    for (const std::string& word : split(targets, ',')) {
        bool any = false;
        for (const int index : places(layout, with_embeddings)) {
            const Site& site = site_at(layout, index);
            if (!named(word, site)) continue;
            any = true;
            if (holds(site.name, layout)) found.insert(index);
        }
        if (!any)
            throw Error(ErrorKind::config, where, "'" + word + "' matches no projection of this model",
                        std::string("write qv, attention, ffn, all") + (with_embeddings ? ", embeddings" : "") +
                            ", or names such as q, self_attn.k, cross_attn, encoder.*.ffn.fc1");
    }
    if (found.empty())
        throw Error(ErrorKind::config, where, "no projection of this model matches", "choose other targets, stacks or layers");
    return {found.begin(), found.end()};
}

bool reads_source(const Site& site) {
    return site.name.starts_with("encoder.") || site.name.ends_with(".cross_attn.k") || site.name.ends_with(".cross_attn.v");
}

std::string peft_module(const Layout& layout, const Site& site) {
    if (site.kind == SiteKind::linear) return "model." + module_of(layout, site);
    return "model." + site.name.substr(0, site.name.find('.')) + ".embed_tokens";
}

std::string peft_stem(const Layout& layout, const Site& site) { return "base_model.model." + peft_module(layout, site) + "."; }

Json peft_modules(const Layout& layout, const std::vector<int>& sites) {
    Json list = Json::array();
    for (const int index : sites) list.push_back(peft_module(layout, site_at(layout, index)));
    return list;
}

bool is_peft_type(const Json& config, const std::string& type) {
    return config.is_object() && config.contains("peft_type") && config["peft_type"] == type;
}

void refuse_other_fields(const Json& config, const std::vector<std::string>& served) {
    static const std::set<std::string> harmless = {"peft_type",     "peft_version",      "task_type",      "base_model_name_or_path",
                                                   "revision",      "auto_mapping",      "inference_mode", "fan_in_fan_out",
                                                   "megatron_core", "qalora_group_size", "runtime_config", "target_modules"};
    for (const auto& [name, value] : config.items()) {
        if (harmless.count(name) || std::find(served.begin(), served.end(), name) != served.end()) continue;
        const bool empty = value.is_null() || value == false || value == "" || ((value.is_array() || value.is_object()) && value.empty());
        const bool none = name == "bias" && value == "none";
        if (!empty && !none)
            throw Error(ErrorKind::unsupported, "adapter_config.json/" + name, "is " + value.dump().substr(0, 80) + ", which is not served",
                        "only adapters without it can be read");
    }
}

std::vector<std::size_t> peft_matches(const Json& modules, const std::vector<std::string>& paths) {
    const std::string where = "adapter_config.json/target_modules";
    std::set<std::size_t> found;
    const auto take = [&](const std::string& entry, const auto& matches_path) {
        bool any = false;
        for (std::size_t i = 0; i < paths.size(); ++i) {
            if (!matches_path(paths[i])) continue;
            any = true;
            found.insert(i);
        }
        if (!any)
            throw Error(ErrorKind::unsupported, where, "'" + entry.substr(0, 80) + "' is no place where this method can be read from PEFT");
    };
    if (modules == "all-linear") {
        take("all-linear", [](const std::string& path) { return path.find("embed") == std::string::npos; });
    } else if (modules.is_array() && !modules.empty()) {
        for (const Json& entry : modules) {
            const std::string end = entry.is_string() ? entry.get<std::string>() : entry.dump();
            take(end, [&](const std::string& path) { return path == end || path.ends_with("." + end); });
        }
    } else if (modules.is_string()) {
        const std::string text = modules.get<std::string>();
        try {
            const std::regex pattern(text);
            take(text, [&](const std::string& path) { return std::regex_match(path, pattern); });
        } catch (const std::regex_error&) {
            throw Error(ErrorKind::unsupported, where, "'" + text.substr(0, 80) + "' is a regular expression that cannot be read",
                        "write the modules as a list of names");
        }
    } else {
        throw Error(ErrorKind::unsupported, where, "names no modules", "write them as a list of names");
    }
    return {found.begin(), found.end()};
}

std::string targets_of_peft(const Layout& layout, const Json& config, bool with_embeddings) {
    const std::vector<int> all = places(layout, with_embeddings);
    std::vector<std::string> paths;
    for (const int index : all) paths.push_back(peft_module(layout, site_at(layout, index)));
    std::set<int> found;
    for (const std::size_t i : peft_matches(config.value("target_modules", Json()), paths)) found.insert(all[i]);

    const auto covered = [&](const std::string& word) {  // the word's sites, if they are all among those found
        std::set<int> sites;
        for (const int index : all)
            if (named(word, site_at(layout, index))) sites.insert(index);
        return std::includes(found.begin(), found.end(), sites.begin(), sites.end()) ? sites : std::set<int>();
    };
    for (const char* preset : {"qv", "attention", "ffn", "all"})
        if (covered(preset) == found) return preset;
    std::string words;
    std::set<int> said;
    for (const int index : found) {
        if (said.count(index)) continue;
        const Site& site = site_at(layout, index);
        const auto parts = split(site.name, '.');
        std::vector<std::string> candidates = {site.name};
        if (parts.size() == 4) candidates = {parts[3], parts[2] + "." + parts[3], parts[0] + ".*." + parts[2] + "." + parts[3], site.name};
        else candidates.insert(candidates.begin(), "embeddings");
        for (const std::string& word : candidates) {
            const std::set<int> sites = covered(word);
            if (sites.empty()) continue;
            said.insert(sites.begin(), sites.end());
            words += (words.empty() ? "" : ",") + word;
            break;
        }
    }
    return words;
}

}  // namespace permille
