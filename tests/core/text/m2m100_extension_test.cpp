// More pieces and languages, beside what sentencepiece and transformers make of the same vocabulary.
#include "core/text/m2m100_extension.h"

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/text/m2m100_tokenizer.h"
#include "core/text/sentence_pieces.h"
#include "core/text/tokenizers.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

const std::filesystem::path kBase = PERMILLE_TESTS_DIR "/support/tiny-base";
constexpr std::int64_t kRows = 904;

const Json& expected() {
    static const Json json = read_json(golden("tokenizers/extension.json"));
    return json;
}

using Sources = std::vector<std::vector<std::int64_t>>;

}  // namespace

TEST_CASE("an extended vocabulary gives the ids of transformers", "[text]") {
    const auto pieces = expected()["offered"].get<std::vector<std::string>>();
    const std::vector<AddedLanguage> languages = {{"sw", "it"}, {"eu", ""}};
    const ExtendedVocabulary extended = extended_m2m100_vocabulary(kBase, kRows, pieces, languages);
    CHECK(extended.pieces == expected()["added"].get<std::vector<std::string>>());
    CHECK(extended.old_pieces == expected()["old_pieces"].get<std::int64_t>());
    const TemporaryFolder folder;
    save_extended_m2m100(kBase, extended, languages, folder / "tokenizer");
    const auto tokenizer = load_tokenizer(folder / "tokenizer");
    const Json& tokens = expected()["tokens"];
    for (const auto& [code, name] :
         {std::pair{"en", "__en__"}, std::pair{"it", "__it__"}, std::pair{"sw", "__sw__"}, std::pair{"eu", "__eu__"}})
        CHECK(tokenizer->language_id(code) == tokens[name].get<std::int64_t>());
    CHECK(extended.languages == std::vector<std::int64_t>{tokens["__sw__"].get<std::int64_t>(), tokens["__eu__"].get<std::int64_t>()});
    std::vector<std::string> codes;
    for (const auto& language : tokenizer->languages()) codes.push_back(language.code);
    CHECK(codes == std::vector<std::string>{"en", "it", "sw", "tr", "eu"});
    CHECK(tokenizer->size() == extended.size);
    CHECK(extended.size == tokens["__eu__"].get<std::int64_t>() + 1);
    CHECK(extended.rows == (extended.size + 7) / 8 * 8);
    CHECK(extended.moved(2) == 2);
    CHECK(extended.moved(load_tokenizer(kBase)->language_id("it")) == tokens["__it__"].get<std::int64_t>());
    for (const Json& test : expected()["cases"]) {
        const std::string text = test["text"];
        INFO(text);
        const auto ids = tokenizer->encode_source(text, tokenizer->language("sw"));
        CHECK(ids == test["ids"].get<std::vector<std::int64_t>>());
        CHECK(tokenizer->decode(ids) == test["decoded"].get<std::string>());
    }
    CHECK(tokenizer->encode_target("etxea", tokenizer->language("eu")).front() == tokens["__eu__"].get<std::int64_t>());
    // Once more, from there.
    const ExtendedVocabulary again =
        extended_m2m100_vocabulary(folder / "tokenizer", extended.rows, {"zzz", extended.pieces.front()}, {{"kmr_Latn", "eu"}});
    CHECK(again.pieces == std::vector<std::string>{"zzz"});
    CHECK(again.size == extended.size + 2);
    CHECK(again.sources[static_cast<std::size_t>(again.languages.front())] == std::vector<std::int64_t>{tokenizer->language_id("eu")});
    save_extended_m2m100(folder / "tokenizer", again, {{"kmr_Latn", "eu"}}, folder / "second");
    const auto second = load_tokenizer(folder / "second");
    CHECK(second->language_id("eu") == tokenizer->language_id("eu") + 1);
    CHECK(second->language_id("kmr_Latn") == again.languages.front());
}

