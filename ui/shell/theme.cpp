#include "ui/shell/theme.h"

#include <QApplication>
#include <QFile>
#include <QPainter>
#include <QPalette>
#include <QPixmap>
#include <QStyleFactory>
#include <QSvgRenderer>
#include <QVariant>

// Outside of any namespace, as Q_INIT_RESOURCE wants it.
static void init_workbench_resources() { Q_INIT_RESOURCE(workbench); }

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

struct Colours {
    QColor window, base, alternate, text, muted, border, button, accent, accent_text, hover, note, problem, scroll;
};

Colours light() {
    return {QColor(0xf4, 0xf5, 0xf7), QColor(0xff, 0xff, 0xff), QColor(0xf8, 0xf9, 0xfa), QColor(0x20, 0x25, 0x2b),
            QColor(0x63, 0x6b, 0x75), QColor(0xd9, 0xdd, 0xe2), QColor(0xfb, 0xfb, 0xfc), QColor(0x1f, 0x6f, 0xb2),
            QColor(0xff, 0xff, 0xff), QColor(0xe9, 0xec, 0xf0), QColor(0xe6, 0xf0, 0xf8), QColor(0xfb, 0xe9, 0xe6),
            QColor(0xc6, 0xcc, 0xd3)};
}

Colours dark() {
    return {QColor(0x15, 0x17, 0x1b), QColor(0x1b, 0x1e, 0x23), QColor(0x1f, 0x23, 0x28), QColor(0xe4, 0xe7, 0xea),
            QColor(0x98, 0xa1, 0xab), QColor(0x31, 0x37, 0x3f), QColor(0x25, 0x2a, 0x31), QColor(0x4a, 0x9b, 0xdc),
            QColor(0x0d, 0x11, 0x16), QColor(0x2a, 0x30, 0x37), QColor(0x1c, 0x2e, 0x3d), QColor(0x42, 0x24, 0x20),
            QColor(0x45, 0x4d, 0x57)};
}

QPalette palette_of(const Colours& c) {
    QPalette palette;
    palette.setColor(QPalette::Window, c.window);
    palette.setColor(QPalette::WindowText, c.text);
    palette.setColor(QPalette::Base, c.base);
    palette.setColor(QPalette::AlternateBase, c.alternate);
    palette.setColor(QPalette::Text, c.text);
    palette.setColor(QPalette::PlaceholderText, c.muted);
    palette.setColor(QPalette::Button, c.button);
    palette.setColor(QPalette::ButtonText, c.text);
    palette.setColor(QPalette::BrightText, c.text);
    palette.setColor(QPalette::ToolTipBase, c.base);
    palette.setColor(QPalette::ToolTipText, c.text);
    palette.setColor(QPalette::Highlight, c.accent);
    palette.setColor(QPalette::HighlightedText, c.accent_text);
    palette.setColor(QPalette::Link, c.accent);
    palette.setColor(QPalette::LinkVisited, c.accent);
    palette.setColor(QPalette::Light, c.base);
    palette.setColor(QPalette::Midlight, c.hover);
    palette.setColor(QPalette::Mid, c.border);
    palette.setColor(QPalette::Dark, c.border);
    palette.setColor(QPalette::Shadow, c.border);
    for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText})
        palette.setColor(QPalette::Disabled, role, c.muted);
    palette.setColor(QPalette::Disabled, QPalette::Highlight, c.border);
    palette.setColor(QPalette::Disabled, QPalette::HighlightedText, c.muted);
    return palette;
}

QString style_sheet(const Colours& c) {
    QFile file(u":/styles/workbench.qss"_s);
    if (!file.open(QIODevice::ReadOnly)) return {};
    QString sheet = QString::fromUtf8(file.readAll());
    const std::pair<QString, QColor> names[] = {{u"@window@"_s, c.window}, {u"@base@"_s, c.base},     {u"@alternate@"_s, c.alternate},
                                                {u"@text@"_s, c.text},     {u"@muted@"_s, c.muted},   {u"@border@"_s, c.border},
                                                {u"@button@"_s, c.button}, {u"@accent@"_s, c.accent}, {u"@accent_text@"_s, c.accent_text},
                                                {u"@hover@"_s, c.hover},   {u"@note@"_s, c.note},     {u"@problem@"_s, c.problem},
                                                {u"@scroll@"_s, c.scroll}};
    for (const auto& [name, colour] : names) sheet.replace(name, colour.name());
    return sheet;
}

}  // namespace

Theme theme_named(const QString& name) { return name == u"light"_s ? Theme::light : name == u"dark"_s ? Theme::dark : Theme::system; }

QString theme_name(Theme theme) { return theme == Theme::light ? u"light"_s : theme == Theme::dark ? u"dark"_s : u"system"_s; }

void use_resources() { init_workbench_resources(); }

void apply_theme(QApplication& application, Theme theme) {
    // Qt 6.4 does not tell what the desktop prefers; its palette from before ours does.
    if (!application.property("desktop_is_dark").isValid())
        application.setProperty("desktop_is_dark", application.palette().color(QPalette::Window).lightnessF() < 0.5f);
    const bool is_dark = theme == Theme::dark || (theme == Theme::system && application.property("desktop_is_dark").toBool());
    const Colours colours = is_dark ? dark() : light();
    QApplication::setStyle(QStyleFactory::create(u"Fusion"_s));
    QApplication::setPalette(palette_of(colours));
    application.setStyleSheet(style_sheet(colours));
}

QIcon themed_icon(const QString& name, const QPalette& palette) {
    QFile file(u":/icons/%1.svg"_s.arg(name));
    if (!file.open(QIODevice::ReadOnly)) return {};
    const QString drawing = QString::fromUtf8(file.readAll());
    QIcon icon;
    const auto add = [&](const QColor& colour, QIcon::Mode mode) {
        QSvgRenderer renderer(QString(drawing).replace(u"currentColor"_s, colour.name()).toUtf8());
        for (const int size : {16, 20, 24, 32, 48}) {
            QPixmap pixmap(size, size);
            pixmap.fill(Qt::transparent);
            QPainter painter(&pixmap);
            renderer.render(&painter);
            painter.end();
            icon.addPixmap(pixmap, mode);
        }
    };
    add(palette.color(QPalette::Active, QPalette::WindowText), QIcon::Normal);
    QColor pale = palette.color(QPalette::Active, QPalette::PlaceholderText);
    pale.setAlphaF(0.5f);
    add(pale.lighter(110), QIcon::Disabled);
    return icon;
}

}  // namespace permille::ui
