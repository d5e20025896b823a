#include "tests/support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace permille::test {

namespace {

struct Pipe {
    int read_end = -1, write_end = -1;
    Pipe() {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
        read_end = ends[0];
        write_end = ends[1];
    }
    ~Pipe() {
        close_read();
        close_write();
    }
    void close_read() {
        if (read_end >= 0) close(std::exchange(read_end, -1));
    }
    void close_write() {
        if (write_end >= 0) close(std::exchange(write_end, -1));
    }
};

[[noreturn]] void become(const std::string& program, const std::vector<std::string>& arguments, const RunOptions& options) {
    if (options.folder && chdir(options.folder->c_str()) != 0) _exit(127);
    for (const auto& variable : options.environment) {
        const auto equals = variable.find('=');
        setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
    }
    std::vector<char*> words = {const_cast<char*>(program.c_str())};
    for (const auto& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    execvp(program.c_str(), words.data());
    _exit(127);
}

}  // namespace

Ran run_program(const std::string& program, const std::vector<std::string>& arguments, const RunOptions& options) {
    signal(SIGPIPE, SIG_IGN);  // the program may end before it has read all of its input
    Pipe in, out, err;
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("cannot fork");
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        dup2(in.read_end, STDIN_FILENO);
        dup2(out.write_end, STDOUT_FILENO);
        dup2(err.write_end, STDERR_FILENO);
        become(program, arguments, options);
    }
    in.close_read();
    out.close_write();
    err.close_write();

    Ran ran;
    std::size_t written = 0;
    bool signalled = options.signal == 0;
    if (options.input.empty()) in.close_write();
    while (out.read_end >= 0 || err.read_end >= 0) {
        std::array<pollfd, 3> ends = {{{out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}, {in.write_end, POLLOUT, 0}}};
        poll(ends.data(), ends.size(), -1);
        std::array<char, 65536> block;
        const auto take = [&](const pollfd& end, Pipe& pipe, std::string& text) {
            if (!(end.revents & (POLLIN | POLLHUP | POLLERR))) return;
            const ssize_t count = read(end.fd, block.data(), block.size());
            if (count > 0) text.append(block.data(), static_cast<std::size_t>(count));
            else pipe.close_read();
        };
        take(ends[0], out, ran.out);
        take(ends[1], err, ran.err);
        if (ends[2].revents & (POLLOUT | POLLERR)) {
            const ssize_t count =
                write(in.write_end, options.input.data() + written, std::min<std::size_t>(options.input.size() - written, 4096));
            if (count > 0) written += static_cast<std::size_t>(count);
            if (count <= 0 || written == options.input.size()) in.close_write();
        }
        if (!signalled && ran.err.find(options.signal_when) != std::string::npos) {
            kill(child, options.signal);
            signalled = true;
        }
    }
    int status = 0;
    waitpid(child, &status, 0);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ran;
}

Ran permille(const std::vector<std::string>& arguments, const RunOptions& options) {
    return run_program(PERMILLE_PROGRAM, arguments, options);
}

}  // namespace permille::test
