#include "core/data/language.h"

#include <unicode/uchar.h>
#include <unicode/uloc.h>
#include <unicode/uscript.h>

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/data/unicode.h"

namespace permille {
namespace {

// Catalog names and ICU disagree here: a catalog "pt" is Portugal's, and modifiers name scripts.
std::string icu_locale(std::string code) {
    const auto cut = [&code](char mark) {
        const auto at = code.find(mark);
        std::string tail = at == std::string::npos ? "" : code.substr(at + 1);
        if (at != std::string::npos) code.resize(at);
        return tail;
    };
    const std::string modifier = cut('@');
    cut('.');
    std::replace(code.begin(), code.end(), '-', '_');
    if (code == "pt") return "pt_PT";
    if (modifier.empty()) return code;
    const std::string base = code.substr(0, code.find('_'));
    if (modifier == "latin") return base + "_Latn";
    if (modifier == "cyrillic") return base + "_Cyrl";
    return code + "_" + (modifier.size() >= 5 && modifier.size() <= 8 ? modifier : "x" + modifier + "xxxx");  // a variant: another language
}

}  // namespace

Language::Language(const std::string& code, const std::string& where) : code_(code) {
    std::replace(code_.begin(), code_.end(), '-', '_');
    const std::string locale = icu_locale(code);
    UErrorCode status = U_ZERO_ERROR;
    std::array<char, 64> buffer{};
    uloc_getLanguage(locale.c_str(), buffer.data(), static_cast<std::int32_t>(buffer.size()), &status);
    base_ = buffer.data();
    const bool plausible = base_.size() >= 2 && base_.size() <= 3 && *uloc_getISO3Language(locale.c_str()) != '\0';
    if (U_FAILURE(status) || !plausible) {
        throw Error(ErrorKind::config, where, "'" + code + "' is not a language code", "write it as in de, zh_CN or pt_BR");
    }
    uloc_minimizeSubtags(locale.c_str(), buffer.data(), static_cast<std::int32_t>(buffer.size()), &status);
    minimal_ = U_FAILURE(status) ? locale : buffer.data();
    std::array<UScriptCode, 16> scripts{};
    status = U_ZERO_ERROR;
    const int count = uscript_getCode(locale.c_str(), scripts.data(), static_cast<std::int32_t>(scripts.size()), &status);
    if (U_SUCCESS(status)) scripts_.assign(scripts.begin(), scripts.begin() + count);
    // ICU writes Chinese as Hans or Hant; characters know only Han. Korean text still has some Han.
    for (int& script : scripts_) {
        if (script == USCRIPT_SIMPLIFIED_HAN || script == USCRIPT_TRADITIONAL_HAN) script = USCRIPT_HAN;
    }
}

std::string Language::name() const {
    std::array<UChar, 128> name{};
    UErrorCode status = U_ZERO_ERROR;
    const auto length = uloc_getDisplayName(code_.c_str(), "en", name.data(), static_cast<std::int32_t>(name.size()), &status);
    std::u32string points;
    for (std::int32_t i = 0; i < length && U_SUCCESS(status); ++i) points.push_back(name[static_cast<std::size_t>(i)]);
    return points.empty() ? code_ : to_utf8(points);
}

bool Language::has_spaces() const {
    static const std::array<std::string, 6> kWithout{"ja", "km", "lo", "my", "th", "zh"};
    return !std::binary_search(kWithout.begin(), kWithout.end(), base_);
}

double Language::script_percent(const std::u32string& text) const {
    if (scripts_.empty()) return 100;
    std::int64_t letters = 0, own = 0;
    for (const char32_t point : text) {
        if (!is_letter(point)) continue;
        UErrorCode status = U_ZERO_ERROR;
        const int script = point < 0x80 ? USCRIPT_LATIN : uscript_getScript(static_cast<UChar32>(point), &status);
        if (script == USCRIPT_COMMON || script == USCRIPT_INHERITED) continue;
        ++letters;
        // Arabic presentation forms are drawn shapes, often in reversed order, and no text.
        if ((point >= 0xFB50 && point <= 0xFDFF) || (point >= 0xFE70 && point <= 0xFEFC)) continue;
        if (std::find(scripts_.begin(), scripts_.end(), script) != scripts_.end()) ++own;
    }
    return letters == 0 ? 100 : 100.0 * static_cast<double>(own) / static_cast<double>(letters);
}

std::int64_t Language::count_words(const std::u32string& text) const {
    std::int64_t words = 0, dense = 0;
    bool inside = false;
    for (const char32_t point : text) {
        const bool counts = is_letter(point) || is_digit(point);
        if (!has_spaces() && counts && point >= 0x0E00) {
            ++dense;
            inside = false;
        } else if (is_space(point)) {
            inside = false;
        } else if (counts && !inside) {
            inside = true;
            ++words;
        }
    }
    return words + (dense + 1) / 2;
}

std::pair<Language, Language> parse_language_pair(const std::string& pair, const std::string& where) {
    const auto dash = pair.find('-');
    if (dash == std::string::npos || dash == 0 || dash + 1 == pair.size()) {
        throw Error(ErrorKind::config, where, "'" + pair + "' is not a language pair", "write it as in it-en");
    }
    return {Language(pair.substr(0, dash), where), Language(pair.substr(dash + 1), where)};
}

}  // namespace permille
