// A message above a page that does not stop anybody: what happened and what to do about it.
#pragma once

#include <QFrame>

#include "ui/bridge/problem.h"

class QLabel;

namespace permille::ui {

class Banner : public QFrame {
    Q_OBJECT
public:
    explicit Banner(QWidget* parent = nullptr);
    void showProblem(const Problem& problem);
    void showNote(const QString& note);
    QString message() const;

private:
    void present(const QString& level, const QString& title, const QString& detail);
    QLabel* text_;
};

}  // namespace permille::ui
