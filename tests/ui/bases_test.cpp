#include <QLineEdit>
#include <QProgressBar>
#include <QPushButton>
#include <QSignalSpy>
#include <QTableView>
#include <QTest>
#include <atomic>
#include <mutex>
#include <thread>

#include "core/base/files.h"
#include "tests/ui/filled_store.h"
#include "tests/ui/ui_tests.h"
#include "ui/pages/bases/bases_page.h"
#include "ui/pages/pages.h"
#include "ui/pages/study/study_page.h"
#include "ui/shell/main_window.h"

namespace permille::test {

using namespace Qt::StringLiterals;
using ui::BasesModel;
using ui::BasesPage;

namespace {

QString q(const std::string& text) { return QString::fromStdString(text); }

// A machine with a bundled base and a cache that downloads fill. Used by the keeper's threads.
class Machine {
public:
    ui::BaseWork work() {
        ui::BaseWork work;
        work.list = [this](const std::vector<BaseRow>& stored, const std::stop_token&) {
            const std::lock_guard lock(mutex_);
            std::vector<KnownBase> bases{
                {"permille-small", BasePlace::bundled, "/usr/share/permille", "m2m_100", 15'000'000, 12, 62'000'000, {}}};
            for (const auto& name : cache_)
                bases.push_back({name, BasePlace::cache, "/cache/" + name, "m2m_100", 483'905'536, 100, 1'940'000'000, {}});
            for (const auto& row : stored)
                bases.push_back({row.name, BasePlace::folder, row.path, row.family, row.parameters, 3, 400, "the folder is gone"});
            return bases;
        };
        work.describe = [](const std::string& folder) -> BaseRow {
            if (folder == "/nothing")
                throw Error(ErrorKind::file, folder, "holds no config.json", "choose a model folder in Hugging Face layout");
            return {folder, folder, "m2m_100", {}, 71'808, {"de", "en", "it"}};
        };
        work.download = [this](const std::string& name, const EventSink& sink, const std::stop_token& stop) {
            if (name == "no/such") throw Error(ErrorKind::network, name, "there is no such model", "check the spelling");
            sink(Progress{"downloading " + name, 970'000'000, 1'940'000'000, 65});
            while (!go_on && !stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            if (stop.stop_requested()) return false;
            const std::lock_guard lock(mutex_);
            cache_.push_back(name);
            return true;
        };
        work.remove = [this](const std::string& name) {
            const std::lock_guard lock(mutex_);
            std::erase(cache_, name);
        };
        return work;
    }
    std::atomic<bool> go_on = false;

private:
    std::mutex mutex_;
    std::vector<std::string> cache_;
};

ui::SnapshotPtr snapshot_of(std::vector<BaseRow> bases) {
    auto snapshot = std::make_shared<ui::StoreSnapshot>();
    snapshot->bases = std::move(bases);
    return snapshot;
}

QPushButton* button(const QWidget& page, const QString& words) {
    for (auto* found : page.findChildren<QPushButton*>())
        if (found->text() == words) return found;
    return nullptr;
}

QString cell(const BasesPage& page, const std::string& base, int column) {
    return page.bases().index(page.bases().rowOf(base), column).data().toString();
}

}  // namespace

class BasesTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void everyBaseIsListedWithItsFigures() {
        Machine machine;
        BasesPage page(machine.work());
        QVERIFY(!page.settled());
        page.setSnapshot(snapshot_of({{"/mine", "/mine", "mbart", {}, 1000, {}}}));
        page.show();
        QTRY_VERIFY(page.settled());
        QCOMPARE(page.bases().rowCount(), 2);
        QCOMPARE(cell(page, "permille-small", BasesModel::family), u"m2m_100"_s);
        QCOMPARE(cell(page, "permille-small", BasesModel::languages), u"12"_s);
        QCOMPARE(cell(page, "permille-small", BasesModel::parameters), u"15,000,000"_s);
        QCOMPARE(cell(page, "permille-small", BasesModel::size), u"62 MB"_s);
        QCOMPARE(cell(page, "permille-small", BasesModel::place), u"with the program"_s);
        QCOMPARE(cell(page, "/mine", BasesModel::place), u"folder"_s);
        QCOMPARE(cell(page, "/mine", BasesModel::state), u"the folder is gone"_s);
    }

    void aDownloadShowsItsProgressAndEndsInTheList() {
        Machine machine;
        BasesPage page(machine.work());
        page.setSnapshot(snapshot_of({}));
        page.show();
        QTRY_VERIFY(page.settled());
        auto* name = page.findChild<QLineEdit*>();
        auto* bar = page.findChild<QProgressBar*>();
        QVERIFY(!bar->isVisible());
        QVERIFY(!button(page, u"Download"_s)->isEnabled());
        name->setText(u" facebook/m2m100_418M "_s);
        button(page, u"Download"_s)->click();
        QTRY_COMPARE(bar->value(), 500);
        QVERIFY(bar->isVisible());
        QVERIFY(!name->isEnabled());
        page.setSnapshot(snapshot_of({{"/mine", "/mine", "mbart", {}, 1000, {}}}));
        QTRY_COMPARE(page.bases().rowCount(), 2);  // the list stays alive meanwhile
        machine.go_on = true;
        QTRY_COMPARE(page.bases().rowCount(), 3);
        QVERIFY(!bar->isVisible());
        QVERIFY(name->text().isEmpty());
        QSignalSpy used(&page, &BasesPage::useRequested);  // the new one is selected
        button(page, u"Use in study"_s)->click();
        QCOMPARE(used.count(), 1);
        QCOMPARE(used.first().first().toString(), u"facebook/m2m100_418M"_s);
    }

    void aDownloadCanBeCancelledAndMayFail() {
        Machine machine;
        BasesPage page(machine.work());
        page.setSnapshot(snapshot_of({}));
        page.show();
        QTRY_VERIFY(page.settled());
        auto* bar = page.findChild<QProgressBar*>();
        QSignalSpy noted(&page, &BasesPage::noted);
        page.download(u"facebook/m2m100_418M"_s);
        QTRY_COMPARE(bar->value(), 500);
        button(page, u"Cancel"_s)->click();
        QTRY_COMPARE(noted.count(), 1);
        QVERIFY(!bar->isVisible());
        QCOMPARE(page.bases().rowCount(), 1);

        QSignalSpy failed(&page, &BasesPage::failed);
        page.download(u"no/such"_s);
        QTRY_COMPARE(failed.count(), 1);
        QVERIFY(failed.first().first().value<ui::Problem>().message().contains(u"no such model"_s));
        QVERIFY(!bar->isVisible());
        page.addFolder(u"/nothing"_s);
        QTRY_COMPARE(failed.count(), 2);

        // The keeper itself refuses what is no name of a model, before anything is asked.
        ui::BaseKeeper keeper;
        QSignalSpy refused(&keeper, &ui::BaseKeeper::failed);
        keeper.download(u"../etc"_s);
        QTRY_COMPARE(refused.count(), 1);
        QVERIFY(!keeper.downloading());
        // A page that goes away ends its download.
        auto passing = std::make_unique<BasesPage>(machine.work());
        passing->download(u"facebook/m2m100_418M"_s);
    }

    void removingAsksFirstAndSparesTheBundledOnes() {
        Machine machine;
        machine.go_on = true;
        BasesPage page(machine.work());
        page.setSnapshot(snapshot_of({{"/mine", "/mine", "mbart", {}, 1000, {}}}));
        page.show();
        page.download(u"tiny/model"_s);
        QTRY_VERIFY(page.settled() && page.bases().rowOf("tiny/model") >= 0);
        QStringList questions;
        bool agree = false;
        connect(&page, &BasesPage::questionAsked, &page, [&](const QString& question, const QString&, const std::function<void()>& then) {
            questions << question;
            if (agree) then();
        });
        QSignalSpy changes(&page, &BasesPage::changeWanted);
        page.select("permille-small");
        QVERIFY(!button(page, u"Remove…"_s)->isEnabled());
        page.removeSelected();
        QVERIFY(questions.isEmpty());

        page.select("tiny/model");
        button(page, u"Remove…"_s)->click();
        QCOMPARE(questions.size(), 1);
        QVERIFY(questions.first().contains(u"tiny/model"_s) && questions.first().contains(u"1.9 GB"_s));
        agree = true;
        button(page, u"Remove…"_s)->click();
        QTRY_COMPARE(page.bases().rowOf("tiny/model"), -1);
        QCOMPARE(changes.count(), 1);

        page.select("/mine");
        QVERIFY(!button(page, u"Use in study"_s)->isEnabled());  // its folder is gone
        button(page, u"Remove…"_s)->click();
        QCOMPARE(changes.count(), 2);
        QCOMPARE(questions.size(), 3);
    }

    void foldersAreKeptInTheDatabaseAndUsedInStudies() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        const std::string model = in(folder, "model").string();
        std::filesystem::copy(PERMILLE_TESTS_DIR "/support/tiny-base", model);
        ui::MainWindow::Parts parts;
        parts.bundled_bases = {"permille-small"};
        parts.confirm = [](const QString&) { return true; };
        ui::MainWindow window(std::move(parts));
        window.openDatabase(in(folder, "a.db"));
        window.show();
        window.showPage(ui::find_page("bases", "--page").id);
        QTRY_VERIFY(window.settled());
        window.page<ui::BasesPage>()->addFolder(q(model));
        QTRY_VERIFY(window.page<ui::BasesPage>()->bases().rowOf(model) >= 0);
        QTRY_VERIFY(window.settled());
        QCOMPARE(cell(*window.page<ui::BasesPage>(), model, BasesModel::parameters), u"71,808"_s);
        QCOMPARE(cell(*window.page<ui::BasesPage>(), model, BasesModel::languages), u"3"_s);
        QCOMPARE(cell(*window.page<ui::BasesPage>(), model, BasesModel::state), u"ready"_s);
        QVERIFY(Store(in(folder, "a.db")).base(model));
        button(*window.page<ui::BasesPage>(), u"Use in study"_s)->click();
        QVERIFY(qobject_cast<ui::StudyPage*>(window.visiblePage()));
        const auto bases = window.page<ui::StudyPage>()->form()->study().bases;
        QVERIFY(std::find(bases.begin(), bases.end(), model) != bases.end());

        window.showPage("bases");
        window.page<ui::BasesPage>()->select(model);
        window.page<ui::BasesPage>()->removeSelected();
        QTRY_COMPARE(window.page<ui::BasesPage>()->bases().rowOf(model), -1);
        QVERIFY(!Store(in(folder, "a.db")).base(model));
        QVERIFY(std::filesystem::exists(model + "/config.json"));
    }
};

std::unique_ptr<QObject> make_bases_test() { return std::make_unique<BasesTest>(); }

}  // namespace permille::test

#include "bases_test.moc"
