// One measured side of tests/bench/compare.py: the request is JSON in the first argument; every line on standard input asks for one
// measurement, every measurement is one JSON line on standard output.
#pragma once

#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>

#include "core/base/json.h"

namespace permille::bench {

inline double cpu_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

inline double wall_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The mark of this process's peak memory starts again.
inline void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

inline std::int64_t peak_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
    return 0;
}

// `once` returns what it counted; it is called to warm up first.
template <class Function>
int serve(Function&& once) {
    once();
    reset_peak();
    std::cout << Json{{"ready", true}}.dump() << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        const double cpu = cpu_seconds(), wall = wall_seconds();
        Json result = once();
        result["cpu_seconds"] = cpu_seconds() - cpu;
        result["wall_seconds"] = wall_seconds() - wall;
        result["peak_bytes"] = peak_bytes();
        std::cout << result.dump() << std::endl;
    }
    return 0;
}

}  // namespace permille::bench
