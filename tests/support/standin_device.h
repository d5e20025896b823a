// A device in the place of a graphics card, on machines that have none. It computes as the CPU does but is as strict as a card, and it
// counts what is slow on one.
//
// - A tensor of another device among its own is refused, but for the numbers (0 dimensions) that CUDA takes as well, and copies that are
//   asked for by name.
// - Its addresses are disguised: who reads its memory without an operator ends with a fault, as on a card.
// - Random numbers come from a generator that is given; the one that all runs on a device share is refused.
//
// It is registered with libtorch as the process starts; the program itself knows no name for it.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <map>
#include <string>

namespace permille::test {

at::Device standin_device();

// Since the last reset, of all threads.
struct DeviceWork {
    std::int64_t launches = 0;  // operators that compute
    std::int64_t waits = 0;     // times that the host had to wait for a result: a number read, a copy that is not both pinned and without
                                // waiting, a size by data
    std::int64_t uploads = 0;   // copies from the host
    std::map<std::string, std::int64_t> waited_in;  // waits by operator, for whoever looks for them
};
DeviceWork device_work();
void reset_device_work();

}  // namespace permille::test
