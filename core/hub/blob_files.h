// What a download needs of the file system: handles, locks between processes, and git's name for a file.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "core/base/events.h"

namespace permille {

// Throws Error(file) with the system's reason (errno) and what to do about it.
[[noreturn]] void fail_on(const std::filesystem::path& path, const std::string& action);

// An open file; `flags` as for open(2).
class FileHandle {
public:
    FileHandle(const std::filesystem::path& path, int flags);
    ~FileHandle();
    FileHandle(const FileHandle&) = delete;
    FileHandle& operator=(const FileHandle&) = delete;
    int handle() const { return handle_; }

private:
    int handle_;
};

// Keeps others who download the same file into the same cache waiting, Hugging Face's client among them: a lock (flock) on that client's
// own lock file. `wait` sleeps between the tries and may throw.
class FileLock {
public:
    FileLock(const std::filesystem::path& path, const EventSink& sink, const std::function<void(std::chrono::milliseconds)>& wait);

private:
    std::unique_ptr<FileHandle> file_;
};

// What git calls a file: SHA-1 over "blob SIZE\0" and the content, in lower-case hexadecimal.
std::string git_checksum(const std::filesystem::path& path);

}  // namespace permille
