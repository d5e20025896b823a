#include "core/text/nllb_tokenizer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/text/fairseq_tokenizer.h"
#include "core/text/utf8.h"

namespace permille {

namespace {

const std::string kSpace = "\u2581";  // how pieces write a space

class NllbTokenizer final : public FairseqTokenizer {
public:
    NllbTokenizer(const TokenizerFiles& files, FairseqPieces loaded)
        : FairseqTokenizer(files, std::move(loaded.pieces)), space_id_(id_of_piece(kSpace)) {
        language_last_ = files.settings.contains("legacy_behaviour") && files.settings["legacy_behaviour"] == true;
        if (!loaded.added.empty()) {
            for (const auto& [id, token] : loaded.added) add(token, id);
        } else {
            std::int64_t next = end_of_pieces();
            const auto listed = files.extra_tokens();
            std::vector<std::string> codes;
            std::copy_if(listed.begin(), listed.end(), std::back_inserter(codes), [](const auto& token) { return token[0] != '<'; });
            for (const auto& code : codes.empty() ? nllb_languages() : codes) add(code, next++);
            add("<mask>", next);
        }
        mask_id_ = added_.id("<mask>");
        if (languages_.empty())
            throw Error(ErrorKind::file, files.folder.string(), "the tokenizer's files name no languages",
                        "copy or download the folder again");
    }

    // As the library's byte-pair tokenizer does it: pieces joined, the first piece without its space, later spaces kept.
    std::string decode(std::span<const std::int64_t> ids) const override {
        std::string text;
        bool first = true;
        for (const auto id : ids) {
            const std::string* piece = text_piece(id);
            if (!piece) continue;
            for (std::size_t at = 0; at < piece->size();) {
                if (piece->compare(at, kSpace.size(), kSpace) == 0) {
                    if (!first) text += ' ';
                    at += kSpace.size();
                } else {
                    text += (*piece)[at++];
                }
            }
            first = false;
        }
        return text;
    }

protected:
    // sentencepiece drops a space at the end of a text, the library makes a piece of it.
    void finish_part(std::string_view part, std::vector<std::int64_t>& ids) const override {
        if (ends_in_space(part)) ids.push_back(space_id_);
    }

private:
    void add(const std::string& token, std::int64_t id) {
        added_.add(token, id);
        size_ = std::max(size_, id + 1);
        if (!token.empty() && token[0] != '<') languages_.push_back({token, id});
    }

    // Whether the normalised text ends in a space. Asked by putting letters around the text, and only where the last character leaves a
    // doubt.
    bool ends_in_space(std::string_view text) const {
        if (!ends_unseen(text)) return false;
        std::string joined;
        for (const auto& piece : pieces_->encode_pieces("a" + std::string(text) + "a")) joined += piece;
        const std::string end = kSpace + "a";
        return joined.size() > end.size() && joined.ends_with(end);
    }

    std::int64_t space_id_ = kUnk;
};

}  // namespace

const std::vector<std::string>& nllb_languages() {
    static const std::vector<std::string> codes{
        "ace_Arab", "ace_Latn", "acm_Arab", "acq_Arab", "aeb_Arab", "afr_Latn", "ajp_Arab", "aka_Latn", "amh_Ethi", "apc_Arab", "arb_Arab",
        "ars_Arab", "ary_Arab", "arz_Arab", "asm_Beng", "ast_Latn", "awa_Deva", "ayr_Latn", "azb_Arab", "azj_Latn", "bak_Cyrl", "bam_Latn",
        "ban_Latn", "bel_Cyrl", "bem_Latn", "ben_Beng", "bho_Deva", "bjn_Arab", "bjn_Latn", "bod_Tibt", "bos_Latn", "bug_Latn", "bul_Cyrl",
        "cat_Latn", "ceb_Latn", "ces_Latn", "cjk_Latn", "ckb_Arab", "crh_Latn", "cym_Latn", "dan_Latn", "deu_Latn", "dik_Latn", "dyu_Latn",
        "dzo_Tibt", "ell_Grek", "eng_Latn", "epo_Latn", "est_Latn", "eus_Latn", "ewe_Latn", "fao_Latn", "pes_Arab", "fij_Latn", "fin_Latn",
        "fon_Latn", "fra_Latn", "fur_Latn", "fuv_Latn", "gla_Latn", "gle_Latn", "glg_Latn", "grn_Latn", "guj_Gujr", "hat_Latn", "hau_Latn",
        "heb_Hebr", "hin_Deva", "hne_Deva", "hrv_Latn", "hun_Latn", "hye_Armn", "ibo_Latn", "ilo_Latn", "ind_Latn", "isl_Latn", "ita_Latn",
        "jav_Latn", "jpn_Jpan", "kab_Latn", "kac_Latn", "kam_Latn", "kan_Knda", "kas_Arab", "kas_Deva", "kat_Geor", "knc_Arab", "knc_Latn",
        "kaz_Cyrl", "kbp_Latn", "kea_Latn", "khm_Khmr", "kik_Latn", "kin_Latn", "kir_Cyrl", "kmb_Latn", "kon_Latn", "kor_Hang", "kmr_Latn",
        "lao_Laoo", "lvs_Latn", "lij_Latn", "lim_Latn", "lin_Latn", "lit_Latn", "lmo_Latn", "ltg_Latn", "ltz_Latn", "lua_Latn", "lug_Latn",
        "luo_Latn", "lus_Latn", "mag_Deva", "mai_Deva", "mal_Mlym", "mar_Deva", "min_Latn", "mkd_Cyrl", "plt_Latn", "mlt_Latn", "mni_Beng",
        "khk_Cyrl", "mos_Latn", "mri_Latn", "zsm_Latn", "mya_Mymr", "nld_Latn", "nno_Latn", "nob_Latn", "npi_Deva", "nso_Latn", "nus_Latn",
        "nya_Latn", "oci_Latn", "gaz_Latn", "ory_Orya", "pag_Latn", "pan_Guru", "pap_Latn", "pol_Latn", "por_Latn", "prs_Arab", "pbt_Arab",
        "quy_Latn", "ron_Latn", "run_Latn", "rus_Cyrl", "sag_Latn", "san_Deva", "sat_Beng", "scn_Latn", "shn_Mymr", "sin_Sinh", "slk_Latn",
        "slv_Latn", "smo_Latn", "sna_Latn", "snd_Arab", "som_Latn", "sot_Latn", "spa_Latn", "als_Latn", "srd_Latn", "srp_Cyrl", "ssw_Latn",
        "sun_Latn", "swe_Latn", "swh_Latn", "szl_Latn", "tam_Taml", "tat_Cyrl", "tel_Telu", "tgk_Cyrl", "tgl_Latn", "tha_Thai", "tir_Ethi",
        "taq_Latn", "taq_Tfng", "tpi_Latn", "tsn_Latn", "tso_Latn", "tuk_Latn", "tum_Latn", "tur_Latn", "twi_Latn", "tzm_Tfng", "uig_Arab",
        "ukr_Cyrl", "umb_Latn", "urd_Arab", "uzn_Latn", "vec_Latn", "vie_Latn", "war_Latn", "wol_Latn", "xho_Latn", "ydd_Hebr", "yor_Latn",
        "yue_Hant", "zho_Hans", "zho_Hant", "zul_Latn"};
    return codes;
}

std::unique_ptr<Tokenizer> load_nllb_tokenizer(const TokenizerFiles& files) {
    return std::make_unique<NllbTokenizer>(files, FairseqPieces::load(files));
}

}  // namespace permille
