// Runs studies from the window: makes the study's runs in the database and works through them, on a thread of its own, and turns what the
// workers tell into signals on the GUI thread. Calls return at once.
#pragma once

#include <QObject>
#include <QThread>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/study/study.h"
#include "ui/bridge/problem.h"

namespace permille::ui {

// What the controller drives: the work of one of core's executors, or a stand-in of a test. Made, used and destroyed on the controller's
// thread.
class StudyEngine {
public:
    virtual ~StudyEngine() = default;
    virtual void start() = 0;
    virtual void stop() = 0;  // asks; running() tells when it has ended
    virtual bool running() const = 0;
    // After the end: what kept it from going on, one line each; empty when nothing did.
    virtual std::vector<std::string> trouble() const { return {}; }
    // After start(): where the work goes on without this program; "" when it is done here.
    virtual std::string elsewhere() const { return {}; }
};

struct StudyOrder {
    Study study;
    std::string yaml;
    std::filesystem::path database;
    bool enqueue = true;  // false: only continue what the database already holds
};

// Adds the study's runs to the database and returns what works through them; throws Error.
using MakeEngine = std::function<std::unique_ptr<StudyEngine>(const StudyOrder& order, const EventSink& sink)>;

class RunController : public QObject {
    Q_OBJECT
public:
    // Without a function: core's enqueue_study() and the study's executor.
    explicit RunController(MakeEngine make = {}, QObject* parent = nullptr);
    ~RunController() override;  // stops and waits

    // From start() until finished() or failed().
    bool active() const { return active_; }
    bool stopping() const { return active_ && stopping_; }
    QString study() const { return study_; }

    void start(const StudyOrder& order);
    // Work is saved at the next update; finished() follows.
    void stop();

Q_SIGNALS:
    void started(const QString& study);
    void finished(const QString& study, bool stopped);
    void failed(const permille::ui::Problem& problem);
    // The work goes on without this program; nothing is active here any more.
    void handedOver(const QString& study, const QString& where);
    // Active or stopping has changed.
    void stateChanged();
    void logLine(const QString& line);
    // At most twenty times a second.
    void progress(const QString& doing, qint64 done, qint64 total, double etaSeconds);

private:
    class Host;
    void end(bool failed);

    QThread thread_;
    Host* host_;  // lives on thread_, deleted when it ends
    bool active_ = false, stopping_ = false;
    QString study_;
};

}  // namespace permille::ui
