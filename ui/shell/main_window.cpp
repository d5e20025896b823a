#include "ui/shell/main_window.h"

#include <QAction>
#include <QActionGroup>
#include <QApplication>
#include <QClipboard>
#include <QCloseEvent>
#include <QDesktopServices>
#include <QFileDialog>
#include <QHBoxLayout>
#include <QLabel>
#include <QMenuBar>
#include <QMessageBox>
#include <QProgressBar>
#include <QPushButton>
#include <QSettings>
#include <QStackedWidget>
#include <QStatusBar>
#include <QToolBar>
#include <QToolButton>
#include <QUrl>
#include <algorithm>
#include <utility>

#include "core/base/files.h"
#include "ui/bridge/text.h"
#include "ui/item_models/runs_model.h"
#include "ui/pages/chart/chart_page.h"
#include "ui/pages/results/results_page.h"
#include "ui/pages/runs/runs_page.h"
#include "ui/pages/study/study_page.h"
#include "ui/pages/welcome/welcome_page.h"
#include "ui/shell/about_dialog.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

constexpr char kReadme[] = "https://github.com/permille/permille#readme";

}  // namespace

PageId page_named(const std::string& name, const std::string& where) {
    const std::pair<const char*, PageId> names[] = {
        {"study", PageId::study}, {"runs", PageId::runs}, {"chart", PageId::chart}, {"results", PageId::results}};
    for (const auto& [known, page] : names)
        if (name == known) return page;
    throw Error(ErrorKind::usage, where, "there is no page '" + name + "'", "known are study, runs, chart and results");
}

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
    connect(&watcher_, &StoreWatcher::detailsChanged, this, [this](const DetailsPtr& details) { runs_page_->setDetails(details); });
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
    showPage(PageId::study);
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

    study_page_ = new StudyPage(parts_.bundled_bases);
    runs_page_ = new RunsPage;
    chart_page_ = new ChartPage;
    results_page_ = new ResultsPage;
    welcome_page_ = new WelcomePage(parts_.example);
    for (Page* page : std::initializer_list<Page*>{welcome_page_, study_page_, runs_page_, chart_page_, results_page_}) {
        stack_->addWidget(page);
        connect(page, &Page::failed, this, [this](const Problem& problem) { showProblem(problem); });
        connect(page, &Page::noted, this, [this](const QString& note) { statusBar()->showMessage(note, 6000); });
        connect(page, &Page::runActivated, this, [this](qint64 run) {
            runs_page_->showRun(run);
            showPage(PageId::runs);
        });
    }
    connect(study_page_, &StudyPage::startRequested, this, [this](const Study& study) { startStudy(study); });
    connect(study_page_, &StudyPage::stopRequested, this, [this] { runner_.stop(); });
    connect(study_page_, &StudyPage::copyRequested, this, [this] { copyCommand(); });
    connect(study_page_, &StudyPage::fileChanged, this, [this] { updateTitle(); });
    connect(runs_page_, &RunsPage::runSelected, this,
            [this](qint64 run) { watcher_.watchRun(run < 0 ? std::nullopt : std::optional<std::int64_t>(run)); });
    connect(runs_page_, &RunsPage::stopRequested, this, [this](const QList<qint64>& runs) {
        watcher_.post([runs](Store& store) {
            for (const qint64 id : runs) {
                if (store.run(id).state == RunState::running) store.request_stop(id);
                else store.set_state(id, RunState::cancelled, "cancelled by hand");
            }
        });
    });
    connect(runs_page_, &RunsPage::requeueRequested, this, [this](const QList<qint64>& runs) {
        watcher_.post([runs](Store& store) {
            for (const qint64 id : runs) store.requeue(id);
        });
        if (!runner_.active()) statusBar()->showMessage(tr("Queued again; Run > Resume works through the queue."), 8000);
    });
    connect(welcome_page_, &WelcomePage::exampleRequested, this, [this](const QString& file) { openStudy(plain(file)); });
    connect(welcome_page_, &WelcomePage::databaseRequested, this, [this] { chooseDatabase(); });
    connect(welcome_page_, &WelcomePage::studyRequested, this, [this] { showPage(PageId::study); });
}

