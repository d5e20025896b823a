// A titled part of a page that can be folded.
#pragma once

#include <QFrame>

class QLabel;
class QToolButton;

namespace permille::ui {

class Section : public QFrame {
    Q_OBJECT
public:
    Section(const QString& title, QWidget* content, QWidget* parent = nullptr);
    // Shows the arrow and lets the title fold the content.
    void setFoldable(bool open);
    // A short text at the right of the title ("2 changed").
    void setNote(const QString& note);
    void setOpen(bool open);

private:
    QLabel* heading_;
    QToolButton* title_;  // instead of the heading where the section can be folded
    QLabel* note_;
    QWidget* content_;
};

}  // namespace permille::ui
