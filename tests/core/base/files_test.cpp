#include "core/base/files.h"

#include <stdexcept>

#include "tests/support/test.h"

namespace permille::test {
namespace fs = std::filesystem;

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