void MainWindow::makeActions() {
    const auto make = [this](const QString& name, const QKeySequence& keys, const QString& icon, auto&& then) {
        auto* action = new QAction(name, this);
        action->setShortcut(keys);
        connect(action, &QAction::triggered, this, then);
        if (!icon.isEmpty()) icons_.push_back({action, icon});
        return action;
    };
    open_database_ = make(tr("Open &database…"), QKeySequence(tr("Ctrl+D")), u"database"_s, [this] { chooseDatabase(); });
    open_study_ = make(tr("&Open study…"), QKeySequence::Open, u"open"_s, [this] { chooseStudy(); });
    save_study_ = make(tr("&Save study"), QKeySequence::Save, u"save"_s, [this] { saveStudy(); });
    save_study_as_ = make(tr("Save study &as…"), QKeySequence::SaveAs, {}, [this] { saveStudyAs(); });
    export_chart_ = make(tr("Export &chart…"), QKeySequence(tr("Ctrl+E")), u"export"_s, [this] { exportChart(); });
    export_table_ = make(tr("Export &table…"), QKeySequence(tr("Ctrl+Shift+E")), {}, [this] { exportTable(); });
    quit_ = make(tr("&Quit"), QKeySequence::Quit, {}, [this] { close(); });
    start_ = make(tr("&Start study"), QKeySequence(tr("Ctrl+R")), u"start"_s, [this] {
        showPage(PageId::study);
        try {
            startStudy(study_page_->form()->study());
        } catch (...) {
            showProblem(problem_of(std::current_exception()));
        }
    });
    stop_ = make(tr("S&top"), QKeySequence(tr("Ctrl+.")), u"stop"_s, [this] { runner_.stop(); });
    refresh_ = make(tr("&Refresh"), QKeySequence::Refresh, {}, [this] { watcher_.refresh(); });
    about_ = make(tr("&About Permille"), {}, {}, [this] {
        auto* dialog = new AboutDialog(this);
        dialog->setAttribute(Qt::WA_DeleteOnClose);
        dialog->open();
    });
    readme_ = make(tr("&Read me"), QKeySequence::HelpContents, {}, [this] {
        // The copy that came with the program, else the one on the web.
        const auto local = resources_folder().parent_path() / "README.md";
        std::error_code ignored;
        const bool here = std::filesystem::exists(local, ignored);
        QDesktopServices::openUrl(here ? QUrl::fromLocalFile(text(local)) : QUrl(QString::fromLatin1(kReadme)));
    });
}

void MainWindow::makeMenus() {
    auto* file = menuBar()->addMenu(tr("&File"));
    file->addActions({open_database_, open_study_, save_study_, save_study_as_});
    file->addSeparator();
    file->addActions({export_chart_, export_table_});
    file->addSeparator();
    file->addAction(quit_);

    auto* run = menuBar()->addMenu(tr("&Run"));
    run->addActions({start_, stop_});
    resume_ = run->addMenu(tr("R&esume"));
    connect(run, &QMenu::aboutToShow, this, [this] { fillResumeMenu(); });

    auto* view = menuBar()->addMenu(tr("&View"));
    const std::tuple<PageId, Page*, QString, QString> entries[] = {{PageId::study, study_page_, tr("&Study"), u"study"_s},
                                                                   {PageId::runs, runs_page_, tr("R&uns"), u"runs"_s},
                                                                   {PageId::chart, chart_page_, tr("&Chart"), u"chart"_s},
                                                                   {PageId::results, results_page_, tr("&Results"), u"results"_s}};
    auto* group = new QActionGroup(this);
    int number = 1;
    for (const auto& [id, page, name, icon] : entries) {
        auto* action = view->addAction(name);
        action->setShortcut(QKeySequence(u"Ctrl+%1"_s.arg(number++)));
        action->setCheckable(true);
        group->addAction(action);
        connect(action, &QAction::triggered, this, [this, page_id = id] { showPage(page_id); });
        pages_.push_back({id, page, action, nullptr, icon});
    }
    view->addSeparator();
    auto* theme = view->addMenu(tr("&Theme"));
    themes_ = new QActionGroup(this);
    for (const auto& [value, name] : {std::pair(Theme::system, tr("&System")), std::pair(Theme::light, tr("&Light")), std::pair(Theme::dark, tr("&Dark"))}) {
        auto* action = theme->addAction(name);
        action->setCheckable(true);
        action->setData(theme_name(value));
        themes_->addAction(action);
        connect(action, &QAction::triggered, this, [this, chosen = value] { setTheme(chosen); });
    }
    view->addAction(refresh_);

    auto* help = menuBar()->addMenu(tr("&Help"));
    help->addActions({readme_, about_});

    auto* bar = addToolBar(tr("Tools"));
    bar->setObjectName(u"tools"_s);
    bar->setMovable(false);
    bar->setContextMenuPolicy(Qt::PreventContextMenu);
    bar->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
    bar->setIconSize(QSize(18, 18));
    bar->addActions({open_study_, save_study_});
    bar->addSeparator();
    bar->addActions({start_, stop_});
    bar->addSeparator();
    bar->addAction(export_chart_);
    auto* space = new QWidget;
    space->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
    bar->addWidget(space);
    bar->addAction(open_database_);
}

