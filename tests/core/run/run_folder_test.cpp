#include "core/run/run_folder.h"

#include "core/base/error.h"
#include "core/base/files.h"
#include "tests/support/test.h"

namespace permille::test {

namespace fs = std::filesystem;

TEST_CASE("a claim takes over what the one before left", "[run]") {
    const TemporaryFolder place;
    const fs::path folder = place / "7";
    {
        const RunFolder first(folder, 3);
        write_text(first.work() / "checkpoint.safetensors", "half way");
        write_text(first.work() / "checkpoint.safetensors.part123", "killed while it was written");
    }
    const RunFolder second(folder, 5);
    CHECK(second.work() == folder / "work.5");
    CHECK(read_text(second.work() / "checkpoint.safetensors") == "half way");
    CHECK_FALSE(fs::exists(folder / "work.3"));
    CHECK_FALSE(fs::exists(second.work() / "checkpoint.safetensors.part123"));
}

TEST_CASE("a worker that lost its run can reach nothing of it", "[run]") {
    const TemporaryFolder place;
    const fs::path folder = place / "7";
    const RunFolder slow(folder, 3);
    write_text(slow.work() / "checkpoint.safetensors", "of claim 3");
    const RunFolder quick(folder, 4);
    REQUIRE(slow.taken());
    REQUIRE_FALSE(quick.taken());
    // It wakes up and goes on writing, as whoever writes a file makes the folder for it.
    write_text(slow.work() / "checkpoint.safetensors", "too late");
    write_text(slow.work() / "adapter" / "permille.json", "too late");
    require_error([&] { slow.publish("adapter"); }, ErrorKind::file, {"taken by another worker"});
    CHECK_FALSE(fs::exists(folder / "adapter"));
    CHECK(read_text(quick.work() / "checkpoint.safetensors") == "of claim 3");
    write_text(quick.work() / "adapter" / "permille.json", "in time");
    quick.publish("adapter");
    quick.clear();
    CHECK(read_text(folder / "adapter" / "permille.json") == "in time");
    CHECK_FALSE(fs::exists(folder / "work.3"));
    CHECK_FALSE(fs::exists(folder / "work.4"));
    // A third claim does not find what the slow one wrote either.
    write_text(slow.work() / "checkpoint.safetensors", "much too late");
    const RunFolder third(folder, 6);
    CHECK_FALSE(fs::exists(third.work() / "checkpoint.safetensors"));
    CHECK(slow.taken());
}

TEST_CASE("a worker that comes after a newer claim gets no folder", "[run]") {
    const TemporaryFolder place;
    const RunFolder quick(place / "7", 4);
    require_error([&] { const RunFolder slow(place / "7", 3); }, ErrorKind::file, {"taken by another worker"});
    CHECK_FALSE(quick.taken());
    CHECK_FALSE(fs::exists(place / "7" / "work.3"));
}

TEST_CASE("an adapter takes the place of an older one", "[run]") {
    const TemporaryFolder place;
    const RunFolder run(place / "7", 1);
    for (const char* text : {"first", "second"}) {
        write_text(run.work() / "adapter" / "permille.json", text);
        run.publish("adapter");
        CHECK(read_text(run.adapter() / "permille.json") == text);
    }
    CHECK_FALSE(fs::exists(run.work() / "adapter.old"));
}

TEST_CASE("files that the first version kept beside the adapter are found", "[run]") {
    const TemporaryFolder place;
    const fs::path folder = place / "7";
    for (const char* name : {"checkpoint.safetensors", "negatives.safetensors", "rate_search.json"}) write_text(folder / name, name);
    const RunFolder run(folder, 1);
    for (const char* name : {"checkpoint.safetensors", "negatives.safetensors", "rate_search.json"}) {
        CHECK(read_text(run.work() / name) == name);
        CHECK_FALSE(fs::exists(folder / name));
    }
}

TEST_CASE("a run that kept nothing leaves no folder", "[run]") {
    const TemporaryFolder place;
    { const RunFolder run(place / "7", 1); }
    CHECK_FALSE(fs::exists(place / "7"));
}

}  // namespace permille::test
