// vocab.json: a token's id and back, for the tokenizers whose ids are not those of sentencepiece (M2M-100, Marian).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>

namespace permille {

class PieceIds {
public:
    // Throws Error(file) naming the file and the entry: no JSON object, or an id out of bounds.
    explicit PieceIds(const std::filesystem::path& file);

    // -1 when there is no such token.
    std::int64_t id(const std::string& token) const;
    // Null when there is no such id.
    const std::string* token(std::int64_t id) const;
    // Throws Error(file) when there is no such token; name says what it is ("eos_token").
    std::int64_t required(const std::string& name, const std::string& token) const;

    const std::unordered_map<std::string, std::int64_t>& all() const { return id_of_; }
    // One more than the highest id.
    std::int64_t size() const { return size_; }

private:
    std::string where_;
    std::unordered_map<std::string, std::int64_t> id_of_;
    std::unordered_map<std::int64_t, std::string> token_of_;
    std::int64_t size_ = 0;
};

}  // namespace permille
