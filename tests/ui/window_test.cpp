#include <QAbstractItemView>
#include <QAction>
#include <QLineEdit>
#include <QMenu>
#include <QMenuBar>
#include <QMetaMethod>
#include <QPushButton>
#include <QSettings>
#include <QSignalSpy>
#include <QStatusBar>
#include <QTest>
#include <atomic>

#include "core/base/files.h"
#include "core/peft/catalog.h"
#include "tests/ui/filled_store.h"
#include "tests/ui/ui_tests.h"
#include "ui/pages/chart/chart_page.h"
#include "ui/pages/pages.h"
#include "ui/pages/runs/runs_page.h"
#include "ui/pages/study/study_page.h"
#include "ui/pages/welcome/welcome_page.h"
#include "ui/shell/about_dialog.h"
#include "ui/shell/import_dialog.h"
#include "ui/shell/main_window.h"
#include "ui/shell/study_progress.h"

namespace permille::test {

using namespace Qt::StringLiterals;
using ui::MainWindow;

namespace {

// Runs until it is told to stop; writes to the database as the real one does.
class FakeEngine : public ui::StudyEngine {
public:
    FakeEngine(const ui::StudyOrder& order, EventSink sink) : order_(order), sink_(std::move(sink)) {
        Store store(order.database);
        store.find_or_add_study(order.study.name, order.yaml);
        if (order.enqueue) store.add_runs(expand(order.study));
    }
    void start() override {
        running_ = true;
        Store store(order_.database);
        for (const auto& run : store.runs({.study = order_.study.name}))
            if (is_open(run.state) && (claim_ = store.claim(run.id))) {
                store.heartbeat(*claim_, {"training", 10, 300, 60}, 10);
                break;
            }
        sink_(LogLine{"started"});
        sink_(Progress{"training", 10, 300, 60});
    }
    void stop() override {
        Store store(order_.database);
        RunOutcome outcome;
        outcome.state = RunState::interrupted;
        if (claim_) store.end_run(*claim_, outcome);
        running_ = false;
    }
    bool running() const override { return running_; }

private:
    ui::StudyOrder order_;
    EventSink sink_;
    std::optional<Claim> claim_;
    std::atomic<bool> running_ = false;
};

// QObject tells about connections to its heirs alone.
struct SignalPeek : QObject {
    static auto is_connected() { return &SignalPeek::isSignalConnected; }
};

MainWindow::Parts parts(bool agree = true, QSettings* settings = nullptr) {
    MainWindow::Parts parts;
    parts.bundled_bases = {"permille-small"};
    parts.engine = [](const ui::StudyOrder& order, const EventSink& sink) { return std::make_unique<FakeEngine>(order, sink); };
    parts.confirm = [agree](const QString&) { return agree; };
    parts.settings = settings;
    return parts;
}

QAction* action(const MainWindow& window, const QString& name) {
    for (auto* found : window.findChildren<QAction*>())
        if (found->text().remove(u'&') == name) return found;
    return nullptr;
}

}  // namespace

class WindowTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void emptyDatabaseIsGreeted() {
        const QTemporaryDir folder;
        MainWindow window(parts());
        window.openDatabase(in(folder, "new.db"));
        window.show();
        QTRY_VERIFY(qobject_cast<ui::WelcomePage*>(window.visiblePage()));
        window.showPage("study");
        QVERIFY(qobject_cast<ui::StudyPage*>(window.visiblePage()));
        window.watcher().refresh();
        QTest::qWait(60);
        QVERIFY(qobject_cast<ui::StudyPage*>(window.visiblePage()));  // greeted once
    }