TEST_CASE("new rows start as the rows of what the old model cuts them into", "[text]") {
    const SentencePieces model(kBase / "sentencepiece.bpe.model");
    const auto added = expected()["added"].get<std::vector<std::string>>();
    const ExtendedVocabulary extended = extended_m2m100_vocabulary(kBase, kRows, added, {{"sw", "it"}, {"eu", ""}});
    const auto old = load_tokenizer(kBase);
    for (std::size_t i = 0; i < added.size(); ++i) {
        INFO(added[i]);
        std::vector<std::string> known;
        for (const auto& part : cut_by_merges(model, added[i]))
            if (model.id(part) >= 0) known.push_back(part);
        CHECK(known == expected()["parts"][i].get<std::vector<std::string>>());
        std::vector<std::string> rows;
        for (const auto id : extended.sources[static_cast<std::size_t>(extended.old_pieces) + i]) rows.push_back(old->piece(id));
        CHECK(rows == known);
    }
    const auto of = [&](std::int64_t id) { return extended.sources.at(static_cast<std::size_t>(id)); };
    for (std::int64_t id = 0; id < extended.old_pieces; ++id) CHECK(of(id) == std::vector<std::int64_t>{id});
    const auto count = static_cast<std::int64_t>(added.size());
    for (const char* code : {"en", "it", "tr"})
        CHECK(of(old->language_id(code) + count) == std::vector<std::int64_t>{old->language_id(code)});
    CHECK(of(extended.languages[0]) == std::vector<std::int64_t>{old->language_id("it")});
    CHECK(of(extended.languages[1]) == std::vector<std::int64_t>{old->language_id("en"), old->language_id("it"), old->language_id("tr")});
    CHECK(extended_m2m100_vocabulary(kBase, kRows, {"打"}, {}).sources[static_cast<std::size_t>(extended.old_pieces)].empty());
    CHECK(extended_m2m100_vocabulary(kBase, kRows, {"打a"}, {}).sources[static_cast<std::size_t>(extended.old_pieces)].size() == 1);
    CHECK(static_cast<std::int64_t>(extended.sources.size()) == extended.rows);
}

TEST_CASE("what cannot be extended is refused", "[text]") {
    const auto extend = [](const std::filesystem::path& from, const std::vector<AddedLanguage>& languages, std::int64_t rows = kRows) {
        extended_m2m100_vocabulary(from, rows, {}, languages);
    };
    require_error([&] { extend(kBase, {{"it", ""}}); }, ErrorKind::config, {"'it'", "already"});
    require_error([&] { extend(kBase, {{"eu", ""}, {"eu", ""}}); }, ErrorKind::config, {"'eu'", "already"});
    require_error([&] { extend(kBase, {{"eu", "xx"}}); }, ErrorKind::config, {"xx"});
    for (const char* code : {"", "_eu", "e u", "eu_", "__eu__", "ñ"})
        require_error([&] { extend(kBase, {{code, ""}}); }, ErrorKind::config, {"is no code"});
    require_error([&] { extend(kBase, {}, 700); }, ErrorKind::tensor, {"700 rows"});

    const TemporaryFolder folder;
    const auto changed = [&](const std::string& name, const std::function<void(Json&)>& change) {
        std::filesystem::copy(kBase, folder / name);
        Json config = read_json(folder / name / "tokenizer_config.json");
        change(config);
        write_json(folder / name / "tokenizer_config.json", config);
        return folder / name;
    };
    require_error(
        [&] {
            extend(changed("class", [](Json& config) { config["tokenizer_class"] = "NllbTokenizer"; }), {{"eu", ""}});
        },
        ErrorKind::unsupported, {"NllbTokenizer", "M2M-100"});
    require_error(
        [&] {
            extend(changed("list", [](Json& config) { config["language_codes"] = "wmt21"; }), {{"eu", ""}});
        },
        ErrorKind::unsupported, {"wmt21"});
    require_error(
        [&] {
            extend(changed("end", [](Json& config) { config["eos_token"] = "<pad>"; }), {{"eu", ""}});
        },
        ErrorKind::unsupported, {"eos_token"});
    const auto unigram = changed("unigram", [](Json&) {});
    std::string model = read_text(unigram / "sentencepiece.bpe.model");
    model += std::string("\x12\x02\x18\x01", 4);  // a trainer's description that says unigram, merged over the one before
    write_text(unigram / "sentencepiece.bpe.model", model);
    require_error([&] { extend(unigram, {{"eu", ""}}); }, ErrorKind::unsupported, {"byte-pair"});
}

}  // namespace permille::test
