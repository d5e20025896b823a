// What a verb of the command line is made of. One verb is one file in app/cli/commands; main.cpp lists them all.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>

#include "app/cli/console.h"

namespace permille::cli {

// Exit codes, as scripts rely on them.
constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;
constexpr int kInterrupted = 130;

// Does the work once the command line has been read; returns the exit code, or throws permille::Error.
using Action = std::function<int(Console&)>;

// Adds the verb's options to its CLI::App and returns what to do. Options live in a shared_ptr that the action holds.
using MakeCommand = Action (*)(CLI::App& verb);

Action make_adapter(CLI::App& verb);
Action make_bleu(CLI::App& verb);
Action make_budget(CLI::App& verb);
Action make_data(CLI::App& verb);
Action make_detokenize(CLI::App& verb);
Action make_doctor(CLI::App& verb);
Action make_info(CLI::App& verb);
Action make_inherit(CLI::App& verb);
Action make_merge(CLI::App& verb);
Action make_methods(CLI::App& verb);
Action make_moefy(CLI::App& verb);
Action make_plot(CLI::App& verb);
Action make_pretrain(CLI::App& verb);
Action make_results(CLI::App& verb);
Action make_run(CLI::App& verb);
Action make_score(CLI::App& verb);
Action make_status(CLI::App& verb);
Action make_tokenize(CLI::App& verb);
Action make_train(CLI::App& verb);
Action make_translate(CLI::App& verb);

}  // namespace permille::cli
