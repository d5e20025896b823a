// What the JSON files beside a model say about its tokenizer: class, special tokens, limits. Read once, used by the families.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/json.h"

namespace permille {

// Ids lie below it; 250,000 is much for a vocabulary.
inline constexpr std::int64_t kMostTokens = std::int64_t{1} << 24;

// The settings of a folder in Hugging Face layout: tokenizer_config.json, over it special_tokens_map.json where transformers lets it, and
// config.json. Missing files leave everything at its default; damaged ones throw Error(file).
struct TokenizerFiles {
    explicit TokenizerFiles(const std::filesystem::path& folder);

    std::filesystem::path folder;
    Json config = Json::object();    // config.json
    Json settings = Json::object();  // tokenizer_config.json and special_tokens_map.json
    std::string tokenizer_class;     // "M2M100Tokenizer", without a final "Fast"; "" when not said
    std::string model_type;          // "m2m_100"; "" when not said

    std::filesystem::path file(const std::string& name) const { return folder / name; }
    bool has(const std::string& name) const;
    // "</s>" for "eos_token", given as text or as an object; `otherwise` when it is not there.
    std::string token(const std::string& name, const std::string& otherwise) const;
    // The extra (additional) special tokens in their order.
    std::vector<std::string> extra_tokens() const;
    // Tokens with ids of their own, as saved by transformers.
    std::vector<std::pair<std::int64_t, std::string>> added_tokens() const;
    // model_max_length, else max_position_embeddings of the model, else 1024.
    std::int64_t max_length() const;
    // decoder_start_token_id of config.json.
    std::int64_t decoder_start(std::int64_t otherwise) const;
};

// Special tokens inside a text: they stand for themselves and are never cut into pieces.
class AddedTokens {
public:
    void add(std::string token, std::int64_t id);
    // -1 when there is none.
    std::int64_t id(std::string_view token) const;
    const std::string* token(std::int64_t id) const;
    bool contains(std::int64_t id) const { return token(id) != nullptr; }

    struct Part {
        std::string_view text;
        std::int64_t id = -1;  // of the special token, or -1 for ordinary text
    };
    // Leftmost, then longest. Empty parts are left out. White space before the token `takes_space` goes with it.
    std::vector<Part> split(std::string_view text, std::int64_t takes_space = -1) const;

private:
    // The longest token that `text` begins with; null: none. A search in the sorted tokens, however many there are.
    const std::pair<const std::string, std::int64_t>* longest_at(std::string_view text) const;

    std::map<std::string, std::int64_t, std::less<>> ids_;
    std::unordered_map<std::int64_t, std::string> texts_;  // of two tokens with one id the longer, then the earlier
    std::size_t longest_ = 0;
    bool first_bytes_[256] = {};
};

}  // namespace permille
