#include "ui/shell/main_window.h"

#include <QAction>
#include <QActionGroup>
#include <QApplication>
#include <QCloseEvent>
#include <QHBoxLayout>
#include <QLabel>
#include <QMenu>
#include <QProgressBar>
#include <QSettings>
#include <QStackedWidget>
#include <QStatusBar>
#include <QToolButton>
#include <algorithm>
#include <utility>

#include "ui/bridge/text.h"
#include "ui/item_models/runs_model.h"
#include "ui/pages/chart/chart_page.h"
#include "ui/pages/pages.h"
#include "ui/pages/runs/runs_page.h"
#include "ui/pages/study/study_page.h"
#include "ui/pages/welcome/welcome_page.h"
#include "ui/shell/study_progress.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

MainWindow::MainWindow(Parts parts, QWidget* parent) : QMainWindow(parent), parts_(std::move(parts)), runner_(parts_.engine) {
    setObjectName(u"workbench"_s);
    setWindowIcon(QIcon(u":/icons/permille.svg"_s));
    makePages();
    makeActions();
    makeMenus();
    makeNavigation();
    makeStatusBar();
    connectRunner();
    connect(&watcher_, &StoreWatcher::snapshotChanged, this, [this](const SnapshotPtr& snapshot) { receive(snapshot); });
    connect(&watcher_, &StoreWatcher::failed, this, [this](const Problem& problem) { showProblem(problem); });
    connect(&watcher_, &StoreWatcher::opened, this, [this](const QString& file) {
        database_ = plain(file);
        if (parts_.settings) parts_.settings->setValue(u"database"_s, file);
        updateTitle();
    });

    resize(1240, 800);
    if (parts_.settings) {
        restoreGeometry(parts_.settings->value(u"window/geometry"_s).toByteArray());
        theme_ = theme_named(parts_.settings->value(u"theme"_s).toString());
    }
    for (QAction* action : themes_->actions()) action->setChecked(action->data().toString() == theme_name(theme_));
    setIcons();
    showPage(page_table().front().id);
    updateActions();
    updateTitle();
    showStatus();
}

MainWindow::~MainWindow() = default;

void MainWindow::makePages() {
    auto* centre = new QWidget;
    auto* row = new QHBoxLayout(centre);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(0);
    auto* column = new QVBoxLayout;
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    banner_ = new Banner;
    stack_ = new QStackedWidget;
    column->addWidget(banner_);
    column->addWidget(stack_, 1);
    row->addLayout(column, 1);
    setCentralWidget(centre);

    for (const PageEntry& entry : page_table()) pages_.push_back({entry.id, entry.make(*this), nullptr, nullptr, entry.icon});
    study_page_ = page<StudyPage>();
    welcome_page_ = new WelcomePage(parts_.example);
    for (Page* shown : allPages()) {
        stack_->addWidget(shown);
        connect(shown, &Page::failed, this, [this](const Problem& problem) { showProblem(problem); });
        connect(shown, &Page::noted, this, [this](const QString& words) { note(words, 6000); });
        connect(shown, &Page::runActivated, this, [this](qint64 run) { showRun(run); });
    }
    connect(welcome_page_, &WelcomePage::exampleRequested, this, [this](const QString& file) { openStudy(plain(file)); });
    connect(welcome_page_, &WelcomePage::databaseRequested, this, [this] { chooseDatabase(); });
    connect(welcome_page_, &WelcomePage::importRequested, this, [this] { importTexts(); });
    connect(welcome_page_, &WelcomePage::studyRequested, this, [this] { showPage<StudyPage>(); });
}

void MainWindow::connectRunner() {
    connect(&runner_, &RunController::stateChanged, this, [this] {
        updateActions();
        showStatus();
    });
    connect(&runner_, &RunController::started, this, [this] { watcher_.refresh(); });
    connect(&runner_, &RunController::failed, this, [this](const Problem& problem) {
        showProblem(problem);
        watcher_.refresh();
        if (close_when_done_) close();
    });
    connect(&runner_, &RunController::finished, this, [this](const QString& study, bool stopped) {
        watcher_.refresh();
        if (close_when_done_) {
            close();
            return;
        }
        if (stopped) statusBar()->showMessage(tr("Stopped. Everything is saved; Run > Resume continues."), 10000);
        else statusBar()->showMessage(tr("The study “%1” is done.").arg(study), 10000);
    });
    connect(&runner_, &RunController::handedOver, this, [this](const QString& study, const QString& where) {
        watcher_.refresh();
        if (close_when_done_) close();
        else statusBar()->showMessage(tr("The study “%1” goes on without this window: %2").arg(study, where), 20000);
    });
    connect(&runner_, &RunController::progress, this, [this] { showStatus(); });
}

