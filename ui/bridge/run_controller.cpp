#include "ui/bridge/run_controller.h"

#include <QTimer>
#include <chrono>
#include <mutex>

#include "core/bases/find.h"
#include "core/run/executors/executor.h"
#include "core/run/study_runner.h"
#include "ui/bridge/text.h"

namespace permille::ui {

namespace {

class CoreEngine : public StudyEngine {
public:
    CoreEngine(const StudyOrder& order, const EventSink& sink) : order_(order), sink_(sink) {}
    void start() override {
        const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "permille";
        execution_ =
            find_executor(order_.study.executor, "executor", ErrorKind::config).begin({order_.study, order_.database, program}, sink_);
    }
    void stop() override { execution_->stop(); }
    bool running() const override { return execution_->running(); }
    std::vector<std::string> trouble() const override { return execution_->trouble(); }
    std::string elsewhere() const override {
        const auto place = execution_->elsewhere();
        return place ? place->text : std::string();
    }

private:
    StudyOrder order_;
    EventSink sink_;
    std::unique_ptr<Execution> execution_;
};

std::unique_ptr<StudyEngine> make_core_engine(const StudyOrder& order, const EventSink& sink) {
    for (const auto& base : order.study.bases)
        if (must_download(base)) throw Error(ErrorKind::config, base, "is not on this machine yet", "download it on the page of bases");
    if (order.enqueue) enqueue_study(order.study, order.yaml, order.database);
    return std::make_unique<CoreEngine>(order, sink);
}

// Lets at most twenty progress events a second through. Used by several workers' threads.
class Throttle {
public:
    bool pass() {
        const auto now = std::chrono::steady_clock::now();
        const std::lock_guard lock(mutex_);
        if (now - last_ < std::chrono::milliseconds(50)) return false;
        last_ = now;
        return true;
    }

private:
    std::mutex mutex_;
    std::chrono::steady_clock::time_point last_{};
};

}  // namespace

class RunController::Host : public QObject {
public:
    Host(RunController* owner, MakeEngine make) : owner_(owner), make_(std::move(make)) {}

    void start(const StudyOrder& order) {
        try {
            engine_ = make_(order, sink());
            engine_->start();
        } catch (...) {
            engine_.reset();
            const Problem problem = problem_of(std::current_exception());
            post([owner = owner_, problem] {
                owner->end(true);
                Q_EMIT owner->failed(problem);
            });
            return;
        }
        if (const QString where = text(engine_->elsewhere()); !where.isEmpty()) {
            engine_.reset();
            post([owner = owner_, where] {
                owner->end(true);
                Q_EMIT owner->handedOver(owner->study(), where);
            });
            return;
        }
        post([owner = owner_] { Q_EMIT owner->started(owner->study()); });
        if (!timer_) {
            timer_ = new QTimer(this);
            timer_->setInterval(100);
            connect(timer_, &QTimer::timeout, this, [this] { poll(); });
        }
        timer_->start();
    }

    void stop() {
        if (engine_) engine_->stop();
    }

private:
    void poll() {
        if (!engine_ || engine_->running()) return;
        timer_->stop();
        const std::vector<std::string> trouble = engine_->trouble();
        engine_.reset();
        if (trouble.empty()) {
            post([owner = owner_] { owner->end(false); });
            return;
        }
        QStringList lines;
        for (const std::string& line : trouble) lines << text(line);
        post([owner = owner_, lines] {
            const Problem problem{ErrorKind::database, owner->study(), lines.join(u"; "),
                                  tr("What is done is kept: Run > Resume continues")};
            owner->end(true);
            Q_EMIT owner->failed(problem);
        });
    }

    template <class Call>
    void post(Call&& call) {
        QMetaObject::invokeMethod(owner_, std::forward<Call>(call), Qt::QueuedConnection);
    }

    // Called from the workers' threads, which end before engine_ does; engine_ ends before the owner.
    EventSink sink() {
        auto throttle = std::make_shared<Throttle>();
        return [owner = owner_, throttle](const Event& event) {
            if (const auto* line = std::get_if<LogLine>(&event)) {
                QMetaObject::invokeMethod(
                    owner, [owner, line = text(line->text)] { Q_EMIT owner->logLine(line); }, Qt::QueuedConnection);
            } else if (const auto* now = std::get_if<Progress>(&event); now && throttle->pass()) {
                QMetaObject::invokeMethod(
                    owner, [owner, now = *now] { Q_EMIT owner->progress(text(now.doing), now.done, now.total, now.eta_seconds); },
                    Qt::QueuedConnection);
            }
        };
    }

    RunController* owner_;
    MakeEngine make_;
    std::unique_ptr<StudyEngine> engine_;
    QTimer* timer_ = nullptr;
};

RunController::RunController(MakeEngine make, QObject* parent)
    : QObject(parent), host_(new Host(this, make ? std::move(make) : MakeEngine(make_core_engine))) {
    qRegisterMetaType<Problem>();
    host_->moveToThread(&thread_);
    connect(&thread_, &QThread::finished, host_, &QObject::deleteLater);
    thread_.setObjectName(QStringLiteral("studies"));
    thread_.start();
}

RunController::~RunController() {
    QMetaObject::invokeMethod(
        host_, [host = host_] { host->stop(); }, Qt::QueuedConnection);
    thread_.quit();
    thread_.wait();  // the engine's destructor waits for its workers
}

void RunController::start(const StudyOrder& order) {
    if (active_) return;
    active_ = true;
    stopping_ = false;
    study_ = text(order.study.name);
    Q_EMIT stateChanged();
    QMetaObject::invokeMethod(
        host_, [host = host_, order] { host->start(order); }, Qt::QueuedConnection);
}

void RunController::stop() {
    if (!active_ || stopping_) return;
    stopping_ = true;
    Q_EMIT stateChanged();
    QMetaObject::invokeMethod(
        host_, [host = host_] { host->stop(); }, Qt::QueuedConnection);
}

void RunController::end(bool failed) {
    const bool stopped = stopping_;
    active_ = stopping_ = false;
    Q_EMIT stateChanged();
    if (!failed) Q_EMIT finished(study_, stopped);
}

}  // namespace permille::ui
