#include "core/data/corpus.h"

#include "core/base/files.h"
#include "tests/support/test.h"

namespace permille {
namespace {

void make_corpus(const std::filesystem::path& folder) {
    CorpusInfo info{
        .name = "small", .source_language = "it", .target_language = "en", .made = "import", .sources = {{"a.tsv", "1", "MPL-2.0", 4, ""}}};
    Splits splits;
    splits.train = {{"Apri il file", "Open the file", "a"}, {"Chiudi", "Close", "a"}};
    splits.valid = {{"Salva", "Save", "a"}};
    splits.test = {{"Stampa ora", "Print now", "a", "Pivot text"}};
    write_corpus(folder, info, splits);
}

}  // namespace

TEST_CASE("a corpus comes back as it was written, in both directions", "[data]") {
    const test::TemporaryFolder folder;
    make_corpus(folder / "small");
    const Corpus corpus = Corpus::load(folder / "small");
    CHECK(corpus.info().name == "small");
    CHECK(corpus.info().splits.at("train").rows == 2);
    CHECK(corpus.info().splits.at("train").source_words == 4);
    CHECK(corpus.info().splits.at("train").sha256 == sha256("Apri il file\tOpen the file\ta\nChiudi\tClose\ta\n"));
    CHECK(corpus.info().licences() == "MPL-2.0");
    CHECK(corpus.info().fingerprint().size() == 64);
    CHECK(corpus.rows(Split::train) == std::vector<Row>{{"Apri il file", "Open the file", "a"}, {"Chiudi", "Close", "a"}});
    CHECK(corpus.rows(Split::train, 1).size() == 1);
    CHECK(corpus.rows(Split::test).at(0).pivot == "Pivot text");
    CHECK(corpus.rows(Split::valid, "en", "it_IT") == std::vector<Row>{{"Save", "Salva", "a"}});
    CHECK(corpus.rows(Split::valid, "it", "en_US").at(0).source == "Salva");
    test::require_error([&] { corpus.rows(Split::valid, "de", "en"); }, ErrorKind::config, {"small", "it and en", "de"});
    CHECK(CorpusInfo::from_json(corpus.info().to_json(), "x").fingerprint() == corpus.info().fingerprint());
}

TEST_CASE("equal text has equal fingerprints", "[data]") {
    const test::TemporaryFolder folder;
    make_corpus(folder / "a");
    make_corpus(folder / "b");
    CHECK(Corpus::load(folder / "a").info().fingerprint() == Corpus::load(folder / "b").info().fingerprint());
}

TEST_CASE("a corpus that is missing, damaged or misaligned is one clear error", "[data]") {
    const test::TemporaryFolder folder;
    const auto home = folder / "small";
    const auto load = [&home] { Corpus::load(home); };
    test::require_error(load, ErrorKind::file, {"small", "no corpus here"});
    make_corpus(home);
    write_text(home / "train.tsv", "changed\tx\n");
    test::require_error(load, ErrorKind::file, {"train.tsv", "checksum"});
    CHECK_NOTHROW(Corpus::load(home, false));
    write_text(home / "train.tsv", "fine\tx\na\nb\tc\n");
    test::require_error([&] { Corpus::load(home, false).rows(Split::train); }, ErrorKind::file, {"train.tsv:2", "tab"});
    write_text(home / "train.tsv", "a\t\n");
    test::require_error([&] { Corpus::load(home, false).rows(Split::train); }, ErrorKind::file, {"train.tsv:1"});
    write_text(home / "train.tsv", "");
    test::require_error([&] { Corpus::load(home, false).rows(Split::train); }, ErrorKind::file, {"train split", "empty"});
    std::filesystem::remove(home / "train.tsv");
    test::require_error(load, ErrorKind::file, {"train.tsv", "not there"});
    make_corpus(home);
    for (const std::string text : {"{", "[]", "{}", "{\"format\": 1, \"name\": 3}"}) {
        write_text(home / "corpus.json", text);
        test::require_error(load, ErrorKind::file, {"corpus.json"});
    }
    write_text(home / "corpus.json", "{\"format\": 99}");
    test::require_error(load, ErrorKind::file, {"corpus.json", "newer version"});
}

TEST_CASE("corpus names are names, not paths", "[data]") {
    CHECK(corpus_folder("/home", "zh_CN-en.v2") == "/home/corpora/zh_CN-en.v2");
    for (const std::string name : {"", "..", "a/b", ".hidden", "a b", "a\n"}) {
        INFO(name);
        test::require_error([&name] { corpus_folder("/home", name); }, ErrorKind::config, {"corpus name"});
    }
}

TEST_CASE("the sample corpora are whole", "[data]") {
    for (const std::string pair : {"it-en", "tr-en"}) {
        const Corpus corpus =
            Corpus::load(std::filesystem::path(PERMILLE_TESTS_DIR).parent_path() / "resources" / "samples" / (pair + "-sample"));
        CHECK(corpus.rows(Split::train).size() > 300);
        CHECK(corpus.rows(Split::test).size() > 20);
        CHECK(corpus.info().licences() == "MPL-2.0");
    }
}

}  // namespace permille
