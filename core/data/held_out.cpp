#include "core/data/held_out.h"

#include <algorithm>

#include "core/data/unicode.h"

namespace permille {

namespace {

// Both sides: a corpus may be used in either direction.
std::vector<std::uint64_t> skeletons_of(const Row& row) {
    std::vector<std::uint64_t> hashes{stable_hash(skeleton(row.source)), stable_hash(skeleton(row.target))};
    if (!row.pivot.empty()) hashes.push_back(stable_hash(skeleton(row.pivot)));
    return hashes;
}

}  // namespace

void HeldOut::add(const Corpus& corpus) {
    if (!corpus.info().raised_percent()) return;
    for (const Split split : {Split::valid, Split::test}) {
        const auto found = corpus.info().splits.find(to_string(split));
        if (found == corpus.info().splits.end() || found->second.rows == 0) continue;
        for (const Row& row : corpus.rows(split))
            for (const std::uint64_t hash : skeletons_of(row)) skeletons_.insert(hash);
    }
}

std::int64_t HeldOut::drop_from(std::vector<Row>& rows) const {
    if (skeletons_.empty()) return 0;
    return static_cast<std::int64_t>(std::erase_if(rows, [&](const Row& row) {
        const auto hashes = skeletons_of(row);
        return std::any_of(hashes.begin(), hashes.end(), [&](std::uint64_t hash) { return skeletons_.contains(hash); });
    }));
}

}  // namespace permille
