// Runs on this machine, in threads of this process.
#include "core/run/executors/executor.h"
#include "core/run/study_runner.h"

namespace permille {

namespace {

class LocalExecution : public Execution {
public:
    LocalExecution(const StudyWork& work, const EventSink& sink)
        : runner_(work.database, work.study.name, work.study.device, work.study.jobs, sink) {
        runner_.start();
    }
    void stop() override { runner_.stop(); }
    bool running() const override { return runner_.running(); }
    void wait() override { runner_.wait(); }
    std::vector<std::string> trouble() const override { return runner_.trouble(); }

private:
    StudyRunner runner_;
};

std::unique_ptr<Execution> begin(const StudyWork& work, const EventSink& sink) { return std::make_unique<LocalExecution>(work, sink); }

}  // namespace

Executor local_executor() { return {"local", "this machine", "in threads of this process, --jobs at a time", begin}; }

}  // namespace permille
