#include "core/run/executors/executor.h"

namespace permille {

const std::vector<Executor>& executors() {
    static const std::vector<Executor> table = {local_executor(), slurm_executor()};
    return table;
}

const Executor& find_executor(const std::string& id, const std::string& where, ErrorKind kind) {
    std::vector<std::string> known;
    for (const Executor& executor : executors()) {
        if (executor.id == id) return executor;
        known.push_back(executor.id);
    }
    throw Error(kind, where, "'" + id + "' is not an executor", "known are " + list_some(known));
}

}  // namespace permille