    void pagesSettleAndAreReachedByTheirShortcuts() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        MainWindow window(parts());
        window.openDatabase(in(folder, "a.db"));
        window.show();
        QStringList shortcuts;
        for (const auto& page : ui::page_table()) {
            auto* chosen = action(window, QString(page.name).remove(u'&'));
            QVERIFY(chosen && !chosen->shortcut().isEmpty());
            chosen->trigger();
            QVERIFY(chosen->isChecked());
            QVERIFY(!chosen->icon().isNull());
            QVERIFY(!shortcuts.contains(chosen->shortcut().toString()));
            shortcuts << chosen->shortcut().toString();
            QTRY_VERIFY(window.settled());
            auto* shown = window.visiblePage();
            window.showPage(ui::page_table().front().id);
            window.showPage(ui::find_page(page.id, "--page").id);
            QCOMPARE(window.visiblePage(), shown);
        }
        QVERIFY(shortcuts.size() >= 5);
        QVERIFY_EXCEPTION_THROWN(ui::find_page("charts", "--page"), Error);
    }

    void everyMenuEntryHasSomethingToDo() {
        MainWindow window(parts());
        for (auto* menu : window.menuBar()->findChildren<QMenu*>())
            for (auto* entry : menu->actions()) {
                if (entry->isSeparator() || entry->menu() || menu->title().contains(u"esume"_s)) continue;
                QVERIFY2((entry->*SignalPeek::is_connected())(QMetaMethod::fromSignal(&QAction::triggered)), qPrintable(entry->text()));
            }
    }

    void aStudyRunsAndStopsAndResumes() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"), {"old", {1}, false});
        MainWindow window(parts());
        window.openDatabase(in(folder, "a.db"));
        window.show();
        QTRY_VERIFY(window.settled());
        QSignalSpy finished(&window.runner(), &ui::RunController::finished);
        window.page<ui::StudyPage>()->form()->setStudy(sample_study({"fresh", {1}}));
        action(window, u"Start study"_s)->trigger();
        QVERIFY(window.runner().active());
        QTRY_VERIFY(std::any_of(window.page<ui::RunsPage>()->runs().runs().begin(), window.page<ui::RunsPage>()->runs().runs().end(),
                                [](const RunRow& run) { return run.state == RunState::running && run.spec.study == "fresh"; }));
        QVERIFY(!action(window, u"Start study"_s)->isEnabled());
        action(window, u"Stop"_s)->trigger();
        QTRY_COMPARE(finished.count(), 1);
        QVERIFY(finished.first()[1].toBool());
        QTRY_VERIFY(std::any_of(window.page<ui::RunsPage>()->runs().runs().begin(), window.page<ui::RunsPage>()->runs().runs().end(),
                                [](const RunRow& run) { return run.state == RunState::interrupted; }));

        auto* run_menu = window.menuBar()->actions()[1]->menu();
        Q_EMIT run_menu->aboutToShow();
        QAction* resume = nullptr;
        for (auto* entry : window.findChildren<QAction*>())
            if (entry->text().startsWith(u"fresh ("_s)) resume = entry;
        QVERIFY(resume);
        resume->trigger();
        QVERIFY(window.runner().active());
        QTRY_VERIFY(window.page<ui::RunsPage>()->runs().rowCount() > 0 &&
                    std::any_of(window.page<ui::RunsPage>()->runs().runs().begin(), window.page<ui::RunsPage>()->runs().runs().end(),
                                [](const RunRow& run) { return run.state == RunState::running; }));
        window.runner().stop();
        QTRY_VERIFY(!window.runner().active());
    }

    void closingWhileRunningAsksFirst() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"), {"old", {1}, false});
        for (const bool agree : {false, true}) {
            MainWindow window(parts(agree));
            window.openDatabase(in(folder, "a.db"));
            window.show();
            QTRY_VERIFY(window.settled());
            window.page<ui::StudyPage>()->form()->setStudy(sample_study({agree ? "yes" : "no", {1}}));
            QSignalSpy started(&window.runner(), &ui::RunController::started);
            action(window, u"Start study"_s)->trigger();
            QTRY_COMPARE(started.count(), 1);
            window.close();
            if (agree) {
                QTRY_VERIFY(!window.isVisible());
                QVERIFY(!window.runner().active());
            } else {
                QTest::qWait(50);
                QVERIFY(window.isVisible());
                QVERIFY(window.runner().active());
            }
        }
        const Store store(in(folder, "a.db"));
        QVERIFY(!store.runs({.states = {RunState::interrupted}}).empty());
    }

    void clickInTheChartOpensTheRun() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        MainWindow window(parts());
        window.openDatabase(in(folder, "a.db"));
        window.show();
        window.showPage("chart");
        QTRY_VERIFY(window.settled());
        Q_EMIT window.page<ui::ChartPage>()->runActivated(7);
        QVERIFY(qobject_cast<ui::RunsPage*>(window.visiblePage()));
        QTRY_VERIFY(window.settled());
    }

    void aStudyOfTheDatabaseOpensWithItsChart() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        MainWindow window(parts());
        window.openDatabase(in(folder, "a.db"));
        window.openStoredStudy("budgets");
        QTRY_VERIFY(qobject_cast<ui::ChartPage*>(window.visiblePage()));
        QCOMPARE(window.page<ui::StudyPage>()->form()->study().name, std::string("budgets"));
        window.openStoredStudy("budgetz");
        QVERIFY2(window.message().contains(u"did you mean “budgets”"_s), qPrintable(window.message()));
    }

    void unreadableDatabaseIsTold() {
        const QTemporaryDir folder;
        write_text(in(folder, "bad.db"), std::string(4096, 'x'));
        MainWindow window(parts());
        window.openDatabase(in(folder, "bad.db"));
        QTRY_VERIFY(window.message().contains(u"bad.db"_s));
    }

    void timeLeftCountsTheRunsThatWait() {
        const auto run = [](RunState state, double seconds, double eta) {
            RunRow row;
            row.spec.study = "s";
            row.spec.method = "lora";
            row.state = state;
            row.seconds = seconds;
            row.progress = {"training", 30, 100, eta};
            return row;
        };
        const std::vector<RunRow> runs{run(RunState::finished, 40, -1), run(RunState::finished, 60, -1), run(RunState::running, 0, 20),
                                       run(RunState::queued, 0, -1), run(RunState::queued, 0, -1)};
        const auto now = ui::study_progress(runs);
        QCOMPARE(now.running, &runs[2]);
        QCOMPARE(now.done, std::int64_t{2});
        QCOMPARE(now.total, std::int64_t{5});
        QCOMPARE(now.share, (2 + 0.3) / 5);
        QCOMPARE(now.eta_seconds, 20 + 2 * 50.0);
        QCOMPARE(ui::study_progress({runs.begin() + 2, runs.end()}).eta_seconds, -1.0);  // none has ended yet
        QVERIFY(!ui::study_progress({}).running);
    }

    void settingsAreRemembered() {
        const QTemporaryDir folder;
        QSettings settings(folder.filePath(u"settings.ini"_s), QSettings::IniFormat);
        fill_store(in(folder, "a.db"));
        {
            MainWindow window(parts(true, &settings));
            window.openDatabase(in(folder, "a.db"));
            window.resize(1101, 702);
            window.show();
            QTRY_VERIFY(window.settled());
            action(window, u"Dark"_s)->trigger();
            window.close();
        }
        MainWindow window(parts(true, &settings));
        QCOMPARE(window.height(), 702);  // Qt 6.8 holds the width that it restores to the screen, which is narrow here
        QVERIFY(action(window, u"Dark"_s)->isChecked());
        QCOMPARE(settings.value(u"database"_s).toString(), QString::fromStdString(in(folder, "a.db").string()));
        action(window, u"Light"_s)->trigger();
    }

    void textIsImportedFromTheWindow() {
        const QTemporaryDir folder;
        Store store(in(folder, "a.db"));
        write_text(in(folder, "text.tsv"), "eins\tone\n");
        ImportRequest seen;
        ui::ImportDialog dialog(in(folder, "a.db"), [&](const ImportRequest& request, const EventSink& events, const std::stop_token&) {
            seen = request;
            events(Progress{"cleaning", 1, 2});
            CorpusRow row;
            row.name = request.name;
            row.source_language = request.text.source_language;
            row.target_language = request.text.target_language;
            Store(*request.database).put_corpus(row);
            CorpusReport report;
            report.info.name = request.name;
            report.info.source_language = request.text.source_language;
            report.info.target_language = request.text.target_language;
            return report;
        });
        QSignalSpy imported(&dialog, &ui::ImportDialog::imported);
        dialog.start();
        QVERIFY2(dialog.message().contains(u"Text"_s), qPrintable(dialog.message()));  // nothing chosen yet
        dialog.setFiles({QString::fromStdString(in(folder, "text.tsv").string())});
        for (auto* edit : dialog.findChildren<QLineEdit*>()) {
            if (edit->accessibleName() == u"Source language"_s) edit->setText(u"de"_s);
            if (edit->accessibleName() == u"Target language"_s) edit->setText(u"en"_s);
        }
        dialog.start();
        QTRY_COMPARE(imported.count(), 1);
        QCOMPARE(imported.first().first().toString(), u"de-en"_s);  // suggested from the languages
        QCOMPARE(seen.text.format, std::string("tsv"));
        QCOMPARE(store.corpora().size(), std::size_t{1});
    }

    void importTellsWhatIsWrong() {
        const QTemporaryDir folder;
        ui::ImportDialog dialog(in(folder, "a.db"), [](const ImportRequest&, const EventSink&, const std::stop_token&) -> CorpusReport {
            throw Error(ErrorKind::file, "text.tsv:7", "has one column", "write source TAB target");
        });
        dialog.setFiles({u"text.tsv"_s});
        for (auto* edit : dialog.findChildren<QLineEdit*>())
            if (edit->accessibleName().endsWith(u"language"_s)) edit->setText(u"de"_s);
        dialog.start();
        QTRY_VERIFY(dialog.message().contains(u"text.tsv:7"_s));
    }

    void aboutNamesLibrariesAndLicences() {
        const QString words = ui::AboutDialog::libraries();
        for (const QString& word :
             {u"Qt"_s, u"QCustomPlot"_s, u"libtorch"_s, u"SQLite"_s, u"SentencePiece"_s, u"GPL-3.0"_s, u"BSD-3-Clause"_s})
            QVERIFY2(words.contains(word), qPrintable(word));
    }

    void widgetsThatTakeFocusHaveNames() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        MainWindow window(parts());
        window.openDatabase(in(folder, "a.db"));
        window.show();
        QTRY_VERIFY(window.settled());
        for (auto* view : window.findChildren<QAbstractItemView*>()) {
            if (view->inherits("QHeaderView") || view->inherits("QComboBoxListView")) continue;
            QVERIFY2(!view->accessibleName().isEmpty(), view->metaObject()->className());
        }
    }
};

std::unique_ptr<QObject> make_window_test() { return std::make_unique<WindowTest>(); }

}  // namespace permille::test

#include "window_test.moc"
