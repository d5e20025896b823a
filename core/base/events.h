// What a running job tells the outside: small values, sent from the worker's thread. A sink must be quick and must not throw.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace permille {

struct Event {
    enum class Kind { log, progress, metric };
    Kind kind = Kind::log;
    std::string text;         // log: the line; progress: what is being done; metric: its name
    std::int64_t step = 0;    // progress: done; metric: the update
    std::int64_t total = 0;   // progress: of how many (0: not known)
    double value = 0;         // metric: its value
    double eta_seconds = -1;  // progress: remaining, when known
};

using EventSink = std::function<void(const Event&)>;

inline void log_to(const EventSink& sink, std::string line) {
    if (sink) sink({Event::Kind::log, std::move(line)});
}

}  // namespace permille
