// Text as code points: what cleaning and splitting look at. All text inside the program is UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace permille {

// Bytes that are not UTF-8 become U+FFFD.
std::u32string code_points(std::string_view text);
std::string to_utf8(std::u32string_view points);

// The offset of the first byte that is not UTF-8, or npos. NUL bytes count as wrong: no text has them.
std::size_t invalid_utf8_at(std::string_view text);

// From any encoding that ICU knows ("ISO-8859-2", "UTF-16") to UTF-8. Throws Error(file) when the encoding is unknown or the bytes do not
// fit.
std::string from_encoding(std::string_view bytes, const std::string& encoding, const std::string& where);

bool is_space(char32_t point);
bool is_letter(char32_t point);  // marks that belong to letters included, as in Devanagari
bool is_digit(char32_t point);
bool is_lower(char32_t point);
bool is_upper(char32_t point);
char32_t to_lower(char32_t point);

// Spaces of all kinds, controls and line ends become single blanks; none at the ends; soft hyphens and zero-width blanks go.
std::string single_spaced(std::string_view text);

// Lower-case letters and digits only: equal for texts that differ in case, punctuation or spacing.
std::string folded(std::string_view text);

// The same on every machine and in every version: splits and orders depend on it.
std::uint64_t stable_hash(std::string_view text);

}  // namespace permille
