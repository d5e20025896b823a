// Light and dark: the palette, the style sheet and the icons that go with it.
#pragma once

#include <QIcon>
#include <QString>

class QApplication;
class QPalette;

namespace permille::ui {

enum class Theme { system, light, dark };

// "system", "light" or "dark"; anything else is system.
Theme theme_named(const QString& name);
QString theme_name(Theme theme);

// Makes the compiled-in icons and style sheet available; the programs call it once before anything else of ui.
void use_resources();
// Fusion with our palette and style sheet; system follows what the desktop said when the program started.
void apply_theme(QApplication& application, Theme theme);

// An icon of resources/icons in the palette's text colour.
QIcon themed_icon(const QString& name, const QPalette& palette);

}  // namespace permille::ui
