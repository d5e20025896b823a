// A table of values, and the ways to write it: for people (aligned text, Markdown, LaTeX) rounded, for programs (CSV, TSV, JSON) in full.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"

namespace permille {

// How a column's numbers are shown to people: a score has one decimal (20.4), a percentage three significant digits (0.523), a duration is
// 1 h 05 m, a size is in MiB.
enum class ColumnKind { text, whole, score, percent, seconds, bytes, other };

struct Column {
    std::string name;   // in CSV and JSON
    std::string title;  // for people
    ColumnKind kind = ColumnKind::text;
    bool for_people = true;  // false: only in CSV, TSV and JSON
};

struct Table {
    std::vector<Column> columns;
    std::vector<std::vector<Json>> rows;  // as many cells as columns; null: not known
};

enum class TableFormat { table, csv, tsv, json, md, latex };

// "table", "csv", ...; throws Error(usage) with the known ones.
TableFormat table_format(const std::string& name, const std::string& where);

// With a newline at its end. table: columns aligned by display width (East Asian characters count two); latex: a booktabs tabular.
std::string render(const Table& table, TableFormat format);

// One value as people see it; "" for null and "nan" for a number that is none.
std::string shown(const Json& value, ColumnKind kind);
// The columns that a terminal needs for the text (UTF-8).
std::size_t display_width(const std::string& text);

}  // namespace permille
