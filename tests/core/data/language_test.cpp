#include "core/data/language.h"

#include "core/data/unicode.h"
#include "tests/support/test.h"

namespace permille {

TEST_CASE("languages are equal across the ways of writing them", "[data]") {
    CHECK(Language("de") == Language("de_DE"));
    CHECK(Language("de") == Language("de-DE.UTF-8"));
    CHECK(Language("zh_CN") == Language("zh-Hans"));
    CHECK(Language("es") == Language("es_ES"));
    CHECK(Language("pt") == Language("pt_PT"));
    CHECK_FALSE(Language("pt") == Language("pt_BR"));
    CHECK_FALSE(Language("de") == Language("de_AT"));
    CHECK_FALSE(Language("zh_CN") == Language("zh_TW"));
    CHECK_FALSE(Language("sr") == Language("sr@latin"));
    CHECK_FALSE(Language("ca") == Language("ca@valencia"));
    CHECK(Language("de_AT").same_base(Language("de")));
    CHECK(Language("en_GB").is_english());
    CHECK(Language("zh-CN").code() == "zh_CN");
    CHECK(Language("tr").name() == "Turkish");
}

TEST_CASE("what is no language code is an error that names it", "[data]") {
    for (const std::string code : {"", "x", "doc", "libreoffice", "q1", "12"}) {
        INFO(code);
        test::require_error([&code] { Language{code, "--source"}; }, ErrorKind::config, {"--source", "'" + code + "'"});
    }
    test::require_error([] { parse_language_pair("deen", "pairs"); }, ErrorKind::config, {"pairs", "deen", "it-en"});
    CHECK(parse_language_pair("zh_CN-en", "pairs").first.code() == "zh_CN");
}

TEST_CASE("the share of letters in the language's scripts is measured", "[data]") {
    CHECK(Language("ru").script_percent(code_points("Открыть файл")) == 100);
    CHECK(Language("ru").script_percent(code_points("Open the file")) == 0);
    CHECK(Language("ru").script_percent(code_points("да ok")) == 50);
    CHECK(Language("ja").script_percent(code_points("ファイルを開く")) == 100);
    CHECK(Language("hi").script_percent(code_points("फ़ाइल खोलें")) == 100);
    CHECK(Language("zh_CN").script_percent(code_points("打开文件。")) == 100);
    CHECK(Language("de").script_percent(code_points("1 + 2 = 3")) == 100);
    // Arabic presentation forms, as one program ships them: shapes in reversed order.
    CHECK(Language("ar").script_percent(code_points("ﺭﺎﻃﻹﺍ ﺪﻨﻋ ﺃﺪﺑﺇ")) == 0);
    CHECK(Language("ar").script_percent(code_points("فتح الملف")) == 100);
}

TEST_CASE("words are counted, and estimated where no blanks set them off", "[data]") {
    CHECK(Language("en").count_words(code_points("Don't open  the - file!")) == 4);
    CHECK(Language("hi").count_words(code_points("फ़ाइल खोलें")) == 2);
    CHECK(Language("ja").count_words(code_points("ファイルを開く")) == 4);
    CHECK(Language("zh_CN").count_words(code_points("打开 PDF 文件")) == 3);
    CHECK_FALSE(Language("th").has_spaces());
    CHECK(Language("ko").has_spaces());
}

TEST_CASE("text helpers keep to code points", "[data]") {
    CHECK(single_spaced(" a\t\n\u00A0 b\u00AD\u200Bc\u0001") == "a bc");
    CHECK(folded("L’été, 2 Ÿ!") == "lété2ÿ");
    CHECK(invalid_utf8_at("gut ✓") == std::string::npos);
    CHECK(invalid_utf8_at("ab\xFF") == 2);
    CHECK(invalid_utf8_at("a\xE2\x82") == 1);
    CHECK(invalid_utf8_at(std::string("a\0b", 3)) == 1);
    CHECK(invalid_utf8_at("\xED\xA0\x80") == 0);  // a surrogate
    CHECK(from_encoding("\xBF\xF3\xB3\xE6", "ISO-8859-2", "x.po") == "żółć");
    test::require_error([] { from_encoding("a", "KLINGON-8", "x.po"); }, ErrorKind::file, {"x.po", "KLINGON-8"});
    test::require_error([] { from_encoding("a\xFF", "US-ASCII", "x.po"); }, ErrorKind::file, {"x.po", "US-ASCII"});
}

TEST_CASE("the hash behind the splits never changes", "[data]") {
    // FNV-1a of "a" is af63dc4c8601ec8c; the mixing is SplitMix64's.
    CHECK(stable_hash("") != stable_hash("a"));
    CHECK(stable_hash("permille") == stable_hash(std::string("permille")));
    CHECK(stable_hash("a") == 0x02c0bdbf481420f8ULL);
}

}  // namespace permille
