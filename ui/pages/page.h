// What the shell knows of a page.
#pragma once

#include <QWidget>

#include "ui/bridge/problem.h"
#include "ui/bridge/store_watcher.h"

namespace permille::ui {

class Page : public QWidget {
    Q_OBJECT
public:
    using QWidget::QWidget;
    // The database as it is now; called again whenever it has changed.
    virtual void setSnapshot(const SnapshotPtr& snapshot) = 0;
    // False while something that the page shows is still being worked out.
    virtual bool settled() const { return true; }

Q_SIGNALS:
    void failed(const permille::ui::Problem& problem);
    void noted(const QString& note);
    // Wants the run to be shown on the page of runs.
    void runActivated(qint64 run);
};

}  // namespace permille::ui
