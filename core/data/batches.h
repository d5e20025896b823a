// Batches of token pairs by a token budget, grouped by length, in an order that is a function of the seed: any position of the sequence can
// be found again, so a stopped run continues where it was. Knows no torch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace permille {

// A sentence pair as ids: encoder input, and decoder labels (language code and end of sentence included).
struct TokenPair {
    std::vector<std::int32_t> source, labels;
};

// Indices of examples.
using BatchPlan = std::vector<std::uint32_t>;

// Which examples an epoch visits, in any order; empty function: all of them.
using EpochSampler = std::function<std::vector<std::uint32_t>(std::int64_t epoch)>;

// Splits examples (sorted by length, equal ones in seeded order) into batches whose padded size B*max(S) + B*max(T) is at most
// batch_tokens; a longer single example is a batch of its own. The batches come in seeded order.
std::vector<BatchPlan> plan_batches(const std::vector<TokenPair>& pairs, const std::vector<std::uint32_t>& examples,
                                    std::int64_t batch_tokens, std::uint64_t seed);
// The same without seeds: by length, longest first. For validation and scoring.
std::vector<BatchPlan> plan_batches_by_length(const std::vector<TokenPair>& pairs, std::int64_t batch_tokens);

// The endless sequence of training batches.
class BatchSequence {
public:
    BatchSequence(const std::vector<TokenPair>& pairs, std::int64_t batch_tokens, std::uint64_t seed, EpochSampler sampler = {});
    const BatchPlan& next();
    std::int64_t position() const { return position_; }  // batches given so far
    void seek(std::int64_t position);                    // continue as if so many had been given
    double epochs() const;

private:
    void start_epoch(std::int64_t epoch);
    const std::vector<TokenPair>& pairs_;
    std::int64_t batch_tokens_;
    std::uint64_t seed_;
    EpochSampler sampler_;
    std::int64_t position_ = 0, epoch_ = -1, within_ = 0;
    std::vector<BatchPlan> batches_;
};

// Deterministic everywhere, unlike the standard library's distributions.
class SeededRandom {
public:
    explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next();
    std::uint64_t below(std::uint64_t limit) { return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * limit) >> 64); }
    double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
    template <class T>
    void shuffle(std::vector<T>& items) {
        for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
    }

private:
    std::uint64_t state_;
};

}  // namespace permille
