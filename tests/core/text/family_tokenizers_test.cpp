// mBART's and Marian's tokenizers against transformers', on the text of tests/golden/make/family_tokenizers.py.
#include <algorithm>

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/text/mbart_tokenizer.h"
#include "core/text/sentence_pieces.h"
#include "core/text/tokenizers.h"
#include "tests/support/test.h"

using namespace permille;
using permille::test::golden;
using permille::test::require_error;
using permille::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

using Ids = std::vector<std::int64_t>;

// The tokenizer's files of a golden model, without its weights.
void copy_files(const std::string& name, const TemporaryFolder& folder) {
    for (const auto* file :
         {"config.json", "tokenizer_config.json", "sentencepiece.bpe.model", "source.spm", "target.spm", "vocab.json", "target_vocab.json"})
        if (fs::exists(golden(name) / file)) write_text(folder / file, read_text(golden(name) / file));
}

std::string repeated(const std::string& unit, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += unit;
    return text;
}

}  // namespace

TEST_CASE("ids of mBART and Marian equal those of transformers on hostile text", "[text]") {
    for (const std::string name : {"mbart25", "mbart50", "marian", "marian_separate"}) {
        const Json expected = read_json(golden(name + "/tokenizer_ids.json"));
        const auto tokenizer = load_tokenizer(golden(name));
        const bool told = expected.contains("src_lang");
        const ModelLanguage& source = tokenizer->source_language(told ? expected["src_lang"].get<std::string>() : "en");
        const ModelLanguage& target = tokenizer->target_language(told ? expected["tgt_lang"].get<std::string>() : "de");
        REQUIRE(expected["cases"].size() > 200);
        for (const auto& entry : expected["cases"]) {
            const auto text = entry["text"].get<std::string>();
            const auto labels = entry["target"].get<Ids>();
            INFO(name << ", text '" << text << "'");
            CHECK(tokenizer->encode_source(text, source, Tokenizer::kNoLimit) == entry["source"].get<Ids>());
            CHECK(tokenizer->encode_target(text, target, Tokenizer::kNoLimit) == labels);
            CHECK(tokenizer->pieces(text).size() == tokenizer->encode_text(text).size());
            // transformers shows Marian's language codes in a decoded text; here they are left out like any other.
            auto decoded = entry["decoded"].get<std::string>();
            for (const auto& language : tokenizer->languages())
                if (name == "marian" && std::find(labels.begin(), labels.end(), language.id) != labels.end()) {
                    const std::string code = ">>" + language.code + "<<";
                    const auto place = decoded.find(code);
                    REQUIRE(place != std::string::npos);
                    decoded.erase(place, code.size());
                    decoded.erase(0, decoded.find_first_not_of(' '));
                }
            CHECK(tokenizer->decode(labels) == decoded);
        }
        CHECK(tokenizer->decode(Ids{-1, 1000000, tokenizer->ids().eos}).empty());
        CHECK(tokenizer->ids().eos == expected["special"]["eos"].get<std::int64_t>());
        CHECK(tokenizer->ids().pad == expected["special"]["pad"].get<std::int64_t>());
        CHECK(tokenizer->ids().unk == expected["special"]["unk"].get<std::int64_t>());
        for (const auto& [code, id] : expected["languages"].items()) CHECK(tokenizer->language_id(code) == id.get<std::int64_t>());
        if (name != "marian_separate") {
            CHECK(tokenizer->languages().size() == expected["languages"].size());
            CHECK(tokenizer->size() == expected["size"].get<std::int64_t>());
        }
    }
}

TEST_CASE("copied tokenizer files are the tokenizer", "[text]") {
    for (const std::string name : {"mbart25", "mbart50", "marian", "marian_separate"}) {
        const TemporaryFolder folder;
        copy_tokenizer(golden(name), folder.path());
        REQUIRE_FALSE(fs::exists(folder / "config.json"));
        write_text(folder / "config.json", read_text(golden(name + "/config.json")));
        const auto copy = load_tokenizer(folder.path()), original = load_tokenizer(golden(name));
        const auto& language = original->languages().back();
        CHECK(copy->languages().size() == original->languages().size());
        CHECK(copy->encode_target("das Haus.", copy->language(language.code)) == original->encode_target("das Haus.", language));
    }
}

