#include "core/text/m2m100_extension.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/text/m2m100_tokenizer.h"
#include "core/text/piece_ids.h"
#include "core/text/sentence_pieces.h"
#include "core/text/tokenizer_files.h"
#include "core/text/wire_message.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr const char* kPieces = "sentencepiece.bpe.model";
constexpr const char* kVocabulary = "vocab.json";
// Of sentencepiece_model.proto.
constexpr std::uint32_t kPiece = 1, kTrainer = 2, kText = 1, kScore = 2, kModelType = 3, kBytePairs = 2;

constexpr std::pair<const char*, const char*> kSpecial[] = {
    {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"pad_token", "<pad>"}, {"unk_token", "<unk>"}};

bool merges_pairs(std::string_view model, const std::string& where) {
    bool pairs = false;  // of a model that does not say so: unigram
    WireMessage(model, where).each([&](const WireMessage::Field& field) {
        if (field.number != kTrainer || !field.has_length) return;
        WireMessage(field.content, where).each([&](const WireMessage::Field& inner) {
            if (inner.number == kModelType && !inner.has_length) pairs = inner.value == kBytePairs;
        });
    });
    return pairs;
}

// One more piece at the end of a serialised model; of two merges the one with the greater score comes first.
std::string serialised(const std::string& piece, float score) {
    std::string number(sizeof score, '\0');
    std::memcpy(number.data(), &score, sizeof score);
    return wire_field(kPiece, wire_field(kText, piece) + wire_varint(kScore << 3 | 5) + number);
}

void check_kind(const TokenizerFiles& files) {
    const auto refuse = [&](const std::string& what) {
        throw Error(ErrorKind::unsupported, files.folder.string(), what, "only vocabularies of M2M-100's kind can be extended");
    };
    if (files.tokenizer_class != "M2M100Tokenizer" && (!files.tokenizer_class.empty() || !files.has(kVocabulary)))
        refuse("has a tokenizer of the class '" + files.tokenizer_class + "'");
    if (files.settings.value("language_codes", Json("m2m100")) != "m2m100")
        refuse("has the languages " + files.settings["language_codes"].dump());
    for (const auto& [name, usual] : kSpecial)
        if (files.token(name, usual) != usual) refuse(std::string("has the ") + name + " '" + files.token(name, usual) + "'");
    if (!merges_pairs(read_text(files.file(kPieces)), files.file(kPieces).string()))
        refuse("has a sentencepiece model that is not of byte-pair encoding");
}

void check_code(const std::string& code) {
    const bool good = !code.empty() && code.size() <= 20 && std::isalpha(static_cast<unsigned char>(code.front())) &&
                      std::isalnum(static_cast<unsigned char>(code.back())) &&
                      std::all_of(code.begin(), code.end(), [](unsigned char letter) { return std::isalnum(letter) || letter == '_'; });
    if (!good) throw Error(ErrorKind::config, "language", "'" + code + "' is no code", "write it in letters, such as eu or kmr_Latn");
}

std::vector<std::string> offered_by(const Tokenizer& tokenizer) {
    std::vector<std::string> codes;
    for (const ModelLanguage& language : tokenizer.languages()) codes.push_back(language.code);
    return codes;
}

// Those that are not among the 100, by id.
std::vector<ModelLanguage> beyond_the_list(const Tokenizer& tokenizer) {
    const auto& list = m2m100_languages();
    std::vector<ModelLanguage> found;
    for (const ModelLanguage& language : tokenizer.languages())
        if (std::find(list.begin(), list.end(), language.code) == list.end()) found.push_back(language);
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return found;
}

}  // namespace

std::vector<std::string> cut_by_merges(const SentencePieces& model, const std::string& piece) {
    std::vector<std::string> parts;
    for (const char byte : piece) {
        if ((static_cast<unsigned char>(byte) & 0xc0) == 0x80 && !parts.empty()) parts.back() += byte;
        else parts.emplace_back(1, byte);
    }
    for (;;) {
        std::size_t place = 0;
        std::int64_t first = -1;  // of the merges that are possible
        for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
            const std::int64_t id = model.id(parts[i] + parts[i + 1]);
            if (id < 0 || id == model.unk_id() || model.is_control(id) || (first >= 0 && id >= first)) continue;
            first = id;
            place = i;
        }
        if (first < 0) return parts;
        parts[place] += parts[place + 1];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
}

