#include "core/data/clean.h"

#include "tests/support/test.h"

namespace permille {
namespace {

struct Cleaned {
    std::vector<Row> rows;
    CleanCounts counts;
};

Cleaned clean(const std::vector<Row>& raw, const std::string& source = "de", const std::string& target = "en",
              const CleanSettings& settings = {}) {
    Cleaner cleaner(settings, Language(source), Language(target));
    Cleaned result;
    for (const Row& row : raw) cleaner.clean(row, result.rows);
    result.counts = cleaner.counts();
    return result;
}

const Row kGood{"Die Datei wurde geöffnet.", "The file has been opened."};

}  // namespace

TEST_CASE("every dropped row is counted under its reason", "[data]") {
    const std::vector<std::pair<Row, CleanCount>> cases{
        {{"", "The file has been opened."}, CleanCount::empty},
        {{" \t ", "The file has been opened."}, CleanCount::empty},
        {{"Die Datei", "The file"}, CleanCount::too_short},
        {{"Ja, das ist etwas länger.", "Yes indeed"}, CleanCount::too_short},
        {{"Die Datei wurde geöffnet und dann wieder geschlossen, und danach wurde sie noch einmal geöffnet, gelesen und geprüft.",
          "It was opened then."},
         CleanCount::length_ratio},
        {{"The file has been opened.", "The file has been opened."}, CleanCount::equal_sides},
        {{"the FILE has been opened", "The file has been opened."}, CleanCount::equal_sides},
        {{"Please open the file named readme now", "Please open the file named 'readme' now"}, CleanCount::equal_sides},
        {{"Файл был открыт сейчас", "The file has been opened."}, CleanCount::wrong_script},
        {{"Nimm %s und %d aus /etc/fstab", "Take %s and %d from /etc/fstab"}, CleanCount::mostly_placeholders},
        {{"{{PLURAL:$1|Seite wurde|Seiten wurden}} gelöscht und weg", "{{PLURAL:$1|page was|pages were}} deleted and gone"},
         CleanCount::mostly_placeholders},
    };
    for (const auto& [row, reason] : cases) {
        INFO(row.source << " | " << row.target);
        const auto result = clean({row});
        CHECK(result.rows.empty());
        CHECK(result.counts.read == 1);
        CHECK(result.counts.kept == 0);
        CHECK(result.counts[reason] == 1);
    }
    std::string long_text = "word";
    for (int i = 0; i < 60; ++i) long_text += " word";
    CHECK(clean({{long_text + " deutsch", long_text}}).counts[CleanCount::too_long] == 1);
}

TEST_CASE("good rows pass unchanged and are counted as kept", "[data]") {
    const auto result = clean({kGood, {"Nimm %s aus der alten Liste heraus", "Take %s out of the old list"}});
    CHECK(result.rows.size() == 2);
    CHECK(result.rows[0] == kGood);
    CHECK(result.counts.kept == 2);
    CHECK(result.counts.to_json()["kept"] == 2);
    CHECK(CleanCounts::from_json(result.counts.to_json()).counts == result.counts.counts);
}

TEST_CASE("one row is kept per English text, case and punctuation ignored", "[data]") {
    const auto result =
        clean({kGood, {"Datei wurde nun geöffnet", "The file has been opened"}, {"Andere Datei ist da", "THE FILE HAS BEEN OPENED"}});
    CHECK(result.rows == std::vector<Row>{kGood});
    CHECK(result.counts[CleanCount::duplicate] == 2);
}

TEST_CASE("for a pair without English the common English text is the key", "[data]") {
    const Row first{"Apri il file adesso", "Abra el archivo ahora", "x", "Open the file now"};
    const Row second{"Apri ora quel file", "Abra ese archivo ya", "x", "Open the file now."};
    const auto result = clean({first, second}, "it", "es");
    CHECK(result.rows == std::vector<Row>{first});
    CHECK(result.counts[CleanCount::duplicate] == 1);
    // Not translated on one side.
    CHECK(clean({{"Apri il file adesso", "Open the file now", "x", "Open the file now"}}, "it", "es").counts[CleanCount::equal_sides] == 1);
}

TEST_CASE("markup and accelerators are stripped and counted", "[data]") {
    const auto result =
        clean({{"Die <b>Datei</b> wurde geöffnet.", "The <b>file</b> has been opened."}, {"_Alle Dateien schließen", "_Close all files"}});
    REQUIRE(result.rows.size() == 2);
    CHECK(result.rows[0].target == "The file has been opened.");
    CHECK(result.rows[1].source == "Alle Dateien schließen");
    CHECK(result.counts[CleanCount::markup_stripped] == 1);
    CHECK(result.counts[CleanCount::accelerator_stripped] == 1);
    CleanSettings settings;
    settings.strip_markup = settings.strip_accelerators = false;
    settings.max_placeholder_percent = 100;
    CHECK(clean({{"_Alle Dateien schließen", "_Close all files"}}, "de", "en", settings).rows[0].target == "_Close all files");
}

TEST_CASE("paragraphs are cut only where both sides have as many sentences", "[data]") {
    const auto result = clean({{"Das ist der erste. Hier kommt der zweite!", "This is the first. Here comes the second one!"},
                               {"Das ist einer, und noch einer dazu.", "That is one here. And another one too."}});
    REQUIRE(result.rows.size() == 3);
    CHECK(result.rows[0] == Row{"Das ist der erste.", "This is the first."});
    CHECK(result.rows[1] == Row{"Hier kommt der zweite!", "Here comes the second one!"});
    CHECK(result.rows[2].target == "That is one here. And another one too.");
    CHECK(result.counts[CleanCount::sentences_cut] == 1);
    CHECK(result.counts.kept == 3);
}

TEST_CASE("sentences end where readers would end them", "[data]") {
    using List = std::vector<std::string>;
    CHECK(cut_sentences("One. Two.") == List{"One.", "Two."});
    CHECK(cut_sentences("Use e.g. This one. Then go.") == List{"Use e.g. This one.", "Then go."});
    CHECK(cut_sentences("Version 1.5 is out. It works.") == List{"Version 1.5 is out.", "It works."});
    CHECK(cut_sentences("Wait... what is it?") == List{"Wait... what is it?"});
    CHECK(cut_sentences("He said \"Go!\" Then he left.") == List{"He said \"Go!\"", "Then he left."});
    CHECK(cut_sentences("これは一です。これは二です。") == List{"これは一です。", "これは二です。"});
    CHECK(cut_sentences("यह एक है। यह दो है।") == List{"यह एक है।", "यह दो है।"});
    CHECK(cut_sentences("").size() == 1);
    CHECK(cut_sentences("...").size() == 1);
}

TEST_CASE("full sentences are told from labels", "[data]") {
    CHECK(is_full_sentence("The file could not be opened for reading."));
    CHECK(is_full_sentence("Do you want to save the changes?"));
    CHECK_FALSE(is_full_sentence("The file could not be opened for reading"));
    CHECK_FALSE(is_full_sentence("File not found."));
    CHECK_FALSE(is_full_sentence("Save The File As A Template."));
    CHECK_FALSE(is_full_sentence(""));
}

TEST_CASE("settings out of range are refused with their name", "[data]") {
    test::require_error(
        [] {
            CleanSettings::fields().parse({{"max_placeholder_percent", 120}}, "clean");
        },
        ErrorKind::config, {"max_placeholder_percent"});
    test::require_error([] { CleanSettings::fields().parse({{"min_wrods", 1}}, "clean"); }, ErrorKind::config, {"min_words"});
}

}  // namespace permille
