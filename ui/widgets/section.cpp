#include "ui/widgets/section.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QToolButton>
#include <QVBoxLayout>

namespace permille::ui {

Section::Section(const QString& title, QWidget* content, QWidget* parent)
    : QFrame(parent), heading_(new QLabel(title)), title_(new QToolButton), note_(new QLabel), content_(content) {
    setProperty("card", true);
    heading_->setProperty("heading", true);
    title_->setText(title);
    title_->setProperty("heading", true);
    title_->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
    title_->setAutoRaise(true);
    title_->setCheckable(true);
    title_->hide();
    note_->setProperty("muted", true);
    auto* head = new QHBoxLayout;
    head->setContentsMargins(0, 0, 0, 0);
    head->addWidget(heading_);
    head->addWidget(title_);
    head->addStretch(1);
    head->addWidget(note_);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(14, 8, 14, 12);
    layout->setSpacing(8);
    layout->addLayout(head);
    layout->addWidget(content_);
}

void Section::setFoldable(bool open) {
    heading_->hide();
    title_->show();
    title_->setFocusPolicy(Qt::TabFocus);
    connect(title_, &QToolButton::toggled, this, [this](bool checked) {
        title_->setArrowType(checked ? Qt::DownArrow : Qt::RightArrow);
        content_->setVisible(checked);
    });
    title_->setArrowType(open ? Qt::DownArrow : Qt::RightArrow);
    title_->setChecked(open);
    content_->setVisible(open);
}

void Section::setNote(const QString& note) { note_->setText(note); }

void Section::setOpen(bool open) { title_->setChecked(open); }

}  // namespace permille::ui
