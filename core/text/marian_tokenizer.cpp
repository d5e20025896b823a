#include "core/text/marian_tokenizer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/text/model_languages.h"
#include "core/text/piece_ids.h"
#include "core/text/sentence_pieces.h"
#include "core/text/utf8.h"

namespace permille {

namespace {

const std::string kSpace = "\u2581";  // how pieces write a space

// >>code<< at the begin of a text, or "".
std::string_view language_token(std::string_view text) {
    if (!text.starts_with(">>")) return {};
    const auto end = text.find("<<");
    return end == std::string_view::npos ? std::string_view() : text.substr(0, end + 2);
}

class MarianTokenizer final : public Tokenizer {
public:
    explicit MarianTokenizer(const TokenizerFiles& files)
        : source_pieces_(files.file("source.spm")), target_pieces_(files.file("target.spm")), source_(files.file("vocab.json")) {
        const bool told = files.settings.contains("separate_vocabs") && files.settings["separate_vocabs"].is_boolean();
        if (told ? files.settings["separate_vocabs"].get<bool>() : files.has("target_vocab.json"))
            own_target_ = std::make_unique<PieceIds>(files.file("target_vocab.json"));
        target().required("unk_token", "<unk>");  // what id_in falls back to, on either side
        source_.required("unk_token", "<unk>");
        ids_.eos = source_.required("eos_token", files.token("eos_token", "</s>"));
        ids_.unk = source_.required("unk_token", files.token("unk_token", "<unk>"));
        ids_.pad = source_.required("pad_token", files.token("pad_token", "<pad>"));
        ids_.decoder_start = files.decoder_start(id_in(target(), "<pad>"));
        max_length_ = files.max_length();
        size_ = std::max(source_.size(), target().size());
        note_added_tokens(files);
        note_languages(files);
    }

    const ModelLanguage& source_language(std::string_view) const override { return source_language_; }
    const ModelLanguage& target_language(std::string_view code) const override {
        if (languages_.empty()) return target_languages_.front();  // nobody said which it is
        return find_language(target_languages_, code);
    }
    DecoderStart decoder_start(const ModelLanguage&) const override { return {ids_.decoder_start, std::nullopt}; }

    std::string decode(std::span<const std::int64_t> ids) const override {
        std::vector<std::string> list;
        for (const auto id : ids) {
            if (added_.contains(id)) continue;
            const std::string* token = target().token(id);
            if (token && language_token(*token) != *token) list.push_back(*token);
        }
        std::string text = target_pieces_.decode(list);
        for (std::size_t at = text.find(kSpace); at != std::string::npos; at = text.find(kSpace, at)) text.replace(at, kSpace.size(), " ");
        return std::string(stripped(text));
    }

    std::string piece(std::int64_t id) const override {
        if (const auto* token = source_.token(id)) return *token;
        if (const auto* token = target().token(id)) return *token;
        if (const auto* token = added_.token(id)) return *token;
        throw Error(ErrorKind::usage, "id " + std::to_string(id), "the vocabulary has no such id",
                    "ids go from 0 to " + std::to_string(size_ - 1));
    }

protected:
    std::vector<std::int64_t> text_ids(std::string_view text) const override { return ids_of(text, source_pieces_, source_); }
    std::vector<std::int64_t> target_text_ids(std::string_view text) const override { return ids_of(text, target_pieces_, target()); }

    Frame source_frame(const ModelLanguage&) const override { return {{}, {ids_.eos}}; }
    Frame translation_frame(std::string_view text, const ModelLanguage&, const ModelLanguage& target) const override {
        const bool said = source_.id(std::string(language_token(text))) >= 0;  // by the text itself
        if (target.id < 0 || said) return {{}, {ids_.eos}};
        return {{target.id}, {ids_.eos}};
    }
    Frame target_frame(const ModelLanguage&) const override { return {{}, {ids_.eos}}; }

private:
    const PieceIds& target() const { return own_target_ ? *own_target_ : source_; }
    static std::int64_t id_in(const PieceIds& vocabulary, const std::string& token) {
        const std::int64_t id = vocabulary.id(token);
        return id >= 0 ? id : vocabulary.required("unk_token", "<unk>");
    }

    std::vector<std::int64_t> ids_of(std::string_view text, const SentencePieces& pieces, const PieceIds& vocabulary) const {
        std::vector<std::int64_t> ids;
        for (const auto& part : added_.split(text)) {
            if (part.id >= 0) {
                ids.push_back(part.id);
                continue;
            }
            const auto code = language_token(part.text);  // one word whatever it says, and never cut
            if (!code.empty()) ids.push_back(id_in(vocabulary, std::string(code)));
            for (const auto& piece : pieces.encode_pieces(part.text.substr(code.size()))) ids.push_back(id_in(vocabulary, piece));
        }
        return ids;
    }

    // What transformers takes out of a text before it is cut; tokens that the vocabulary lacks are numbered from its end on.
    void note_added_tokens(const TokenizerFiles& files) {
        for (const auto& [id, token] : files.added_tokens()) {
            added_.add(token, id);
            size_ = std::max(size_, id + 1);
        }
        for (const auto id : {ids_.eos, ids_.unk, ids_.pad}) added_.add(*source_.token(id), id);
        std::int64_t next = source_.size();
        for (const auto& token : files.extra_tokens()) {
            if (added_.id(token) >= 0) continue;
            const std::int64_t id = source_.id(token);
            added_.add(token, id >= 0 ? id : next++);
        }
        size_ = std::max(size_, next);
    }

    void note_languages(const TokenizerFiles& files) {
        const auto named = [&](const char* name) {
            return files.settings.contains(name) && files.settings[name].is_string() ? files.settings[name].get<std::string>()
                                                                                     : std::string();
        };
        source_language_ = {named("source_lang"), -1};
        for (const auto& [token, id] : source_.all())
            if (token.size() > 4 && language_token(token) == token) target_languages_.push_back({token.substr(2, token.size() - 4), id});
        std::sort(target_languages_.begin(), target_languages_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
        languages_ = target_languages_;
        if (!languages_.empty()) return;
        target_languages_.push_back({named("target_lang"), -1});
        for (const auto& language : {source_language_, target_languages_.front()})
            if (!language.code.empty()) languages_.push_back(language);
        if (target_languages_.front().code.empty()) languages_.clear();
    }

    SentencePieces source_pieces_, target_pieces_;
    PieceIds source_;
    std::unique_ptr<PieceIds> own_target_;  // null: the two sides share one
    AddedTokens added_;
    ModelLanguage source_language_;
    std::vector<ModelLanguage> target_languages_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_marian_tokenizer(const TokenizerFiles& files) { return std::make_unique<MarianTokenizer>(files); }

}  // namespace permille
