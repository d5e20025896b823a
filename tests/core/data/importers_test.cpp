#include "core/data/importers.h"

#include <set>

#include "core/base/files.h"
#include "core/data/unicode.h"
#include "tests/support/test.h"

namespace permille {
namespace {

std::vector<Row> rows_of(const std::string& format, const std::vector<std::filesystem::path>& files, const std::string& source = "de",
                         const std::string& target = "en") {
    std::vector<Row> rows;
    read_rows({format, files, source, target}, [&rows](Row row) { rows.push_back(std::move(row)); });
    return rows;
}

const std::string kTmx = R"(<?xml version="1.0"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="en-US"><seg>Open the <bpt i="1">&lt;b&gt;</bpt>file<ept i="1">&lt;/b&gt;</ept> &amp; go</seg></tuv>
    <tuv xml:lang="DE"><seg>Öffne die <hi>Datei</hi> &amp; los</seg></tuv></tu>
<tu><tuv lang="fr"><seg>Bonjour</seg></tuv><tuv lang="en"><seg>Hello</seg></tuv></tu>
<tu><tuv xml:lang="en-GB"><seg>Colour</seg></tuv><tuv xml:lang="en"><seg>Color</seg></tuv><tuv xml:lang="de-AT"><seg>Farbe</seg></tuv></tu>
</body></tmx>
)";

}  // namespace

TEST_CASE("line-aligned files give a row a line", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "news.de",
               "\xEF\xBB\xBF"
               "Eins\r\nZwei\r\n\r\n");
    write_text(folder / "news.en", "One\nTwo\n\n");
    CHECK(rows_of("moses", {folder / "news.de", folder / "news.en"}) ==
          std::vector<Row>{{"Eins", "One", "news.de"}, {"Zwei", "Two", "news.de"}, {"", "", "news.de"}});
    // No line end after the last line.
    write_text(folder / "news.en", "One\nTwo\nThree");
    CHECK(rows_of("moses", {folder / "news.de", folder / "news.en"}).size() == 3);
}

TEST_CASE("files that are not aligned are refused with both line counts", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "a.de", "Eins\nZwei\nDrei\nVier\n");
    write_text(folder / "a.en", "One\nTwo\n");
    const auto read = [&] { rows_of("moses", {folder / "a.de", folder / "a.en"}); };
    test::require_error(read, ErrorKind::file, {"a.de", "4 lines", "a.en", "2"});
    const auto swapped = [&] { rows_of("moses", {folder / "a.en", folder / "a.de"}, "en", "de"); };
    test::require_error(swapped, ErrorKind::file, {"a.en", "2 lines", "a.de", "4"});
    test::require_error([&] { rows_of("moses", {folder / "a.de"}); }, ErrorKind::usage, {"a.de", "two files"});
}

TEST_CASE("text that is not UTF-8 is refused with its line", "[data]") {
    const test::TemporaryFolder folder;
    const auto file = folder / "a.tsv";
    write_text(file, "Eins\tOne\nf\xFCnf\tfive\n");
    test::require_error([&] { rows_of("tsv", {file}); }, ErrorKind::file, {"a.tsv:2", "byte 2", "UTF-8"});
    write_text(file, std::string("\xFF\xFE"
                                 "a\0\t\0",
                                 6));
    test::require_error([&] { rows_of("tsv", {file}); }, ErrorKind::file, {"a.tsv:1", "UTF-16"});
    write_text(file, std::string("Eins\tO\0ne\n", 10));
    test::require_error([&] { rows_of("tsv", {file}); }, ErrorKind::file, {"a.tsv:1", "UTF-8"});
    write_text(file, "\x1F\x8B\x08 packed");
    test::require_error([&] { rows_of("tsv", {file}); }, ErrorKind::file, {"a.tsv:1", "compressed"});
}

