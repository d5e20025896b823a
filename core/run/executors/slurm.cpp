// A study on a Slurm cluster: an array of tasks, each a `permille run` on the same database, where they take the open runs one by one. When
// the last of them has ended, however that was, a second array takes up what a task that was killed has left; as a rule it finds nothing
// and ends at once.
//
// sbatch takes partition, time limit, GPUs and account from its own environment variables (SBATCH_PARTITION, SBATCH_TIMELIMIT, SBATCH_GRES,
// SBATCH_ACCOUNT, ...). A task that reaches its time limit is warned two minutes before, saves its run and ends.

#include <sys/wait.h>

#include <array>
#include <cctype>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/run/executors/executor.h"

namespace permille {

namespace {

std::string quoted(const std::string& word) {
    std::string text = "'";
    for (const char c : word) {
        if (c == '\'') text += "'\\''";
        else text += c;
    }
    return text + "'";
}

// A name that may stand in a file name and in a line of the script.
std::string safe(std::string name) {
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') c = '_';
    return name;
}

struct Output {
    int code = 0;
    std::string text;  // both streams
};

Output run_shell(const std::string& command) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen((command + " 2>&1").c_str(), "r"), [](FILE*) { return 0; });
    if (!pipe) throw Error(ErrorKind::internal, "/bin/sh", "cannot be started", "check the limits on processes (ulimit -u)");
    Output output;
    std::array<char, 4096> buffer{};
    for (std::size_t size = 0; (size = fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0;) output.text.append(buffer.data(), size);
    const int status = pclose(pipe.get());
    output.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    while (!output.text.empty() && (output.text.back() == '\n' || output.text.back() == ' ')) output.text.pop_back();
    return output;
}

// Writes the script and hands it to sbatch; returns the number of the job. after: the job that it waits for, or "".
std::string submit(const StudyWork& work, const std::filesystem::path& folder, const std::string& name, const std::string& after) {
    std::string command;
    for (const auto& word :
         {work.program.string(), std::string("run"), (folder / (safe(work.study.name) + ".yaml")).string(), std::string("--db"),
          std::filesystem::absolute(work.database).string(), std::string("--jobs"), std::string("1"), std::string("--part")})
        command += (command.empty() ? "" : " ") + quoted(word);
    const auto script = folder / (name + ".sbatch");
    write_text(script,
               "#!/bin/bash\n#SBATCH --job-name=permille-" + name + "\n#SBATCH --array=1-" + std::to_string(work.study.jobs) +
                   "\n#SBATCH --output=" + (folder / (name + "-%A_%a.log")).string() + "\n" +
                   (after.empty() ? "" : "#SBATCH --dependency=afterany:" + after + "\n") +
                   "# Two minutes before the time limit the task saves its run; another task, or the same command again, continues it.\n"
                   "#SBATCH --signal=B:TERM@120\nexec " +
                   command + "\n");
    const Output output = run_shell("sbatch --parsable " + quoted(script.string()));
    if (output.code != 0)
        throw Error(ErrorKind::config, script.string(), "sbatch refused it: " + output.text,
                    "set what your cluster asks for in SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT or SBATCH_GRES");
    return output.text.substr(0, output.text.find(';'));  // "JOB" or "JOB;CLUSTER"
}

class SlurmExecution : public Execution {
public:
    SlurmExecution(const StudyWork& work, const EventSink& sink) : tasks_(work.study.jobs) {
        if (run_shell("command -v sbatch").code != 0)
            throw Error(ErrorKind::unsupported, "--executor slurm", "sbatch is not on this machine",
                        "start this on a login node of the cluster, or use --executor local");
        const auto database = std::filesystem::absolute(work.database);
        const auto folder = database.parent_path() / (database.stem().string() + "-runs");
        make_folder(folder);
        const std::string name = safe(work.study.name);
        Study here = work.study;  // the tasks do it as it is now, whatever becomes of the file it came from
        here.executor = Study().executor;
        write_study(folder / (name + ".yaml"), here);
        job_ = submit(work, folder, name, "");
        try {
            rest_ = submit(work, folder, name + "-rest", job_);
        } catch (const Error& error) {
            log_to(sink, std::string(error.what()) + "; a run that a killed task leaves will wait for the same command again");
        }
    }
    void stop() override {}
    bool running() const override { return false; }
    void wait() override {}
    std::optional<Elsewhere> elsewhere() const override {
        Elsewhere place{"Slurm job " + job_ + ": " + std::to_string(tasks_) + (tasks_ == 1 ? " task" : " tasks"),
                        {{"slurm_job", job_}, {"tasks", tasks_}}};
        if (rest_.empty()) return place;
        place.text += "; job " + rest_ + " after it takes up what may be left";
        place.details["slurm_job_after"] = rest_;
        return place;
    }

private:
    std::int64_t tasks_;
    std::string job_, rest_;
};

std::unique_ptr<Execution> begin(const StudyWork& work, const EventSink& sink) { return std::make_unique<SlurmExecution>(work, sink); }

}  // namespace

Executor slurm_executor() {
    return {"slurm", "a Slurm cluster", "as an array of --jobs tasks, which take the runs from the database", begin};
}

}  // namespace permille
