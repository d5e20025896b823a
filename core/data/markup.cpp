#include "core/data/markup.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "core/data/unicode.h"

namespace permille {
namespace {

constexpr std::array<std::pair<std::string_view, char32_t>, 21> kReferences{{
    {"amp", U'&'},     {"lt", U'<'},       {"gt", U'>'},      {"quot", U'"'},    {"apos", U'\''},   {"nbsp", U' '},    {"ndash", 0x2013},
    {"mdash", 0x2014}, {"hellip", 0x2026}, {"lsquo", 0x2018}, {"rsquo", 0x2019}, {"ldquo", 0x201C}, {"rdquo", 0x201D}, {"laquo", 0xAB},
    {"raquo", 0xBB},   {"copy", 0xA9},     {"reg", 0xAE},     {"times", 0xD7},   {"deg", 0xB0},     {"middot", 0xB7},  {"eacute", 0xE9},
}};

// Names that are tags even when they stand alone.
constexpr std::array<std::string_view, 12> kLoneTags{"br", "hr", "img", "li", "p", "b", "i", "u", "tt", "em", "small", "wbr"};

bool is_alpha(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == ':' || c == '.'; }

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

// The tag that begins at text[at] == '<': its length, 0 when it is none.
std::size_t tag_length(std::string_view text, std::size_t at) {
    const std::size_t end = text.find_first_of("<>", at + 1);
    if (end == std::string_view::npos || text[end] != '>') return 0;
    const std::string_view inside = text.substr(at + 1, end - at - 1);
    if (inside.empty()) return 0;
    if (inside.starts_with("!--") || inside.starts_with("?")) return end - at + 1;
    const bool closing = inside.front() == '/';
    std::size_t length = closing ? 1 : 0;
    if (length >= inside.size() || !is_alpha(inside[length])) return 0;
    while (length < inside.size() && is_name(inside[length])) ++length;
    const std::string_view name = inside.substr(closing ? 1 : 0, length - (closing ? 1 : 0));
    const std::string_view rest = inside.substr(length);
    if (!rest.empty() && rest.find('=') == std::string_view::npos && rest.find_first_not_of(" /") != std::string_view::npos) return 0;
    const bool known = closing || inside.back() == '/' || rest.find('=') != std::string_view::npos ||
                       std::find(kLoneTags.begin(), kLoneTags.end(), lower(name)) != kLoneTags.end() ||
                       text.find("</" + std::string(name) + ">", end) != std::string_view::npos ||
                       text.find("</>", end) != std::string_view::npos || name.starts_with("color_");
    return known ? end - at + 1 : 0;
}

// Where the one accelerator mark stands, or npos: before a letter or digit, at the start or after a blank, a bracket or a letter.
std::size_t accelerator_at(const std::string& text, char mark) {
    const std::size_t at = text.find(mark);
    if (at == std::string::npos || text.find(mark, at + 1) != std::string::npos || at + 1 >= text.size()) return std::string::npos;
    const auto next = static_cast<unsigned char>(text[at + 1]);
    if (next < 0x80 && !std::isalnum(next)) return std::string::npos;
    if (at == 0) return at;
    const auto before = static_cast<unsigned char>(text[at - 1]);
    return before >= 0x80 || std::isalpha(before) || before == ' ' || before == '(' || before == '"' || before == '\'' ? at
                                                                                                                       : std::string::npos;
}

std::string word_around(const std::string& text, std::size_t at) {
    const std::size_t begin = text.find_last_of(' ', at) + 1;  // npos + 1 is 0
    return text.substr(begin, std::min(text.find(' ', at), text.size()) - begin);
}

// "(_F)" as Chinese and Japanese write it, with the blank before it.
bool strip_bracketed(std::string& text, char mark) {
    for (std::size_t at = text.find('('); at != std::string::npos; at = text.find('(', at + 1)) {
        if (at + 3 >= text.size() || text[at + 1] != mark || text[at + 3] != ')') continue;
        if (!std::isalnum(static_cast<unsigned char>(text[at + 2]))) continue;
        const std::size_t begin = at > 0 && text[at - 1] == ' ' ? at - 1 : at;
        text.erase(begin, at + 4 - begin);
        return true;
    }
    return false;
}

}  // namespace

std::string decode_references(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::size_t end = text[i] == '&' ? text.find(';', i) : std::string_view::npos;
        if (end == std::string_view::npos || end - i > 10 || end == i + 1) {
            result += text[i];
            continue;
        }
        const std::string name(text.substr(i + 1, end - i - 1));
        char32_t point = 0;
        if (name.front() == '#') {
            const bool hexadecimal = name.size() > 1 && (name[1] == 'x' || name[1] == 'X');
            const unsigned long value = std::strtoul(name.c_str() + (hexadecimal ? 2 : 1), nullptr, hexadecimal ? 16 : 10);
            if (value >= 0x20 && value < 0x110000 && (value < 0xD800 || value > 0xDFFF)) point = static_cast<char32_t>(value);
        } else {
            for (const auto& [known, character] : kReferences) {
                if (name == known) point = character;
            }
        }
        if (point == 0) {
            result += text[i];
            continue;
        }
        result += to_utf8({&point, 1});
        i = end;
    }
    return result;
}

std::string strip_markup(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t link_end = text.substr(i, 2) == "[[" ? text.find("]]", i) : std::string_view::npos;
        if (link_end != std::string_view::npos) {
            const std::string_view link = text.substr(i + 2, link_end - i - 2);
            const std::size_t bar = link.rfind('|');
            result += bar == std::string_view::npos ? link : link.substr(bar + 1);
            i = link_end + 2;
            continue;
        }
        const std::size_t length = text[i] == '<' ? tag_length(text, i) : 0;
        if (length == 0) {
            result += text[i++];
            continue;
        }
        // A line break or a new item is a blank; other tags stand inside words too.
        const std::string name = lower(text.substr(i + 1, 2));
        if (name == "br" || name == "p>" || name == "li" || name == "/p") result += ' ';
        i += length;
    }
    return decode_references(result);
}

void strip_accelerators(std::string& source, std::string& target) {
    // LyX: "Close All Notes|l"
    for (std::string* text : {&source, &target}) {
        if (text->size() > 4 && (*text)[text->size() - 2] == '|' && is_alpha(text->back())) text->resize(text->size() - 2);
    }
    for (const char mark : {'_', '&', '~'}) {
        const bool bracketed_source = strip_bracketed(source, mark), bracketed_target = strip_bracketed(target, mark);
        const std::size_t in_source = bracketed_source ? std::string::npos : accelerator_at(source, mark);
        const std::size_t in_target = bracketed_target ? std::string::npos : accelerator_at(target, mark);
        const bool is_a_name = in_source != std::string::npos && in_target != std::string::npos && in_source > 0 &&
                               source[in_source - 1] != ' ' && word_around(source, in_source) == word_around(target, in_target);
        if (is_a_name) continue;
        // A mark inside a word is an accelerator only when the other side has one as well.
        const bool both = (in_source != std::string::npos || bracketed_source) && (in_target != std::string::npos || bracketed_target);
        const auto strip = [both](std::string& text, std::size_t at) {
            if (at != std::string::npos && (both || at == 0 || text[at - 1] == ' ')) text.erase(at, 1);
        };
        strip(source, in_source);
        strip(target, in_target);
    }
}

}  // namespace permille
