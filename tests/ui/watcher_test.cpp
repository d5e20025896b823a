#include <QElapsedTimer>
#include <QSignalSpy>
#include <QTest>
#include <fstream>

#include "tests/ui/filled_store.h"
#include "tests/ui/ui_tests.h"
#include "ui/bridge/budget_solver.h"
#include "ui/bridge/run_controller.h"
#include "ui/bridge/store_watcher.h"

namespace permille::test {

using namespace Qt::StringLiterals;
using ui::StoreWatcher;

class WatcherTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void whatAnotherConnectionWritesIsSeen() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        StoreWatcher watcher;
        QSignalSpy snapshots(&watcher, &StoreWatcher::snapshotChanged);
        watcher.open(in(folder, "a.db"));
        QTRY_VERIFY(watcher.snapshot());
        const auto before = watcher.snapshot()->runs.size();
        QCOMPARE(watcher.snapshot()->corpora.size(), std::size_t{3});

        Store other(in(folder, "a.db"));
        RunSpec spec = other.runs().back().spec;
        spec.seed = 99;
        other.add_run(spec);
        QTRY_COMPARE_WITH_TIMEOUT(watcher.snapshot()->runs.size(), before + 1, 3000);
    }

    void runsOfDeadProcessesAreMarkedAtTheStart() {
        const QTemporaryDir folder;
        {
            Store store(in(folder, "a.db"));
            RunSpec spec = expand(sample_study()).front();
            const auto id = store.add_run(spec);
            WorkerId gone = WorkerId::here();
            gone.process = 999999;  // above the largest process id of a usual system
            store.claim(id, gone);
        }
        StoreWatcher watcher;
        watcher.open(in(folder, "a.db"));
        QTRY_VERIFY(watcher.snapshot());
        QCOMPARE(watcher.snapshot()->runs.front().state, RunState::interrupted);
    }

    void changesAreWrittenAndReadBack() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        StoreWatcher watcher;
        watcher.open(in(folder, "a.db"));
        QTRY_VERIFY(watcher.snapshot());
        const auto last = watcher.snapshot()->runs.back().id;
        watcher.post([last](Store& store) { store.set_state(last, RunState::cancelled, "enough"); });
        QTRY_COMPARE(watcher.snapshot()->runs.back().state, RunState::cancelled);
        QCOMPARE(Store(in(folder, "a.db")).run(last).reason, std::string("enough"));
    }

    void detailsFollowTheRunThatIsWatched() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        StoreWatcher watcher;
        ui::DetailsPtr details;
        connect(&watcher, &StoreWatcher::detailsChanged, this, [&](const ui::DetailsPtr& fresh) { details = fresh; });
        watcher.open(in(folder, "a.db"));
        QTRY_VERIFY(watcher.snapshot());
        const auto run = watcher.snapshot()->runs[2].id;
        watcher.watchRun(run);
        QTRY_VERIFY(details);
        QCOMPARE(details->run, run);
        QCOMPARE(details->hypotheses.size(), std::size_t{3});
        QVERIFY(details->metrics.size() > 50);
    }

    void anUnreadableFileLeavesTheOneBefore() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        std::ofstream(in(folder, "bad.db")) << "this is not a database, whatever its name says; it is long enough to have a header";
        StoreWatcher watcher;
        QSignalSpy failed(&watcher, &StoreWatcher::failed);
        watcher.open(in(folder, "a.db"));
        QTRY_VERIFY(watcher.snapshot());
        watcher.open(in(folder, "bad.db"));
        QTRY_COMPARE(failed.count(), 1);
        const auto problem = failed.first().first().value<ui::Problem>();
        QCOMPARE(problem.kind, ErrorKind::database);
        QVERIFY(problem.message().contains(u"bad.db"_s));
        watcher.refresh();
        QTest::qWait(50);
        QCOMPARE(watcher.snapshot()->file, in(folder, "a.db"));
    }

    void onlyTheNewestQuestionsAreAnswered() {
        ui::BudgetSolver solver([](const ui::BudgetQuestion& question) {
            BudgetAnswer answer;
            answer.method = question.method;
            if (question.method == "broken") throw Error(ErrorKind::file, "base", "is not there");
            answer.solved = Json::object();
            answer.trainable = 7;
            return answer;
        });
        QSignalSpy answered(&solver, &ui::BudgetSolver::answered), finished(&solver, &ui::BudgetSolver::finished);
        solver.ask({{"base", "old", Json::object(), 1.0, {}, {}}});
        const int call = solver.ask({{"base", "lora", Json::object(), 1.0, {}, {}}, {"base", "broken", Json::object(), 1.0, {}, {}}});
        QVERIFY(!solver.idle());
        QTRY_VERIFY(solver.idle());
        QCOMPARE(finished.last().first().toInt(), call);
        QList<QList<QVariant>> mine;
        for (const auto& signal : answered)
            if (signal.first().toInt() == call) mine << signal;
        QCOMPARE(mine.size(), 2);
        QCOMPARE(mine[0][2].value<ui::BudgetReply>().answer.trainable, std::int64_t{7});
        QVERIFY(mine[1][2].value<ui::BudgetReply>().problem.has_value());
    }

    void aStudyThatGoesOnElsewhereOrIsLeftUndoneIsTold() {
        struct Engine : ui::StudyEngine {
            explicit Engine(bool hands_over) : hands_over_(hands_over) {}
            void start() override {}
            void stop() override {}
            bool running() const override { return false; }
            std::string elsewhere() const override { return hands_over_ ? "Slurm job 17: 4 tasks" : ""; }
            std::vector<std::string> trouble() const override { return {"run 3: the disk is full"}; }
            bool hands_over_;
        };
        for (const bool hands_over : {true, false}) {
            ui::RunController controller([&](const ui::StudyOrder&, const EventSink&) { return std::make_unique<Engine>(hands_over); });
            QSignalSpy handed(&controller, &ui::RunController::handedOver), failed(&controller, &ui::RunController::failed),
                finished(&controller, &ui::RunController::finished);
            ui::StudyOrder order;
            order.study.name = "toy";
            controller.start(order);
            QTRY_COMPARE(handed.count() + failed.count(), 1);
            QVERIFY(!controller.active());
            QCOMPARE(finished.count(), 0);  // nobody is told that it is done
            if (hands_over) QCOMPARE(handed.first()[1].toString(), u"Slurm job 17: 4 tasks"_s);
            else QVERIFY(failed.first().first().value<ui::Problem>().message().contains(u"the disk is full"_s));
        }
    }

    void aStudyThatCannotStartIsTold() {
        ui::RunController controller([](const ui::StudyOrder&, const EventSink&) -> std::unique_ptr<ui::StudyEngine> {
            throw Error(ErrorKind::config, "study", "has no pairs", "add one");
        });
        QSignalSpy failed(&controller, &ui::RunController::failed), finished(&controller, &ui::RunController::finished);
        controller.start({});
        QVERIFY(controller.active());
        QTRY_COMPARE(failed.count(), 1);
        QVERIFY(!controller.active());
        QCOMPARE(finished.count(), 0);
        QVERIFY(failed.first().first().value<ui::Problem>().message().contains(u"has no pairs"_s));
    }
};

std::unique_ptr<QObject> make_watcher_test() { return std::make_unique<WatcherTest>(); }

}  // namespace permille::test

#include "watcher_test.moc"
