#include "core/text/tokenizer_json.h"

#include <openssl/evp.h>

#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/json.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr int kUnknown = 2, kControl = 3, kNormal = 1;  // SentencePiece.Type
constexpr int kBpe = 2;                                 // TrainerSpec.ModelType

// The little of the protocol buffer format that a sentencepiece model needs.
class Message {
public:
    void number(int field, std::uint64_t value) {
        varint(static_cast<std::uint64_t>(field) << 3);
        varint(value);
    }
    void real(int field, float value) {
        varint(static_cast<std::uint64_t>(field) << 3 | 5);
        char bytes[sizeof value];
        std::memcpy(bytes, &value, sizeof value);
        bytes_.append(bytes, sizeof value);
    }
    void text(int field, const std::string& value) {
        varint(static_cast<std::uint64_t>(field) << 3 | 2);
        varint(value.size());
        bytes_ += value;
    }
    const std::string& bytes() const { return bytes_; }

private:
    void varint(std::uint64_t value) {
        for (; value >= 128; value >>= 7) bytes_ += static_cast<char>((value & 127) | 128);
        bytes_ += static_cast<char>(value);
    }
    std::string bytes_;
};

std::string piece(const std::string& text, float score, int type) {
    Message message;
    message.text(1, text);
    message.real(2, score);
    message.number(3, static_cast<std::uint64_t>(type));
    return message.bytes();
}

std::string from_base64(const std::string& text, const std::string& where) {
    std::string bytes(text.size() / 4 * 3 + 3, '\0');
    const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
    if (size < 0) throw Error(ErrorKind::file, where, "the character map is not base64", "copy or download the file again");
    bytes.resize(static_cast<std::size_t>(size));
    for (std::size_t i = text.size(); i > 0 && text[i - 1] == '='; --i) bytes.pop_back();
    return bytes;
}

// The first "precompiled_charsmap" inside a normaliser; "" when there is none.
std::string character_map(const Json& normalizer, const std::string& where) {
    if (normalizer.is_array()) {
        for (const auto& part : normalizer)
            if (auto map = character_map(part, where); !map.empty()) return map;
    } else if (normalizer.is_object()) {
        if (normalizer.contains("precompiled_charsmap") && normalizer["precompiled_charsmap"].is_string())
            return from_base64(normalizer["precompiled_charsmap"].get<std::string>(), where);
        if (normalizer.contains("normalizers")) return character_map(normalizer["normalizers"], where);
    }
    return "";
}

std::vector<std::pair<std::int64_t, std::string>> added_tokens_of(const Json& json, const std::string& where) {
    std::vector<std::pair<std::int64_t, std::string>> tokens;
    if (!json.is_object() || !json.contains("added_tokens") || !json["added_tokens"].is_array()) return tokens;
    for (const auto& token : json["added_tokens"]) {
        if (!token.is_object() || !token.value("id", Json()).is_number_integer() || !token.value("content", Json()).is_string())
            throw Error(ErrorKind::file, where + ", /added_tokens", "expected ids and tokens", "copy or download the file again");
        tokens.emplace_back(token["id"].get<std::int64_t>(), token["content"].get<std::string>());
    }
    return tokens;
}

// By how early byte-pair encoding makes them: minus the rank of the first merge that ends in the piece.
std::unordered_map<std::string, float> scores_of(const Json& model) {
    std::unordered_map<std::string, float> scores;
    if (!model.contains("merges") || !model["merges"].is_array()) return scores;
    float rank = 0;
    for (const auto& merge : model["merges"]) {
        std::string whole;
        if (merge.is_array()) {
            for (const auto& half : merge)
                if (half.is_string()) whole += half.get<std::string>();
        } else if (merge.is_string()) {
            whole = merge.get<std::string>();
            if (const auto gap = whole.find(' '); gap != std::string::npos) whole.erase(gap, 1);
        }
        scores.emplace(std::move(whole), -(rank++));
    }
    return scores;
}

}  // namespace

std::vector<std::pair<std::int64_t, std::string>> read_added_tokens(const fs::path& file) {
    return added_tokens_of(read_json(file), file.string());
}

TokenizerJson read_tokenizer_json(const fs::path& file) {
    const Json json = read_json(file);
    const std::string where = file.string();
    const Json model = json.is_object() && json.contains("model") ? json["model"] : Json();
    if (!model.is_object() || model.value("type", Json("")) != "BPE" || !model.contains("vocab") || !model["vocab"].is_object())
        throw Error(ErrorKind::unsupported, where + ", /model", "expected a byte-pair vocabulary",
                    "use the model's sentencepiece.bpe.model");

    TokenizerJson result;
    result.added_tokens = added_tokens_of(json, where);
    std::unordered_set<std::int64_t> added;
    for (const auto& [id, token] : result.added_tokens) added.insert(id);

    std::vector<std::string> vocabulary;
    for (const auto& [token, value] : model["vocab"].items()) {
        const auto id = value.is_number_integer() ? value.get<std::int64_t>() : -1;
        if (id < 0 || id > 10'000'000)
            throw Error(ErrorKind::file, where + ", /model/vocab/" + token, "expected an id of 0 or more",
                        "copy or download the file again");
        if (id > 3 && added.contains(id)) continue;
        if (static_cast<std::size_t>(id) >= vocabulary.size()) vocabulary.resize(static_cast<std::size_t>(id) + 1);
        vocabulary[static_cast<std::size_t>(id)] = token;
    }
    if (vocabulary.size() < 5 || vocabulary[0] != "<s>" || vocabulary[1] != "<pad>" || vocabulary[2] != "</s>" || vocabulary[3] != "<unk>")
        throw Error(ErrorKind::unsupported, where + ", /model/vocab", "expected <s>, <pad>, </s>, <unk> first",
                    "use the model's sentencepiece.bpe.model");

    const auto scores = scores_of(model);
    constexpr float kLast = -1e8F;  // pieces that no merge makes
    Message proto;
    proto.text(1, piece("<unk>", 0, kUnknown));
    proto.text(1, piece("<s>", 0, kControl));
    proto.text(1, piece("</s>", 0, kControl));
    for (std::size_t i = 4; i < vocabulary.size(); ++i) {
        if (vocabulary[i].empty())
            throw Error(ErrorKind::file, where + ", /model/vocab", "no piece has the id " + std::to_string(i),
                        "copy or download the file again");
        const auto score = scores.find(vocabulary[i]);
        proto.text(1, piece(vocabulary[i], score != scores.end() ? score->second : kLast, kNormal));
    }
    Message trainer, normalizer;
    trainer.number(3, kBpe);
    normalizer.text(1, "from tokenizer.json");
    normalizer.text(2, character_map(json.value("normalizer", Json()), where));
    for (const int field : {3, 4, 5}) normalizer.number(field, 1);  // dummy prefix, single spaces, escaped spaces
    proto.text(2, trainer.bytes());
    proto.text(3, normalizer.bytes());
    result.sentencepiece_model = proto.bytes();
    return result;
}

}  // namespace permille
