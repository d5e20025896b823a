// Where a run keeps its files while it works, and where its results go:
//
//     FOLDER/work.<claim's number>/    checkpoint, best values, wrong translations, tried learning rates; gone when the run has finished
//     FOLDER/adapter/                  the trained adapter
//
// Taking a run over renames the working folder of the claim before, so that a worker which lost its claim (asleep, cut off) finds no place
// to write to: nothing of it can reach the files of the one that has the run now, on a network's file system either.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace permille {

class RunFolder {
public:
    // Takes over what an earlier claim left, or begins anew. Throws Error(file).
    RunFolder(std::filesystem::path folder, std::int64_t claim);
    ~RunFolder();  // an empty working folder, and a run folder that holds nothing, are removed again
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;

    const std::filesystem::path& folder() const { return folder_; }
    const std::filesystem::path& work() const { return work_; }
    std::filesystem::path adapter() const { return folder_ / "adapter"; }
    // Moves work()/NAME to folder()/NAME, where it replaces what is there. Throws Error(file), also when the working folder was taken.
    void publish(const std::string& name) const;
    // Whether a later claim has taken the working folder away.
    bool taken() const;
    // Removes the working folder, and what workers that lost the run left beside it: the run has finished.
    void clear() const;

private:
    std::filesystem::path folder_, work_;
};

}  // namespace permille
