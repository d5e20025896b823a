#include "ui/bridge/store_watcher.h"

#include <QTimer>

#include "ui/bridge/text.h"

namespace permille::ui {

// Lives on the watcher's thread; everything it tells goes out through a callback that posts to the GUI thread.
class StoreReader : public QObject {
public:
    explicit StoreReader(StoreWatcher* watcher) : watcher_(watcher) {}

    void open(const std::filesystem::path& file) {
        guarded([&] {
            Store fresh(file, Store::Open::create);
            fresh.mark_interrupted();
            store_ = std::make_unique<Store>(std::move(fresh));
            run_.reset();
            Q_EMIT watcher_->opened(text(file));
            read();
            if (!timer_) {
                timer_ = new QTimer(this);
                timer_->setInterval(500);
                connect(timer_, &QTimer::timeout, this, [this] { poll(); });
                timer_->start();
            }
        });
    }

    void watch(std::optional<std::int64_t> run) {
        run_ = run;
        evaluation_ = 0;
        hypotheses_.clear();
        guarded([&] { read_details(); });
    }

    void change(const std::function<void(Store&)>& change) {
        if (store_) guarded([&] { change(*store_); });
        refresh();
    }

    void refresh() {
        if (store_) guarded([&] { read(); });
    }

private:
    void poll() {
        guarded([&] {
            // Dead processes leave no trace in the file: look for them now and then.
            if (++polls_ % 20 == 0 && store_->mark_interrupted() > 0) return read();
            if (store_->data_version() != version_) read();
        });
    }

    void read() {
        if (!store_) return;
        version_ = store_->data_version();
        auto snapshot = std::make_shared<StoreSnapshot>();
        snapshot->file = store_->file();
        snapshot->runs = store_->runs();
        snapshot->bases = store_->bases();
        snapshot->corpora = store_->corpora();
        snapshot->studies = store_->studies();
        Q_EMIT watcher_->snapshotChanged(snapshot);
        read_details();
    }

    void read_details() {
        if (!store_ || !run_) return;
        auto details = std::make_shared<RunDetails>();
        details->run = *run_;
        details->metrics = store_->step_metrics(*run_);
        details->evaluations = store_->evaluations(*run_);
        details->artifacts = store_->artifacts(*run_);
        for (const auto& evaluation : details->evaluations) {
            if (evaluation.split != "test") continue;
            // Thousands of sentences that do not change: read once.
            if (evaluation.id != evaluation_) {
                hypotheses_ = store_->hypotheses(evaluation.id);
                evaluation_ = evaluation.id;
            }
            details->hypotheses = hypotheses_;
        }
        Q_EMIT watcher_->detailsChanged(details);
    }

    template <class Work>
    void guarded(Work&& work) {
        try {
            work();
            last_problem_.clear();
        } catch (...) {
            const Problem problem = problem_of(std::current_exception());
            // A disk that stays full or a file that stays locked is told once, not twice a second.
            if (problem.message() != last_problem_) Q_EMIT watcher_->failed(problem);
            last_problem_ = problem.message();
        }
    }

    StoreWatcher* watcher_;
    std::unique_ptr<Store> store_;
    QTimer* timer_ = nullptr;
    std::int64_t version_ = -1;
    int polls_ = 0;
    std::optional<std::int64_t> run_;
    std::int64_t evaluation_ = 0;
    std::vector<Hypothesis> hypotheses_;
    QString last_problem_;
};

StoreWatcher::StoreWatcher(QObject* parent) : QObject(parent), reader_(new StoreReader(this)) {
    qRegisterMetaType<SnapshotPtr>();
    qRegisterMetaType<DetailsPtr>();
    qRegisterMetaType<Problem>();
    thread_.setObjectName(QStringLiteral("database"));
    reader_->moveToThread(&thread_);
    connect(&thread_, &QThread::finished, reader_, &QObject::deleteLater);
    // The reader emits from its thread, the watcher lives on the GUI's: Qt queues the calls.
    connect(this, &StoreWatcher::snapshotChanged, this, [this](const SnapshotPtr& snapshot) { snapshot_ = snapshot; });
    thread_.start();
}

StoreWatcher::~StoreWatcher() {
    thread_.quit();
    thread_.wait();
}

void StoreWatcher::open(const std::filesystem::path& file) {
    QMetaObject::invokeMethod(
        reader_, [reader = reader_, file] { reader->open(file); }, Qt::QueuedConnection);
}

void StoreWatcher::watchRun(std::optional<std::int64_t> run) {
    QMetaObject::invokeMethod(
        reader_, [reader = reader_, run] { reader->watch(run); }, Qt::QueuedConnection);
}

void StoreWatcher::post(std::function<void(Store&)> change) {
    QMetaObject::invokeMethod(
        reader_, [reader = reader_, change = std::move(change)] { reader->change(change); }, Qt::QueuedConnection);
}

void StoreWatcher::refresh() {
    QMetaObject::invokeMethod(
        reader_, [reader = reader_] { reader->refresh(); }, Qt::QueuedConnection);
}

}  // namespace permille::ui
