#include "core/base/process.h"

#include <malloc.h>

#include <cstdlib>

namespace permille {

void prepare_process() {
    setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32", 0);
#ifdef __GLIBC__
    if (std::getenv("GLIBC_TUNABLES")) return;
    constexpr int kGigabyte = 1 << 30, kStep = 64 << 20;
    mallopt(M_MMAP_THRESHOLD, kGigabyte);
    mallopt(M_TRIM_THRESHOLD, kGigabyte);
    mallopt(M_TOP_PAD, kStep);
#endif
}

}  // namespace permille
