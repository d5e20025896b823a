#include "core/metrics/characters.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <cstdint>

namespace permille {

namespace {

// Calls fn(character, offset) for each; stops at the first that is not UTF-8 and returns its offset, else npos.
template <class Function>
std::size_t each_character(std::string_view text, Function&& fn) {
    const char* bytes = text.data();
    const auto size = static_cast<std::int64_t>(text.size());
    for (std::int64_t at = 0; at < size;) {
        const std::int64_t start = at;
        UChar32 character = static_cast<unsigned char>(bytes[at]);
        if (character < 0x80) ++at;
        else U8_NEXT(bytes, at, size, character);
        if (character < 0) return static_cast<std::size_t>(start);
        fn(static_cast<char32_t>(character));
    }
    return std::string_view::npos;
}

std::uint32_t category(char32_t character) { return U_MASK(u_charType(static_cast<UChar32>(character))); }

}  // namespace

std::size_t first_bad_byte(std::string_view text) {
    return each_character(text, [](char32_t) {});
}

Characters characters_of(std::string_view valid_utf8) {
    Characters result;
    result.reserve(valid_utf8.size());
    each_character(valid_utf8, [&](char32_t character) { result += character; });
    return result;
}

std::string utf8_of(std::u32string_view text) {
    std::string result;
    for (const char32_t character : text) {
        char bytes[U8_MAX_LENGTH];
        std::int32_t count = 0;
        U8_APPEND_UNSAFE(bytes, count, static_cast<UChar32>(character));
        result.append(bytes, static_cast<std::size_t>(count));
    }
    return result;
}

std::string lowercased(std::string_view valid_utf8) {
    icu::UnicodeString text = icu::UnicodeString::fromUTF8({valid_utf8.data(), static_cast<std::int32_t>(valid_utf8.size())});
    std::string result;
    text.toLower(icu::Locale::getRoot()).toUTF8String(result);
    return result;
}

bool is_blank(char32_t character) {
    if (character < 0x80) return character == ' ' || (character >= 9 && character <= 13) || (character >= 0x1c && character <= 0x1f);
    if (category(character) & U_GC_ZS_MASK) return true;
    const auto direction = u_charDirection(static_cast<UChar32>(character));
    return direction == U_WHITE_SPACE_NEUTRAL || direction == U_BLOCK_SEPARATOR || direction == U_SEGMENT_SEPARATOR;
}

bool is_number(char32_t character) { return (category(character) & U_GC_N_MASK) != 0; }

bool is_punctuation(char32_t character) { return (category(character) & U_GC_P_MASK) != 0; }

bool is_symbol(char32_t character) { return (category(character) & U_GC_S_MASK) != 0; }

std::u32string_view without_end_blanks(std::u32string_view text) {
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

std::u32string_view without_outer_blanks(std::u32string_view text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    return without_end_blanks(text);
}

std::vector<std::u32string_view> words_of(std::u32string_view text) {
    std::vector<std::u32string_view> words;
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i < text.size() && !is_blank(text[i])) continue;
        if (i > begin) words.push_back(text.substr(begin, i - begin));
        begin = i + 1;
    }
    return words;
}

}  // namespace permille