TEST_CASE("empty, missing and wrong files are told apart", "[data]") {
    const test::TemporaryFolder folder;
    for (const auto format : {"tsv", "jsonl"}) {
        write_text(folder / "empty", "");
        test::require_error([&] { rows_of(format, {folder / "empty"}); }, ErrorKind::file, {"empty", "has no text"});
        test::require_error([&] { rows_of(format, {folder / "missing"}); }, ErrorKind::file, {"missing", "No such file"});
        test::require_error([&] { rows_of(format, {folder.path()}); }, ErrorKind::file, {"is a folder"});
    }
    test::require_error([&] { rows_of("tmx", {folder / "missing"}); }, ErrorKind::file, {"missing"});
    test::require_error([&] { rows_of("tmx", {folder / "empty"}); }, ErrorKind::file, {"empty"});
    test::require_error([&] { rows_of("catalogs", {folder.path()}); }, ErrorKind::file, {"has no text for de and en"});
    test::require_error([&] { rows_of("tsv", {}); }, ErrorKind::usage, {"no file"});
    test::require_error([&] { rows_of("tsv", {folder / "empty"}, "en", "en_US"); }, ErrorKind::config, {"both"});
}

TEST_CASE("TSV takes source and target, and an origin where there is one", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "a.tsv", "Eins\tOne\nZwei\tTwo\tby CK\tmore\n\nDrei\t\n");
    CHECK(rows_of("tsv", {folder / "a.tsv"}) ==
          std::vector<Row>{{"Eins", "One", "a.tsv"}, {"Zwei", "Two", "by CK"}, {"Drei", "", "a.tsv"}});
    write_text(folder / "a.tsv", "Eins\tOne\nZwei Two\n");
    test::require_error([&] { rows_of("tsv", {folder / "a.tsv"}); }, ErrorKind::file, {"a.tsv:2", "no tab"});
}

TEST_CASE("JSONL takes both shapes", "[data]") {
    const test::TemporaryFolder folder;
    const auto file = folder / "a.jsonl";
    write_text(file, R"({"source": "Eins", "target": "One"}
{"id": 7, "translation": {"en": "Two", "de": "Zwei", "id": "x"}}

{"translation": {"en_US": "Three\nlines", "de-DE": "Drei"}}
)");
    CHECK(rows_of("jsonl", {file}) ==
          std::vector<Row>{{"Eins", "One", "a.jsonl"}, {"Zwei", "Two", "a.jsonl"}, {"Drei", "Three\nlines", "a.jsonl"}});
    const std::vector<std::pair<std::string, std::string>> wrong{{"{\"source\": \"x\"}", "target"},
                                                                 {"{\"source\": 1, \"target\": \"y\"}", "source"},
                                                                 {"{\"translation\": {\"de\": \"x\"}}", "'en'"},
                                                                 {"{\"source\": \"x\", ", "one JSON object"},
                                                                 {"[1, 2]", "one JSON object"}};
    for (const auto& [line, word] : wrong) {
        INFO(line);
        write_text(file, "{\"source\": \"Eins\", \"target\": \"One\"}\n" + line + "\n");
        test::require_error([&] { rows_of("jsonl", {file}); }, ErrorKind::file, {"a.jsonl:2", word});
    }
}

TEST_CASE("TMX: the text without its codes, the nearest variant of each language", "[data]") {
    const test::TemporaryFolder folder;
    const auto file = folder / "a.tmx";
    write_text(file, kTmx);
    CHECK(rows_of("tmx", {file}) ==
          std::vector<Row>{{"Öffne die Datei & los", "Open the file & go", "a.tmx"}, {"Farbe", "Color", "a.tmx"}});
    CHECK(rows_of("tmx", {file}, "en", "fr") == std::vector<Row>{{"Hello", "Bonjour", "a.tmx"}});
    test::require_error([&] { rows_of("tmx", {file}, "ja", "en"); }, ErrorKind::file, {"a.tmx", "has no text for ja and en"});
}

