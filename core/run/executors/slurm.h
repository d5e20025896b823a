// A study on a Slurm cluster: an array of tasks, each a `permille run` on the same database, where they take the open runs one by one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace permille {

struct SlurmJob {
    std::string study;                 // its name
    std::filesystem::path folder;      // gets the script and the logs of the tasks
    std::int64_t tasks = 1;            // of the array
    std::vector<std::string> command;  // of one task
};

// Writes FOLDER/STUDY.sbatch and hands it to sbatch, which takes partition, time limit, GPUs and account from its own environment variables
// (SBATCH_PARTITION, SBATCH_TIMELIMIT, SBATCH_GRES, SBATCH_ACCOUNT, ...). Returns the number of the job. A task that reaches its time limit
// is warned two minutes before, saves its run and ends. Throws Error(unsupported) without sbatch, Error(config) with its words when it
// refuses.
std::string submit_to_slurm(const SlurmJob& job);

}  // namespace permille
