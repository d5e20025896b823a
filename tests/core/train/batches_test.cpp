#include "core/data/batches.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

std::int64_t padded_size(const std::vector<TokenPair>& pairs, const BatchPlan& plan) {
    std::size_t source = 0, target = 0;
    for (const auto i : plan) {
        source = std::max(source, pairs[i].source.size());
        target = std::max(target, pairs[i].labels.size());
    }
    return static_cast<std::int64_t>(plan.size() * (source + target));
}

std::vector<std::uint32_t> all(std::size_t count) {
    std::vector<std::uint32_t> list(count);
    std::iota(list.begin(), list.end(), 0U);
    return list;
}

}  // namespace

TEST_CASE("batches keep the budget and hold every example once", "[train]") {
    const auto pairs = random_pairs(500, 50, 3, 30);
    const std::int64_t budget = GENERATE(1, 40, 300, 100000);
    std::vector<std::uint32_t> seen;
    double real = 0, padded = 0;
    for (const BatchPlan& plan : plan_batches(pairs, all(pairs.size()), budget, 9)) {
        REQUIRE_FALSE(plan.empty());
        if (plan.size() > 1) REQUIRE(padded_size(pairs, plan) <= budget);
        padded += static_cast<double>(padded_size(pairs, plan));
        for (const auto i : plan) {
            seen.push_back(i);
            real += static_cast<double>(pairs[i].source.size() + pairs[i].labels.size());
        }
    }
    std::sort(seen.begin(), seen.end());
    REQUIRE(seen == all(pairs.size()));
    if (budget == 300) REQUIRE(real / padded > 0.75);  // by length: little padding
}

TEST_CASE("the seed chooses the batches", "[train]") {
    const auto pairs = random_pairs(200, 50, 3);
    REQUIRE(plan_batches(pairs, all(200), 100, 1) == plan_batches(pairs, all(200), 100, 1));
    REQUIRE(plan_batches(pairs, all(200), 100, 1) != plan_batches(pairs, all(200), 100, 2));
}

TEST_CASE("validation goes by length, longest first", "[train]") {
    const auto pairs = random_pairs(60, 50, 3);
    std::size_t last = 1000, count = 0;
    for (const BatchPlan& plan : plan_batches_by_length(pairs, 80))
        for (const auto i : plan) {
            REQUIRE(pairs[i].source.size() <= last);
            last = pairs[i].source.size();
            ++count;
        }
    REQUIRE(count == 60);
}

TEST_CASE("seeking equals walking", "[train]") {
    const auto pairs = random_pairs(50, 50, 3);
    BatchSequence walking(pairs, 60, 5);
    std::vector<BatchPlan> walked;
    for (int i = 0; i < 70; ++i) walked.push_back(walking.next());
    for (const std::size_t place : {0U, 1U, 7U, 20U, 21U, 22U, 23U, 24U, 25U, 44U, 60U}) {
        BatchSequence sought(pairs, 60, 5);
        sought.next();
        sought.seek(static_cast<std::int64_t>(place));
        REQUIRE(sought.position() == static_cast<std::int64_t>(place));
        for (std::size_t i = place; i < walked.size(); ++i) REQUIRE(sought.next() == walked[i]);
        REQUIRE(sought.epochs() == walking.epochs());
    }
}

TEST_CASE("every epoch visits all examples in another order, or those that the sampler names", "[train]") {
    const auto pairs = random_pairs(30, 50, 3);
    BatchSequence batches(pairs, 60, 5);
    std::vector<BatchPlan> first, second;
    while (batches.epochs() < 1) first.push_back(batches.next());
    while (batches.epochs() < 2) second.push_back(batches.next());
    REQUIRE(first != second);
    for (const auto* epoch : {&first, &second}) {
        std::set<std::uint32_t> seen;
        for (const BatchPlan& plan : *epoch) seen.insert(plan.begin(), plan.end());
        REQUIRE(seen.size() == 30);
    }
    BatchSequence sampled(pairs, 60, 5, [](std::int64_t epoch) {
        return std::vector<std::uint32_t>{static_cast<std::uint32_t>(epoch), 7, 7};
    });
    for (std::uint32_t epoch = 0; epoch < 3; ++epoch) {
        std::vector<std::uint32_t> seen;
        while (sampled.epochs() < epoch + 1) {
            const BatchPlan& plan = sampled.next();
            seen.insert(seen.end(), plan.begin(), plan.end());
        }
        std::sort(seen.begin(), seen.end());
        REQUIRE(seen == std::vector<std::uint32_t>{epoch, 7, 7});
    }
    require_error([&] { BatchSequence(pairs, 60, 5, [](std::int64_t) { return std::vector<std::uint32_t>(); }); }, ErrorKind::internal,
                  {"examples"});
}

TEST_CASE("decoder inputs are the labels shifted right behind the start token", "[train]") {
    const std::vector<TokenPair> pairs = {{{4, 9, 2}, {5, 7, 8, 2}}, {{4, 2}, {5, 2}}};
    Architecture architecture;
    architecture.decoder_start_id = 3;
    const TensorBatch batch = collate(pairs, {1, 0}, architecture, at::kCPU);
    require_same(batch.source.ids, at::tensor({4, 2, 4, 9, 2}, at::kLong));
    require_same(batch.target.ids, at::tensor({3, 5, 3, 5, 7, 8}, at::kLong));
    require_same(batch.labels, at::tensor({5, 2, 5, 7, 8, 2}, at::kLong));
    REQUIRE(batch.tokens == 6);
}