void MainWindow::setIcons() {
    for (const auto& entry : icons_) entry.action->setIcon(themed_icon(entry.icon, palette()));
    for (const auto& entry : pages_) entry.action->setIcon(themed_icon(entry.icon, palette()));
}

void MainWindow::changeEvent(QEvent* event) {
    QMainWindow::changeEvent(event);
    if (event->type() == QEvent::PaletteChange && !icons_.empty()) setIcons();
}

void MainWindow::setTheme(Theme theme) {
    theme_ = theme;
    if (parts_.settings) parts_.settings->setValue(u"theme"_s, theme_name(theme));
    apply_theme(*qApp, theme);
}

void MainWindow::openDatabase(const std::filesystem::path& file) {
    welcome_done_ = false;
    watcher_.open(file);
}

bool MainWindow::openStudy(const std::filesystem::path& file) {
    if (!study_page_->open(file)) return false;
    if (parts_.settings) parts_.settings->setValue(u"study"_s, text(file));
    showPage<StudyPage>();
    return true;
}

void MainWindow::openStoredStudy(const std::string& name, std::optional<std::string> page) {
    wanted_study_ = name;
    wanted_page_ = page;
    if (page) showPage(*page);
    if (snapshot_) showStoredStudy();
}

void MainWindow::showStoredStudy() {
    const std::string name = std::exchange(wanted_study_, {});
    std::vector<std::string> names;
    for (const auto& study : snapshot_->studies) {
        names.push_back(study.name);
        if (study.name != name) continue;
        study_page_->show(study);
        page<ChartPage>()->showStudy(text(name));
        const bool scored = std::any_of(snapshot_->runs.begin(), snapshot_->runs.end(), [&](const RunRow& run) {
            return run.spec.study == name && run.state == RunState::finished && run.score;
        });
        if (!wanted_page_ && scored) showPage<ChartPage>();
        return;
    }
    const std::string near = nearest(name, names);
    showProblem({ErrorKind::config, text(snapshot_->file), tr("there is no study “%1”").arg(text(name)),
                 near.empty() ? tr("give a file, or one of the studies in this database: %1").arg(text(list_some(names)))
                              : tr("did you mean “%1”?").arg(text(near))});
}

std::vector<Page*> MainWindow::allPages() const {
    std::vector<Page*> all{welcome_page_};
    for (const auto& entry : pages_) all.push_back(entry.page);
    return all;
}

void MainWindow::note(const QString& words, int milliseconds) { statusBar()->showMessage(words, milliseconds); }

void MainWindow::showRun(qint64 run) {
    page<RunsPage>()->showRun(run);
    showPage<RunsPage>();
}

void MainWindow::useBase(const std::string& base) {
    study_page_->form()->addBase(base);
    showPage<StudyPage>();
}

void MainWindow::showPage(const std::string& id) {
    page_ = id;
    welcome_done_ = welcome_done_ || snapshot_;
    for (const auto& entry : pages_) {
        if (entry.id != id) continue;
        entry.action->setChecked(true);
        stack_->setCurrentWidget(entry.page);
    }
}

Page* MainWindow::visiblePage() const { return qobject_cast<Page*>(stack_->currentWidget()); }

bool MainWindow::settled() const { return snapshot_ && visiblePage() && visiblePage()->settled(); }

void MainWindow::showProblem(const Problem& problem) { banner_->showProblem(problem); }

void MainWindow::receive(const SnapshotPtr& snapshot) {
    snapshot_ = snapshot;
    for (Page* shown : allPages()) shown->setSnapshot(snapshot);
    if (!wanted_study_.empty()) {
        welcome_done_ = true;
        showStoredStudy();
    }
    // An empty database is greeted once, unless a study was opened or a page chosen already.
    if (!welcome_done_) {
        welcome_done_ = true;
        const bool empty = snapshot->runs.empty() && snapshot->corpora.empty();
        if (empty && page_ == page_table().front().id && study_page_->file().empty()) {
            for (const auto& entry : pages_) {
                entry.action->setChecked(false);
            }
            stack_->setCurrentWidget(welcome_page_);
        }
    }
    updateActions();
    showStatus();
}