void MainWindow::makeNavigation() {
    auto* side = new QWidget;
    side->setObjectName(u"navigation"_s);
    side->setAccessibleName(tr("Pages"));
    auto* column = new QVBoxLayout(side);
    column->setContentsMargins(8, 12, 8, 12);
    column->setSpacing(4);
    for (auto& entry : pages_) {
        entry.button = new QToolButton;
        entry.button->setDefaultAction(entry.action);
        entry.button->setText(entry.action->text().remove(u'&'));
        entry.button->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
        entry.button->setIconSize(QSize(20, 20));
        entry.button->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
        entry.button->setFocusPolicy(Qt::TabFocus);
        entry.button->setAutoRaise(true);
        entry.button->setAccessibleName(entry.action->text().remove(u'&'));
        column->addWidget(entry.button);
    }
    column->addStretch(1);
    side->setFixedWidth(132);
    static_cast<QHBoxLayout*>(centralWidget()->layout())->insertWidget(0, side);
}

void MainWindow::makeStatusBar() {
    state_ = new QLabel;
    state_->setAccessibleName(tr("State"));
    progress_ = new QProgressBar;
    progress_->setFixedWidth(160);
    progress_->setMaximumHeight(12);
    progress_->setTextVisible(false);
    progress_->setAccessibleName(tr("Progress of the study"));
    eta_ = new QLabel;
    eta_->setAccessibleName(tr("Time left"));
    database_label_ = new QLabel;
    database_label_->setProperty("muted", true);
    database_label_->setAccessibleName(tr("Database"));
    state_->setContentsMargins(8, 3, 8, 3);
    eta_->setContentsMargins(4, 3, 8, 3);
    database_label_->setContentsMargins(4, 3, 10, 3);
    statusBar()->addWidget(state_, 1);
    statusBar()->addPermanentWidget(progress_);
    statusBar()->addPermanentWidget(eta_);
    statusBar()->addPermanentWidget(database_label_);
    statusBar()->setSizeGripEnabled(false);
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
    connect(&runner_, &RunController::logLine, runs_page_, &RunsPage::addLogLine);
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
    showPage(PageId::study);
    return true;
}

void MainWindow::openStoredStudy(const std::string& name, std::optional<PageId> page) {
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
        chart_page_->showStudy(text(name));
        const bool scored = std::any_of(snapshot_->runs.begin(), snapshot_->runs.end(),
                                        [&](const RunRow& run) { return run.spec.study == name && run.state == RunState::finished && run.score; });
        if (!wanted_page_ && scored) showPage(PageId::chart);
        return;
    }
    const std::string near = nearest(name, names);
    showProblem({ErrorKind::config, text(snapshot_->file), tr("there is no study “%1”").arg(text(name)),
                 near.empty() ? tr("give a file, or one of the studies in this database: %1").arg(text(list_some(names))) : tr("did you mean “%1”?").arg(text(near))});
}

