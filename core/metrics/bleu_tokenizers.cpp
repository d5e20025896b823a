#include "core/metrics/bleu_tokenizers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/base/error.h"
#include "core/metrics/western.h"

namespace permille {

namespace {

Characters tokenize_13a(std::u32string_view text) {
    Characters line(text);
    replace_all(line, U"<skipped>", U"");
    replace_all(line, U"-\n", U"");
    replace_all(line, U"\n", U" ");
    replace_entities(line);
    return points_set_apart(punctuation_set_apart(U" " + line + U" "));
}

Characters tokenize_intl(std::u32string_view text) {
    const auto no_number = [](char32_t c) { return !is_number(c); };
    Characters line = part_pairs(text, no_number, is_punctuation, Blank::after_both);
    line = part_pairs(line, is_punctuation, no_number, Blank::before_both);
    return set_apart(line, is_symbol);
}

Characters tokenize_char(std::u32string_view text) {
    return set_apart(text, [](char32_t) { return true; });
}

Characters tokenize_none(std::u32string_view text) { return Characters(text); }

// The ranges of sacreBLEU. Two of them stand there as Python escapes of five digits, of which the language reads four: "\u20000" to
// "\u2a6d6" takes 2001 to 2A6D, with general punctuation, arrows and mathematics in it, and "\u2f800" to "\u2fa1d" 2F81 to 2FA1. Kept for
// equal scores.
constexpr std::array<std::pair<char32_t, char32_t>, 22> kChinese{{
    {0x3400, 0x4db5}, {0x4e00, 0x9fa5}, {0x9fa6, 0x9fbb}, {0xf900, 0xfa2d}, {0xfa30, 0xfa6a}, {0xfa70, 0xfad9},
    {0x2001, 0x2a6d}, {0x2f81, 0x2fa1}, {0xff00, 0xffef}, {0x2e80, 0x2eff}, {0x3000, 0x303f}, {0x31c0, 0x31ef},
    {0x2f00, 0x2fdf}, {0x2ff0, 0x2fff}, {0x3100, 0x312f}, {0x31a0, 0x31bf}, {0xfe10, 0xfe1f}, {0xfe30, 0xfe4f},
    {0x2600, 0x26ff}, {0x2700, 0x27bf}, {0x3200, 0x32ff}, {0x3300, 0x33ff},
}};

Characters tokenize_zh(std::u32string_view text) {
    return points_set_apart(punctuation_set_apart(set_apart(without_outer_blanks(text), [](char32_t c) {
        return std::any_of(kChinese.begin(), kChinese.end(), [c](const auto& range) { return c >= range.first && c <= range.second; });
    })));
}

// In alphabetical order.
constexpr std::array<std::pair<const char*, BleuTokenizer>, 5> kTable{
    {{"13a", tokenize_13a}, {"char", tokenize_char}, {"intl", tokenize_intl}, {"none", tokenize_none}, {"zh", tokenize_zh}}};

constexpr std::array<std::string_view, 6> kChineseCodes{"zh", "zho", "cmn", "yue", "wuu", "lzh"};
constexpr std::array<std::string_view, 14> kWithoutBlanks{"ja",  "jpn", "th",  "tha", "lo",  "lao", "km",
                                                          "khm", "my",  "mya", "bo",  "bod", "dz",  "dzo"};

}  // namespace

BleuTokenizer find_bleu_tokenizer(const std::string& name, const std::string& where) {
    for (const auto& [known, tokenizer] : kTable)
        if (name == known) return tokenizer;
    throw Error(ErrorKind::config, where, "unknown tokenizer '" + name + "'", "known are auto, " + list_some(bleu_tokenizer_names()));
}

std::vector<std::string> bleu_tokenizer_names() {
    std::vector<std::string> names;
    for (const auto& [name, tokenizer] : kTable) names.emplace_back(name);
    return names;
}

TokenizerChoice choose_bleu_tokenizer(const std::string& wish, std::string_view target_language) {
    if (wish != "auto") return {wish, "as asked"};
    std::string code(target_language.substr(0, target_language.find_first_of("_-")));
    for (auto& c : code) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const auto is_in = [&](const auto& list) { return std::find(list.begin(), list.end(), code) != list.end(); };
    const std::string language(target_language);
    if (is_in(kChineseCodes)) return {"zh", "the target language is Chinese (" + language + ")"};
    if (is_in(kWithoutBlanks)) return {"char", "words of the target language (" + language + ") are not set off by blanks"};
    return {"13a", code.empty() ? "the default" : "the default for " + language};
}

}  // namespace permille
