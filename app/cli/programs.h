// The programs that the command line is made of. People start `permille`; it does what needs neither libtorch nor Qt by itself, so that
// this starts in some milliseconds and on machines without a desktop's libraries, and becomes one of the others for the verbs that are
// theirs.
#pragma once

#include <filesystem>
#include <string>

namespace permille::cli {

enum class Program {
    light,   // bin/permille
    engine,  // libexec/permille/permille-engine, with libtorch
    plot     // libexec/permille/permille-plot, with Qt
};

// Where that program lies, counted from the one that runs, which is `running`; the same below a prefix and in a build folder.
std::filesystem::path program_file(Program program, Program running);

// Replaces this process by that program with the same arguments: process id, standard input and signals stay. Does not return; throws
// Error(file) when the program is not there or a library is missing that it needs, naming which and what to install.
[[noreturn]] void become(Program program, Program running, char** arguments);

}  // namespace permille::cli
