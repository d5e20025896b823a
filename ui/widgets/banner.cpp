#include "ui/widgets/banner.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QStyle>
#include <QToolButton>

namespace permille::ui {

using namespace Qt::StringLiterals;

Banner::Banner(QWidget* parent) : QFrame(parent), text_(new QLabel) {
    setProperty("banner", u"note"_s);
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(12, 8, 6, 8);
    text_->setWordWrap(true);
    text_->setTextFormat(Qt::RichText);
    text_->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    auto* close = new QToolButton;
    close->setText(u"✕"_s);
    close->setAutoRaise(true);
    close->setToolTip(tr("Close this message"));
    close->setAccessibleName(tr("Close this message"));
    connect(close, &QToolButton::clicked, this, &QWidget::hide);
    layout->addWidget(text_, 1);
    layout->addWidget(close, 0, Qt::AlignTop);
    hide();
}

void Banner::showProblem(const Problem& problem) {
    const QString what = problem.where.isEmpty() ? problem.what : problem.where + u": "_s + problem.what;
    present(u"problem"_s, what, problem.fix);
}

void Banner::showNote(const QString& note) { present(u"note"_s, note, {}); }

QString Banner::message() const { return isHidden() ? QString() : text_->accessibleName(); }

void Banner::present(const QString& level, const QString& title, const QString& detail) {
    setProperty("banner", level);
    style()->unpolish(this);
    style()->polish(this);
    QString html = title.toHtmlEscaped();
    if (level == u"problem"_s) html = u"<b>"_s + html + u"</b>"_s;
    if (!detail.isEmpty()) html += u"<br>"_s + detail.toHtmlEscaped();
    text_->setText(html);
    text_->setAccessibleName(detail.isEmpty() ? title : title + u"; "_s + detail);
    setVisible(true);
}

}  // namespace permille::ui
