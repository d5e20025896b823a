// Between the core's UTF-8 strings and Qt's, and figures as people read them.
#pragma once

#include <QString>
#include <cstdint>
#include <filesystem>
#include <string>

#include "core/base/budget.h"
#include "core/base/json.h"

namespace permille::ui {

inline QString text(const std::string& utf8) { return QString::fromStdString(utf8); }
inline QString text(std::string_view utf8) { return QString::fromUtf8(utf8.data(), static_cast<qsizetype>(utf8.size())); }
inline QString text(const std::filesystem::path& path) { return QString::fromStdString(path.string()); }
inline std::string plain(const QString& text) { return text.toStdString(); }

// "1,234,567"
QString shown_count(std::int64_t count);
// "735 MB"
QString shown_bytes(std::int64_t bytes);
// "12 s", "4 min 05 s", "1 h 12 min"; "" when negative.
QString shown_duration(double seconds);
// "0.5 %", with as many digits as the size asks for.
QString shown_percent(double percent);
// "2 %", "at most 300k".
QString shown_budget(const Budget& budget);
// Local date and time; "" for 0.
QString shown_time(double unix_seconds);
// A value of a setting without quotes: 0.1, relu, true.
QString shown_value(const Json& value);
// "rank 8, alpha 16"
QString shown_settings(const Json& settings);
// "Learning rate" for learning_rate.
QString shown_name(const std::string& field);
// "Italian" for it, it_IT or ita_Latn; the code itself when it names no known language.
QString shown_language(const std::string& code);

}  // namespace permille::ui
