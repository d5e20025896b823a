#include <QComboBox>
#include <QFile>
#include <QLineEdit>
#include <QPushButton>
#include <QSignalSpy>
#include <QTabWidget>
#include <QTableView>
#include <QTest>
#include <algorithm>

#include "core/base/files.h"
#include "core/peft/catalog.h"
#include "core/store/results.h"
#include "tests/ui/filled_store.h"
#include "tests/ui/ui_tests.h"
#include "ui/pages/chart/chart_page.h"
#include "ui/pages/results/results_page.h"
#include "ui/pages/runs/run_details_view.h"
#include "ui/pages/runs/runs_page.h"
#include "ui/pages/study/method_list.h"
#include "ui/pages/study/study_page.h"
#include "ui/pages/study/study_plan.h"
#include "ui/pages/welcome/welcome_page.h"
#include "ui/widgets/budget_plot.h"
#include "ui/widgets/curve_plot.h"
#include "ui/widgets/field_form.h"

namespace permille::test {

using namespace Qt::StringLiterals;

namespace {

ui::SnapshotPtr snapshot_of(const std::filesystem::path& file) {
    const Store store(file);
    auto snapshot = std::make_shared<ui::StoreSnapshot>();
    snapshot->file = file;
    snapshot->runs = store.runs();
    snapshot->bases = store.bases();
    snapshot->corpora = store.corpora();
    snapshot->studies = store.studies();
    return snapshot;
}

ui::DetailsPtr details_of(const std::filesystem::path& file, std::int64_t run) {
    const Store store(file);
    auto details = std::make_shared<ui::RunDetails>();
    details->run = run;
    details->metrics = store.step_metrics(run);
    details->evaluations = store.evaluations(run);
    if (!details->evaluations.empty()) details->hypotheses = store.hypotheses(details->evaluations.front().id);
    return details;
}

// A base of 10,000 parameters on which every sized method has steps of 10 and reaches half of the base.
BudgetAnswer fake_budget(const ui::BudgetQuestion& question) {
    BudgetAnswer answer;
    answer.method = question.method;
    answer.budget = question.budget;
    answer.min_percent = 0.1;
    answer.max_percent = 50;
    answer.seconds_per_1000_updates = 100;
    if (question.budget && question.budget->amount > 50) {
        answer.reason = "reaches 0.1% to 50% of this base";
        return answer;
    }
    answer.percent_base = question.budget ? question.budget->amount : 1;
    answer.trainable = static_cast<std::int64_t>(answer.percent_base * 100);
    answer.solved = Json::object();
    return answer;
}

}  // namespace

class PagesTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void studyGoesThroughTheFormUnchanged() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::StudyPage page({"permille-small"}, fake_budget);
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        Study study = sample_study();
        study.bases = {"permille-small", "another-base"};
        study.pairs = {{"it-en"}, {"it-en", "en", "it"}, {"not-imported", "xx", "en"}};
        study.methods = {{"bottleneck", {{"activation", "gelu"}}, {1.5}, {{"learning_rate", 0.002}, {"updates", 50}}},
                         {"lora"},
                         {"lora", {{"rank", 3}}}};
        study.training.label_smoothing = 0.2;
        study.decoding.beam_size = 2;
        study.evaluation.metric = "ter";
        study.device.threads = 1;
        study.jobs = 2;
        study.executor = "slurm";
        study.include_untouched = false;
        study.data_sizes = {500, 0};
        page.form()->setStudy(study);
        QCOMPARE(QString::fromStdString(study_to_yaml(page.form()->study())), QString::fromStdString(study_to_yaml(study)));
        // Choices stay when the database changes underneath.
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        QCOMPARE(QString::fromStdString(study_to_yaml(page.form()->study())), QString::fromStdString(study_to_yaml(study)));
    }

    void aCorpusWithoutTestSentencesIsAProblemBeforeTheStart() {
        ui::StoreSnapshot store;
        const Study study = sample_study();
        for (const auto& pair : study.pairs) store.corpora.push_back({pair.corpus, "it", "en", "/nowhere", "f", 30000, 20, 20});
        QVERIFY(ui::plan_study(study, store, study.bases).problems.isEmpty());
        store.corpora.back().test_sentences = 0;
        const auto plan = ui::plan_study(study, store, study.bases);
        QCOMPARE(plan.problems.size(), 1);
        QVERIFY2(plan.problems[0].contains(u"tr-en has no test sentences"_s), qPrintable(plan.problems[0]));
        QVERIFY(plan.runs.empty());
    }

    void everyMethodOfTheTableIsOffered() {
        ui::MethodList list;
        for (const auto& info : method_catalog()) {
            QVERIFY(list.settings(info.id));
            for (const auto& knob : info.knobs) QVERIFY2(list.settings(info.id)->editor(knob.name), knob.name.c_str());
            list.setChecked(info.id, true);
        }
        QCOMPARE(list.methods().size(), method_catalog().size());
    }

    void numberOfRunsAndBudgetsFollowTheForm() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::StudyPage page({"permille-small"}, fake_budget);
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        Study study = sample_study({"new", {1, 2}});
        study.budgets = {0.5, 80};
        page.form()->setStudy(study);
        QTRY_VERIFY(page.settled());
        QCOMPARE(page.plan().runs.size(), expand(study).size());
        QVERIFY2(page.preview()->summary().startsWith(u"%1 runs"_s.arg(expand(study).size())), qPrintable(page.preview()->summary()));
        const auto& budgets = page.preview()->budgets();
        int refused = 0, solved = 0;
        for (int row = 0; row < budgets.rowCount(); ++row) {
            refused += budgets.status(row) == ui::BudgetModel::Status::out_of_reach;
            solved += budgets.status(row) == ui::BudgetModel::Status::solved;
        }
        QCOMPARE(refused, 2);  // 80 % for the two sized methods
        QCOMPARE(solved, 4);   // 0.5 % for them, and the two of fixed size
        QVERIFY(page.preview()->remarks().contains(u"out of reach"_s));

        study.seeds = {1};
        page.form()->setStudy(study);
        QTRY_COMPARE(page.plan().runs.size(), expand(study).size());
    }

    void budgetsMayBeCountsAndFileSizes() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::StudyPage page({"permille-small"}, fake_budget);
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        Study study = sample_study();
        study.name = "counted";
        study.methods = {{"lora"}};
        study.budgets = {parse_budget("60k", ""), parse_budget("at most 500kB", "")};
        page.form()->setStudy(study);
        QCOMPARE(QString::fromStdString(study_to_yaml(page.form()->study())), QString::fromStdString(study_to_yaml(study)));
        QTRY_VERIFY(page.settled());
        QCOMPARE(page.plan().runs.size(), expand(study).size());
        QCOMPARE(page.plan().questions.size(), std::size_t{2});
        const std::size_t each = study.pairs.size() * study.seeds.size();
        QCOMPARE(page.plan().uses, (std::vector<std::size_t>{each, each}));
        QCOMPARE(page.preview()->budgets().index(1, ui::BudgetModel::budget).data().toString(), u"at most 500kB"_s);
        study.bases = {"somebody/not-here"};
        page.form()->setStudy(study);
        QTRY_VERIFY(page.plan().problems.join(u' ').contains(u"not-here"_s));
        QVERIFY(page.plan().runs.empty());
    }

    void finishedRunsAreNotCountedAgain() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::StudyPage page({"permille-small"}, fake_budget);
        const auto snapshot = snapshot_of(in(folder, "a.db"));
        page.setSnapshot(snapshot);
        page.form()->setStudy(parse_study(snapshot->studies.back().yaml, "stored"));
        QTRY_VERIFY(page.settled());
        const auto finished =
            std::count_if(snapshot->runs.begin(), snapshot->runs.end(), [](const RunRow& run) { return run.state == RunState::finished; });
        QCOMPARE(static_cast<std::ptrdiff_t>(page.plan().finished), finished);
        QCOMPARE(page.plan().runs.size(), snapshot->runs.size());
        QVERIFY(page.preview()->summary().contains(u"%1 done"_s.arg(finished)));
    }

    void whatIsMissingIsSaidAndStopsTheStart() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::StudyPage page({}, fake_budget);
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        QTRY_VERIFY(page.settled());
        QVERIFY(page.preview()->remarks().contains(u"language pair"_s));
        QSignalSpy started(&page, &ui::StudyPage::startRequested);
        QTest::mouseClick(page.preview()->findChildren<QPushButton*>().front(), Qt::LeftButton);
        QCOMPARE(started.count(), 0);
        Study study = sample_study();
        study.pairs = {{"nl-en"}};
        page.form()->setStudy(study);
        QTRY_VERIFY(page.preview()->remarks().contains(u"no corpus nl-en"_s));
    }

    void studiesAreSavedAndOpened() {
        const QTemporaryDir folder;
        ui::StudyPage page({"permille-small"}, fake_budget);
        QSignalSpy failed(&page, &ui::Page::failed);
        page.form()->setStudy(sample_study());
        QVERIFY(page.modified());
        QVERIFY(page.save(in(folder, "study.yaml")));
        QVERIFY(!page.modified());
        QVERIFY(read_study(in(folder, "study.yaml")) == sample_study());
        page.form()->setStudy(Study{});
        QVERIFY(page.open(in(folder, "study.yaml")));
        QVERIFY(page.form()->study() == sample_study());
        QCOMPARE(failed.count(), 0);

        write_text(in(folder, "bad.yaml"), "study: x\nbases: [a]\npears: [it-en]\n");
        QVERIFY(!page.open(in(folder, "bad.yaml")));
        QCOMPARE(failed.count(), 1);
        const QString message = failed.first().first().value<ui::Problem>().message();
        QVERIFY2(message.contains(u"bad.yaml:3"_s) && message.contains(u"pairs"_s), qPrintable(message));
        QVERIFY(page.form()->study() == sample_study());  // kept
    }

    void commandQuotesWhatTheShellWouldRead() {
        QCOMPARE(ui::StudyPage::commandFor("a/b.yaml", "/x/c.db"), u"permille run a/b.yaml --db /x/c.db"_s);
        QCOMPARE(ui::StudyPage::commandFor("it's.yaml", "/x y/c.db"), u"permille run 'it'\\''s.yaml' --db '/x y/c.db'"_s);
    }

    void detailsOfTheSelectedRun() {
        const QTemporaryDir folder;
        const auto file = in(folder, "a.db");
        fill_store(file);
        ui::RunsPage page;
        QSignalSpy selected(&page, &ui::RunsPage::runSelected);
        const auto snapshot = snapshot_of(file);
        page.setSnapshot(snapshot);
        const auto lora =
            std::find_if(snapshot->runs.begin(), snapshot->runs.end(), [](const RunRow& run) { return run.spec.method == "lora"; });
        page.showRun(lora->id);
        QCOMPARE(selected.last().first().toLongLong(), lora->id);
        QVERIFY(!page.settled());
        page.setDetails(details_of(file, lora->id));
        QVERIFY(page.settled());
        QCOMPARE(page.details()->curves()->points(StepFigure::train_loss), 60);
        QCOMPARE(page.details()->curves()->points(StepFigure::valid_bleu), 6);
        QCOMPARE(page.details()->translations().rowCount(), 3);
        QCOMPARE(page.details()->translations().index(2, ui::TranslationsModel::hypothesis).data().toString(),
                 u"Select the background color."_s);
        QVERIFY(page.details()->overview().contains(u"Rank"_s));
        QVERIFY(page.details()->overview().contains(u"Italian to English"_s));
    }

    void aRunBehindAFilterIsStillShown() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::RunsPage page;
        const auto snapshot = snapshot_of(in(folder, "a.db"));
        page.setSnapshot(snapshot);
        page.filter()->setText(u"bitfit"_s);
        page.showRun(snapshot->runs.back().id);
        QCOMPARE(page.table()->currentIndex().data(ui::RunsModel::id_role).toLongLong(), snapshot->runs.back().id);
    }

    void theRunThatGoesOnIsFollowedUntilOneIsChosen() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        Store store(in(folder, "a.db"));
        ui::RunsPage page;
        const auto shown = [&] { return page.table()->currentIndex().data(ui::RunsModel::id_role).toLongLong(); };
        const auto runs = store.runs({.states = {RunState::running}});
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        QCOMPARE(shown(), runs.front().id);
        store.end_run({runs.front().id, runs.front().claim}, {});
        const auto next = store.runs({.states = {RunState::queued}}).front().id;
        store.claim(next);
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        QCOMPARE(shown(), next);
        page.showRun(3);
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        QCOMPARE(shown(), 3);
    }

    void buttonsFitTheSelectedRuns() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::RunsPage page;
        const auto snapshot = snapshot_of(in(folder, "a.db"));
        page.setSnapshot(snapshot);
        QSignalSpy stop(&page, &ui::RunsPage::stopRequested), again(&page, &ui::RunsPage::requeueRequested);
        const auto with = [&](RunState state) {
            return std::find_if(snapshot->runs.begin(), snapshot->runs.end(), [&](const RunRow& run) { return run.state == state; })->id;
        };
        page.showRun(with(RunState::finished));
        QVERIFY(!page.stopButton()->isEnabled() && !page.requeueButton()->isEnabled());
        page.showRun(with(RunState::running));
        QVERIFY(page.stopButton()->isEnabled() && !page.requeueButton()->isEnabled());
        page.stopButton()->click();
        QCOMPARE(stop.last().first().value<QList<qint64>>(), QList<qint64>{with(RunState::running)});
        page.showRun(with(RunState::failed));
        QVERIFY(page.requeueButton()->isEnabled());
        page.requeueButton()->click();
        QCOMPARE(again.last().first().value<QList<qint64>>(), QList<qint64>{with(RunState::failed)});
    }

    void chartShowsStudyAndPairChosen() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::ChartPage page;
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        QCOMPARE(page.plot().data().panels.size(), std::size_t{2});
        page.pairs()->setCurrentIndex(1);
        QCOMPARE(page.plot().data().panels.size(), std::size_t{1});
        page.pairs()->setCurrentIndex(0);
        page.showStudy(u"budgets"_s);
        QCOMPARE(page.plot().data().panels.size(), std::size_t{2});
        QSignalSpy noted(&page, &ui::Page::noted), failed(&page, &ui::Page::failed);
        page.exportTo(QString::fromStdString(in(folder, "c.svg").string()), {});
        QCOMPARE(noted.count(), 1);
        QVERIFY(std::filesystem::file_size(in(folder, "c.svg")) > 2000);
        page.exportTo(QString::fromStdString(in(folder, "c.svg/c.svg").string()), {});  // a file is no folder
        QCOMPARE(failed.count(), 1);
    }

    void exportedTableEqualsTheStore() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        const auto snapshot = snapshot_of(in(folder, "a.db"));
        ui::ResultsPage page;
        page.setSnapshot(snapshot);
        std::vector<RunRow> finished;
        for (const auto& run : snapshot->runs)
            if (run.state == RunState::finished) finished.push_back(run);
        const std::pair<const char*, TableFormat> formats[] = {{"t.csv", TableFormat::csv},
                                                               {"t.tsv", TableFormat::tsv},
                                                               {"t.md", TableFormat::md},
                                                               {"t.tex", TableFormat::latex},
                                                               {"t.json", TableFormat::json}};
        for (const auto& [name, format] : formats) {
            page.exportTo(QString::fromStdString(in(folder, name).string()));
            QCOMPARE(QString::fromStdString(read_text(in(folder, name))), QString::fromStdString(render(results_table(finished), format)));
        }
        QSignalSpy failed(&page, &ui::Page::failed);
        page.exportTo(QString::fromStdString(in(folder, "t.xlsx").string()));
        QCOMPARE(failed.count(), 1);
    }

    void conditionsNarrowTheResults() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        ui::ResultsPage page;
        page.setSnapshot(snapshot_of(in(folder, "a.db")));
        const int all = page.results().rowCount();
        page.condition()->setText(u"method=lora AND pair=it-en"_s);
        QVERIFY(page.results().rowCount() > 0 && page.results().rowCount() < all);
        page.condition()->setText(u"methud=lora"_s);
        QCOMPARE(page.results().rowCount(), all);
        QVERIFY(page.condition()->property("wrong").toBool());
    }

    void welcomeNamesTheDatabaseAndOpensTheExample() {
        const QTemporaryDir folder;
        Store store(in(folder, "empty.db"));
        ui::WelcomePage page("/somewhere/first-look.yaml");
        page.setSnapshot(snapshot_of(in(folder, "empty.db")));
        QSignalSpy example(&page, &ui::WelcomePage::exampleRequested);
        for (auto* button : page.findChildren<QPushButton*>())
            if (button->text().contains(u"example"_s)) button->click();
        QCOMPARE(example.first().first().toString(), u"/somewhere/first-look.yaml"_s);
    }
};

std::unique_ptr<QObject> make_pages_test() { return std::make_unique<PagesTest>(); }

}  // namespace permille::test

#include "pages_test.moc"
