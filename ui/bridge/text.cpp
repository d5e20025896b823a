#include "ui/bridge/text.h"

#include <QDateTime>
#include <QLocale>
#include <QStringList>
#include <cmath>

namespace permille::ui {

using namespace Qt::StringLiterals;

QString shown_count(std::int64_t count) { return QLocale(QLocale::English).toString(static_cast<qlonglong>(count)); }

QString shown_bytes(std::int64_t bytes) {
    static const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
    double size = static_cast<double>(bytes);
    int unit = 0;
    while (size >= 1000 && unit < 4) size /= 1000, ++unit;
    return QString::number(size, 'f', unit > 0 && size < 10 ? 1 : 0) + u' ' + QString::fromLatin1(units[unit]);
}

QString shown_duration(double seconds) {
    if (!(seconds >= 0)) return {};
    const auto whole = static_cast<qint64>(std::llround(seconds));
    const qint64 hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
    if (hours >= 48) return u"%1 days"_s.arg(hours / 24);
    if (hours > 0) return u"%1 h %2 min"_s.arg(hours).arg(minutes, 2, 10, QChar(u'0'));
    if (minutes > 0) return u"%1 min %2 s"_s.arg(minutes).arg(rest, 2, 10, QChar(u'0'));
    return u"%1 s"_s.arg(rest);
}

QString shown_percent(double percent) {
    if (std::isnan(percent)) return u"–"_s;
    const double size = std::abs(percent);
    const int digits = size == 0 || size >= 99.995 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
    QString number = QString::number(percent, 'f', digits);
    while (number.contains(u'.') && (number.endsWith(u'0') || number.endsWith(u'.'))) number.chop(1);
    return number + u"\u202f%"_s;
}

QString shown_budget(const Budget& budget) {
    if (budget.unit == Budget::Unit::percent && !budget.at_most) return shown_percent(budget.amount);
    return text(format_budget(budget));
}

QString shown_time(double unix_seconds) {
    if (unix_seconds <= 0) return {};
    return QDateTime::fromMSecsSinceEpoch(static_cast<qint64>(unix_seconds * 1000)).toString(u"yyyy-MM-dd HH:mm:ss"_s);
}

QString shown_value(const Json& value) {
    if (value.is_string()) return text(value.get<std::string>());
    if (value.is_number_float()) return QString::number(value.get<double>(), 'g', 6);
    return text(value.dump());
}

QString shown_settings(const Json& settings) {
    QStringList parts;
    if (settings.is_object())
        for (const auto& [key, value] : settings.items()) parts << text(key) + u' ' + shown_value(value);
    return parts.join(u", "_s);
}

QString shown_name(const std::string& field) {
    QString name = text(field).replace(u'_', u' ');
    if (!name.isEmpty()) name[0] = name[0].toUpper();
    return name;
}

QString shown_language(const std::string& code) {
    const QLocale locale(text(code.substr(0, code.find('_'))));
    if (locale.language() == QLocale::C) return text(code);
    return QLocale::languageToString(locale.language());
}

}  // namespace permille::ui