ExtendedVocabulary extended_m2m100_vocabulary(const fs::path& from, std::int64_t old_rows, const std::vector<std::string>& pieces,
                                              const std::vector<AddedLanguage>& languages) {
    const TokenizerFiles files(from);
    check_kind(files);
    const auto tokenizer = load_m2m100_tokenizer(files);
    const PieceIds ids(files.file(kVocabulary));
    const SentencePieces model(files.file(kPieces));
    const auto count = static_cast<std::int64_t>(ids.all().size());
    if (ids.size() != count)
        throw Error(ErrorKind::file, files.file(kVocabulary).string(),
                    "has " + std::to_string(count) + " pieces with ids up to " + std::to_string(ids.size() - 1),
                    "only a vocabulary without gaps can be extended");
    if (old_rows < tokenizer->size())
        throw Error(ErrorKind::tensor, from.string(),
                    "has " + std::to_string(old_rows) + " rows for " + std::to_string(tokenizer->size()) + " tokens",
                    "weights and tokenizer do not belong together");

    ExtendedVocabulary extended;
    extended.old_pieces = count;
    auto& sources = extended.sources;
    for (std::int64_t id = 0; id < count; ++id) sources.push_back({id});
    std::set<std::string> seen;
    for (const std::string& piece : pieces) {
        if (piece.empty() || ids.id(piece) >= 0 || !seen.insert(piece).second) continue;
        std::vector<std::int64_t> parts;
        for (const std::string& part : cut_by_merges(model, piece))
            if (const std::int64_t id = model.id(part) < 0 ? -1 : ids.id(part); id >= 0) parts.push_back(id);
        extended.pieces.push_back(piece);
        sources.push_back(std::move(parts));
    }

    const auto& list = m2m100_languages();
    const auto first_language = static_cast<std::int64_t>(sources.size());
    for (std::size_t i = 0; i < list.size(); ++i) sources.push_back({count + static_cast<std::int64_t>(i)});
    for (const ModelLanguage& language : beyond_the_list(*tokenizer)) {
        if (language.id != static_cast<std::int64_t>(sources.size()) - static_cast<std::int64_t>(extended.pieces.size()))
            throw Error(ErrorKind::unsupported, from.string(), "has other tokens between its languages", "they cannot be kept");
        sources.push_back({language.id});
    }
    std::vector<std::int64_t> all;
    for (const ModelLanguage& language : tokenizer->languages()) all.push_back(language.id);
    std::set<std::string> codes;
    for (const auto& code : offered_by(*tokenizer)) codes.insert(code);
    for (const AddedLanguage& added : languages) {
        check_code(added.code);
        if (!codes.insert(added.code).second)
            throw Error(ErrorKind::config, "language", "'" + added.code + "' is a language of the base already", "name others");
        const std::vector<std::int64_t> start = added.like.empty() ? all : std::vector<std::int64_t>{tokenizer->language(added.like).id};
        const auto known = std::find(list.begin(), list.end(), added.code);
        if (known != list.end()) {
            extended.languages.push_back(first_language + (known - list.begin()));
            sources[static_cast<std::size_t>(extended.languages.back())] = start;
        } else {
            extended.languages.push_back(static_cast<std::int64_t>(sources.size()));
            sources.push_back(start);
        }
    }
    extended.size = static_cast<std::int64_t>(sources.size());
    extended.rows = (extended.size + 7) / 8 * 8;
    // Rows that mean nothing stay what such rows were.
    const std::vector<std::int64_t> filler =
        old_rows > tokenizer->size() ? std::vector<std::int64_t>{old_rows - 1} : std::vector<std::int64_t>{};
    sources.resize(static_cast<std::size_t>(extended.rows), filler);
    return extended;
}

void save_extended_m2m100(const fs::path& from, const ExtendedVocabulary& extended, const std::vector<AddedLanguage>& languages,
                          const fs::path& to) {
    const TokenizerFiles files(from);
    const auto tokenizer = load_m2m100_tokenizer(files);
    std::string model = read_text(files.file(kPieces));
    const SentencePieces old(model, files.file(kPieces).string());
    Json vocabulary = read_json(files.file(kVocabulary));
    std::int64_t id = extended.old_pieces, place = old.size();
    for (const std::string& piece : extended.pieces) {
        vocabulary[piece] = id++;
        if (old.id(piece) < 0) model += serialised(piece, -static_cast<float>(place++));
    }
    std::vector<std::string> codes, beyond;
    const auto& list = m2m100_languages();
    const auto offered = offered_by(*tokenizer);
    for (const auto& code : list) {
        const auto is_added = [&](const AddedLanguage& added) { return added.code == code; };
        if (std::find(offered.begin(), offered.end(), code) != offered.end() || std::any_of(languages.begin(), languages.end(), is_added))
            codes.push_back(code);
    }
    for (const ModelLanguage& language : beyond_the_list(*tokenizer)) codes.push_back(language.code);
    for (const AddedLanguage& added : languages)
        if (std::find(list.begin(), list.end(), added.code) == list.end()) codes.push_back(added.code);
    make_folder(to);
    write_text(to / kPieces, model);
    write_text(to / kVocabulary, vocabulary.dump() + "\n");
    write_json(to / "tokenizer_config.json", m2m100_tokenizer_config(codes, tokenizer->max_length()));
}

}  // namespace permille
