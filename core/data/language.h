// A language of parallel text: "de", "zh_CN", "pt_BR", "sr_Latn", as catalogs and packages spell it. What the models call it is their own
// matter.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace permille {

class Language {
public:
    // Also takes "de-DE", "it_IT.UTF-8", "sr@latin". Throws Error(config) when ICU knows no such language.
    explicit Language(const std::string& code, const std::string& where = "language");

    const std::string& code() const { return code_; }  // as given, with '_'
    std::string name() const;                          // "German", "Chinese (China)"
    // Apart from country and script: "en_GB" and "en_US".
    bool same_base(const Language& other) const { return base_ == other.base_; }
    bool is_english() const { return base_ == "en"; }
    // False for Chinese, Japanese, Thai, Lao, Khmer and Burmese: words there are not set off by blanks.
    bool has_spaces() const;

    // The same language in the same country and script: "de" and "de_DE", "zh_CN" and "zh_Hans"; not "de" and "de_AT".
    bool operator==(const Language& other) const { return minimal_ == other.minimal_; }

    // The letters of text that are written in a script of this language, in per cent of all its letters; 100 when there are none.
    double script_percent(const std::u32string& text) const;
    // An estimate where words are not set off by blanks (two characters a word).
    std::int64_t count_words(const std::u32string& text) const;

private:
    std::string code_, base_, minimal_;
    std::vector<int> scripts_;  // ICU's UScriptCode
};

// "it-en" -> it, en. Throws Error(config).
std::pair<Language, Language> parse_language_pair(const std::string& pair, const std::string& where);

}  // namespace permille
