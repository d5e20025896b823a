#include "core/hub/blob_files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {
namespace fs = std::filesystem;

void fail_on(const fs::path& path, const std::string& action) {
    const int code = errno;
    throw Error(ErrorKind::file, path.string(), "cannot " + action + ": " + std::strerror(code),
                code == ENOSPC || code == EDQUOT
                    ? "free some space on the disk, or set HF_HOME to a place that has more; what arrived is kept"
                    : "check that the cache may be written to, or set HF_HOME to another place");
}

FileHandle::FileHandle(const fs::path& path, int flags) : handle_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (handle_ < 0) fail_on(path, "open");
}

FileHandle::~FileHandle() { ::close(handle_); }

FileLock::FileLock(const fs::path& path, const EventSink& sink, const std::function<void(std::chrono::milliseconds)>& wait) {
    make_folder(path.parent_path());
    for (bool told = false;;) {
        file_ = std::make_unique<FileHandle>(path, O_RDWR | O_CREAT);
        if (::flock(file_->handle(), LOCK_EX | LOCK_NB) == 0) {
            struct stat mine {
            }, named{};  // whoever held it may have deleted the file meanwhile
            if (::fstat(file_->handle(), &mine) == 0 && ::stat(path.c_str(), &named) == 0 && mine.st_ino == named.st_ino) return;
            continue;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) return;  // no locks on this file system; names are given by renaming in any case
        if (!std::exchange(told, true)) log_to(sink, "another process is downloading the same file; waiting for it");
        wait(std::chrono::milliseconds(200));
    }
}

std::string git_checksum(const fs::path& path) {
    const FileHandle file(path, O_RDONLY);
    struct stat info {};
    if (::fstat(file.handle(), &info) != 0) fail_on(path, "read");
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_DigestInit_ex(context.get(), EVP_sha1(), nullptr);
    const std::string head = "blob " + std::to_string(info.st_size);
    EVP_DigestUpdate(context.get(), head.c_str(), head.size() + 1);
    std::array<char, 1 << 16> buffer{};
    for (ssize_t got = 0; (got = ::read(file.handle(), buffer.data(), buffer.size())) != 0;) {
        if (got < 0) fail_on(path, "read");
        EVP_DigestUpdate(context.get(), buffer.data(), static_cast<std::size_t>(got));
    }
    std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
    unsigned length = 0;
    EVP_DigestFinal_ex(context.get(), raw.data(), &length);
    std::string text;
    for (unsigned i = 0; i < length; ++i) {
        text += "0123456789abcdef"[raw[i] >> 4];
        text += "0123456789abcdef"[raw[i] & 15];
    }
    return text;
}

}  // namespace permille
