// The window: menus, toolbar, navigation, pages and status bar. It holds the database's watcher and the runner, and connects them to the
// pages.
#pragma once

#include <QMainWindow>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "ui/bridge/run_controller.h"
#include "ui/bridge/store_watcher.h"
#include "ui/shell/theme.h"
#include "ui/widgets/banner.h"

class QActionGroup;
class QLabel;
class QProgressBar;
class QSettings;
class QStackedWidget;
class QToolButton;

namespace permille::ui {

class BasesPage;
class ChartPage;
class Page;
class ResultsPage;
class RunsPage;
class StudyPage;
class WelcomePage;

enum class PageId { study, runs, chart, results, bases };
// "study", "runs", "chart", "results" or "bases"; throws Error(usage) with the known ones.
PageId page_named(const std::string& name, const std::string& where);

class MainWindow : public QMainWindow {
    Q_OBJECT
public:
    struct Parts {
        std::vector<std::string> bundled_bases;
        std::filesystem::path example;  // the bundled study, empty when there is none
        MakeEngine engine = {};         // without it: core's
        // Asked before runs that go on are stopped for closing, and before changes to a study are lost; without it a dialog asks.
        std::function<bool(const QString& question)> confirm = {};
        QSettings* settings = nullptr;  // not owned; null: nothing is remembered
    };
    explicit MainWindow(Parts parts, QWidget* parent = nullptr);
    ~MainWindow() override;

    void openDatabase(const std::filesystem::path& file);
    bool openStudy(const std::filesystem::path& file);
    // A study that the database holds: into the form, and this page, or without one the chart when there are results. Waits until the
    // database has been read.
    void openStoredStudy(const std::string& name, std::optional<PageId> page = {});
    void showPage(PageId page);
    void showProblem(const Problem& problem);
    // Everything on the visible page has been read and worked out.
    bool settled() const;

    StudyPage* studyPage() const { return study_page_; }
    RunsPage* runsPage() const { return runs_page_; }
    ChartPage* chartPage() const { return chart_page_; }
    ResultsPage* resultsPage() const { return results_page_; }
    BasesPage* basesPage() const { return bases_page_; }
    Page* visiblePage() const;
    RunController& runner() { return runner_; }
    StoreWatcher& watcher() { return watcher_; }
    QString message() const { return banner_->message(); }

protected:
    void closeEvent(QCloseEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    void makePages();
    void makeActions();
    void makeMenus();
    void makeNavigation();
    void makeStatusBar();
    void connectRunner();
    void setIcons();

    void receive(const SnapshotPtr& snapshot);
    void showStatus();
    void updateActions();
    void updateTitle();
    void setTheme(Theme theme);

    void startStudy(const Study& study);
    void resumeStudy(const QString& name);
    void fillResumeMenu();
    void copyCommand();
    void showStoredStudy();
    // Runs `then` at once, or after the user has agreed to lose changes.
    void unlessModified(const std::function<void()>& then);
    void ask(const QString& question, const QString& yes, const std::function<void()>& then);
    void importTexts();
    void chooseDatabase();
    void chooseStudy();
    void saveStudy(const std::function<void()>& then = {});
    void saveStudyAs(const std::function<void()>& then = {});
    void exportChart();
    void exportTable();

    Parts parts_;
    StoreWatcher watcher_;
    RunController runner_;
    SnapshotPtr snapshot_;
    std::filesystem::path database_;
    PageId page_ = PageId::study;
    std::string wanted_study_;  // stands in the database, which is still being read
    std::optional<PageId> wanted_page_;
    bool welcome_done_ = false, close_when_done_ = false, close_agreed_ = false;
    Theme theme_ = Theme::system;

    Banner* banner_ = nullptr;
    QStackedWidget* stack_ = nullptr;
    WelcomePage* welcome_page_ = nullptr;
    StudyPage* study_page_ = nullptr;
    RunsPage* runs_page_ = nullptr;
    ChartPage* chart_page_ = nullptr;
    ResultsPage* results_page_ = nullptr;
    BasesPage* bases_page_ = nullptr;
    struct PageEntry {
        PageId id;
        Page* page;
        QAction* action;
        QToolButton* button;
        QString icon;
    };
    std::vector<PageEntry> pages_;
    struct IconEntry {
        QAction* action;
        QString icon;
    };
    std::vector<IconEntry> icons_;
    QAction *open_database_ = nullptr, *open_study_ = nullptr, *save_study_ = nullptr, *save_study_as_ = nullptr, *export_chart_ = nullptr,
            *export_table_ = nullptr, *import_texts_ = nullptr, *quit_ = nullptr, *start_ = nullptr, *stop_ = nullptr, *about_ = nullptr,
            *readme_ = nullptr, *refresh_ = nullptr;
    QMenu* resume_ = nullptr;
    QActionGroup* themes_ = nullptr;
    QLabel *state_ = nullptr, *eta_ = nullptr, *database_label_ = nullptr;
    QProgressBar* progress_ = nullptr;
};

}  // namespace permille::ui
