#include <fstream>

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/text/m2m100_tokenizer.h"
#include "core/text/model_languages.h"
#include "core/text/nllb_tokenizer.h"
#include "core/text/sentence_pieces.h"
#include "core/text/tokenizers.h"
#include "tests/support/test.h"

using namespace permille;
using permille::test::golden;
using permille::test::require_error;
using permille::test::TemporaryFolder;

namespace {

using Ids = std::vector<std::int64_t>;

const Json& goldens() {
    static const Json json = read_json(golden("tokenizers/cases.json"));
    return json;
}

std::filesystem::path model_file() { return golden("tokenizers/sentencepiece.bpe.model"); }

// A model folder as the maker of the goldens had it.
void write_folder(const TemporaryFolder& folder, const Json& settings, bool with_vocabulary) {
    write_json(folder / "config.json", {{"model_type", "m2m_100"}});
    write_json(folder / "tokenizer_config.json", settings);
    write_text(folder / "sentencepiece.bpe.model", read_text(model_file()));
    if (with_vocabulary) write_json(folder / "vocab.json", goldens()["vocabulary"]);
}

void check_cases(const Tokenizer& tokenizer, const Json& expected, const std::string& source, const std::string& target) {
    REQUIRE(expected["cases"].size() >= 60);
    for (const auto& entry : expected["cases"]) {
        const auto text = entry["text"].get<std::string>();
        INFO("text: '" << text << "'");
        const auto ids = tokenizer.encode_source(text, tokenizer.language(source), Tokenizer::kNoLimit);
        CHECK(ids == entry["source"].get<Ids>());
        CHECK(tokenizer.encode_target(text, tokenizer.language(target), Tokenizer::kNoLimit) == entry["target"].get<Ids>());
        CHECK(tokenizer.pieces(text).size() == tokenizer.encode_text(text).size());
    }
}

std::string repeated(const std::string& unit, std::int64_t times) {
    std::string text;
    for (std::int64_t i = 0; i < times; ++i) text += unit;
    return text;
}

}  // namespace

TEST_CASE("M2M-100 ids equal those of transformers on hostile text", "[text]") {
    const Json& expected = goldens()["m2m100"];
    TemporaryFolder folder;
    write_folder(folder, expected["settings"], true);
    const auto tokenizer = load_tokenizer(folder.path());
    check_cases(*tokenizer, expected, "de", "zh");
    CHECK(tokenizer->size() == expected["size"].get<std::int64_t>());
    CHECK(Ids{tokenizer->ids().bos, tokenizer->ids().eos, tokenizer->ids().unk, tokenizer->ids().pad} == expected["special"].get<Ids>());
    CHECK(tokenizer->ids().decoder_start == 2);

    SECTION("decoding gives the library's text, without the language") {
        for (const auto& entry : expected["cases"]) {
            INFO("text: '" << entry["text"].get<std::string>() << "'");
            CHECK(tokenizer->decode(entry["source"].get<Ids>()) == entry["decoded"].get<std::string>());
        }
        CHECK(tokenizer->decode(Ids{-1, 100000, 2}) == "");
    }
    SECTION("lines of 100,000 characters work") {
        for (const auto& entry : expected["long"]) {
            const auto ids =
                tokenizer->encode_source(repeated(entry["unit"], entry["times"]), tokenizer->language("de"), Tokenizer::kNoLimit);
            REQUIRE(ids.size() == entry["count"].get<std::size_t>());
            std::int64_t checksum = 0;
            for (std::size_t i = 0; i < ids.size(); ++i) checksum = (checksum + static_cast<std::int64_t>(i + 1) * ids[i]) % 1000003;
            CHECK(checksum == entry["checksum"].get<std::int64_t>());
        }
    }
    SECTION("truncation keeps the language and the end of sentence") {
        const std::string text = repeated("the house ", 2000);
        const auto ids = tokenizer->encode_source(text, tokenizer->language("de"));
        CHECK(ids.size() == 1024);
        CHECK(ids.front() == tokenizer->language_id("de"));
        CHECK(ids.back() == tokenizer->ids().eos);
        const auto whole = tokenizer->encode_source(text, tokenizer->language("de"), Tokenizer::kNoLimit);
        CHECK(std::equal(ids.begin(), ids.end() - 1, whole.begin()));
        CHECK(tokenizer->encode_target(text, tokenizer->language("zh"), 1) == Ids{tokenizer->language_id("zh"), tokenizer->ids().eos});
    }
    SECTION("a folder that transformers saved reads the same") {
        TemporaryFolder saved;
        write_folder(saved, expected["saved_settings"], true);
        check_cases(*load_tokenizer(saved.path()), expected, "de", "zh");
    }
    SECTION("without a tokenizer class the files decide") {
        write_json(folder / "tokenizer_config.json", Json::object());
        CHECK(load_tokenizer(folder.path())->language("zu").id == 601 + 99);
    }
}