TEST_CASE("truncation keeps what stands around a text", "[text]") {
    const std::string text = repeated("the house ", 500);
    const auto mbart50 = load_tokenizer(golden("mbart50")), mbart25 = load_tokenizer(golden("mbart25")),
               marian = load_tokenizer(golden("marian"));
    const auto& german50 = mbart50->language("de");
    Ids ids = mbart50->encode_source(text, german50);
    CHECK(ids.size() == 64);
    CHECK(ids.front() == german50.id);
    CHECK(ids.back() == 2);
    const auto& german25 = mbart25->language("de");
    ids = mbart25->encode_target(text, german25);
    CHECK(ids.size() == 64);
    CHECK(Ids(ids.end() - 2, ids.end()) == Ids{2, german25.id});
    const auto& german = marian->target_language("de");
    ids = marian->encode_source(text, marian->source_language("en"), german);
    CHECK(ids.size() == 48);
    CHECK(ids.front() == german.id);
    CHECK(ids.back() == marian->ids().eos);
}

TEST_CASE("mBART's two layouts begin a translation in two ways", "[text]") {
    const auto mbart50 = load_tokenizer(golden("mbart50")), mbart25 = load_tokenizer(golden("mbart25"));
    const ModelLanguage& first = mbart50->target_language("sl");
    CHECK(mbart50->decoder_start(first).token == 2);
    CHECK(mbart50->decoder_start(first).forced == first.id);
    const ModelLanguage& second = mbart25->target_language("zh_CN");
    CHECK(mbart25->decoder_start(second).token == second.id);
    CHECK_FALSE(mbart25->decoder_start(second).forced);
    require_error([&] { mbart25->target_language("sl_SI"); }, ErrorKind::config, {"sl_SI", "zh_CN"});

    // ar_AR is 250001 and <mask> 250026 or 250053 after 250,000 pieces in the published models.
    const auto after = SentencePieces(golden("mbart50/sentencepiece.bpe.model")).size() + 1;
    CHECK(mbart25_languages().size() == 25);
    CHECK(mbart50_languages().size() == 52);
    CHECK(mbart50->language_id("ar_AR") == after);
    CHECK(mbart50->language_id("en_XX") == after + 3);
    CHECK(mbart50->language_id("sl_SI") == after + 51);
    CHECK(mbart50->piece(after + 52) == "<mask>");
    CHECK(mbart25->piece(after + 25) == "<mask>");
}

TEST_CASE("where no class is named, mBART's layout follows from the size of the vocabulary", "[text]") {
    const TemporaryFolder folder;
    copy_files("mbart50", folder);
    const auto pieces = SentencePieces(golden("mbart50/sentencepiece.bpe.model")).size();
    const auto languages = [&](const Json& config, const Json& settings) {
        write_json(folder / "config.json", config);
        write_json(folder / "tokenizer_config.json", settings);
        return load_tokenizer(folder.path())->languages().size();
    };
    // As published: 250,027 and 250,054 rows for 250,000 pieces.
    CHECK(languages({{"model_type", "mbart"}, {"vocab_size", pieces + 27}}, {{"model_max_length", 1024}}) == 25);
    CHECK(languages({{"model_type", "mbart"}, {"vocab_size", pieces + 54}}, {{"model_max_length", 1024}}) == 52);
    CHECK(languages({{"model_type", "mbart"}}, Json::object()) == 25);
    CHECK(languages({{"model_type", "mbart"}, {"vocab_size", pieces + 27}}, {{"tokenizer_class", "MBart50TokenizerFast"}}) == 52);
    CHECK(languages({{"model_type", "mbart"}, {"vocab_size", pieces + 54}}, {{"tokenizer_class", "MBartTokenizer"}}) == 25);
}

TEST_CASE("mBART-50 as transformers 5 saves it, without its sentencepiece model, reads the same", "[text]") {
    const TemporaryFolder folder;
    copy_files("mbart50", folder);
    fs::remove(folder / "sentencepiece.bpe.model");
    write_text(folder / "tokenizer.json", read_text(golden("mbart50/saved/tokenizer.json")));
    write_text(folder / "tokenizer_config.json", read_text(golden("mbart50/saved/tokenizer_config.json")));
    const auto saved = load_tokenizer(folder.path()), whole = load_tokenizer(golden("mbart50"));
    CHECK(saved->size() == whole->size());
    CHECK(saved->max_length() == whole->max_length());
    const ModelLanguage& language = saved->language("de_DE");
    CHECK(language.id == whole->language_id("de_DE"));
    const Json expected = read_json(golden("mbart50/tokenizer_ids.json"));
    for (const auto& entry : expected["cases"]) {
        const auto text = entry["text"].get<std::string>();
        INFO("text '" << text << "'");
        CHECK(saved->encode_source(text, language, Tokenizer::kNoLimit) == entry["source"].get<Ids>());
    }
}

