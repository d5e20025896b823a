// A sentencepiece model (Kudo and Richardson 2018): text to pieces and back. Hides the library's header.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace permille {

// Keeps the library from writing its log to standard error.
void silence_sentencepiece();

// May be used from several threads.
class SentencePieces {
public:
    // Throws Error(file) when the file is missing or no sentencepiece model.
    explicit SentencePieces(const std::filesystem::path& file);
    // From a serialised model; `where` names it in errors.
    SentencePieces(std::string_view serialized, const std::string& where);
    ~SentencePieces();

    std::int64_t size() const { return size_; }
    std::int64_t unk_id() const { return unk_id_; }
    const std::string& piece(std::int64_t id) const;
    // -1 when there is no such piece.
    std::int64_t id(const std::string& piece) const;
    bool is_control(std::int64_t id) const;

    // Valid UTF-8 in; pieces outside the vocabulary are unk_id().
    std::vector<int> encode(std::string_view text) const;
    // The same as text: pieces outside the vocabulary are the text that they cover.
    std::vector<std::string> encode_pieces(std::string_view text) const;
    std::string decode(const std::vector<std::string>& pieces) const;

private:
    std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
    std::string where_;
    std::int64_t size_ = 0, unk_id_ = 0;
};

}  // namespace permille
