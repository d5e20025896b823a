// Keeps what a small corpus holds out away from the training rows of the corpora that are used together with it.
#pragma once

#include <cstdint>
#include <unordered_set>
#include <vector>

#include "core/data/corpus.h"

namespace permille {

// Corpora that are large enough hold out the same sentences everywhere, so that they need nothing of this; see core/data/split.h.
class HeldOut {
public:
    // Remembers the validation and test sentences, by their skeletons, of a corpus that holds out more than its settings say. Does nothing
    // for any other corpus.
    void add(const Corpus& corpus);
    // Drops the rows of which one side, or the English text between the two, is like a sentence that is held out. Returns how many.
    std::int64_t drop_from(std::vector<Row>& rows) const;

private:
    std::unordered_set<std::uint64_t> skeletons_;
};

}  // namespace permille
