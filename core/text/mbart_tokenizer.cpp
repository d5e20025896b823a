#include "core/text/mbart_tokenizer.h"

#include <algorithm>

#include "core/text/fairseq_tokenizer.h"
#include "core/text/utf8.h"

namespace permille {

namespace {

const std::string kSpace = "\u2581";  // how pieces write a space
constexpr std::size_t kLanguages25 = 25;

// mBART-25's layout puts the language after the text.
bool is_mbart25(const TokenizerFiles& files, std::int64_t end_of_pieces) {
    if (files.tokenizer_class == "MBart50Tokenizer") return false;
    if (files.tokenizer_class == "MBartTokenizer") return true;
    if (!files.config.contains("vocab_size") || !files.config["vocab_size"].is_number_integer()) return true;  // as transformers takes it
    const auto left = std::clamp<std::int64_t>(files.config["vocab_size"].get<std::int64_t>(), 0, kMostTokens) - end_of_pieces - 1;
    return left < static_cast<std::int64_t>(mbart50_languages().size());
}

class MbartTokenizer final : public FairseqTokenizer {
public:
    MbartTokenizer(const TokenizerFiles& files, FairseqPieces loaded) : FairseqTokenizer(files, std::move(loaded.pieces)) {
        language_last_ = is_mbart25(files, end_of_pieces());
        std::int64_t next = end_of_pieces();
        for (const auto& code : language_last_ ? mbart25_languages() : mbart50_languages()) {
            languages_.push_back({code, next});
            added_.add(code, next++);
        }
        mask_id_ = next++;
        added_.add("<mask>", mask_id_);
        size_ = next;
        for (const auto& [id, token] : loaded.added) {
            added_.add(token, id);
            size_ = std::max(size_, id + 1);
        }
        for (const auto& token : files.extra_tokens())
            if (added_.id(token) < 0) added_.add(token, size_++);
    }

    DecoderStart decoder_start(const ModelLanguage& target) const override {
        if (language_last_) return {target.id, std::nullopt};
        return {ids_.decoder_start, target.id};
    }

    std::string decode(std::span<const std::int64_t> ids) const override {
        std::string text;
        for (const auto id : ids) {
            const std::string* piece = text_piece(id);
            if (!piece) continue;
            for (std::size_t at = 0; at < piece->size();) {
                const bool space = piece->compare(at, kSpace.size(), kSpace) == 0;
                text += space ? ' ' : (*piece)[at];
                at += space ? kSpace.size() : 1;
            }
        }
        return std::string(stripped(text));
    }
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
    return std::make_unique<MbartTokenizer>(files, FairseqPieces::load(files));
}

}  // namespace permille