TEST_CASE("M2M-100 follows transformers for other lists of special tokens", "[text]") {
    for (const auto* name : {"m2m100_three", "m2m100_bare", "m2m100_wmt21"}) {
        INFO(name);
        const Json& expected = goldens()[name];
        TemporaryFolder folder;
        Json settings = expected["settings"];
        settings.erase("permille_languages");
        write_folder(folder, settings, true);
        const auto tokenizer = load_tokenizer(folder.path());
        check_cases(*tokenizer, expected, "de", "zh");
        CHECK(tokenizer->languages().size() == expected["languages"].size());
        for (const auto& language : tokenizer->languages()) CHECK(language.id == expected["languages"][language.code].get<std::int64_t>());
    }
}

TEST_CASE("a saved M2M-100 tokenizer is the one that transformers was given", "[text]") {
    TemporaryFolder folder;
    const auto saved = save_m2m100_tokenizer(folder.path(), model_file(), {"zh_CN", "de", "en"});
    CHECK(read_json(folder / "vocab.json") == goldens()["vocabulary"]);
    const Json settings = read_json(folder / "tokenizer_config.json");
    for (const auto& [key, value] : goldens()["m2m100"]["settings"].items()) CHECK(settings[key] == value);
    CHECK(saved.size == goldens()["m2m100"]["size"].get<std::int64_t>());
    CHECK(saved.rows % 8 == 0);
    CHECK(saved.rows >= saved.size);
    CHECK(saved.rows < saved.size + 8);

    const auto tokenizer = load_tokenizer(folder.path());
    check_cases(*tokenizer, goldens()["m2m100"], "de", "zh");
    REQUIRE(tokenizer->languages().size() == 3);
    CHECK(tokenizer->languages()[0].code == "de");
    CHECK(tokenizer->size() == saved.size);

    require_error([&] { save_m2m100_tokenizer(folder / "other", model_file(), {"de", "eu"}); }, ErrorKind::config, {"eu", "zu"});
    require_error([&] { save_m2m100_tokenizer(folder / "other", folder / "none.model", {"de"}); }, ErrorKind::file, {"none.model"});
}

TEST_CASE("NLLB ids equal those of transformers on hostile text", "[text]") {
    for (const auto* name : {"nllb", "nllb_legacy"}) {
        INFO(name);
        const Json& expected = goldens()[name];
        TemporaryFolder folder;
        write_folder(folder, expected["settings"], false);
        write_text(folder / "tokenizer.json", read_text(golden("tokenizers/tokenizer.json")));
        for (const bool with_model : {false, true}) {
            INFO("sentencepiece model there: " << with_model);
            Json settings = expected["settings"];
            if (with_model) {
                settings.erase("extra_special_tokens");
                write_json(folder / "tokenizer_config.json", settings);
                write_text(folder / "sentencepiece.bpe.model", read_text(model_file()));
            } else {
                std::filesystem::remove(folder / "sentencepiece.bpe.model");
            }
            const auto tokenizer = load_tokenizer(folder.path());
            check_cases(*tokenizer, expected, "deu_Latn", "zho_Hans");
            CHECK(tokenizer->size() == expected["size"].get<std::int64_t>());
            for (const auto& [code, id] : expected["languages"].items()) CHECK(tokenizer->language_id(code) == id.get<std::int64_t>());
            for (const auto& entry : expected["cases"]) {
                INFO("text: '" << entry["text"].get<std::string>() << "'");
                CHECK(tokenizer->decode(entry["source"].get<Ids>()) == entry["decoded"].get<std::string>());
            }
        }
    }
}

TEST_CASE("NLLB languages follow the pieces in the published order", "[text]") {
    // ace_Arab is 256001 and fra_Latn 256057 after 256,000 pieces in the published model.
    TemporaryFolder folder;
    write_folder(folder, {{"tokenizer_class", "NllbTokenizerFast"}}, false);
    const auto tokenizer = load_tokenizer(folder.path());
    const auto first = SentencePieces(model_file()).size() + 1;
    CHECK(nllb_languages().size() == 202);
    CHECK(tokenizer->language_id("ace_Arab") == first);
    CHECK(tokenizer->language_id("eng_Latn") == first + 46);
    CHECK(tokenizer->language_id("fra_Latn") == first + 56);
    CHECK(tokenizer->size() == first + 203);
    CHECK(tokenizer->piece(first + 202) == "<mask>");
    // By another name of the language.
    CHECK(tokenizer->language("de").code == "deu_Latn");
    CHECK(tokenizer->language("fr-CA").code == "fra_Latn");
    CHECK(tokenizer->language("fa").code == "pes_Arab");
    CHECK(tokenizer->language("zh_CN").code == "zho_Hans");
    CHECK(tokenizer->language("zh-TW").code == "zho_Hant");
    CHECK(tokenizer->language("DEU_LATN").code == "deu_Latn");
    require_error([&] { tokenizer->language("zh"); }, ErrorKind::config, {"zho_Hans", "zho_Hant"});
    require_error([&] { tokenizer->language("dew_Latn"); }, ErrorKind::config, {"did you mean 'deu_Latn'?"});
}

