#include "core/base/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/base/error.h"
#include "core/base/stopped.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& file, const std::string& action, int code) { throw file_error(file, action, code); }

void sync_path(const fs::path& path, int flags) {
    const int handle = ::open(path.c_str(), flags | O_CLOEXEC);
    if (handle < 0) return;
    const int result = ::fsync(handle);
    const int code = errno;
    ::close(handle);
    if (result != 0 && code != EINVAL && code != EROFS) fail(path, "write to the disk", code);
}

class Digest {
public:
    Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
    void add(const void* bytes, std::size_t count) { EVP_DigestUpdate(context_.get(), bytes, count); }
    std::string hex() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
        unsigned length = 0;
        EVP_DigestFinal_ex(context_.get(), raw.data(), &length);
        std::string text;
        static constexpr char kDigits[] = "0123456789abcdef";
        for (unsigned i = 0; i < length; ++i) {
            text += kDigits[raw[i] >> 4];
            text += kDigits[raw[i] & 15];
        }
        return text;
    }

private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

Error file_error(const fs::path& file, const std::string& action, int code) {
    std::string advice;
    switch (code) {
        case ENOENT: advice = "check the path"; break;
        case ENOTDIR:
        case EEXIST: advice = "something on this path is a file: choose another"; break;
        case EACCES:
        case EROFS: advice = "choose a place you may write to, or change the permissions"; break;
        case ENOSPC: advice = "free some space on the disk and try again"; break;
        default: break;
    }
    Error error(ErrorKind::file, file.string(), "cannot " + action + ": " + std::strerror(code), advice);
    switch (code) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
        case EIO:
        case ESTALE:
        case ETIMEDOUT:
        case EMFILE:
        case ENFILE: return error.make_temporary();
        default: return error;
    }
}

std::string read_text(const fs::path& file) {
    errno = 0;
    if (fs::is_directory(file)) throw Error(ErrorKind::file, file.string(), "is a folder, expected a file");
    std::ifstream in(file, std::ios::binary);
    if (!in) fail(file, "read", errno ? errno : ENOENT);
    std::ostringstream text;
    text << in.rdbuf();
    if (in.bad()) fail(file, "read", EIO);
    return std::move(text).str();
}

void write_atomically(const fs::path& file, const std::function<void(std::ostream&)>& produce) {
    if (file.has_parent_path()) make_folder(file.parent_path());
    fs::path part = file;
    part += ".part" + std::to_string(::getpid());
    try {
        errno = 0;
        std::ofstream out(part, std::ios::binary | std::ios::trunc);
        if (!out) fail(file, "write", errno ? errno : EACCES);
        produce(out);
        out.flush();
        if (!out) fail(file, "write", errno ? errno : ENOSPC);
        out.close();
        sync_path(part, O_RDONLY);
        std::error_code code;
        fs::rename(part, file, code);
        if (code) fail(file, "write", code.value());
        sync_path(file.has_parent_path() ? file.parent_path() : fs::path("."), O_RDONLY | O_DIRECTORY);
    } catch (...) {
        std::error_code ignored;
        fs::remove(part, ignored);
        throw;
    }
}

void write_text(const fs::path& file, std::string_view content) {
    write_atomically(file, [&](std::ostream& out) { out.write(content.data(), static_cast<std::streamsize>(content.size())); });
}

void make_folder(const fs::path& folder) {
    std::error_code code;
    fs::create_directories(folder, code);
    if (code) fail(folder, "create the folder", code.value());
}

namespace {

void list(const fs::path& folder, bool below, std::vector<fs::path>& found, std::error_code& code) {
    std::vector<fs::path> folders;
    std::error_code failed;
    for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
        found.push_back(entry->path());
        std::error_code gone;
        if (below && entry->symlink_status(gone).type() == fs::file_type::directory) folders.push_back(entry->path());
    }
    if (failed && !code) code = failed;
    for (const fs::path& deeper : folders) {
        std::error_code theirs;
        list(deeper, below, found, theirs);
        if (theirs && theirs != std::errc::no_such_file_or_directory && !code) code = theirs;
    }
}

std::vector<fs::path> listed(const fs::path& folder, bool below, std::error_code& code) {
    code.clear();
    std::vector<fs::path> found;
    list(folder, below, found, code);
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

std::vector<fs::path> entries_in(const fs::path& folder, std::error_code& code) { return listed(folder, false, code); }
std::vector<fs::path> entries_below(const fs::path& folder, std::error_code& code) { return listed(folder, true, code); }

std::string sha256(std::string_view content) {
    Digest digest;
    digest.add(content.data(), content.size());
    return digest.hex();
}

std::string sha256_of_file(const fs::path& file, const std::stop_token& stop) {
    std::ifstream in(file, std::ios::binary);
    if (!in) fail(file, "read", errno ? errno : ENOENT);
    Digest digest;
    std::array<char, 1 << 16> buffer{};
    while (in.read(buffer.data(), buffer.size()) || in.gcount() > 0) {
        throw_if_stopped(stop);
        digest.add(buffer.data(), static_cast<std::size_t>(in.gcount()));
    }
    return digest.hex();
}

MappedFile::MappedFile(const fs::path& file) {
    const int handle = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (handle < 0) fail(file, "read", errno);
    struct stat info {};
    if (::fstat(handle, &info) != 0 || !S_ISREG(info.st_mode)) {
        ::close(handle);
        throw Error(ErrorKind::file, file.string(), "is not a regular file");
    }
    if (info.st_size > 0) {
        void* start = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_SHARED, handle, 0);
        const int code = errno;
        ::close(handle);
        if (start == MAP_FAILED) fail(file, "map into memory", code);
        bytes_ = {static_cast<const std::byte*>(start), static_cast<std::size_t>(info.st_size)};
    } else {
        ::close(handle);
    }
}

MappedFile::~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

fs::path data_home() {
    if (const char* home = std::getenv("PERMILLE_HOME"); home && *home) return home;
    if (const char* xdg = std::getenv("XDG_DATA_HOME"); xdg && *xdg) return fs::path(xdg) / "permille";
    const char* user = std::getenv("HOME");
    return fs::path(user && *user ? user : ".") / ".local" / "share" / "permille";
}

fs::path resources_folder() {
    if (const char* given = std::getenv("PERMILLE_RESOURCES"); given && *given) return given;
    std::error_code code;
    const fs::path program = fs::read_symlink("/proc/self/exe", code);
    if (!code) {
        // Below the prefix the programs are in bin, and those that they start in libexec/permille.
        for (const char* prefix : {"..", "../.."}) {
            const fs::path installed = (program.parent_path() / prefix / "share" / "permille").lexically_normal();
            if (fs::is_directory(installed)) return installed;
        }
    }
    return PERMILLE_SOURCE_RESOURCES;
}

}  // namespace permille
