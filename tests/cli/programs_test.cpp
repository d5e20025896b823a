// The programs that the command line is made of: what each loads, and how one becomes another.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

namespace fs = std::filesystem;

const fs::path kProgram = PERMILLE_PROGRAM;
const fs::path kOthers = kProgram.parent_path().parent_path() / "libexec/permille";

// The libraries of a program and theirs, as the loader finds them.
std::string libraries_of(const fs::path& program) {
    const Ran ran = run_program(program, {}, {.environment = {"LD_TRACE_LOADED_OBJECTS=1"}});
    INFO(program << ": " << ran.err);
    REQUIRE(ran.code == 0);
    REQUIRE(ran.out.find("libstdc++") != std::string::npos);
    return ran.out;
}

void check_without(const fs::path& program, const std::vector<std::string>& words) {
    const std::string libraries = libraries_of(program);
    INFO(program << " loads\n" << libraries);
    for (const auto& word : words) {
        INFO(word);
        CHECK(libraries.find(word) == std::string::npos);
    }
}

// A place as `cmake --install` makes it, with copies of the programs that are named.
void install(const fs::path& prefix, const std::vector<std::string>& others) {
    fs::create_directories(prefix / "bin");
    fs::create_directories(prefix / "libexec/permille");
    fs::copy_file(kProgram, prefix / "bin/permille");
    for (const auto& name : others) fs::copy_file(kOthers / name, prefix / "libexec/permille" / name);
}

}  // namespace

TEST_CASE("the program that people start loads neither libtorch nor Qt nor a display's libraries", "[cli]") {
    check_without(kProgram, {"libtorch", "libc10", "libcud", "libgomp", "libQt", "libX11", "libxcb", "libGL", "qcustomplot", "wayland"});
    check_without(kOthers / "permille-engine", {"libQt", "libX11", "libxcb", "libGL", "qcustomplot", "wayland"});
    check_without(kOthers / "permille-plot", {"libtorch", "libc10", "libcud"});
    // And the check sees what is there.
    CHECK(libraries_of(kOthers / "permille-engine").find("libtorch_cpu.so") != std::string::npos);
    CHECK(libraries_of(kOthers / "permille-plot").find("libQt6Widgets.so") != std::string::npos);
}

TEST_CASE("a verb of another program is that program: its help, its exit codes, its input", "[cli]") {
    const Ran help = permille({"translate", "--help"});
    CHECK(help.code == 0);
    CHECK(help.out.find("--beam") != std::string::npos);
    CHECK(permille({"plot", "--help"}).out.find("--facet") != std::string::npos);
    CHECK(permille({"plot"}).code == 2);
    const Ran nothing = permille({"info", "no-such-model", "--json"});
    CHECK(nothing.code == 1);
    CHECK(nothing.error().at("kind") == "file");
    const TemporaryFolder folder;
    const Ran ran = permille({"translate", "--model", PERMILLE_TESTS_DIR "/support/tiny-base", "--src-lang", "it", "--tgt-lang", "en"},
                             {.input = "ciao\nmondo\n", .environment = {"PERMILLE_HOME=" + folder.path().string()}});
    INFO(ran.err);
    CHECK(ran.code == 0);
    CHECK(std::count(ran.out.begin(), ran.out.end(), '\n') == 2);
    // Through a link from elsewhere too.
    fs::create_symlink(kProgram, folder / "p");
    CHECK(run_program(folder / "p", {"score", "--help"}).out.find("--tgt-lang") != std::string::npos);
    CHECK(run_program(kOthers / "permille-engine", {"results"}).code == 2);
}

TEST_CASE("a program that is not there is one clear error", "[cli]") {
    const TemporaryFolder folder;
    install(folder.path(), {});
    const std::string program = folder / "bin/permille";
    for (const char* verb : {"info", "plot"}) {
        const Ran ran = run_program(program, {verb, "--json"});
        INFO(ran.err);
        CHECK(ran.code == 1);
        CHECK(ran.out.empty());
        CHECK(ran.error().at("where").get<std::string>().find("libexec/permille/permille-") != std::string::npos);
        CHECK(ran.error().at("what").get<std::string>().find("not there") != std::string::npos);
    }
    // What this program does itself, it does.
    CHECK(run_program(program, {"data", "stats"}, {.environment = {"PERMILLE_HOME=" + folder.path().string()}}).code == 0);
    const Ran wrong = run_program(program, {"trian"});
    CHECK(wrong.code == 2);
    CHECK(wrong.err.find("did you mean 'train'?") != std::string::npos);
}

TEST_CASE("a library that a program lacks is named, with what brings it", "[cli]") {
    const TemporaryFolder folder;
    install(folder.path(), {"permille-plot", "permille-engine"});
    // In the copies each name is that of a library which no machine has.
    const auto rename = [&](const std::string& name, const std::string& library, const std::string& other) {
        const fs::path file = folder / ("libexec/permille/" + name);
        std::string bytes = read_text(file);
        const auto place = bytes.find(library);
        REQUIRE(place != std::string::npos);
        REQUIRE(other.size() == library.size());
        for (auto at = place; at != std::string::npos; at = bytes.find(library, at)) bytes.replace(at, library.size(), other);
        write_text(file, bytes);
        fs::permissions(file, fs::perms::owner_all);
    };
    rename("permille-plot", "libQt6Widgets.so.6", "libXx6Widgets.so.6");
    const Ran plot = run_program(folder / "bin/permille", {"plot", "-o", folder / "a.svg", "--json"});
    INFO(plot.err);
    CHECK(plot.code == 1);
    CHECK(plot.error().at("what").get<std::string>().find("libXx6Widgets.so.6 is missing") != std::string::npos);
    CHECK(plot.error().at("fix").get<std::string>().find("qt6-base-dev") != std::string::npos);
    rename("permille-engine", "libtorch_cpu.so", "libtorch_xyz.so");
    const Ran engine = run_program(folder / "bin/permille", {"doctor"});
    INFO(engine.err);
    CHECK(engine.code == 1);
    CHECK(engine.err.find("libtorch_xyz.so is missing") != std::string::npos);
    CHECK(engine.err.find("packaging/setup.sh") != std::string::npos);
}

}  // namespace permille::test
