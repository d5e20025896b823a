// What the shell knows of a page, and what a page may ask of the window that shows it.
#pragma once

#include <QWidget>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ui/bridge/problem.h"
#include "ui/bridge/run_controller.h"
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

// The window as a page sees it: the database, the runner, and what is done elsewhere in the window. It outlives its pages.
class PageHost {
public:
    virtual ~PageHost() = default;

    virtual StoreWatcher& watcher() = 0;
    virtual RunController& runner() = 0;
    // Names of the bases that came with the program.
    virtual const std::vector<std::string>& bundledBases() const = 0;

    // In the status bar, for a few seconds.
    virtual void note(const QString& words, int milliseconds) = 0;
    // Runs `then` once the user has agreed.
    virtual void ask(const QString& question, const QString& yes, const std::function<void()>& then) = 0;
    // On the page of runs.
    virtual void showRun(qint64 run) = 0;

    // The study that is being put together is the window's document.
    virtual void useBase(const std::string& base) = 0;
    virtual void startStudy(const Study& study) = 0;
    virtual void copyCommand() = 0;
    virtual void studyChanged() = 0;
};

// One line of the table of pages (ui/pages/pages.cpp).
struct PageEntry {
    std::string id;  // "chart": as --page calls it
    QString name;    // "&Chart": in the menu and the navigation
    QString icon;    // a file of resources/icons
    // Makes the page and connects it with the window.
    std::function<Page*(PageHost& window)> make;
};

}  // namespace permille::ui
