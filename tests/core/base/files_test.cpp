#include "core/base/files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>
#include <thread>

#include "core/base/stopped.h"
#include "tests/support/test.h"

namespace permille::test {
namespace fs = std::filesystem;

namespace {

// Without waiting for the disk, as write_text does.
void write_file(const fs::path& file) {
    make_folder(file.parent_path());
    std::ofstream(file) << "x";
}

}  // namespace

TEST_CASE("what is written is read again, whole", "[base]") {
    const TemporaryFolder folder;
    const std::string text("a\0b\r\n\xe2\x82\xac", 8);
    write_text(folder / "file", text);
    CHECK(read_text(folder / "file") == text);
    write_text(folder / "file", "short");
    CHECK(read_text(folder / "file") == "short");
}

TEST_CASE("a write that fails leaves the old file and nothing beside it", "[base]") {
    const TemporaryFolder folder;
    write_text(folder / "file", "old");
    CHECK_THROWS_AS(write_atomically(folder / "file",
                                     [](std::ostream& out) {
                                         out << "half";
                                         throw std::runtime_error("no more");
                                     }),
                    std::runtime_error);
    CHECK(read_text(folder / "file") == "old");
    CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("files that cannot be read or written are named", "[base]") {
    const TemporaryFolder folder;
    require_error([&] { (void)read_text(folder / "none"); }, ErrorKind::file, {"none"});
    require_error([&] { (void)read_text(folder.path()); }, ErrorKind::file, {folder.path().string()});
    require_error([&] { MappedFile map(folder / "none"); }, ErrorKind::file, {"none"});
    write_text(folder / "file", "x");
    require_error([&] { make_folder(folder / "file" / "below"); }, ErrorKind::file, {"below"});
    require_error([&] { write_text(folder / "file" / "below" / "x", "x"); }, ErrorKind::file, {"below"});
}

TEST_CASE("checksums are those of the standard", "[base]") {
    CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-2, B.1
    const TemporaryFolder folder;
    write_text(folder / "file", "abc");
    CHECK(sha256_of_file(folder / "file") == sha256("abc"));
}

TEST_CASE("hashing a long file stops within a block of where it was asked to", "[base]") {
    const TemporaryFolder folder;
    const fs::path pipe = folder / "pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    std::stop_source stop;
    std::size_t written = 0;
    std::jthread writer([&] {
        sigset_t broken;  // a reader that goes away is told by write()
        sigemptyset(&broken);
        sigaddset(&broken, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &broken, nullptr);
        const int handle = ::open(pipe.c_str(), O_WRONLY);
        const std::string block(1 << 16, 'x');
        for (int i = 0; i < 1000; ++i) {
            if (i == 8) stop.request_stop();
            const ssize_t count = ::write(handle, block.data(), block.size());
            if (count <= 0) break;
            written += static_cast<std::size_t>(count);
        }
        ::close(handle);
    });
    CHECK_THROWS_AS(sha256_of_file(pipe, stop.get_token()), Stopped);
    writer.join();
    // Eight blocks, the one in which it looks, and what a pipe holds.
    CHECK(written <= (8 + 1 + 1) << 16);
}

TEST_CASE("folders are listed by name, to any depth, without the way through links", "[base]") {
    const TemporaryFolder folder;
    for (const char* name : {"b", "a/y", "a/x/deep", "c/z"}) write_text(folder / name, "");
    fs::create_directory_symlink(folder / "a", folder / "link");
    std::error_code code;
    const auto names = [&](const std::vector<fs::path>& paths) {
        std::vector<std::string> list;
        for (const fs::path& path : paths) list.push_back(path.lexically_relative(folder.path()).string());
        return list;
    };
    CHECK(names(entries_in(folder.path(), code)) == std::vector<std::string>{"a", "b", "c", "link"});
    CHECK_FALSE(code);
    CHECK(names(entries_below(folder.path(), code)) == std::vector<std::string>{"a", "a/x", "a/x/deep", "a/y", "b", "c", "c/z", "link"});
    CHECK_FALSE(code);
    CHECK(entries_in(folder / "none", code).empty());
    CHECK(code == std::errc::no_such_file_or_directory);
    CHECK(entries_below(folder / "b", code).empty());
    CHECK(code == std::errc::not_a_directory);
}

TEST_CASE("a folder that others empty meanwhile is listed without an exception", "[base]") {
    const TemporaryFolder folder;
    for (int round = 0; round < 20; ++round) {
        const fs::path tree = folder / "tree";
        for (int i = 0; i < 30; ++i) write_file(tree / std::to_string(i) / "deep" / "file");
        std::jthread others([&] { fs::remove_all(tree); });
        std::error_code code;
        while (fs::exists(tree, code)) {
            CHECK_NOTHROW(entries_below(tree, code));
            CHECK((!code || code == std::errc::no_such_file_or_directory));
        }
    }
}

TEST_CASE("a mapped file shows its bytes, an empty one none", "[base]") {
    const TemporaryFolder folder;
    write_text(folder / "file", "bytes");
    write_text(folder / "empty", "");
    const MappedFile map(folder / "file"), empty(folder / "empty");
    REQUIRE(map.bytes().size() == 5);
    CHECK(static_cast<char>(map.bytes()[4]) == 's');
    CHECK(empty.bytes().empty());
}

}  // namespace permille::test
