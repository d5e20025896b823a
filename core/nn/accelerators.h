// The part of libtorch that drives NVIDIA's cards, libtorch_cuda.so. The programs are linked to the CPU part alone and load the other one
// where it is, so that one program serves both kinds of machine. No torch.
//
// libtorch settles two things once in a process: whether it has CUDA, when it is first asked, and for which devices it can compute
// gradients, at the first backward pass. Both must come after loading. So whoever chooses a device or wants gradients comes through
// core/nn/device.h and core/nn/backward.h, which load first; a test of the sources sees to it that nobody goes round them.
#pragma once

#include <cstdint>
#include <string>

namespace permille {

struct Accelerators {
    std::int64_t cuda_devices = 0;
    // Why the CUDA part gives no device although it is there, or was asked for by name; empty: it gives some, or is not there.
    std::string trouble;
};

// Loads what is there, at the first call, and says what was found. The file is the one that PERMILLE_LIBTORCH_CUDA names, or else
// libtorch_cuda.so beside the libtorch_cpu.so of this process. Loading takes a second or two. For any thread.
const Accelerators& load_accelerators();

// What the dynamic linker said of this file, in words for its user.
std::string explain_loading(const std::string& file, const std::string& message);

}  // namespace permille
