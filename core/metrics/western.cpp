#include "core/metrics/western.h"

#include <utility>

namespace permille {

namespace {

bool is_ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_no_digit(char32_t c) { return !is_ascii_digit(c); }
bool is_point(char32_t c) { return c == '.' || c == ','; }

}  // namespace

void replace_all(Characters& text, std::u32string_view from, std::u32string_view to) {
    std::size_t at = text.find(from);
    if (at == Characters::npos) return;
    Characters result;
    std::size_t begin = 0;
    for (; at != Characters::npos; at = text.find(from, begin)) {
        result.append(text, begin, at - begin).append(to);
        begin = at + from.size();
    }
    text = std::move(result.append(text, begin));
}

void replace_entities(Characters& text) {
    replace_all(text, U"&quot;", U"\"");
    replace_all(text, U"&amp;", U"&");
    replace_all(text, U"&lt;", U"<");
    replace_all(text, U"&gt;", U">");
}

Characters punctuation_set_apart(std::u32string_view text) {
    return set_apart(text, [](char32_t c) {
        return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') ||
               (c >= ':' && c <= '@') || c == '/';
    });
}

Characters points_set_apart(std::u32string_view text) {
    Characters line = part_pairs(text, is_no_digit, is_point, Blank::after_both);
    line = part_pairs(line, is_point, is_no_digit, Blank::before_both);
    return part_pairs(
        line, is_ascii_digit, [](char32_t c) { return c == '-'; }, Blank::after_both);
}

}  // namespace permille
