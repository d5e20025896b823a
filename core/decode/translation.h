// What a search gives for a line of text. Knows no torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace permille {

struct Translation {
    std::string text;
    std::vector<std::int64_t> ids;          // the whole generated sequence, start token included
    double score = 0;                       // log-probability / length^penalty
    std::vector<Translation> alternatives;  // with n_best > 1: the n best, this one first
};

}  // namespace permille
