// Text as characters, seen as Python sees it: the reference scores are Python's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace permille {

using Characters = std::u32string;

// The offset of the first byte that is not UTF-8, or npos.
std::size_t first_bad_byte(std::string_view text);
Characters characters_of(std::string_view valid_utf8);
std::string utf8_of(std::u32string_view text);
// str.lower(): the whole of Unicode, final sigma and the dotted I included.
std::string lowercased(std::string_view valid_utf8);

// str.isspace() of one character.
bool is_blank(char32_t character);
bool is_number(char32_t character);       // \p{N}
bool is_punctuation(char32_t character);  // \p{P}
bool is_symbol(char32_t character);       // \p{S}

// str.rstrip(), str.strip() and str.split(). The words point into the text.
std::u32string_view without_end_blanks(std::u32string_view text);
std::u32string_view without_outer_blanks(std::u32string_view text);
std::vector<std::u32string_view> words_of(std::u32string_view text);

}  // namespace permille
