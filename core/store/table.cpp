#include "core/store/table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

#include "core/base/error.h"

namespace permille {

namespace {

struct Range {
    char32_t first, last;
};

// East Asian wide and full-width blocks (Unicode TR 11), and marks that take no room; blocks suffice for aligning a table.
constexpr std::array<Range, 13> kWide = {{{0x1100, 0x115f},
                                          {0x2e80, 0x303e},
                                          {0x3041, 0x33ff},
                                          {0x3400, 0x4dbf},
                                          {0x4e00, 0x9fff},
                                          {0xa000, 0xa4cf},
                                          {0xac00, 0xd7a3},
                                          {0xf900, 0xfaff},
                                          {0xfe30, 0xfe6f},
                                          {0xff00, 0xff60},
                                          {0xffe0, 0xffe6},
                                          {0x1f300, 0x1faff},
                                          {0x20000, 0x3fffd}}};
constexpr std::array<Range, 8> kNoRoom = {{{0x0300, 0x036f},
                                           {0x0591, 0x05bd},
                                           {0x0610, 0x061a},
                                           {0x064b, 0x065f},
                                           {0x093c, 0x093c},
                                           {0x0941, 0x0948},
                                           {0x200b, 0x200f},
                                           {0xfe00, 0xfe0f}}};

template <std::size_t N>
bool inside(const std::array<Range, N>& ranges, char32_t c) {
    return std::any_of(ranges.begin(), ranges.end(), [c](const Range& range) { return c >= range.first && c <= range.last; });
}

// Independent of the locale, which the window sets to the user's.
std::string fixed(double value, int decimals) {
    std::array<char, 400> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, decimals).ptr;
    return {text.data(), end};
}

std::string three_digits(double value) {
    if (value == 0) return "0";
    // The exponent after rounding: 9.996 is 10.0.
    std::array<char, 64> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific, 2).ptr;
    const std::string rounded(text.data(), end);
    int exponent = 0;
    const char* digits = rounded.data() + rounded.find('e') + 1;
    if (*digits == '+') ++digits;
    std::from_chars(digits, rounded.data() + rounded.size(), exponent);
    return fixed(value, std::clamp(2 - exponent, 0, 12));
}

std::string duration(double seconds) {
    if (seconds < 9.95) return fixed(seconds, 1) + " s";
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    const auto two = [](std::int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
    if (whole < 60) return std::to_string(whole) + " s";
    if (whole < 3600) return std::to_string(whole / 60) + " m " + two(whole % 60) + " s";
    return std::to_string(whole / 3600) + " h " + two(whole / 60 % 60) + " m";
}

bool is_number(ColumnKind kind) { return kind != ColumnKind::text && kind != ColumnKind::other; }

std::string in_full(const Json& value) {
    if (value.is_null()) return {};
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float() && !std::isfinite(value.get<double>()))
        return std::isnan(value.get<double>()) ? "nan" : value.get<double>() > 0 ? "inf" : "-inf";
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string csv_cell(const std::string& text) {
    if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
    return quoted + "\"";
}

std::string one_line(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
    return text;
}

std::string markdown_cell(const std::string& text) {
    std::string escaped;
    for (const char c : one_line(text)) {
        if (c == '|' || c == '\\') escaped += '\\';
        escaped += c;
    }
    return escaped;
}

std::string latex_cell(const std::string& text) {
    std::string escaped;
    for (const char c : one_line(text)) {
        switch (c) {
            case '&':
            case '%':
            case '$':
            case '#':
            case '_':
            case '{':
            case '}': escaped.append(1, '\\').append(1, c); break;
            case '~': escaped += "\\textasciitilde{}"; break;
            case '^': escaped += "\\textasciicircum{}"; break;
            case '\\': escaped += "\\textbackslash{}"; break;
            case '<': escaped += "\\textless{}"; break;
            case '>': escaped += "\\textgreater{}"; break;
            default: escaped += c;
        }
    }
    return escaped;
}

// The part of the table that people see, as text.
struct Shown {
    std::vector<std::string> titles;
    std::vector<bool> right;
    std::vector<std::vector<std::string>> rows;
};

Shown for_people(const Table& table) {
    Shown result;
    for (const auto& column : table.columns) {
        if (!column.for_people) continue;
        result.titles.push_back(column.title);
        result.right.push_back(is_number(column.kind));
    }
    for (const auto& row : table.rows) {
        std::vector<std::string> cells;
        for (std::size_t i = 0; i < table.columns.size(); ++i)
            if (table.columns[i].for_people) cells.push_back(one_line(shown(row[i], table.columns[i].kind)));
        result.rows.push_back(std::move(cells));
    }
    return result;
}

std::string aligned(const Shown& table) {
    std::vector<std::size_t> widths;
    for (const auto& title : table.titles) widths.push_back(display_width(title));
    for (const auto& row : table.rows)
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
    std::string text;
    const auto line = [&](const std::vector<std::string>& cells) {
        std::string out;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            const std::string room(widths[i] - display_width(cells[i]), ' ');
            out += (i ? "  " : "") + (table.right[i] ? room + cells[i] : cells[i] + room);
        }
        out.erase(out.find_last_not_of(' ') + 1);
        text += out + "\n";
    };
    line(table.titles);
    std::vector<std::string> rules;
    for (const auto width : widths) rules.emplace_back(width, '-');
    line(rules);
    for (const auto& row : table.rows) line(row);
    return text;
}

