// Keeps the window in step with the database, whoever writes to it. All reading and writing happens on the watcher's own thread with its
// own connection: about twice a second it asks whether another process has changed the file, reads everything anew when it has, and hands
// over an immutable snapshot by queued signal. The GUI thread never waits for SQLite.
#pragma once

#include <QObject>
#include <QThread>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/store/store.h"
#include "ui/bridge/problem.h"

namespace permille::ui {

// What the pages show, as it was at one moment.
struct StoreSnapshot {
    std::filesystem::path file;
    std::vector<RunRow> runs;
    std::vector<BaseRow> bases;
    std::vector<CorpusRow> corpora;
    std::vector<StudyRow> studies;
};
using SnapshotPtr = std::shared_ptr<const StoreSnapshot>;

// What is read only for the run that is looked at.
struct RunDetails {
    std::int64_t run = 0;
    std::vector<StepMetric> metrics;
    std::vector<Evaluation> evaluations;
    std::vector<Hypothesis> hypotheses;  // of the test split
    std::vector<Artifact> artifacts;
};
using DetailsPtr = std::shared_ptr<const RunDetails>;

class StoreReader;

class StoreWatcher : public QObject {
    Q_OBJECT
public:
    explicit StoreWatcher(QObject* parent = nullptr);
    ~StoreWatcher() override;

    // Opens (and creates) this database on the watcher's thread; when that fails the one before stays open and failed() tells.
    void open(const std::filesystem::path& file);
    // Null before the first one has arrived.
    const SnapshotPtr& snapshot() const { return snapshot_; }
    // Which run detailsChanged() is about from now on; nullopt: none.
    void watchRun(std::optional<std::int64_t> run);
    // Changes the database on the watcher's thread, then reads it anew. Errors arrive through failed().
    void post(std::function<void(Store&)> change);
    // Reads everything anew now.
    void refresh();

Q_SIGNALS:
    void opened(const QString& file);
    void snapshotChanged(const permille::ui::SnapshotPtr& snapshot);
    void detailsChanged(const permille::ui::DetailsPtr& details);
    void failed(const permille::ui::Problem& problem);

private:
    QThread thread_;
    StoreReader* reader_;  // lives on thread_, deleted when it ends
    SnapshotPtr snapshot_;
};

}  // namespace permille::ui