void MainWindow::showStatus() {
    const StudyProgress now = snapshot_ ? study_progress(snapshot_->runs, plain(runner_.study())) : StudyProgress{};
    eta_->setText(now.eta_seconds >= 0 ? tr("%1 left").arg(shown_duration(now.eta_seconds)) : QString());
    progress_->setVisible(now.running || runner_.active());
    progress_->setRange(0, 1000);
    progress_->setValue(static_cast<int>(1000 * now.share));
    if (runner_.stopping()) {
        state_->setText(tr("Stopping; what is done so far is being saved…"));
    } else if (now.running) {
        const Progress& progress = now.running->progress;
        QString line = tr("Run %1 of %2").arg(std::min(now.done + 1, now.total)).arg(now.total);
        if (!now.study.empty()) line += u" · "_s + text(now.study);
        line += u" · "_s + shown_run(*now.running);
        if (!progress.doing.empty()) line += u" · "_s + text(progress.doing);
        if (progress.total > 0) line += u" %1/%2"_s.arg(progress.done).arg(progress.total);
        state_->setText(line);
    } else if (runner_.active()) {
        state_->setText(tr("Preparing the study…"));
    } else {
        state_->setText(snapshot_ ? tr("Ready") : tr("Opening the database…"));
    }
}

void MainWindow::updateActions() {
    start_->setEnabled(!runner_.active());
    stop_->setEnabled(runner_.active() && !runner_.stopping());
    resume_->setEnabled(!runner_.active());
}

void MainWindow::updateTitle() {
    QString study = study_page_->file().empty() ? QString() : text(study_page_->file().filename());
    if (!study.isEmpty() && study_page_->modified()) study += u'*';
    setWindowTitle(study.isEmpty() ? tr("Permille") : tr("%1 – Permille").arg(study));
    database_label_->setText(database_.empty() ? QString() : text(database_.filename()));
    database_label_->setToolTip(text(database_));
}

void MainWindow::startStudy(const Study& study) {
    if (runner_.active()) return;
    try {
        validate_study(study);
        runner_.start({study, study_to_yaml(study), database_, true});
        statusBar()->showMessage(tr("Starting “%1”…").arg(text(study.name)), 4000);
    } catch (...) {
        showProblem(problem_of(std::current_exception()));
    }
}

void MainWindow::fillResumeMenu() {
    resume_->clear();
    if (snapshot_) {
        for (const auto& study : snapshot_->studies) {
            const auto waiting = std::count_if(snapshot_->runs.begin(), snapshot_->runs.end(),
                                               [&](const RunRow& run) { return run.spec.study == study.name && is_open(run.state); });
            if (waiting == 0) continue;
            const QString name = text(study.name);
            const QString title = name.isEmpty() ? tr("Single runs") : name;
            connect(resume_->addAction(tr("%1 (%2 to do)").arg(title).arg(waiting)), &QAction::triggered, this,
                    [this, name] { resumeStudy(name); });
        }
    }
    if (resume_->isEmpty()) resume_->addAction(tr("No study is waiting"))->setEnabled(false);
}

void MainWindow::resumeStudy(const QString& name) {
    if (!snapshot_) return;
    const auto found =
        std::find_if(snapshot_->studies.begin(), snapshot_->studies.end(), [&](const StudyRow& study) { return text(study.name) == name; });
    if (found == snapshot_->studies.end()) return;
    try {
        // Only device and number of jobs come from its text: the runs are in the database.
        Study study;
        if (!found->yaml.empty()) study = parse_study(found->yaml, "study " + found->name);
        study.name = found->name;
        runner_.start({study, found->yaml, database_, false});
        showPage<RunsPage>();
    } catch (...) {
        showProblem(problem_of(std::current_exception()));
    }
}

void MainWindow::closeEvent(QCloseEvent* event) {
    if (runner_.active()) {
        event->ignore();
        if (close_when_done_) return;
        ask(tr("A study is running. It can be stopped now and continued later; nothing that is done gets lost."), tr("Stop, save and quit"),
            [this] {
                close_when_done_ = true;
                setEnabled(false);
                if (runner_.active()) runner_.stop();
                else close();  // it ended while the question was open
            });
        return;
    }
    if (!close_agreed_ && !close_when_done_ && !study_page_->file().empty() && study_page_->modified()) {
        event->ignore();
        unlessModified([this] {
            close_agreed_ = true;
            close();
        });
        return;
    }
    if (parts_.settings) parts_.settings->setValue(u"window/geometry"_s, saveGeometry());
    event->accept();
}

}  // namespace permille::ui