void MainWindow::showPage(PageId id) {
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
    for (Page* page : std::initializer_list<Page*>{welcome_page_, study_page_, runs_page_, chart_page_, results_page_}) page->setSnapshot(snapshot);
    if (!wanted_study_.empty()) {
        welcome_done_ = true;
        showStoredStudy();
    }
    // An empty database is greeted once, unless a study was opened or a page chosen already.
    if (!welcome_done_) {
        welcome_done_ = true;
        const bool empty = snapshot->runs.empty() && snapshot->corpora.empty();
        if (empty && page_ == PageId::study && study_page_->file().empty()) {
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
    const RunRow* running = nullptr;
    std::int64_t active = 0, done = 0, total = 0;
    std::string study;
    if (snapshot_) {
        for (const auto& run : snapshot_->runs)
            if (run.state == RunState::running) {
                ++active;
                if (!running) running = &run;
            }
        if (running) study = running->spec.study;
        else if (runner_.active()) study = plain(runner_.study());
        double eta = -1, spent = 0, share = 0;
        std::int64_t timed = 0, waiting = 0;
        for (const auto& run : snapshot_->runs) {
            if (run.spec.study != study || run.state == RunState::skipped || run.state == RunState::cancelled) continue;
            ++total;
            if (run.state == RunState::finished || run.state == RunState::failed) ++done;
            if (run.state == RunState::finished && run.seconds > 0) ++timed, spent += run.seconds;
            if (run.state == RunState::queued || run.state == RunState::interrupted) ++waiting;
            if (run.state == RunState::running) {
                if (run.progress.eta_seconds >= 0) eta = std::max(eta, run.progress.eta_seconds);
                if (run.progress.total > 0) share += static_cast<double>(run.progress.done) / static_cast<double>(run.progress.total);
            }
        }
        // Those that wait will take about as long as those that are done did.
        if (running && waiting > 0) eta = timed > 0 ? std::max(0.0, eta) + static_cast<double>(waiting) * spent / static_cast<double>(timed) / static_cast<double>(active) : -1;
        eta_->setText(running && eta >= 0 ? tr("%1 left").arg(shown_duration(eta)) : QString());
        progress_->setVisible(running != nullptr || runner_.active());
        progress_->setRange(0, 1000);
        progress_->setValue(total > 0 ? static_cast<int>(1000 * (static_cast<double>(done) + share) / static_cast<double>(total)) : 0);
    } else {
        progress_->setVisible(false);
    }

    if (runner_.stopping()) {
        state_->setText(tr("Stopping; what is done so far is being saved…"));
    } else if (running) {
        QString line = tr("Run %1 of %2").arg(std::min(done + 1, total)).arg(total);
        if (!study.empty()) line += u" · "_s + text(study);
        line += u" · "_s + shown_run(*running);
        if (!running->progress.doing.empty()) line += u" · "_s + text(running->progress.doing);
        if (running->progress.total > 0) line += u" %1/%2"_s.arg(running->progress.done).arg(running->progress.total);
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
    study_page_->setRunning(runner_.active(), runner_.stopping());
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
            const auto waiting = std::count_if(snapshot_->runs.begin(), snapshot_->runs.end(), [&](const RunRow& run) {
                return run.spec.study == study.name && (run.state == RunState::queued || run.state == RunState::interrupted);
            });
            if (waiting == 0) continue;
            const QString name = text(study.name);
            const QString title = name.isEmpty() ? tr("Single runs") : name;
            connect(resume_->addAction(tr("%1 (%2 to do)").arg(title).arg(waiting)), &QAction::triggered, this, [this, name] { resumeStudy(name); });
        }
    }
    if (resume_->isEmpty()) resume_->addAction(tr("No study is waiting"))->setEnabled(false);
}

void MainWindow::resumeStudy(const QString& name) {
    if (!snapshot_) return;
    const auto found = std::find_if(snapshot_->studies.begin(), snapshot_->studies.end(), [&](const StudyRow& study) { return text(study.name) == name; });
    if (found == snapshot_->studies.end()) return;
    try {
        // Only device and number of jobs come from its text: the runs are in the database.
        Study study;
        if (!found->yaml.empty()) study = parse_study(found->yaml, "study " + found->name);
        study.name = found->name;
        runner_.start({study, found->yaml, database_, false});
        showPage(PageId::runs);
    } catch (...) {
        showProblem(problem_of(std::current_exception()));
    }
}

void MainWindow::copyCommand() {
    const auto copy = [this] {
        const QString command = StudyPage::commandFor(study_page_->file(), database_);
        QApplication::clipboard()->setText(command);
        statusBar()->showMessage(tr("Copied: %1").arg(command), 10000);
    };
    // The command names the study's file, so there has to be one and it has to be up to date.
    if (study_page_->file().empty() || study_page_->modified()) saveStudy(copy);
    else copy();
}

void MainWindow::ask(const QString& question, const QString& yes, const std::function<void()>& then) {
    if (parts_.confirm) {
        if (parts_.confirm(question)) then();
        return;
    }
    auto* box = new QMessageBox(QMessageBox::Question, tr("Permille"), question, QMessageBox::Cancel, this);
    box->setAttribute(Qt::WA_DeleteOnClose);
    QAbstractButton* agree = box->addButton(yes, QMessageBox::AcceptRole);
    box->setDefaultButton(QMessageBox::Cancel);
    connect(agree, &QAbstractButton::clicked, this, then);
    box->open();
}

void MainWindow::unlessModified(const std::function<void()>& then) {
    if (study_page_->file().empty() || !study_page_->modified()) return then();
    ask(tr("The study has changes that are not saved."), tr("Discard them"), then);
}

void MainWindow::chooseDatabase() {
    if (runner_.active()) {
        showProblem({ErrorKind::usage, {}, tr("A study is running"), tr("stop it before opening another database")});
        return;
    }
    auto* dialog = new QFileDialog(this, tr("Open or create a database"), text(database_.parent_path()));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    // A name that does not exist yet makes a new database; an existing one is opened, not overwritten.
    dialog->setAcceptMode(QFileDialog::AcceptSave);
    dialog->setOption(QFileDialog::DontConfirmOverwrite);
    dialog->setLabelText(QFileDialog::Accept, tr("Open"));
    dialog->setNameFilters({tr("Databases (*.db *.sqlite)"), tr("All files (*)")});
    dialog->setDefaultSuffix(u"db"_s);
    connect(dialog, &QFileDialog::fileSelected, this, [this](const QString& file) { openDatabase(plain(file)); });
    dialog->open();
}

void MainWindow::chooseStudy() {
    unlessModified([this] {
        const auto start = study_page_->file().empty() ? parts_.example.parent_path() : study_page_->file().parent_path();
        auto* dialog = new QFileDialog(this, tr("Open a study"), text(start));
        dialog->setAttribute(Qt::WA_DeleteOnClose);
        dialog->setFileMode(QFileDialog::ExistingFile);
        dialog->setNameFilters({tr("Studies (*.yaml *.yml)"), tr("All files (*)")});
        connect(dialog, &QFileDialog::fileSelected, this, [this](const QString& file) { openStudy(plain(file)); });
        dialog->open();
    });
}

void MainWindow::saveStudy(const std::function<void()>& then) {
    // The studies that came with the program are examples: changes to them go into a file of the user's own.
    const bool own = !study_page_->file().empty() && study_page_->file().parent_path() != parts_.example.parent_path();
    if (!own) return saveStudyAs(then);
    if (study_page_->save(study_page_->file())) {
        statusBar()->showMessage(tr("Saved %1.").arg(text(study_page_->file())), 6000);
        if (then) then();
    }
}

void MainWindow::saveStudyAs(const std::function<void()>& then) {
    auto* dialog = new QFileDialog(this, tr("Save the study"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setAcceptMode(QFileDialog::AcceptSave);
    dialog->setNameFilters({tr("Studies (*.yaml)")});
    dialog->setDefaultSuffix(u"yaml"_s);
    connect(dialog, &QFileDialog::fileSelected, this, [this, then](const QString& file) {
        if (study_page_->save(plain(file)) && then) then();
    });
    dialog->open();
}

void MainWindow::exportChart() {
    showPage(PageId::chart);
    chart_page_->chooseExport();
}

void MainWindow::exportTable() {
    showPage(PageId::results);
    results_page_->chooseExport();
}

void MainWindow::closeEvent(QCloseEvent* event) {
    if (runner_.active()) {
        event->ignore();
        if (close_when_done_) return;
        ask(tr("A study is running. It can be stopped now and continued later; nothing that is done gets lost."), tr("Stop, save and quit"), [this] {
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
