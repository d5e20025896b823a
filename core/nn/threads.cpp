#include "core/nn/threads.h"

#include <ATen/Parallel.h>

namespace permille {

int all_threads() {
    static const int all = at::get_num_threads();  // asked before the first change, which is made below
    return all;
}

void use_threads(std::int64_t count) {
    const int all = all_threads();
    at::set_num_threads(count > 0 ? static_cast<int>(count) : all);
}

OneThread::OneThread() {
    all_threads();
    before_ = at::get_num_threads();
    at::set_num_threads(1);
}

OneThread::~OneThread() { at::set_num_threads(before_); }

}  // namespace permille
