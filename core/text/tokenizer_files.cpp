#include "core/text/tokenizer_files.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/text/utf8.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

Json read_object(const fs::path& file) {
    Json value = read_json(file);
    if (!value.is_object()) throw Error(ErrorKind::file, file.string(), "expected a JSON object", "copy or download the file again");
    return value;
}

// A token is written as text or as {"content": text, ...}.
std::optional<std::string> token_text(const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_object() && value.contains("content") && value["content"].is_string()) return value["content"].get<std::string>();
    return std::nullopt;
}

}  // namespace

TokenizerFiles::TokenizerFiles(const fs::path& folder_) : folder(folder_) {
    if (!fs::is_directory(folder))
        throw Error(ErrorKind::file, folder.string(), "there is no such model folder", "check the path or the name");
    if (has("config.json")) config = read_object(file("config.json"));
    if (has("tokenizer_config.json")) settings = read_object(file("tokenizer_config.json"));
    // transformers lets the map count only where the tokens' ids are not saved in tokenizer_config.json.
    if (has("special_tokens_map.json") && !settings.contains("added_tokens_decoder")) {
        const Json map = read_object(file("special_tokens_map.json"));
        for (const auto& [key, value] : map.items()) settings[key] = value;
    }
    tokenizer_class = settings.value("tokenizer_class", Json()).is_string() ? settings["tokenizer_class"].get<std::string>() : "";
    if (tokenizer_class.size() > 4 && tokenizer_class.ends_with("Fast")) tokenizer_class.resize(tokenizer_class.size() - 4);
    model_type = config.value("model_type", Json()).is_string() ? config["model_type"].get<std::string>() : "";
}

bool TokenizerFiles::has(const std::string& name) const {
    std::error_code ignored;
    return fs::is_regular_file(folder / name, ignored);
}

std::string TokenizerFiles::token(const std::string& name, const std::string& otherwise) const {
    return settings.contains(name) ? token_text(settings[name]).value_or(otherwise) : otherwise;
}

std::vector<std::string> TokenizerFiles::extra_tokens() const {
    for (const auto* name : {"extra_special_tokens", "additional_special_tokens"}) {
        if (!settings.contains(name) || !settings[name].is_array() || settings[name].empty()) continue;
        std::vector<std::string> tokens;
        for (const auto& value : settings[name])
            if (const auto text = token_text(value); text && std::find(tokens.begin(), tokens.end(), *text) == tokens.end())
                tokens.push_back(*text);
        return tokens;
    }
    return {};
}

std::vector<std::pair<std::int64_t, std::string>> TokenizerFiles::added_tokens() const {
    std::vector<std::pair<std::int64_t, std::string>> tokens;
    if (!settings.contains("added_tokens_decoder") || !settings["added_tokens_decoder"].is_object()) return tokens;
    for (const auto& [key, value] : settings["added_tokens_decoder"].items()) {
        const auto text = token_text(value);
        const bool is_number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
        if (!text || !is_number || std::stoll(key) >= kMostTokens)
            throw Error(ErrorKind::file, file("tokenizer_config.json").string() + ", /added_tokens_decoder/" + key,
                        "expected an id and a token", "copy or download the file again");
        tokens.emplace_back(std::stoll(key), *text);
    }
    std::sort(tokens.begin(), tokens.end());
    return tokens;
}

std::int64_t TokenizerFiles::max_length() const {
    // transformers writes 1e30 where nobody said a length.
    constexpr double kNoMeaning = 1e6;
    const auto positive = [](const Json& object, const char* name) {
        if (!object.contains(name) || !object[name].is_number()) return 0.0;
        const double value = object[name].get<double>();
        return value >= 1 && value < kNoMeaning ? value : 0.0;
    };
    for (const double value : {positive(settings, "model_max_length"), positive(config, "max_position_embeddings")})
        if (value > 0) return static_cast<std::int64_t>(value);
    return 1024;
}

std::int64_t TokenizerFiles::decoder_start(std::int64_t otherwise) const {
    const char* name = "decoder_start_token_id";
    return config.contains(name) && config[name].is_number_integer() ? config[name].get<std::int64_t>() : otherwise;
}

void AddedTokens::add(std::string token, std::int64_t id) {
    if (token.empty() || ids_.contains(token)) return;
    first_bytes_[static_cast<unsigned char>(token[0])] = true;
    longest_ = std::max(longest_, token.size());
    const auto known = texts_.find(id);
    if (known == texts_.end()) texts_.emplace(id, token);
    else if (known->second.size() < token.size()) known->second = token;
    ids_.emplace(std::move(token), id);
}

std::int64_t AddedTokens::id(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? -1 : found->second;
}

const std::string* AddedTokens::token(std::int64_t id) const {
    const auto found = texts_.find(id);
    return found == texts_.end() ? nullptr : &found->second;
}

const std::pair<const std::string, std::int64_t>* AddedTokens::longest_at(std::string_view text) const {
    if (text.empty() || !first_bytes_[static_cast<unsigned char>(text[0])]) return nullptr;
    // The last token that does not come after the text has every token in it that the text begins with, as far as it is the same as the
    // text.
    for (std::string_view left = text.substr(0, longest_); !left.empty();) {
        auto found = ids_.upper_bound(left);
        if (found == ids_.begin()) return nullptr;
        --found;
        const std::string_view token = found->first;
        const auto same = std::mismatch(token.begin(), token.end(), left.begin(), left.end()).first - token.begin();
        if (static_cast<std::size_t>(same) == token.size()) return &*found;
        left = left.substr(0, static_cast<std::size_t>(same));
    }
    return nullptr;
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text, std::int64_t takes_space) const {
    std::vector<Part> parts;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto* found = longest_at(text.substr(at));
        if (!found) {
            ++at;
            continue;
        }
        std::string_view before = text.substr(begin, at - begin);
        if (found->second == takes_space) {
            const auto kept = stripped(before);
            before = before.substr(0, kept.empty() ? 0 : static_cast<std::size_t>(kept.data() + kept.size() - before.data()));
        }
        if (!before.empty()) parts.push_back({before, -1});
        parts.push_back({text.substr(at, found->first.size()), found->second});
        at += found->first.size();
        begin = at;
    }
    if (begin < text.size()) parts.push_back({text.substr(begin), -1});
    return parts;
}

}  // namespace permille
