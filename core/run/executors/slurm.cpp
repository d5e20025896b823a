#include "core/run/executors/slurm.h"

#include <sys/wait.h>

#include <array>
#include <cctype>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "core/base/files.h"

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

}  // namespace

std::string submit_to_slurm(const SlurmJob& job) {
    if (run_shell("command -v sbatch").code != 0)
        throw Error(ErrorKind::unsupported, "--executor slurm", "sbatch is not on this machine",
                    "start this on a login node of the cluster, or use --executor local");
    make_folder(job.folder);
    std::string command;
    for (const auto& word : job.command) command += (command.empty() ? "" : " ") + quoted(word);
    const std::string name = safe(job.study);
    const auto script = job.folder / (name + ".sbatch");
    write_text(script,
               "#!/bin/bash\n#SBATCH --job-name=permille-" + name + "\n#SBATCH --array=1-" + std::to_string(job.tasks) +
                   "\n#SBATCH --output=" + (job.folder / (name + "-%A_%a.log")).string() +
                   "\n# Two minutes before the time limit the task saves its run; the next task, or the same command again, continues it.\n"
                   "#SBATCH --signal=B:TERM@120\nexec " +
                   command + "\n");
    const Output output = run_shell("sbatch --parsable " + quoted(script.string()));
    if (output.code != 0)
        throw Error(ErrorKind::config, script.string(), "sbatch refused it: " + output.text,
                    "set what your cluster asks for in SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT or SBATCH_GRES");
    return output.text.substr(0, output.text.find(';'));  // "JOB" or "JOB;CLUSTER"
}

}  // namespace permille
