// Lists, downloads, adds and removes base models away from the GUI thread: descriptions are read on one thread, downloads, which may take
// an hour, on another, so that the list stays alive meanwhile.
#pragma once

#include <QObject>
#include <QThread>
#include <functional>
#include <stop_token>
#include <vector>

#include "core/bases/known_bases.h"
#include "ui/bridge/problem.h"

namespace permille::ui {

// What the keeper's threads call; each throws Error. Empty ones are core's.
struct BaseWork {
    std::function<std::vector<KnownBase>(const std::vector<BaseRow>& stored, const std::stop_token&)> list;
    std::function<BaseRow(const std::string& folder)> describe;
    // False when it was stopped.
    std::function<bool(const std::string& name, const EventSink&, const std::stop_token&)> download;
    std::function<void(const std::string& name)> remove;  // from the hub's cache
};

class BaseKeeper : public QObject {
    Q_OBJECT
public:
    explicit BaseKeeper(BaseWork work = {}, QObject* parent = nullptr);
    ~BaseKeeper() override;  // stops and waits

    // Calls return at once; of several lists asked for in a row only the last one is told.
    void list(const std::vector<BaseRow>& stored);
    bool listing() const { return lists_open_ > 0; }
    void addFolder(const QString& folder);
    void removeCached(const QString& name);
    // One download at a time: asserts that none is running.
    void download(const QString& name);
    bool downloading() const { return downloading_; }
    // downloaded() follows, with stopped set unless it was done already.
    void cancel() { stop_download_.request_stop(); }

Q_SIGNALS:
    void listed(const std::vector<permille::KnownBase>& bases);
    void described(const permille::BaseRow& row);
    void removed(const QString& name);
    void progress(const QString& doing, qint64 done, qint64 total, double eta_seconds);
    void downloaded(const QString& name, bool stopped);
    void failed(const permille::ui::Problem& problem);

private:
    // Runs on the thread of `worker`; what it throws arrives through failed().
    void run(QObject* worker, std::function<void()> work, std::function<void()> at_end = {});
    template <class Call>
    void tell(Call&& call) {
        QMetaObject::invokeMethod(this, std::forward<Call>(call), Qt::QueuedConnection);
    }

    BaseWork work_;
    QThread reading_, fetching_;
    QObject *reader_, *fetcher_;  // live on those threads, deleted when they end
    std::stop_source stop_all_, stop_download_;
    int lists_open_ = 0;
    bool downloading_ = false;
};

}  // namespace permille::ui
