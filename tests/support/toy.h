// What the tests of the command line work on: a base in the tree and a corpus that a base of its size can learn.
#pragma once

#include <string>
#include <vector>

namespace permille::test {

inline const std::string kBase = PERMILLE_TESTS_DIR "/support/tiny-base";

// Tab-separated pairs, Italian and English, one a line: word for word, 700 of them.
inline std::string toy_text() {
    const std::vector<std::string> words = {"apri",      "chiudi", "salva", "nuovo",   "vecchio",
                                            "documento", "pagina", "riga",  "tabella", "testo"};
    const std::vector<std::string> english = {"open", "close", "save", "new", "old", "document", "page", "line", "table", "text"};
    std::string text;
    for (std::size_t i = 0; i < 700; ++i) {
        std::string source, target;
        for (std::size_t k = 0, state = i; k < 5; ++k, state = state * 7 + 3) {
            source += words[(state + state / 10) % 10] + " ";
            target += english[(state + state / 10) % 10] + " ";
        }
        text += source + "qui.\t" + target + "here.\n";
    }
    return text;
}

}  // namespace permille::test
