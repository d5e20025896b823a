#include "app/cli/programs.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <vector>

#include "core/base/error.h"

namespace permille::cli {

namespace fs = std::filesystem;

namespace {

constexpr const char* kNames[] = {"bin/permille", "libexec/permille/permille-engine", "libexec/permille/permille-plot"};

const char* name_of(Program program) { return kNames[static_cast<int>(program)]; }

// What brings the libraries that a program lacks.
std::string remedy(Program program) {
    if (program == Program::plot)
        return "charts need Qt 6 and QCustomPlot: apt-get install qt6-base-dev qt6-svg-dev libqcustomplot-dev, or take the table: "
               "permille results --format csv";
    return "install what packaging/packages.txt lists, and libtorch, as packaging/setup.sh does";
}

// What the loader says when it is asked to name the program's libraries instead of starting it; "" when it finds them all.
std::string missing_libraries(const fs::path& file) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return {};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    std::string trace = "LD_TRACE_LOADED_OBJECTS=1";
    std::vector<char*> environment;
    for (char** variable = environ; *variable; ++variable) environment.push_back(*variable);
    environment.push_back(trace.data());
    environment.push_back(nullptr);
    std::string name = file.string();
    std::array<char*, 2> arguments = {name.data(), nullptr};
    pid_t child = -1;
    const int failure = posix_spawn(&child, name.c_str(), &actions, nullptr, arguments.data(), environment.data());
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    std::string answer;
    if (failure == 0) {
        std::array<char, 4096> block;
        for (ssize_t count; (count = ::read(ends[0], block.data(), block.size())) > 0 || (count < 0 && errno == EINTR);)
            if (count > 0) answer.append(block.data(), static_cast<std::size_t>(count));
        while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    ::close(ends[0]);

    // "\tlibQt6Gui.so.6 => not found"
    std::string names;
    std::istringstream lines(answer);
    for (std::string line; std::getline(lines, line);) {
        const auto end = line.find(" => not found");
        if (end == std::string::npos) continue;
        const auto start = line.find_first_not_of(" \t");
        names += (names.empty() ? "" : ", ") + line.substr(start, end - start);
    }
    return names;
}

}  // namespace

fs::path program_file(Program program, Program running) {
    const fs::path own = fs::read_symlink("/proc/self/exe");
    const fs::path prefix = running == Program::light ? own.parent_path().parent_path() : own.parent_path().parent_path().parent_path();
    return prefix / name_of(program);
}

void become(Program program, Program running, char** arguments) {
    const fs::path file = program_file(program, running);
    if (::access(file.c_str(), X_OK) != 0)
        throw Error(ErrorKind::file, file.string(), "this verb is done by that program, which is not there",
                    "install Permille whole: " + std::string(name_of(Program::light)) + " goes with libexec/permille beside bin");
    if (const std::string names = missing_libraries(file); !names.empty())
        throw Error(ErrorKind::file, file.string(),
                    "cannot start here: " + names + (names.find(',') == std::string::npos ? " is" : " are") + " missing", remedy(program));
    ::execv(file.c_str(), arguments);
    throw Error(ErrorKind::file, file.string(), std::string("cannot be started: ") + std::strerror(errno), "install Permille again");
}

}  // namespace permille::cli
