// How many CPU threads libtorch's operators use. libtorch keeps the number by thread, but a new thread starts with what any other asked for
// last: whoever computes says how many, and these are the only places that do.
#pragma once

#include <cstdint>

namespace permille {

// What libtorch starts with: the machine's cores, or OMP_NUM_THREADS.
int all_threads();

// For the calling thread; 0: all.
void use_threads(std::int64_t count);

// One for the calling thread while it lives, for work too small to be divided or to be measured by itself.
class OneThread {
public:
    OneThread();
    ~OneThread();
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

private:
    int before_;
};

}  // namespace permille
