#include "core/text/m2m100_tokenizer.h"

#include <algorithm>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/text/model_languages.h"
#include "core/text/piece_ids.h"
#include "core/text/sentence_pieces.h"
#include "core/text/utf8.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr const char* kPieces = "sentencepiece.bpe.model";
constexpr const char* kVocabulary = "vocab.json";
// In tokenizer_config.json of our own bases: the languages that the model was trained on. transformers ignores it.
constexpr const char* kTrainedLanguages = "permille_languages";

// transformers knows two lists; tokenizer_config.json says which by "language_codes".
const std::vector<std::string>& codes_of(const TokenizerFiles& files) {
    static const std::vector<std::string> wmt21{"en", "ha", "is", "ja", "cs", "ru", "zh", "de"};
    const std::string list = files.settings.contains("language_codes") && files.settings["language_codes"].is_string()
                                 ? files.settings["language_codes"].get<std::string>()
                                 : "m2m100";
    if (list == "m2m100") return m2m100_languages();
    if (list == "wmt21") return wmt21;
    throw Error(ErrorKind::unsupported, files.file("tokenizer_config.json").string() + ", /language_codes", "unknown list '" + list + "'",
                "known are m2m100 and wmt21");
}

class M2m100Tokenizer final : public Tokenizer {
public:
    explicit M2m100Tokenizer(const TokenizerFiles& files) : pieces_(files.file(kPieces)), vocabulary_(files.file(kVocabulary)) {
        const auto count = static_cast<std::int64_t>(vocabulary_.all().size());
        size_ = std::max(vocabulary_.size(), count);

        std::int64_t next = count;
        std::vector<std::string> offered;
        if (files.settings.contains(kTrainedLanguages) && files.settings[kTrainedLanguages].is_array())
            for (const auto& code : files.settings[kTrainedLanguages])
                if (code.is_string()) offered.push_back(code.get<std::string>());
        for (const auto& code : codes_of(files)) {
            const ModelLanguage language{code, next++};
            language_of_token_.emplace(m2m100_language_token(code), language.id);
            token_of_language_.emplace(language.id, m2m100_language_token(code));
            if (offered.empty() || std::find(offered.begin(), offered.end(), code) != offered.end()) languages_.push_back(language);
        }
        size_ = std::max(size_, next);

        const auto named = [&](const std::string& name, const std::string& otherwise) {
            return vocabulary_.required(name, files.token(name, otherwise));
        };
        ids_.bos = named("bos_token", "<s>");
        ids_.pad = named("pad_token", "<pad>");
        ids_.eos = named("eos_token", "</s>");
        ids_.unk = named("unk_token", "<unk>");
        ids_.decoder_start = files.decoder_start(ids_.eos);
        max_length_ = files.max_length();
        note_added_tokens(files, count);
        // Languages beyond the list, which a base was given later, are among the extra tokens.
        for (const auto& code : offered) {
            const std::int64_t id = added_.id(m2m100_language_token(code));
            if (id < 0 || language_of_token_.contains(m2m100_language_token(code))) continue;
            language_of_token_.emplace(m2m100_language_token(code), id);
            token_of_language_.emplace(id, m2m100_language_token(code));
            languages_.push_back({code, id});
        }
        for (std::int64_t i = 0; i < pieces_.size(); ++i) id_of_piece_.push_back(id_of_token(pieces_.piece(i)));
    }

    std::string decode(std::span<const std::int64_t> ids) const override {
        std::vector<std::string> list;
        for (const auto id : ids) {
            if (id < 0 || added_.contains(id) || token_of_language_.contains(id)) continue;
            if (const auto* token = vocabulary_.token(id)) list.push_back(*token);
        }
        return std::string(stripped(pieces_.decode(list)));
    }

    std::string piece(std::int64_t id) const override {
        if (const auto language = token_of_language_.find(id); language != token_of_language_.end()) return language->second;
        if (const auto* token = vocabulary_.token(id)) return *token;
        if (const auto* token = added_.token(id)) return *token;
        throw Error(ErrorKind::usage, "id " + std::to_string(id), "the vocabulary has no such id",
                    "ids go from 0 to " + std::to_string(size_ - 1));
    }

protected:
    std::vector<std::int64_t> text_ids(std::string_view text) const override {
        std::vector<std::int64_t> ids;
        for (const auto& part : added_.split(text)) {
            if (part.id >= 0) {
                ids.push_back(part.id);
                continue;
            }
            const auto found = pieces_.encode(part.text);
            if (std::find(found.begin(), found.end(), static_cast<int>(pieces_.unk_id())) == found.end()) {
                for (const int id : found) ids.push_back(id_of_piece_[static_cast<std::size_t>(id)]);
            } else {
                // The text under an unknown piece may still be a word of vocab.json.
                for (const auto& token : pieces_.encode_pieces(part.text)) ids.push_back(id_of_token(token));
            }
        }
        return ids;
    }

