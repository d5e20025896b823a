#include "core/data/markup.h"

#include "tests/support/test.h"

namespace permille {

TEST_CASE("tags go and placeholders in angle brackets stay", "[data]") {
    CHECK(strip_markup("<b>Warning</b>: not <i>saved</i>") == "Warning: not saved");
    CHECK(strip_markup("See <a href='x'>the page</a>.<br/>Next") == "See the page. Next");
    CHECK(strip_markup("one<br>two") == "one two");
    CHECK(strip_markup("<color_red>Danger</color>") == "Danger");
    CHECK(strip_markup("git clone <folder> [<options>]") == "git clone <folder> [<options>]");
    CHECK(strip_markup("1 < 2 and 3 > 2") == "1 < 2 and 3 > 2");
    CHECK(strip_markup("a <") == "a <");
    CHECK(strip_markup("[[Help:Page|the page]] and [[Main]]") == "the page and Main");
    CHECK(strip_markup("[[ open") == "[[ open");
}

TEST_CASE("character references are decoded once", "[data]") {
    CHECK(decode_references("Tom &amp; Jerry &lt;x&gt; &#233; &#x20AC;") == "Tom & Jerry <x> é €");
    CHECK(decode_references("&amp;lt;") == "&lt;");
    CHECK(decode_references("R&D; &unknown; &; &#0; &#xD800; &") == "R&D; &unknown; &; &#0; &#xD800; &");
}

TEST_CASE("accelerator marks go on both sides", "[data]") {
    const auto stripped = [](std::string source, std::string target) {
        strip_accelerators(source, target);
        return source + " = " + target;
    };
    CHECK(stripped("_Datei öffnen", "_Open file") == "Datei öffnen = Open file");
    CHECK(stripped("Speichern &unter", "Save &As") == "Speichern unter = Save As");
    CHECK(stripped("~Speichern", "~Save") == "Speichern = Save");
    CHECK(stripped("B&eenden", "E&xit") == "Beenden = Exit");
    CHECK(stripped("ファイルを開く(_O)", "_Open File") == "ファイルを開く = Open File");
    CHECK(stripped("打开文件 (&O)", "&Open File") == "打开文件 = Open File");
    CHECK(stripped("Schließen|c", "Close Note|C") == "Schließen = Close Note");
}

TEST_CASE("names and operators are no accelerators", "[data]") {
    const auto unchanged = [](const std::string& source, const std::string& target) {
        std::string a = source, b = target;
        strip_accelerators(a, b);
        CHECK(a == source);
        CHECK(b == target);
    };
    unchanged("Setze foo_bar auf 1", "Set foo_bar to 1");
    unchanged("Fisch & Brot", "Fish & chips");
    unchanged("a_b_c", "a_b_c");
    unchanged("in ~/.config", "in ~/.config");
    unchanged("Forschung", "R&D");
}

}  // namespace permille
