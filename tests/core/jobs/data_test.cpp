#include "core/jobs/data.h"

#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/store/store.h"
#include "tests/support/test.h"

namespace permille {
namespace {

// 600 German-English rows that survive cleaning, with different skeletons.
std::string many_rows() {
    const std::vector<std::string> a{"red", "blue", "green", "old", "new", "small", "large", "first", "last", "open"};
    const std::vector<std::string> b{"file", "page", "table", "window", "layer", "image"};
    const std::vector<std::string> c{"was saved",      "was closed",  "is missing", "is locked",    "can be moved",
                                     "cannot be read", "has changed", "is empty",   "is too large", "was found"};
    std::string text;
    for (std::size_t i = 0; i < 600; ++i) {
        const std::string english = "the " + a[i % 10] + " " + b[i / 10 % 6] + " " + c[i / 60] + " by the program.";
        text += "Zeile auf Deutsch mit der Nummer " + std::to_string(i) + ".\tNow " + english + "\n";
    }
    return text;
}

ImportRequest request_in(const test::TemporaryFolder& folder) {
    write_text(folder / "text.tsv", many_rows());
    ImportRequest request{.name = "mine", .text = {"tsv", {folder / "text.tsv"}, "de", "en"}};
    request.licence = "CC0-1.0";
    request.home = folder / "home";
    request.database = folder / "permille.db";
    request.split.held_out_percent = 10;
    request.split.test_sentences = request.split.valid_sentences = 20;
    return request;
}

}  // namespace

TEST_CASE("a small corpus says how much more it holds out, and one that is too small that studies cannot use it", "[data][jobs]") {
    const test::TemporaryFolder folder;
    ImportRequest request = request_in(folder);
    request.split = {};
    const std::string all = many_rows();
    std::size_t end = 0;
    for (int line = 0; line < 200; ++line) end = all.find('\n', end) + 1;
    write_text(folder / "text.tsv", all.substr(0, end));
    std::string log;
    const EventSink events = [&log](const Event& event) {
        if (const auto* line = std::get_if<LogLine>(&event)) log += line->text + "\n";
    };
    const CorpusReport report = import_corpus(request, events);
    CHECK(report.info.splits.at("test").rows > 0);
    CHECK(report.info.splits.at("valid").rows > 0);
    CHECK(report.info.splits.at("train").rows > 100);
    REQUIRE(report.info.raised_percent());
    for (const std::string& told : {report.to_text(), log}) {
        INFO(told);
        CHECK(told.find("held out for each of validation and test, instead of 3 %") != std::string::npos);
        CHECK(told.find("studies cannot") == std::string::npos);
    }
    write_text(folder / "text.tsv", all.substr(0, all.find('\n') + 1));
    request.name = "tiny";
    CHECK(import_corpus(request).to_text().find("no validation and no test sentences: studies cannot use this corpus") !=
          std::string::npos);
}

TEST_CASE("an imported corpus is on disk and in the database", "[data][jobs]") {
    const test::TemporaryFolder folder;
    const ImportRequest request = request_in(folder);
    const CorpusReport report = import_corpus(request);
    CHECK(report.info.splits.at("test").rows == 20);
    CHECK(report.cleaning.kept == 600);
    CHECK(report.to_text().find("German - English") != std::string::npos);
    const Corpus corpus = Corpus::load(folder / "home/corpora/mine");
    CHECK(corpus.info().sources.at(0).rows == report.info.splits.at("train").rows + 40);

    const auto row = Store(folder / "permille.db").corpus("mine");
    REQUIRE(row);
    CHECK(row->fingerprint == corpus.info().fingerprint());
    CHECK(row->train_sentences == corpus.info().splits.at("train").rows);
    CHECK(row->licence == "CC0-1.0");
    CHECK(row->details["cleaning"]["counts"]["kept"] == 600);

    test::require_error([&request] { import_corpus(request); }, ErrorKind::usage, {"mine", "already"});
    ImportRequest again = request;
    again.replace = true;
    CHECK(import_corpus(again).info.fingerprint() == corpus.info().fingerprint());
    CHECK(list_corpora(folder / "home").size() == 1);
    CHECK(list_corpora(folder / "nowhere").empty());
    const Json stats = corpus_stats(folder / "home/corpora/mine");
    CHECK(stats["splits"]["test"]["full_sentence_percent"] == 100.0);
    CHECK(stats["splits"]["train"]["origins"].size() == 1);
}

TEST_CASE("the user's own test set is kept and stays out of training", "[data][jobs]") {
    const test::TemporaryFolder folder;
    ImportRequest request = request_in(folder);
    write_text(folder / "test.tsv", "Zeile auf Deutsch mit der Nummer 3.\tShort.\n");
    request.test_files = {folder / "test.tsv"};
    const CorpusReport report = import_corpus(request);
    CHECK(report.info.splits.at("test").rows == 1);
    CHECK(report.info.splits.at("train").rows == 599);
    CHECK(report.leaking == 1);
}

TEST_CASE("a corpus of which nothing is left says why", "[data][jobs]") {
    const test::TemporaryFolder folder;
    ImportRequest request = request_in(folder);
    write_text(folder / "text.tsv", "Ja\tYes\nNein\tNo\n");
    test::require_error([&request] { import_corpus(request); }, ErrorKind::file, {"text.tsv", "2 rows", "too_short 2"});
    CHECK_FALSE(std::filesystem::exists(folder / "home/corpora/mine/corpus.json"));
}

TEST_CASE("a stopped import leaves nothing", "[data][jobs]") {
    const test::TemporaryFolder folder;
    std::stop_source source;
    source.request_stop();
    CHECK_THROWS_AS(import_corpus(request_in(folder), {}, source.get_token()), Stopped);
    CHECK_FALSE(std::filesystem::exists(folder / "home"));
}

TEST_CASE("text is cleaned and split on its own", "[data][jobs]") {
    const test::TemporaryFolder folder;
    write_text(folder / "a.tsv", "Die <b>Datei</b> ist offen.\tThe <b>file</b> is open.\nx\ty\n");
    const TextInput text{"tsv", {folder / "a.tsv"}, "de", "en"};
    CHECK(clean_text(text, {}, folder / "clean.tsv").kept == 1);
    CHECK(read_text(folder / "clean.tsv") == "Die Datei ist offen.\tThe file is open.\n");
    write_text(folder / "b.tsv", many_rows());
    SplitSettings settings;
    settings.held_out_percent = 10;
    const CorpusReport report = split_text({"tsv", {folder / "b.tsv"}, "de", "en"}, settings, folder / "parts");
    CHECK(report.info.name == "parts");
    CHECK(report.info.splits.at("test").rows > 30);
    CHECK(report.info.splits.at("train").rows + report.info.splits.at("valid").rows + report.info.splits.at("test").rows == 600);
}

TEST_CASE("a recipe makes its corpora once", "[data][jobs]") {
    const test::TemporaryFolder folder;
    std::string italian = "msgid \"\"\nmsgstr \"charset=UTF-8\\n\"\n", spanish = italian;
    for (int i = 0; i < 40; ++i) {
        const std::string n(static_cast<std::size_t>(i + 1), 'x');
        const std::string english = "msgid \"Here we see the message " + n + " again.\"\nmsgstr \"";
        italian += english + "Ecco di nuovo il messaggio " + n + " qui.\"\n";
        spanish += english + "Vemos otra vez este mensaje " + n + " ahora.\"\n";
    }
    write_text(folder / "packages/app/po/it.po", italian);
    write_text(folder / "packages/app/po/es.po", spanish);
    write_text(folder / "packages/app/VERSION", "1.0-1\n");
    write_text(
        folder / "tiny.yaml",
        "recipe: tiny\npackages:\n  - {package: app, licence: GPL-2+}\n  - {package: absent, licence: MIT}\npairs: [it-en, it-es]\n");
    RecipeRequest request{(folder / "tiny.yaml").string(), folder / "packages", folder / "home"};
    std::string log;
    const auto reports = build_recipe(request, [&log](const Event& event) {
        if (const auto* line = std::get_if<LogLine>(&event)) log += line->text + "\n";
    });
    REQUIRE(reports.size() == 2);
    CHECK(log.find("absent") != std::string::npos);
    CHECK(reports[0].cleaning.kept == 40);
    CHECK(reports[0].info.sources.at(0).version == "1.0-1");
    CHECK(reports[0].info.licences() == "GPL-2+");
    CHECK_FALSE(reports[0].was_there);
    CHECK(Corpus::load(folder / "home/corpora/it-es").rows(Split::train, 1).at(0).pivot.starts_with("Here we see"));

    CHECK(build_recipe(request).at(1).was_there);
    write_text(folder / "packages/app/VERSION", "1.0-2\n");
    CHECK_FALSE(build_recipe(request).at(1).was_there);
    write_text(folder / "home/corpora/it-en/train.tsv", "spoilt\tx\n");
    CHECK_FALSE(build_recipe(request).at(0).was_there);
    CHECK_NOTHROW(Corpus::load(folder / "home/corpora/it-en"));

    CHECK(recipe_packages(request.recipe, {"it-en"}) == std::vector<std::string>{"app", "absent"});
    request.pairs = {"de-en"};
    test::require_error([&request] { build_recipe(request); }, ErrorKind::config, {"de-en", "it-es"});
    request.pairs = {};
    request.packages = folder / "empty";
    request.rebuild = true;
    test::require_error([&request] { build_recipe(request); }, ErrorKind::file, {"it-en", "fetch-texts"});
}

}  // namespace permille