    Frame source_frame(const ModelLanguage& language) const override { return {{language.id}, {ids_.eos}}; }
    Frame target_frame(const ModelLanguage& language) const override { return {{language.id}, {ids_.eos}}; }

private:
    // transformers numbers the extra tokens that vocab.json lacks from its end on. For the full list of languages that gives their own ids;
    // for any other list it does not, and a language code inside a text then has another id than the language. We follow it.
    void note_added_tokens(const TokenizerFiles& files, std::int64_t count) {
        const auto saved = files.added_tokens();
        for (const auto& [id, token] : saved) {
            added_.add(token, id);
            size_ = std::max(size_, id + 1);
        }
        for (const auto* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
            const std::string token = files.token(name, "");
            if (const std::int64_t id = vocabulary_.id(token); id >= 0) added_.add(token, id);
        }
        for (const auto id : {ids_.bos, ids_.eos, ids_.unk, ids_.pad}) added_.add(*vocabulary_.token(id), id);
        std::int64_t next = count;
        for (const auto& token : files.extra_tokens()) {
            if (added_.id(token) >= 0) continue;
            const std::int64_t id = vocabulary_.id(token);
            added_.add(token, id >= 0 ? id : next++);
        }
        size_ = std::max(size_, next);
    }

    std::int64_t id_of_token(const std::string& token) const {
        if (const auto id = added_.id(token); id >= 0) return id;
        if (const auto language = language_of_token_.find(token); language != language_of_token_.end()) return language->second;
        const std::int64_t id = vocabulary_.id(token);
        return id >= 0 ? id : ids_.unk;
    }

    SentencePieces pieces_;
    PieceIds vocabulary_;
    std::unordered_map<std::string, std::int64_t> language_of_token_;
    std::unordered_map<std::int64_t, std::string> token_of_language_;
    std::vector<std::int64_t> id_of_piece_;  // by the id that sentencepiece gives
    AddedTokens added_;
};

}  // namespace

const std::vector<std::string>& m2m100_languages() {
    static const std::vector<std::string> codes{
        "af", "am", "ar", "ast", "az", "ba", "be", "bg", "bn", "br", "bs", "ca", "ceb", "cs", "cy", "da", "de", "el", "en", "es",
        "et", "fa", "ff", "fi",  "fr", "fy", "ga", "gd", "gl", "gu", "ha", "he", "hi",  "hr", "ht", "hu", "hy", "id", "ig", "ilo",
        "is", "it", "ja", "jv",  "ka", "kk", "km", "kn", "ko", "lb", "lg", "ln", "lo",  "lt", "lv", "mg", "mk", "ml", "mn", "mr",
        "ms", "my", "ne", "nl",  "no", "ns", "oc", "or", "pa", "pl", "ps", "pt", "ro",  "ru", "sd", "si", "sk", "sl", "so", "sq",
        "sr", "ss", "su", "sv",  "sw", "ta", "th", "tl", "tn", "tr", "uk", "ur", "uz",  "vi", "wo", "xh", "yi", "yo", "zh", "zu"};
    return codes;
}

std::string m2m100_language_token(const std::string& code) { return "__" + code + "__"; }

Json m2m100_tokenizer_config(const std::vector<std::string>& languages, std::int64_t max_length) {
    const auto& list = m2m100_languages();
    Json extra = Json::array();
    for (const auto& code : list) extra.push_back(m2m100_language_token(code));
    for (const auto& code : languages)
        if (std::find(list.begin(), list.end(), code) == list.end()) extra.push_back(m2m100_language_token(code));
    return {{"tokenizer_class", "M2M100Tokenizer"},
            {"language_codes", "m2m100"},
            {"bos_token", "<s>"},
            {"eos_token", "</s>"},
            {"sep_token", "</s>"},
            {"pad_token", "<pad>"},
            {"unk_token", "<unk>"},
            {"model_max_length", max_length},
            {"additional_special_tokens", extra},
            {kTrainedLanguages, languages}};
}

std::unique_ptr<Tokenizer> load_m2m100_tokenizer(const TokenizerFiles& files) { return std::make_unique<M2m100Tokenizer>(files); }

SavedVocabulary save_m2m100_tokenizer(const fs::path& folder, const fs::path& sentencepiece_model,
                                      const std::vector<std::string>& languages, std::int64_t max_length) {
    std::vector<ModelLanguage> known;
    for (const auto& code : m2m100_languages()) known.push_back({code, 0});
    std::vector<std::string> trained;
    for (const auto& known_language : known)  // in the order of the list
        if (std::any_of(languages.begin(), languages.end(),
                        [&](const auto& code) { return find_language(known, code).code == known_language.code; }))
            trained.push_back(known_language.code);

    const SentencePieces pieces(sentencepiece_model);
    Json vocabulary = {{"<s>", 0}, {"<pad>", 1}, {"</s>", 2}, {"<unk>", 3}};
    std::int64_t next = 4;
    for (std::int64_t i = 0; i < pieces.size(); ++i)
        if (i != pieces.unk_id() && !pieces.is_control(i) && !vocabulary.contains(pieces.piece(i))) vocabulary[pieces.piece(i)] = next++;

    SavedVocabulary saved;
    saved.size = next + static_cast<std::int64_t>(m2m100_languages().size());
    saved.rows = (saved.size + 7) / 8 * 8;

    make_folder(folder);
    write_text(folder / kPieces, read_text(sentencepiece_model));
    write_text(folder / kVocabulary, vocabulary.dump() + "\n");
    write_json(folder / "tokenizer_config.json", m2m100_tokenizer_config(trained, max_length));
    return saved;
}

}  // namespace permille
