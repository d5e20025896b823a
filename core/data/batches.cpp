#include "core/data/batches.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"

namespace permille {

std::uint64_t SeededRandom::next() {  // splitmix64
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t value = state_;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
    return value ^ (value >> 31);
}

namespace {

std::vector<BatchPlan> cut(const std::vector<TokenPair>& pairs, const std::vector<std::uint32_t>& sorted, std::int64_t batch_tokens) {
    std::vector<BatchPlan> batches;
    BatchPlan batch;
    std::int64_t longest_source = 0, longest_target = 0;
    for (const auto index : sorted) {
        const auto source = std::max(longest_source, static_cast<std::int64_t>(pairs[index].source.size()));
        const auto target = std::max(longest_target, static_cast<std::int64_t>(pairs[index].labels.size()));
        if (!batch.empty() && static_cast<std::int64_t>(batch.size() + 1) * (source + target) > batch_tokens) {
            batches.push_back(std::move(batch));
            batch = {};
            longest_source = static_cast<std::int64_t>(pairs[index].source.size());
            longest_target = static_cast<std::int64_t>(pairs[index].labels.size());
        } else {
            longest_source = source;
            longest_target = target;
        }
        batch.push_back(index);
    }
    if (!batch.empty()) batches.push_back(std::move(batch));
    return batches;
}

}  // namespace

std::vector<BatchPlan> plan_batches(const std::vector<TokenPair>& pairs, const std::vector<std::uint32_t>& examples,
                                    std::int64_t batch_tokens, std::uint64_t seed) {
    SeededRandom random(seed);
    std::vector<std::uint32_t> sorted = examples;
    random.shuffle(sorted);
    const auto key = [&](std::uint32_t i) {
        const auto source = pairs[i].source.size(), target = pairs[i].labels.size();
        return std::pair(source + target, source);
    };
    std::stable_sort(sorted.begin(), sorted.end(), [&](auto a, auto b) { return key(a) < key(b); });
    auto batches = cut(pairs, sorted, batch_tokens);
    random.shuffle(batches);
    return batches;
}

std::vector<BatchPlan> plan_batches_by_length(const std::vector<TokenPair>& pairs, std::int64_t batch_tokens) {
    std::vector<std::uint32_t> sorted(pairs.size());
    std::iota(sorted.begin(), sorted.end(), 0U);
    std::stable_sort(sorted.begin(), sorted.end(), [&](auto a, auto b) {
        return std::pair(pairs[a].source.size(), pairs[a].labels.size()) > std::pair(pairs[b].source.size(), pairs[b].labels.size());
    });
    return cut(pairs, sorted, batch_tokens);
}

BatchSequence::BatchSequence(const std::vector<TokenPair>& pairs, std::int64_t batch_tokens, std::uint64_t seed, EpochSampler sampler)
    : pairs_(pairs), batch_tokens_(batch_tokens), seed_(seed), sampler_(std::move(sampler)) {
    PERMILLE_ASSERT(!pairs_.empty());
    start_epoch(0);
}

void BatchSequence::start_epoch(std::int64_t epoch) {
    epoch_ = epoch;
    within_ = 0;
    std::vector<std::uint32_t> examples;
    if (sampler_) {
        examples = sampler_(epoch);
        PERMILLE_ASSERT(!examples.empty());
    } else {
        examples.resize(pairs_.size());
        std::iota(examples.begin(), examples.end(), 0U);
    }
    batches_ = plan_batches(pairs_, examples, batch_tokens_, seed_ * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(epoch));
}

const BatchPlan& BatchSequence::next() {
    if (within_ == static_cast<std::int64_t>(batches_.size())) start_epoch(epoch_ + 1);
    ++position_;
    return batches_[static_cast<std::size_t>(within_++)];
}

void BatchSequence::seek(std::int64_t position) {
    start_epoch(0);
    std::int64_t left = position;
    while (left > static_cast<std::int64_t>(batches_.size())) {
        left -= static_cast<std::int64_t>(batches_.size());
        start_epoch(epoch_ + 1);
    }
    within_ = left;
    position_ = position;
}

double BatchSequence::epochs() const {
    return static_cast<double>(epoch_) + static_cast<double>(within_) / static_cast<double>(batches_.size());
}

}  // namespace permille
