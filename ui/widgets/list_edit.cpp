#include "ui/widgets/list_edit.h"

#include "core/base/error.h"
#include "ui/bridge/text.h"

namespace permille::ui {

ListEdit::ListEdit(CheckItem check, QWidget* parent) : QLineEdit(parent), check_(std::move(check)) {
    connect(this, &QLineEdit::textChanged, this, [this] { judge(); });
}

std::vector<std::string> ListEdit::items() const {
    std::vector<std::string> items;
    for (const QString& part : text().split(u',', Qt::SkipEmptyParts)) {
        const QString item = part.trimmed();
        if (item.isEmpty()) continue;
        items.push_back(plain(item));
        check_(items.back());
    }
    return items;
}

QString ListEdit::problem() const {
    try {
        items();
        return {};
    } catch (const Error& error) {
        return ui::text(error.found()) + (error.fix().empty() ? QString() : QStringLiteral("; ") + ui::text(error.fix()));
    }
}

void ListEdit::judge() {
    const QString wrong = problem();
    if (!property("wrong").toBool()) tip_ = toolTip();
    setToolTip(wrong.isEmpty() ? tip_ : wrong);
    if (property("wrong").toBool() == wrong.isEmpty()) {
        setProperty("wrong", !wrong.isEmpty());
        setStyleSheet(styleSheet());  // makes the style sheet look at the property again
    }
}

}  // namespace permille::ui