TEST_CASE("TMX in UTF-16 and ISO-8859-1", "[data]") {
    const test::TemporaryFolder folder;
    const std::string body =
        "<tmx><body><tu><tuv lang=\"de\"><seg>f\xFCr</seg></tuv><tuv lang=\"en\"><seg>for</seg></tuv></tu></body></tmx>";
    write_text(folder / "a.tmx", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>" + body);
    CHECK(rows_of("tmx", {folder / "a.tmx"}) == std::vector<Row>{{"für", "for", "a.tmx"}});
    std::string wide = "\xFF\xFE";
    for (const char c : "<?xml version=\"1.0\" encoding=\"UTF-16\"?>" + body) wide += std::string(1, c) + '\0';
    write_text(folder / "a.tmx", wide);
    CHECK(rows_of("tmx", {folder / "a.tmx"}) == std::vector<Row>{{"für", "for", "a.tmx"}});
}

TEST_CASE("damaged TMX is reported with its line, and entities do not swell or read files", "[data]") {
    const test::TemporaryFolder folder;
    const auto file = folder / "a.tmx";
    write_text(file, kTmx.substr(0, kTmx.size() - 40));
    test::require_error([&] { rows_of("tmx", {file}); }, ErrorKind::file, {"a.tmx:", "not a whole TMX"});
    write_text(file, "<tmx>\n<body>\n<tu><tuv><seg>x</seg></tuv></tu></body></tmx>");
    test::require_error([&] { rows_of("tmx", {file}); }, ErrorKind::file, {"a.tmx:3", "language"});
    write_text(file, "<html><body>x</body></html>");
    test::require_error([&] { rows_of("tmx", {file}); }, ErrorKind::file, {"a.tmx", "no TMX"});
    write_text(folder / "secret", "secret");
    write_text(file,
               "<!DOCTYPE tmx [<!ENTITY s SYSTEM \"secret\"><!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>"
               "<tmx><body><tu><tuv lang=\"de\"><seg>x&s;&b;</seg></tuv><tuv lang=\"en\"><seg>y</seg></tuv></tu></body></tmx>");
    CHECK(rows_of("tmx", {file}) == std::vector<Row>{{"x", "y", "a.tmx"}});
}

TEST_CASE("catalogs give the English messages and their translations", "[data]") {
    CHECK(rows_of("catalogs", {test::golden("catalogs/it.po")}, "it", "en").size() == 5);
    CHECK(rows_of("catalogs", {test::golden("catalogs/it.mo")}, "en", "it").at(0).origin == "it.mo");
    CHECK(rows_of("catalogs", {test::golden("catalogs")}, "pl", "en").at(0) ==
          Row{"Zamknij okno, proszę żółć", "Close the window", "catalogs"});
    test::require_error([] { rows_of("catalogs", {test::golden("catalogs/it.po")}, "it", "pl"); }, ErrorKind::usage, {"it.po", "English"});
}

TEST_CASE("the format is told from the names of the files", "[data]") {
    CHECK(guess_format({"a.tsv"}).id == "tsv");
    CHECK(guess_format({"a.tmx"}).id == "tmx");
    CHECK(guess_format({"a.jsonl"}).id == "jsonl");
    CHECK(guess_format({"a.po"}).id == "catalogs");
    CHECK(guess_format({"/"}).id == "catalogs");
    CHECK(guess_format({"a.de", "a.en"}).id == "moses");
    test::require_error([] { guess_format({"a.txt"}); }, ErrorKind::usage, {"a.txt", "--format"});
    test::require_error([] { text_format("csv", "--format"); }, ErrorKind::config, {"--format", "csv", "tsv"});
    CHECK(text_format("moses", "").files == 2);
}

TEST_CASE("a file is taken for the format that has its ending, and the table says all about a format", "[data]") {
    std::set<std::string> endings, ids;
    for (const TextFormat& format : text_formats()) {
        INFO(format.id);
        CHECK(ids.insert(format.id).second);
        CHECK_FALSE(format.help.empty());
        CHECK(format.read);
        CHECK(&text_format(format.id, "") == &format);
        CHECK(format_of({format.id, {"whatever.tsv"}, "de", "en"}).id == format.id);
        for (const auto& ending : format.suffixes) {
            CHECK(endings.insert(ending).second);  // no two claim it
            CHECK(format_of({"", {"text" + ending}, "de", "en"}).id == format.id);
        }
    }
    test::require_error([] { text_format("csv", "--format"); }, ErrorKind::config, text_format_ids());
}

}  // namespace permille
