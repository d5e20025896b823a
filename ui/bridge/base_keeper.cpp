#include "ui/bridge/base_keeper.h"

#include <chrono>

#include "core/bases/find.h"
#include "ui/bridge/text.h"

namespace permille::ui {

namespace {

HubName checked_name(const std::string& text) {
    const auto name = hub_name(text);
    if (!name || name->repository.find('/') == std::string::npos)
        throw Error(ErrorKind::config, text, "is no name of a model on a hub",
                    "write OWNER/NAME, such as facebook/m2m100_418M, or OWNER/NAME@REVISION");
    return *name;
}

}  // namespace

BaseKeeper::BaseKeeper(BaseWork work, QObject* parent)
    : QObject(parent), work_(std::move(work)), reader_(new QObject), fetcher_(new QObject) {
    qRegisterMetaType<Problem>();
    if (!work_.list)
        work_.list = [](const std::vector<BaseRow>& stored, const std::stop_token& stop) {
            return known_bases(stored, HubSettings::from_environment(), stop);
        };
    if (!work_.describe) work_.describe = [](const std::string& folder) { return describe_folder(folder); };
    if (!work_.download)
        work_.download = [](const std::string& name, const EventSink& sink, const std::stop_token& stop) {
            return !download_model(checked_name(name), HubSettings::from_environment(), sink, stop).empty();
        };
    if (!work_.remove)
        work_.remove = [](const std::string& name) {
            const auto parsed = hub_name(name);
            if (!parsed) throw Error(ErrorKind::config, name, "is no entry of the hub's cache");
            remove_cached_model(*parsed, HubSettings::from_environment());
        };
    for (const auto& [thread, worker, name] : {std::tuple(&reading_, reader_, "bases"), std::tuple(&fetching_, fetcher_, "download")}) {
        worker->moveToThread(thread);
        connect(thread, &QThread::finished, worker, &QObject::deleteLater);
        thread->setObjectName(QString::fromLatin1(name));
        thread->start();
    }
}

BaseKeeper::~BaseKeeper() {
    stop_all_.request_stop();
    stop_download_.request_stop();
    for (QThread* thread : {&reading_, &fetching_}) {
        thread->quit();
        thread->wait();
    }
}

void BaseKeeper::run(QObject* worker, std::function<void()> work, std::function<void()> at_end) {
    const auto guarded = [this, work = std::move(work), at_end = std::move(at_end)] {
        try {
            work();
            if (at_end) tell(at_end);
        } catch (...) {
            tell([this, at_end, problem = problem_of(std::current_exception())] {
                if (at_end) at_end();
                Q_EMIT failed(problem);
            });
        }
    };
    QMetaObject::invokeMethod(worker, guarded, Qt::QueuedConnection);
}

void BaseKeeper::list(const std::vector<BaseRow>& stored) {
    ++lists_open_;
    run(
        reader_,
        [this, stored, stop = stop_all_.get_token()] {
            tell([this, bases = work_.list(stored, stop)] {
                if (lists_open_ == 1) Q_EMIT listed(bases);
            });
        },
        [this] { --lists_open_; });
}

void BaseKeeper::addFolder(const QString& folder) {
    run(reader_, [this, folder = plain(folder)] { tell([this, row = work_.describe(folder)] { Q_EMIT described(row); }); });
}

void BaseKeeper::removeCached(const QString& name) {
    run(reader_, [this, name] {
        work_.remove(plain(name));
        tell([this, name] { Q_EMIT removed(name); });
    });
}

void BaseKeeper::download(const QString& name) {
    PERMILLE_ASSERT(!downloading_);
    downloading_ = true;
    stop_download_ = std::stop_source();
    run(
        fetcher_,
        [this, name, stop = stop_download_.get_token()] {
            const EventSink sink = [this](const Event& event) {
                if (const auto* now = std::get_if<Progress>(&event))
                    tell([this, now = *now] { Q_EMIT progress(text(now.doing), now.done, now.total, now.eta_seconds); });
            };
            const bool done = work_.download(plain(name), sink, stop);
            tell([this, name, done] {
                downloading_ = false;
                Q_EMIT downloaded(name, !done);
            });
        },
        [this] { downloading_ = false; });
}

}  // namespace permille::ui
