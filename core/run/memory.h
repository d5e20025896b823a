// How much memory work takes at its peak. Knows no torch.
#pragma once

#include <cstdint>

namespace permille {

// From its making on, in bytes.
class MemoryMark {
public:
    MemoryMark();
    std::int64_t peak() const;
};

}  // namespace permille
