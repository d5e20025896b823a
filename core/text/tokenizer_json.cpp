#include "core/text/tokenizer_json.h"

#include <openssl/evp.h>

#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/text/tokenizer_files.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr int kUnknown = 2, kControl = 3, kNormal = 1;  // SentencePiece.Type
constexpr int kUnigram = 1, kBpe = 2;                   // TrainerSpec.ModelType

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
        const auto id = token["id"].get<std::int64_t>();
        if (id < 0 || id >= kMostTokens)
            throw Error(ErrorKind::file, where + ", /added_tokens", "expected an id from 0 to " + std::to_string(kMostTokens - 1),
                        "copy or download the file again");
        tokens.emplace_back(id, token["content"].get<std::string>());
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

struct Piece {
    std::string text;
    float score = 0;
};

[[noreturn]] void bad_vocabulary(const std::string& where, const std::string& entry, const std::string& expected) {
    throw Error(ErrorKind::file, where + ", /model/vocab/" + entry, "expected " + expected, "copy or download the file again");
}

// By id; ids of added tokens after the first four are left out.
std::vector<Piece> byte_pair_pieces(const Json& model, const std::unordered_set<std::int64_t>& added, const std::string& where) {
    constexpr float kLast = -1e8F;  // pieces that no merge makes
    const auto scores = scores_of(model);
    const auto end = static_cast<std::int64_t>(model["vocab"].size() + added.size());  // there are no gaps
    std::vector<Piece> pieces;
    for (const auto& [token, value] : model["vocab"].items()) {
        const auto id = value.is_number_integer() ? value.get<std::int64_t>() : -1;
        if (id < 0 || id >= end) bad_vocabulary(where, token, "an id from 0 to " + std::to_string(end - 1));
        if (id > 3 && added.contains(id)) continue;
        if (static_cast<std::size_t>(id) >= pieces.size()) pieces.resize(static_cast<std::size_t>(id) + 1);
        const auto score = scores.find(token);
        pieces[static_cast<std::size_t>(id)] = {token, score != scores.end() ? score->second : kLast};
    }
    return pieces;
}

std::vector<Piece> unigram_pieces(const Json& vocabulary, const std::unordered_set<std::int64_t>& added, const std::string& where) {
    std::vector<Piece> pieces;
    for (const auto& entry : vocabulary) {
        const auto id = static_cast<std::int64_t>(&entry - &vocabulary[0]);
        if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
            bad_vocabulary(where, std::to_string(id), "a piece and its score");
        if (id > 3 && added.contains(id)) continue;
        pieces.resize(static_cast<std::size_t>(id) + 1);
        pieces.back() = {entry[0].get<std::string>(), entry[1].get<float>()};
    }
    return pieces;
}

}  // namespace

std::vector<std::pair<std::int64_t, std::string>> read_added_tokens(const fs::path& file) {
    return added_tokens_of(read_json(file), file.string());
}

TokenizerJson read_tokenizer_json(const fs::path& file) {
    const Json json = read_json(file);
    const std::string where = file.string();
    const Json model = json.is_object() && json.contains("model") ? json["model"] : Json();
    const Json type = model.is_object() ? model.value("type", Json("")) : Json("");
    const bool unigram = type == "Unigram";
    if ((!unigram && type != "BPE") || !model.contains("vocab") || !(unigram ? model["vocab"].is_array() : model["vocab"].is_object()))
        throw Error(ErrorKind::unsupported, where + ", /model", "expected a byte-pair or unigram vocabulary",
                    "use the model's sentencepiece.bpe.model");

    TokenizerJson result;
    result.added_tokens = added_tokens_of(json, where);
    std::unordered_set<std::int64_t> added;
    for (const auto& [id, token] : result.added_tokens) added.insert(id);

    const auto pieces = unigram ? unigram_pieces(model["vocab"], added, where) : byte_pair_pieces(model, added, where);
    if (pieces.size() < 5 || pieces[0].text != "<s>" || pieces[1].text != "<pad>" || pieces[2].text != "</s>" || pieces[3].text != "<unk>")
        throw Error(ErrorKind::unsupported, where + ", /model/vocab", "expected <s>, <pad>, </s>, <unk> first",
                    "use the model's sentencepiece.bpe.model");
    const std::string map = character_map(json.value("normalizer", Json()), where);
    if (unigram && map.empty())  // mBART-25 as transformers 5 saves it: its text would go in as no text did in training
        throw Error(ErrorKind::unsupported, where + ", /normalizer", "the model's character map is not there",
                    "add sentencepiece.bpe.model of the model that this one was made from");

    Message proto;
    proto.text(1, piece("<unk>", 0, kUnknown));
    proto.text(1, piece("<s>", 0, kControl));
    proto.text(1, piece("</s>", 0, kControl));
    for (std::size_t i = 4; i < pieces.size(); ++i) {
        if (pieces[i].text.empty())
            throw Error(ErrorKind::file, where + ", /model/vocab", "no piece has the id " + std::to_string(i),
                        "copy or download the file again");
        proto.text(1, piece(pieces[i].text, pieces[i].score, kNormal));
    }
    Message trainer, normalizer;
    trainer.number(3, unigram ? kUnigram : kBpe);
    normalizer.text(1, "from tokenizer.json");
    normalizer.text(2, map);
    for (const int field : {3, 4, 5}) normalizer.number(field, 1);  // dummy prefix, single spaces, escaped spaces
    proto.text(2, trainer.bytes());
    proto.text(3, normalizer.bytes());
    result.sentencepiece_model = proto.bytes();
    return result;
}

}  // namespace permille
