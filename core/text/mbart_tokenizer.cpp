#include "core/text/mbart_tokenizer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/text/sentence_pieces.h"
#include "core/text/tokenizer_json.h"
#include "core/text/utf8.h"

namespace permille {

namespace {

constexpr const char* kPieces = "sentencepiece.bpe.model";
constexpr const char* kTokenizerJson = "tokenizer.json";
const std::string kSpace = "\u2581";  // how pieces write a space
// The tokens that sentencepiece does not have, or has elsewhere, are the first four ids; every later piece is moved by one.
constexpr std::int64_t kBos = 0, kPad = 1, kEos = 2, kUnk = 3;
constexpr std::int64_t kFirstPiece = 4, kOffset = 1;
constexpr std::size_t kLanguages25 = 25;

// mBART-25's layout puts the language after the text.
bool is_mbart25(const TokenizerFiles& files, std::int64_t pieces) {
    if (files.tokenizer_class == "MBart50Tokenizer") return false;
    if (files.tokenizer_class == "MBartTokenizer") return true;
    if (!files.config.contains("vocab_size") || !files.config["vocab_size"].is_number_integer()) return true;  // as transformers takes it
    const auto left = files.config["vocab_size"].get<std::int64_t>() - pieces - kOffset - 1;
    return left < static_cast<std::int64_t>(mbart50_languages().size());
}

class MbartTokenizer final : public Tokenizer {
public:
    MbartTokenizer(const TokenizerFiles& files, std::unique_ptr<SentencePieces> pieces,
                   const std::vector<std::pair<std::int64_t, std::string>>& saved)
        : pieces_(std::move(pieces)), suffix_(is_mbart25(files, pieces_->size())) {
        ids_ = {kPad, kBos, kEos, kUnk, files.decoder_start(kEos)};
        max_length_ = files.max_length();
        added_.add("<s>", kBos);
        added_.add("<pad>", kPad);
        added_.add("</s>", kEos);
        added_.add("<unk>", kUnk);
        std::int64_t next = pieces_->size() + kOffset;
        for (const auto& code : suffix_ ? mbart25_languages() : mbart50_languages()) {
            languages_.push_back({code, next});
            added_.add(code, next++);
        }
        mask_id_ = next++;
        added_.add("<mask>", mask_id_);
        size_ = next;
        for (const auto& [id, token] : saved) {
            added_.add(token, id);
            size_ = std::max(size_, id + 1);
        }
        for (const auto& token : files.extra_tokens())
            if (added_.id(token) < 0) added_.add(token, size_++);
    }

    DecoderStart decoder_start(const ModelLanguage& target) const override {
        if (suffix_) return {target.id, std::nullopt};
        return {ids_.decoder_start, target.id};
    }

    std::string decode(std::span<const std::int64_t> ids) const override {
        std::string text;
        for (const auto id : ids) {
            if (id < kFirstPiece || added_.contains(id) || id >= pieces_->size() + kOffset) continue;
            const std::string& piece = pieces_->piece(id - kOffset);
            for (std::size_t at = 0; at < piece.size();) {
                const bool space = piece.compare(at, kSpace.size(), kSpace) == 0;
                text += space ? ' ' : piece[at];
                at += space ? kSpace.size() : 1;
            }
        }
        return std::string(stripped(text));
    }

    std::string piece(std::int64_t id) const override {
        if (const auto* token = added_.token(id)) return *token;
        if (id >= kFirstPiece && id < pieces_->size() + kOffset) return pieces_->piece(id - kOffset);
        throw Error(ErrorKind::usage, "id " + std::to_string(id), "the vocabulary has no such id",
                    "ids go from 0 to " + std::to_string(size_ - 1));
    }

protected:
    std::vector<std::int64_t> text_ids(std::string_view text) const override {
        std::vector<std::int64_t> ids;
        for (const auto& part : added_.split(text, mask_id_)) {
            if (part.id >= 0) {
                ids.push_back(part.id);
                continue;
            }
            for (const int id : pieces_->encode(part.text)) ids.push_back(id == pieces_->unk_id() ? kUnk : id + kOffset);
        }
        return ids;
    }

    Frame source_frame(const ModelLanguage& language) const override { return frame(language); }
    Frame target_frame(const ModelLanguage& language) const override { return frame(language); }

private:
    Frame frame(const ModelLanguage& language) const {
        if (suffix_) return {{}, {kEos, language.id}};
        return {{language.id}, {kEos}};
    }

    std::unique_ptr<SentencePieces> pieces_;
    AddedTokens added_;
    std::int64_t mask_id_ = -1;
    bool suffix_ = false;
};

}  // namespace

const std::vector<std::string>& mbart50_languages() {
    static const std::vector<std::string> codes{
        "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX", "kk_KZ",
        "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN", "af_ZA",
        "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK", "ml_IN", "mn_MN", "mr_IN", "pl_PL",
        "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN", "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI"};
    return codes;
}

std::vector<std::string> mbart25_languages() {
    const auto& all = mbart50_languages();
    return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(kLanguages25)};
}

std::unique_ptr<Tokenizer> load_mbart_tokenizer(const TokenizerFiles& files) {
    if (files.has(kPieces))
        return std::make_unique<MbartTokenizer>(files, std::make_unique<SentencePieces>(files.file(kPieces)), files.added_tokens());
    if (files.has(kTokenizerJson)) {
        const auto whole = read_tokenizer_json(files.file(kTokenizerJson));
        auto pieces = std::make_unique<SentencePieces>(whole.sentencepiece_model, files.file(kTokenizerJson).string());
        return std::make_unique<MbartTokenizer>(files, std::move(pieces), whole.added_tokens);
    }
    throw Error(ErrorKind::file, files.folder.string(), "holds no tokenizer", std::string("expected ") + kPieces + " or " + kTokenizerJson);
}

}  // namespace permille
