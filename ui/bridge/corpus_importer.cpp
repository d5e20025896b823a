#include "ui/bridge/corpus_importer.h"

#include "core/base/stopped.h"
#include "ui/bridge/text.h"

namespace permille::ui {

CorpusImporter::CorpusImporter(ImportText import, QObject* parent) : QObject(parent), import_(std::move(import)), worker_(new QObject) {
    qRegisterMetaType<Problem>();
    if (!import_)
        import_ = [](const ImportRequest& request, const EventSink& events, const std::stop_token& stop) {
            return import_corpus(request, events, stop);
        };
    worker_->moveToThread(&thread_);
    connect(&thread_, &QThread::finished, worker_, &QObject::deleteLater);
    thread_.setObjectName(QStringLiteral("import"));
    thread_.start();
}

CorpusImporter::~CorpusImporter() {
    stop_.request_stop();
    thread_.quit();
    thread_.wait();
}

void CorpusImporter::start(const ImportRequest& request) {
    PERMILLE_ASSERT(!running_);
    running_ = true;
    stop_ = std::stop_source();
    // Everything told goes through the event queue of this object's thread.
    const auto tell = [this](auto&& call) { QMetaObject::invokeMethod(this, std::forward<decltype(call)>(call), Qt::QueuedConnection); };
    const auto work = [this, tell, request, stop = stop_.get_token()] {
        try {
            const EventSink events = [this, tell](const Event& event) {
                const auto* now = std::get_if<Progress>(&event);
                if (!now) return;
                tell([this, now = *now] { Q_EMIT progress(text(now.doing), now.done, now.total); });
            };
            const CorpusReport report = import_(request, events, stop);
            tell([this, words = text(report.to_text())] {
                end();
                Q_EMIT finished(words, false);
            });
        } catch (const Stopped&) {
            tell([this] {
                end();
                Q_EMIT finished({}, true);
            });
        } catch (...) {
            tell([this, problem = problem_of(std::current_exception())] {
                end();
                Q_EMIT failed(problem);
            });
        }
    };
    QMetaObject::invokeMethod(worker_, work, Qt::QueuedConnection);
}

}  // namespace permille::ui