TEST_CASE("languages are found by any unambiguous name", "[text]") {
    std::vector<ModelLanguage> m2m, mbart;
    for (const auto& code : m2m100_languages()) m2m.push_back({code, static_cast<std::int64_t>(m2m.size())});
    for (const auto* code : {"ar_AR", "de_DE", "en_XX", "et_EE", "pt_XX", "zh_CN"}) mbart.push_back({code, 0});
    CHECK(m2m.size() == 100);
    for (const auto& language : m2m) CHECK(find_language(m2m, language.code).code == language.code);
    for (const auto& code : nllb_languages()) {
        std::vector<ModelLanguage> all;
        for (const auto& other : nllb_languages()) all.push_back({other, 0});
        CHECK(find_language(all, code).code == code);
    }
    CHECK(find_language(m2m, "deu_Latn").code == "de");
    CHECK(find_language(m2m, "de_DE").code == "de");
    CHECK(find_language(m2m, "zho_Hans").code == "zh");
    CHECK(find_language(m2m, "pt-BR").code == "pt");
    CHECK(find_language(m2m, "arb_Arab").code == "ar");
    CHECK(find_language(mbart, "de").code == "de_DE");
    CHECK(find_language(mbart, "eng").code == "en_XX");
    CHECK(find_language(mbart, "ekk").code == "et_EE");
    CHECK(find_language(mbart, "pt_BR").code == "pt_XX");
    for (const auto* wrong : {"", "xx", "klingon", "__de__", "de_", "123", "\xff"}) {
        INFO(wrong);
        if (std::string(wrong) == "de_") CHECK(find_language(mbart, wrong).code == "de_DE");
        else require_error([&] { find_language(mbart, wrong); }, ErrorKind::config, {"de_DE", "does not know"});
    }
    require_error([] { find_language({}, "de"); }, ErrorKind::config, {"no language codes"});
}

TEST_CASE("text that is not UTF-8 is refused with its place", "[text]") {
    TemporaryFolder folder;
    save_m2m100_tokenizer(folder.path(), model_file(), {"de", "en"});
    const auto tokenizer = load_tokenizer(folder.path());
    for (const auto* wrong : {"ab\xc3", "ab\xff", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xf5\x80\x80\x80", "ab\x80"})
        require_error([&] { tokenizer->encode_source(wrong, tokenizer->language("de")); }, ErrorKind::file, {"byte 3", "not UTF-8"});
}

TEST_CASE("damaged or missing tokenizer files are named", "[text]") {
    TemporaryFolder folder;
    require_error([&] { load_tokenizer(folder / "none"); }, ErrorKind::file, {"none", "no such model folder"});
    require_error([&] { load_tokenizer(folder.path()); }, ErrorKind::file, {"no tokenizer", "vocab.json"});
    write_folder(folder, goldens()["m2m100"]["settings"], true);

    const auto damaged = [&](const std::string& file, const std::string& content, ErrorKind kind, const std::vector<std::string>& words) {
        const std::string before = read_text(folder / file);
        write_text(folder / file, content);
        require_error([&] { load_tokenizer(folder.path()); }, kind, words);
        write_text(folder / file, before);
    };
    const std::string model = read_text(model_file());
    damaged("sentencepiece.bpe.model", "", ErrorKind::file, {"sentencepiece.bpe.model", "empty"});
    damaged("sentencepiece.bpe.model", "not a model", ErrorKind::file, {"sentencepiece.bpe.model", "damaged"});
    damaged("sentencepiece.bpe.model", model.substr(0, model.size() / 2), ErrorKind::file, {"sentencepiece.bpe.model"});
    damaged("vocab.json", "{", ErrorKind::file, {"vocab.json"});
    damaged("vocab.json", "[]", ErrorKind::file, {"vocab.json", "object"});
    damaged("vocab.json", R"({"<s>": "x"})", ErrorKind::file, {"vocab.json", "<s>"});
    damaged("vocab.json", R"({"<s>": 0, "<pad>": 1, "<unk>": 3})", ErrorKind::file, {"vocab.json", "</s>"});
    damaged("tokenizer_config.json", R"({"tokenizer_class": "M2M100Tokenizer", "language_codes": "mine"})", ErrorKind::unsupported,
            {"mine", "m2m100"});
    damaged("tokenizer_config.json", "[]", ErrorKind::file, {"tokenizer_config.json"});
    write_json(folder / "tokenizer_config.json", {{"tokenizer_class", "BertTokenizer"}});
    write_json(folder / "config.json", {{"model_type", "bert"}});
    require_error([&] { load_tokenizer(folder.path()); }, ErrorKind::unsupported, {"bert", "NllbTokenizer"});
    std::filesystem::remove(folder / "vocab.json");
    write_json(folder / "tokenizer_config.json", {{"tokenizer_class", "M2M100Tokenizer"}});
    require_error([&] { load_tokenizer(folder.path()); }, ErrorKind::file, {"vocab.json"});
}
