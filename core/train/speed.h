// How fast this machine computes, which an estimate of time stands on.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>

namespace permille {

// Of one thread, per second of its own CPU time: what else runs on the machine hardly changes it, which a clock on the wall would count in.
struct MachineSpeed {
    double products = 0;  // floating-point operations of a matrix product in the compute type
    double passes = 0;    // float32 values that go once through a plain operator: read, computed, written
};

// What the file says, when it was measured with this processor and this libtorch; otherwise measured, which takes some tenths of a
// second, and written there where that is possible.
MachineSpeed machine_speed(c10::ScalarType compute, const std::filesystem::path& file);
// With speed.json of the data folder, so that the same question has the same answer; looked up once in a process. For any thread.
MachineSpeed machine_speed(c10::ScalarType compute);

// How much faster `threads` threads are than one: a tenth of training's work does not divide.
double threads_speedup(int threads);

}  // namespace permille
