#include "core/data/split.h"

#include <set>

#include "core/data/held_out.h"
#include "core/data/unicode.h"
#include "tests/support/test.h"

namespace permille {
namespace {

const Language kGerman("de"), kItalian("it"), kSpanish("es"), kEnglish("en");

const std::vector<std::string> kVerbs{"open", "close", "copy", "move", "delete", "rename", "print", "save", "find", "sort"};
const std::vector<std::string> kThings{"file", "folder", "window", "page", "table", "image", "layer", "chart", "note", "link"};
const std::vector<std::string> kHow{"quickly", "slowly", "again", "later", "now", "twice", "once", "soon", "today", "here"};

// English sentences, 1,000 different skeletons; `number` varies without changing the skeleton.
std::string english(int i, int number) {
    return "Please " + kVerbs[static_cast<std::size_t>(i % 10)] + " the " + kThings[static_cast<std::size_t>(i / 10 % 10)] + " number " +
           std::to_string(number) + " " + kHow[static_cast<std::size_t>(i / 100 % 10)] + " if you can.";
}

std::vector<Row> rows_into_english(const std::string& mark, int first, int last) {
    std::vector<Row> rows;
    for (int i = first; i < last; ++i) {
        for (const int number : {1, 2})
            rows.push_back({mark + " " + std::to_string(number) + " " + english(i, i), english(i, number), "test"});
    }
    return rows;
}

SplitSettings wide() {
    SplitSettings settings;
    settings.test_sentences = settings.valid_sentences = 60;
    settings.held_out_percent = 10;
    return settings;
}

std::set<std::string> sides(const std::vector<Row>& rows, bool english_side) {
    std::set<std::string> result;
    for (const Row& row : rows) result.insert(folded(english_side ? (row.pivot.empty() ? row.target : row.pivot) : row.source));
    return result;
}

std::size_t common(const std::set<std::string>& a, const std::set<std::string>& b) {
    std::size_t count = 0;
    for (const auto& text : a) count += b.count(text);
    return count;
}

}  // namespace

TEST_CASE("the skeleton keeps lower-case words and nothing else", "[data]") {
    CHECK(skeleton("Open the file \"my notes.txt\" in GIMP 2.10") == "the file in");
    CHECK(skeleton("Copied %d files to {folder}") == skeleton("Copied 17 files to %s"));
    CHECK(skeleton("Don't panic, please") == "panic please");
    CHECK(skeleton("Say “hello there” to all") == "to all");
    CHECK(skeleton("an unclosed \" quote stays here") == "an unclosed quote stays here");
    CHECK(skeleton("Save As") == "saveas");
    CHECK(skeleton("!!!").empty());
    CHECK(skeleton("打开文件") == "打开文件");
}

TEST_CASE("no sentence leaks between the splits of three languages", "[data]") {
    const auto german = split_rows(rows_into_english("Bitte", 0, 800), wide(), kGerman, kEnglish);
    const auto italian = split_rows(rows_into_english("Prego", 200, 1000), wide(), kItalian, kEnglish);
    std::vector<Row> through_english;
    for (int i = 100; i < 900; ++i) {
        through_english.push_back({"Prego " + english(i, i), "Por favor " + english(i, i), "test", english(i, 3)});
    }
    const auto spanish = split_rows(std::move(through_english), wide(), kItalian, kSpanish);
    for (const Splits* splits : {&german, &italian, &spanish}) {
        CHECK(splits->test.size() == 60);
        CHECK(splits->valid.size() == 60);
        CHECK(splits->train.size() > 500);
        CHECK(splits->withheld > 0);
        CHECK(common(sides(splits->train, false), sides(splits->test, false)) == 0);
        CHECK(common(sides(splits->train, false), sides(splits->valid, false)) == 0);
        CHECK(common(sides(splits->valid, false), sides(splits->test, false)) == 0);
    }
    // Across the corpora, by skeleton: what one of them trains on, no other tests on.
    for (const Splits* one : {&german, &italian, &spanish}) {
        for (const Splits* other : {&german, &italian, &spanish}) {
            std::set<std::string> trained, tested;
            for (const Row& row : one->train) trained.insert(skeleton(row.pivot.empty() ? row.target : row.pivot));
            for (const Row& row : other->test) tested.insert(skeleton(row.pivot.empty() ? row.target : row.pivot));
            for (const Row& row : other->valid) tested.insert(skeleton(row.pivot.empty() ? row.target : row.pivot));
            CHECK(common(trained, tested) == 0);
        }
    }
}

TEST_CASE("held-out rows whose other side occurs in training are dropped", "[data]") {
    std::vector<Row> rows = rows_into_english("Bitte", 0, 1000);
    for (Row& row : rows) row.source = "Immer derselbe Satz.";
    const auto splits = split_rows(std::move(rows), wide(), kGerman, kEnglish);
    CHECK(splits.test.empty());
    CHECK(splits.valid.empty());
    CHECK(splits.leaking > 100);
}

TEST_CASE("splits do not depend on the order of the rows", "[data]") {
    auto rows = rows_into_english("Bitte", 0, 500);
    auto backwards = rows;
    std::reverse(backwards.begin(), backwards.end());
    const auto a = split_rows(std::move(rows), wide(), kGerman, kEnglish), b = split_rows(std::move(backwards), wide(), kGerman, kEnglish);
    CHECK(a.train == b.train);
    CHECK(a.valid == b.valid);
    CHECK(a.test == b.test);
    // Shuffled: the first tenth of training has sentences from everywhere.
    std::set<std::string> verbs;
    for (std::size_t i = 0; i < a.train.size() / 10; ++i) verbs.insert(a.train[i].target.substr(0, 10));
    CHECK(verbs.size() > 5);
}

TEST_CASE("full sentences are preferred for the held-out splits", "[data]") {
    auto rows = rows_into_english("Bitte", 0, 700);
    for (int i = 0; i < 700; ++i) rows.push_back({"Etikett " + std::to_string(i), english(i, 1).substr(7) + " label words only", "test"});
    const auto splits = split_rows(std::move(rows), wide(), kGerman, kEnglish);
    CHECK(splits.test.size() == 60);
    CHECK(std::all_of(splits.test.begin(), splits.test.end(), [](const Row& row) { return is_full_sentence(row.target); }));
    // Where there are no sentences, other rows fill a quarter.
    std::vector<Row> labels;
    for (int i = 0; i < 1000; ++i)
        labels.push_back({"Etikett " + std::to_string(i), english(i, 1).substr(7, 30) + " " + english(i, 1).substr(30, 8), "test"});
    CHECK(split_rows(std::move(labels), wide(), kGerman, kEnglish).test.size() == 15);
}

TEST_CASE("a size of none leaves everything to training", "[data]") {
    SplitSettings settings;
    settings.test_sentences = settings.valid_sentences = 0;
    const auto splits = split_rows(rows_into_english("Bitte", 0, 300), settings, kGerman, kEnglish);
    CHECK(splits.train.size() == 600);
    CHECK(splits.withheld == 0);
}

TEST_CASE("a small corpus gets usable splits, and a large one those that it always had", "[data]") {
    const SplitSettings usual;
    for (const int skeletons : {20, 50, 150}) {
        INFO(skeletons << " skeletons, two rows of each");
        const auto rows = rows_into_english("Bitte", 0, skeletons);
        const Splits splits = split_rows(rows, usual, kGerman, kEnglish);
        CHECK_FALSE(splits.test.empty());
        CHECK_FALSE(splits.valid.empty());
        CHECK(splits.train.size() > rows.size() / 2);
        if (skeletons == 150) CHECK(splits.train.size() > rows.size() * 3 / 4);
        REQUIRE(splits.raised_percent);
        CHECK(*splits.raised_percent > usual.held_out_percent);
        // Whoever is held out with the usual share still is, for the same purpose.
        for (const Row& row : splits.train) CHECK(split_of(row.target, usual) == Split::train);
        for (const Row& row : splits.test) CHECK(split_of(row.target, usual) != Split::valid);
        for (const Row& row : splits.valid) CHECK(split_of(row.target, usual) != Split::test);
        for (const auto* held_out : {&splits.test, &splits.valid}) {
            CHECK(common(sides(*held_out, false), sides(splits.train, false)) == 0);
            CHECK(common(sides(*held_out, true), sides(splits.train, true)) == 0);
        }
        CHECK(common(sides(splits.test, true), sides(splits.valid, true)) == 0);
    }
    const Splits large = split_rows(rows_into_english("Bitte", 0, 1000), usual, kGerman, kEnglish);
    CHECK_FALSE(large.raised_percent);
    for (const Row& row : large.train) CHECK(split_of(row.target, usual) == Split::train);
}

TEST_CASE("small corpora of other languages do not test on what one of them validates on", "[data]") {
    const Splits one = split_rows(rows_into_english("Bitte", 0, 60), {}, kGerman, kEnglish),
                 other = split_rows(rows_into_english("Prego", 20, 120), {}, kItalian, kEnglish);
    CHECK(common(sides(one.test, true), sides(other.valid, true)) == 0);
    CHECK(common(sides(one.valid, true), sides(other.test, true)) == 0);
}

TEST_CASE("what a small corpus holds out is taken from the training rows of those used with it", "[data]") {
    const test::TemporaryFolder folder;
    CorpusInfo info;
    info.name = "small";
    info.source_language = "de";
    info.target_language = "en";
    const Splits small = split_rows(rows_into_english("Bitte", 0, 60), {}, kGerman, kEnglish),
                 large = split_rows(rows_into_english("Prego", 0, 1000), {}, kItalian, kEnglish);
    const auto shared = [&](const std::vector<Row>& train) {
        return common(sides(small.test, true), sides(train, true)) + common(sides(small.valid, true), sides(train, true));
    };
    REQUIRE(shared(large.train) > 0);
    for (const bool raised : {false, true}) {
        if (raised) info.splitting["raised_percent"] = *small.raised_percent;
        write_corpus(folder / "small", info, small);
        HeldOut held_out;
        held_out.add(Corpus::load(folder / "small"));
        std::vector<Row> train = large.train;
        const std::int64_t dropped = held_out.drop_from(train);
        CHECK((dropped > 0) == raised);
        CHECK(train.size() + static_cast<std::size_t>(dropped) == large.train.size());
        CHECK((shared(train) == 0) == raised);
        CHECK(train.size() > 1500);
    }
}

TEST_CASE("given splits are kept, and training rows that occur in them go", "[data]") {
    const Row a{"Das Haus", "The house"}, b{"Der Baum", "The tree"}, c{"das haus!", "A home"}, d{"Das Meer", "The sea"};
    const auto splits = given_splits({a, c, d}, {}, {a, b}, kGerman, kEnglish);
    CHECK(splits.test == std::vector<Row>{a, b});
    CHECK(splits.train == std::vector<Row>{d});
    CHECK(splits.leaking == 2);
}

TEST_CASE("a sample stays the same when other rows come", "[data]") {
    const auto few = sample_rows(rows_into_english("Bitte", 0, 300), 20, kGerman, kEnglish);
    CHECK(few.size() == 20);
    CHECK(sample_rows(few, 0, kGerman, kEnglish) == few);
    CHECK(sample_rows(few, 30, kGerman, kEnglish) == few);
}

}  // namespace permille
