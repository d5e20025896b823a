// Where the runs of a study are done: here, or on a cluster. An executor is one file and one line in executors.cpp; the command line and
// the window choose from the table. Torch-free face.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/events.h"
#include "core/study/study.h"

namespace permille {

// A study whose runs are in the database already.
struct StudyWork {
    Study study;  // as it is to be done: what was given beside its file is in it
    std::filesystem::path database;
    std::filesystem::path program;  // `permille`, for workers that are programs of their own
};

// Where work goes on without this process.
struct Elsewhere {
    std::string text;  // "Slurm job 17: 4 tasks"
    Json details;      // the same for --json
};

// The work, once it has begun. Belongs to the thread that began it.
class Execution {
public:
    virtual ~Execution() = default;  // stops and waits
    // Asks to save and end soon; returns at once.
    virtual void stop() = 0;
    virtual bool running() const = 0;
    virtual void wait() = 0;
    // What kept the work from going on, one line each.
    virtual std::vector<std::string> trouble() const { return {}; }
    // Nothing when the work is done here.
    virtual std::optional<Elsewhere> elsewhere() const { return std::nullopt; }
};

struct Executor {
    std::string id;    // "local"
    std::string name;  // for people: "this machine"
    std::string help;
    // Throws Error when it cannot begin. The sink is called from other threads.
    std::unique_ptr<Execution> (*begin)(const StudyWork& work, const EventSink& sink);
};

// In the order in which they are offered; the first is the one that is taken when none is named.
const std::vector<Executor>& executors();
// Throws an Error of this kind that names the known ones: usage for an option, config for a study's file.
const Executor& find_executor(const std::string& id, const std::string& where, ErrorKind kind);

// local.cpp, slurm.cpp
Executor local_executor();
Executor slurm_executor();

}  // namespace permille