TEST_CASE("Marian reads the wanted language and begins from its own start token", "[text]") {
    const auto many = load_tokenizer(golden("marian"));
    REQUIRE(many->languages().size() == 4);
    CHECK(many->languages()[0].code == "deu");
    const ModelLanguage& german = many->target_language("de");  // by another name
    CHECK(german.code == "deu");
    const ModelLanguage& english = many->source_language("anything");
    Ids plain = many->encode_source("the house", english);
    Ids wanted = plain;
    wanted.insert(wanted.begin(), german.id);
    CHECK(many->encode_source("the house", english, german) == wanted);
    CHECK(many->encode_source(">>deu<< the house", english) == wanted);
    CHECK(many->encode_source(">>deu<< the house", english, many->target_language("ru")) == wanted);  // the text says so itself
    CHECK(many->decoder_start(german).token == many->ids().pad);
    CHECK_FALSE(many->decoder_start(german).forced);
    require_error([&] { many->target_language("fr"); }, ErrorKind::config, {"fr", "deu", "rus"});

    const auto one = load_tokenizer(golden("marian_separate"));
    REQUIRE(one->languages().size() == 2);
    CHECK(one->target_language("de").id == -1);
    CHECK(one->target_language("deu").code == "de");
    CHECK(one->encode_source("the house", one->source_language("en"), one->target_language("de")) ==
          one->encode_source("the house", one->source_language("en")));
    require_error([&] { one->target_language("en"); }, ErrorKind::config, {"de"});
}

TEST_CASE("damaged or missing files of mBART and Marian are named", "[text]") {
    const auto refused = [](const std::string& name, const std::string& file, const std::optional<std::string>& content, ErrorKind kind,
                            const std::vector<std::string>& words) {
        const TemporaryFolder folder;
        copy_files(name, folder);
        fs::remove(folder / file);
        if (content) write_text(folder / file, *content);
        INFO(name << ", " << file);
        require_error([&] { load_tokenizer(folder.path()); }, kind, words);
    };
    refused("mbart50", "sentencepiece.bpe.model", std::nullopt, ErrorKind::file, {"sentencepiece.bpe.model"});
    refused("mbart50", "sentencepiece.bpe.model", "no model", ErrorKind::file, {"sentencepiece.bpe.model", "damaged"});
    refused("mbart50", "tokenizer_config.json", R"({"tokenizer_class": "AlbertTokenizer"})", ErrorKind::unsupported,
            {"AlbertTokenizer", "MBartTokenizer"});
    for (const auto* file : {"source.spm", "target.spm", "vocab.json", "target_vocab.json"})
        refused("marian_separate", file, std::nullopt, ErrorKind::file, {file});
    refused("marian", "target.spm", "", ErrorKind::file, {"target.spm", "empty"});
    refused("marian", "vocab.json", "[]", ErrorKind::file, {"vocab.json", "object"});
    refused("marian", "vocab.json", R"({"</s>": 0, "<unk>": 1})", ErrorKind::file, {"vocab.json", "<pad>"});
    refused("marian", "vocab.json", R"({"</s>": 0, "<pad>": 1})", ErrorKind::file, {"vocab.json", "<unk>"});
    refused("marian", "vocab.json", R"({"</s>": 0, "<unk>": -1, "<pad>": 2})", ErrorKind::file, {"vocab.json", "<unk>"});
    refused("marian_separate", "target_vocab.json", R"({"<unk>": "x"})", ErrorKind::file, {"target_vocab.json", "<unk>"});
    // mBART-25 as transformers 5 saves it: without the character map.
    const TemporaryFolder only_json;
    write_json(only_json / "config.json", {{"model_type", "mbart"}});
    const auto whole = [&](const Json& vocabulary) {
        write_json(only_json / "tokenizer.json", {{"model", {{"type", "Unigram"}, {"vocab", vocabulary}}}, {"normalizer", nullptr}});
        load_tokenizer(only_json.path());
    };
    const auto scored = [](const std::vector<std::string>& pieces) {
        Json list = Json::array();
        for (const auto& piece : pieces) list.push_back(Json::array({piece, -1.0}));
        return list;
    };
    require_error(
        [&] {
            whole(scored({"<s>", "<pad>", "</s>", "<unk>", "a"}));
        },
        ErrorKind::unsupported, {"tokenizer.json", "character map", "add sentencepiece.bpe.model"});
    require_error([&] { whole(Json::array({"<s>"})); }, ErrorKind::file, {"/model/vocab/0"});
    require_error([&] { whole(scored({"a"})); }, ErrorKind::unsupported, {"<s>"});
}
