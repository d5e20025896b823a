// The steps that mteval's tokenisation of Western languages is made of; BLEU's and TER's tokenizers share them.
#pragma once

#include <string_view>

#include "core/metrics/characters.h"

namespace permille {

void replace_all(Characters& text, std::u32string_view from, std::u32string_view to);

// Puts blanks around every character that fits.
template <class Fits>
Characters set_apart(std::u32string_view text, Fits&& fits) {
    Characters result;
    result.reserve(text.size() * 2);
    for (const char32_t c : text) {
        if (fits(c)) result.append({U' ', c, U' '});
        else result += c;
    }
    return result;
}

// Replaces pairs of neighbours that fit, left to right and without overlap, by "a b " or " a b".
enum class Blank { after_both, before_both };
template <class First, class Second>
Characters part_pairs(std::u32string_view text, First&& first, Second&& second, Blank blank) {
    Characters result;
    result.reserve(text.size() + text.size() / 4);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (i + 1 < text.size() && first(text[i]) && second(text[i + 1])) {
            if (blank == Blank::after_both) result.append({text[i], U' ', text[i + 1], U' '});
            else result.append({U' ', text[i], U' ', text[i + 1]});
            ++i;
        } else {
            result += text[i];
        }
    }
    return result;
}

// &quot; &amp; &lt; &gt;
void replace_entities(Characters& text);
// ASCII punctuation but ' , - . set apart.
Characters punctuation_set_apart(std::u32string_view text);
// Points and commas set apart unless between digits, and a dash that follows a digit.
Characters points_set_apart(std::u32string_view text);

}  // namespace permille