std::string markdown(const Shown& table) {
    std::string text = "|", rule = "|";
    for (std::size_t i = 0; i < table.titles.size(); ++i) {
        text += " " + markdown_cell(table.titles[i]) + " |";
        rule += table.right[i] ? " ---: |" : " --- |";
    }
    text += "\n" + rule + "\n";
    for (const auto& row : table.rows) {
        text += "|";
        for (const auto& cell : row) text += " " + markdown_cell(cell) + " |";
        text += "\n";
    }
    return text;
}

std::string latex(const Shown& table) {
    std::string text = "% needs \\usepackage{booktabs}\n\\begin{tabular}{";
    for (const bool right : table.right) text += right ? 'r' : 'l';
    text += "}\n\\toprule\n";
    const auto line = [&](const std::vector<std::string>& cells) {
        for (std::size_t i = 0; i < cells.size(); ++i) text += (i ? " & " : "") + latex_cell(cells[i]);
        text += " \\\\\n";
    };
    line(table.titles);
    text += "\\midrule\n";
    for (const auto& row : table.rows) line(row);
    return text + "\\bottomrule\n\\end{tabular}\n";
}

std::string separated(const Table& table, TableFormat format) {
    std::string text;
    const auto cell = [&](const std::string& value) { return format == TableFormat::csv ? csv_cell(value) : one_line(value); };
    const char* separator = format == TableFormat::csv ? "," : "\t";
    for (std::size_t i = 0; i < table.columns.size(); ++i) text += (i ? separator : "") + cell(table.columns[i].name);
    text += "\n";
    for (const auto& row : table.rows) {
        for (std::size_t i = 0; i < row.size(); ++i) text += (i ? separator : "") + cell(in_full(row[i]));
        text += "\n";
    }
    return text;
}

std::string json_array(const Table& table) {
    Json list = Json::array();
    for (const auto& row : table.rows) {
        Json object = Json::object();
        for (std::size_t i = 0; i < row.size(); ++i) object[table.columns[i].name] = row[i];
        list.push_back(std::move(object));
    }
    return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

TableFormat table_format(const std::string& name, const std::string& where) {
    const std::vector<std::string> known = {"table", "csv", "tsv", "json", "md", "latex"};
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) throw Error(ErrorKind::usage, where, "'" + name + "' is not a format", "choose one of " + list_some(known));
    return static_cast<TableFormat>(found - known.begin());
}

std::string render(const Table& table, TableFormat format) {
    switch (format) {
        case TableFormat::table: return aligned(for_people(table));
        case TableFormat::md: return markdown(for_people(table));
        case TableFormat::latex: return latex(for_people(table));
        case TableFormat::csv:
        case TableFormat::tsv: return separated(table, format);
        case TableFormat::json: return json_array(table);
    }
    return {};
}

std::string shown(const Json& value, ColumnKind kind) {
    if (!value.is_number() || kind == ColumnKind::text || kind == ColumnKind::other) return in_full(value);
    const double number = value.get<double>();
    if (!std::isfinite(number)) return in_full(value);
    switch (kind) {
        case ColumnKind::whole: return in_full(value);
        case ColumnKind::score: return fixed(number, 1);
        case ColumnKind::percent: return three_digits(number);
        case ColumnKind::seconds: return duration(number);
        case ColumnKind::bytes: return fixed(number / 1048576.0, 0) + " MiB";
        case ColumnKind::text:
        case ColumnKind::other: break;
    }
    return {};
}

std::size_t display_width(const std::string& text) {
    std::size_t width = 0;
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const std::size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
        char32_t c = length == 1 ? byte : byte & (0xffU >> (length + 1));
        for (std::size_t j = 1; j < length && i + j < text.size(); ++j) c = (c << 6) | (static_cast<unsigned char>(text[i + j]) & 0x3fU);
        i += length;
        if (!inside(kNoRoom, c)) width += inside(kWide, c) ? 2 : 1;
    }
    return width;
}

}  // namespace permille
