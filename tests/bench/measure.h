// One measured side of tests/bench/compare.py: the request is JSON in the first argument; every line on standard input asks for one
// measurement, every measurement is one JSON line on standard output.
#pragma once

#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>

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

// What this process holds now, in bytes: all resident pages, those that are its own, and its share when each page is divided by the
// processes that map it.
inline Json memory_now() {
    Json now;
    std::ifstream rollup("/proc/self/smaps_rollup");
    for (std::string line; std::getline(rollup, line);)
        for (const auto& [field, name] : {std::pair{"Rss:", "resident_bytes"}, {"Anonymous:", "own_bytes"}, {"Pss:", "proportional_bytes"}})
            if (line.rfind(field, 0) == 0) now[name] = std::stoll(line.substr(std::string(field).size())) * 1024;
    return now;
}

// `once` returns what it counted; it is called to warm up first. `ready` is told when that is done.
template <class Function>
int serve(Function&& once, const Json& ready = {{"ready", true}}) {
    once();
    reset_peak();
    std::cout << ready.dump() << std::endl;
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
