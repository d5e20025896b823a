// Thrown where work that was asked to stop has no result to return; caught where an outcome is made of it. Being stopped is no error.
#pragma once

#include <stop_token>

namespace permille {

struct Stopped {};

// Whatever takes long asks here between two small pieces of its work: a batch, a row of text, a block of a file, a resample. It leaves
// nothing half-written behind when this throws.
inline void throw_if_stopped(const std::stop_token& stop) {
    if (stop.stop_requested()) throw Stopped();
}

}  // namespace permille
