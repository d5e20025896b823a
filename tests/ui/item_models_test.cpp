#include <QAbstractItemModelTester>
#include <QFont>
#include <QSignalSpy>
#include <QTest>

#include "core/store/results.h"
#include "tests/ui/filled_store.h"
#include "tests/ui/ui_tests.h"
#include "ui/item_models/budget_model.h"
#include "ui/item_models/results_model.h"
#include "ui/item_models/runs_filter.h"
#include "ui/item_models/runs_model.h"

namespace permille::test {

using namespace Qt::StringLiterals;
using ui::BudgetModel;
using ui::RunsModel;

class ItemModelsTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void runsShowWhatTheStoreHolds() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        const Store store(in(folder, "a.db"));
        const auto runs = store.runs();
        RunsModel model;
        const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        model.setRuns(runs);
        QCOMPARE(model.rowCount(), static_cast<int>(runs.size()));
        for (int row = 0; row < model.rowCount(); ++row) {
            const RunRow& run = runs[static_cast<std::size_t>(row)];
            const auto cell = [&](int column) { return model.index(row, column).data().toString(); };
            QCOMPARE(cell(RunsModel::id), QString::number(run.id));
            QCOMPARE(cell(RunsModel::state).toLower(), QString::fromUtf8(to_string(run.state).data()));
            QCOMPARE(cell(RunsModel::score), run.score ? QString::number(run.score->score, 'f', 1) : QString());
            QCOMPARE(model.indexOf(run.id).row(), row);
        }
    }

    void onlyWhatChangedIsTold() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        Store store(in(folder, "a.db"));
        RunsModel model;
        model.setRuns(store.runs());
        QSignalSpy reset(&model, &QAbstractItemModel::modelReset), changed(&model, &QAbstractItemModel::dataChanged),
            inserted(&model, &QAbstractItemModel::rowsInserted);
        model.setRuns(store.runs());
        QCOMPARE(changed.count(), 0);

        const auto runs = store.runs();
        store.set_state(runs.back().id, RunState::cancelled, "by hand");
        RunSpec spec = runs.back().spec;
        spec.seed = 77;
        store.add_run(spec);
        model.setRuns(store.runs());
        QCOMPARE(reset.count(), 0);
        QCOMPARE(changed.count(), 1);
        QCOMPARE(inserted.count(), 1);
        QCOMPARE(model.index(static_cast<int>(runs.size()) - 1, RunsModel::progress).data().toString(), u"by hand"_s);
    }

    void filterNarrowsByWordsAndState() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        const Store store(in(folder, "a.db"));
        RunsModel model;
        ui::RunsFilter filter;
        filter.setSourceModel(&model);
        model.setRuns(store.runs());
        const int all = filter.rowCount();
        filter.setState(RunState::failed);
        QCOMPARE(filter.rowCount(), 1);
        filter.setState(std::nullopt);
        filter.setWords(u"LORA tr-en"_s);
        QVERIFY(filter.rowCount() > 0 && filter.rowCount() < all);
        for (int row = 0; row < filter.rowCount(); ++row) {
            const RunRow* run = model.find(filter.index(row, 0).data(RunsModel::id_role).toLongLong());
            QCOMPARE(run->spec.method, std::string("lora"));
            QCOMPARE(run->spec.corpus, std::string("tr-en"));
        }
        filter.setWords({});
        filter.setStudy(u"another"_s);
        QCOMPARE(filter.rowCount(), 0);
    }

    void sortingByScoreIsNumeric() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        const Store store(in(folder, "a.db"));
        RunsModel model;
        ui::RunsFilter filter;
        filter.setSourceModel(&model);
        model.setRuns(store.runs());
        filter.sort(RunsModel::score, Qt::DescendingOrder);
        double before = 1e9;
        for (int row = 0; row < filter.rowCount(); ++row) {
            const double score = filter.index(row, RunsModel::score).data(RunsModel::sort_role).toDouble();
            QVERIFY(score <= before);
            before = score;
        }
    }

    void resultsAreThoseOfTheCommandLine() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        const Store store(in(folder, "a.db"));
        const Table table = results_table(store.runs());
        ui::ResultsModel model;
        const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        model.setTable(table);
        QCOMPARE(model.rowCount(), static_cast<int>(table.rows.size()));
        int column = 0;
        for (std::size_t i = 0; i < table.columns.size(); ++i) {
            if (!table.columns[i].for_people) continue;
            QCOMPARE(model.headerData(column, Qt::Horizontal).toString(), QString::fromStdString(table.columns[i].title));
            for (int row = 0; row < model.rowCount(); ++row)
                QCOMPARE(model.index(row, column).data().toString(),
                         QString::fromStdString(shown(table.rows[static_cast<std::size_t>(row)][i], table.columns[i].kind)));
            ++column;
        }
        QCOMPARE(model.columnCount(), column);
    }

    void budgetOutOfReachIsStruckThroughWithItsReason() {
        BudgetModel model;
        const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        model.setQuestions({{"base", "lora", Json::object(), 0.5, {}, {}}, {"base", "lora", Json::object(), 90.0, {}, {}}});
        QCOMPARE(model.status(0), BudgetModel::Status::pending);
        ui::BudgetReply good, bad;
        good.answer.method = bad.answer.method = "lora";
        good.answer.solved = Json{{"rank", 4}, {"alpha", 16}};
        good.answer.trainable = 40960;
        good.answer.percent_base = 0.487;
        bad.answer.min_percent = 0.12;
        bad.answer.max_percent = 31.0;
        bad.answer.reason = "lora reaches 0.12% to 31% of this base";
        model.setReply(0, good);
        model.setReply(1, bad);
        QCOMPARE(model.index(0, BudgetModel::size).data().toString(), u"rank 4"_s);
        QCOMPARE(model.index(0, BudgetModel::trainable).data().toString(), u"40,960"_s);
        QVERIFY(!model.index(0, BudgetModel::method).data(Qt::FontRole).isValid());
        QVERIFY(model.index(1, BudgetModel::method).data(Qt::FontRole).value<QFont>().strikeOut());
        QCOMPARE(model.index(1, BudgetModel::method).data(Qt::ToolTipRole).toString(), u"lora reaches 0.12% to 31% of this base"_s);
        QVERIFY(model.index(1, BudgetModel::trainable).data().toString().isEmpty());
    }
};

std::unique_ptr<QObject> make_item_models_test() { return std::make_unique<ItemModelsTest>(); }

}  // namespace permille::test

#include "item_models_test.moc"
