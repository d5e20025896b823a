// The window's actions, menus, toolbar, navigation and status bar: what MainWindow is built of.
#include <QAction>
#include <QActionGroup>
#include <QDesktopServices>
#include <QHBoxLayout>
#include <QLabel>
#include <QMenu>
#include <QMenuBar>
#include <QProgressBar>
#include <QStatusBar>
#include <QToolBar>
#include <QToolButton>
#include <QUrl>
#include <filesystem>

#include "core/base/files.h"
#include "ui/bridge/text.h"
#include "ui/pages/pages.h"
#include "ui/pages/study/study_page.h"
#include "ui/shell/about_dialog.h"
#include "ui/shell/main_window.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

// Beside the sources, or where a package puts documents; empty when it was not installed.
std::filesystem::path find_readme() {
    const auto resources = resources_folder();
    std::error_code ignored;
    for (const auto& file : {resources.parent_path() / "README.md", resources.parent_path() / "doc" / "permille" / "README.md"})
        if (std::filesystem::exists(file, ignored)) return file;
    return {};
}

}  // namespace

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
    import_texts_ = make(tr("&Import texts…"), QKeySequence(tr("Ctrl+I")), {}, [this] { importTexts(); });
    export_chart_ = make(tr("Export &chart…"), QKeySequence(tr("Ctrl+E")), u"export"_s, [this] { exportChart(); });
    export_table_ = make(tr("Export &table…"), QKeySequence(tr("Ctrl+Shift+E")), {}, [this] { exportTable(); });
    quit_ = make(tr("&Quit"), QKeySequence::Quit, {}, [this] { close(); });
    start_ = make(tr("&Start study"), QKeySequence(tr("Ctrl+R")), u"start"_s, [this] {
        showPage<StudyPage>();
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
    const auto readme = find_readme();
    readme_ =
        make(tr("&Read me"), QKeySequence::HelpContents, {}, [readme] { QDesktopServices::openUrl(QUrl::fromLocalFile(text(readme))); });
    readme_->setEnabled(!readme.empty());
}

void MainWindow::makeMenus() {
    auto* file = menuBar()->addMenu(tr("&File"));
    file->addActions({open_database_, import_texts_});
    file->addSeparator();
    file->addActions({open_study_, save_study_, save_study_as_});
    file->addSeparator();
    file->addActions({export_chart_, export_table_});
    file->addSeparator();
    file->addAction(quit_);

    auto* run = menuBar()->addMenu(tr("&Run"));
    run->addActions({start_, stop_});
    resume_ = run->addMenu(tr("R&esume"));
    connect(run, &QMenu::aboutToShow, this, [this] { fillResumeMenu(); });

    auto* view = menuBar()->addMenu(tr("&View"));
    auto* group = new QActionGroup(this);
    for (std::size_t i = 0; i < pages_.size(); ++i) {
        auto* action = view->addAction(page_table()[i].name);
        action->setShortcut(QKeySequence(u"Ctrl+%1"_s.arg(i + 1)));
        action->setCheckable(true);
        group->addAction(action);
        connect(action, &QAction::triggered, this, [this, id = pages_[i].id] { showPage(id); });
        pages_[i].action = action;
    }
    view->addSeparator();
    auto* theme = view->addMenu(tr("&Theme"));
    themes_ = new QActionGroup(this);
    for (const auto& [value, name] :
         {std::pair(Theme::system, tr("&System")), std::pair(Theme::light, tr("&Light")), std::pair(Theme::dark, tr("&Dark"))}) {
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

}  // namespace permille::ui
