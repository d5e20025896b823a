// The window: menus, toolbar, navigation, pages and status bar. It holds the database's watcher and the runner, and connects them to the
// pages.
#pragma once

#include <QMainWindow>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "ui/pages/page.h"
#include "ui/shell/theme.h"
#include "ui/widgets/banner.h"

class QActionGroup;
class QLabel;
class QProgressBar;
class QSettings;
class QStackedWidget;
class QToolButton;

namespace permille::ui {

class StudyPage;
class WelcomePage;

class MainWindow : public QMainWindow, public PageHost {
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
    void openStoredStudy(const std::string& name, std::optional<std::string> page = {});
    // By the id in the table of pages (ui/pages/pages.h).
    void showPage(const std::string& id);
    void showProblem(const Problem& problem);
    // Everything on the visible page has been read and worked out.
    bool settled() const;

    // The page of this class.
    template <class Wanted>
    Wanted* page() const {
        for (const auto& entry : pages_)
            if (auto* found = qobject_cast<Wanted*>(entry.page)) return found;
        return nullptr;
    }
    template <class Wanted>
    void showPage() {
        for (const auto& entry : pages_)
            if (qobject_cast<Wanted*>(entry.page)) return showPage(entry.id);
    }
    Page* visiblePage() const;
    RunController& runner() override { return runner_; }
    StoreWatcher& watcher() override { return watcher_; }
    const std::vector<std::string>& bundledBases() const override { return parts_.bundled_bases; }
    void note(const QString& words, int milliseconds) override;
    void ask(const QString& question, const QString& yes, const std::function<void()>& then) override;
    void showRun(qint64 run) override;
    void useBase(const std::string& base) override;
    void startStudy(const Study& study) override;
    void copyCommand() override;
    void studyChanged() override { updateTitle(); }
    QString message() const { return banner_->message(); }

protected:
    void closeEvent(QCloseEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    void makePages();
    std::vector<Page*> allPages() const;
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

    void resumeStudy(const QString& name);
    void fillResumeMenu();
    void showStoredStudy();
    // Runs `then` at once, or after the user has agreed to lose changes.
    void unlessModified(const std::function<void()>& then);
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
    std::string page_;          // the one that was chosen, even while the welcome hides it
    std::string wanted_study_;  // stands in the database, which is still being read
    std::optional<std::string> wanted_page_;
    bool welcome_done_ = false, close_when_done_ = false, close_agreed_ = false;
    Theme theme_ = Theme::system;

    Banner* banner_ = nullptr;
    QStackedWidget* stack_ = nullptr;
    WelcomePage* welcome_page_ = nullptr;
    StudyPage* study_page_ = nullptr;  // one of pages_: its study is the window's document
    struct ShownPage {
        std::string id;
        Page* page;
        QAction* action;
        QToolButton* button;
        QString icon;
    };
    std::vector<ShownPage> pages_;
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
