// Imports parallel text on a thread of its own: reading, cleaning and splitting may take minutes.
#pragma once

#include <QObject>
#include <QThread>
#include <functional>
#include <stop_token>

#include "core/jobs/data.h"
#include "ui/bridge/problem.h"

namespace permille::ui {

// Called on the importer's thread; throws Error.
using ImportText = std::function<CorpusReport(const ImportRequest&, const EventSink&, const std::stop_token&)>;

class CorpusImporter : public QObject {
    Q_OBJECT
public:
    // Without a function: core's import_corpus().
    explicit CorpusImporter(ImportText import = {}, QObject* parent = nullptr);
    ~CorpusImporter() override;  // stops and waits

    // One at a time: asserts that none is running.
    void start(const ImportRequest& request);
    bool running() const { return running_; }
    // finished() follows, with stopped set unless it was done already.
    void stop() { stop_.request_stop(); }

Q_SIGNALS:
    void progress(const QString& doing, qint64 done, qint64 total);
    // The report for people: splits, cleaning reasons, licences.
    void finished(const QString& report, bool stopped);
    void failed(const permille::ui::Problem& problem);

private:
    void end() { running_ = false; }

    ImportText import_;
    QThread thread_;
    QObject* worker_;  // lives on thread_, deleted when it ends
    std::stop_source stop_;
    bool running_ = false;
};

}  // namespace permille::ui
