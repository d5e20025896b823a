#include "core/analysis/estimate.h"

#include <algorithm>

#include "tests/core/analysis/runs.h"
#include "tests/support/test.h"

namespace permille::test {

using Catch::Matchers::WithinAbs;

TEST_CASE("one seed has the interval that was stored with its score", "[analysis]") {
    const RunRow run = finished_run(1, "small", 2, 18);
    const Estimate estimate = estimate_of({&run});
    CHECK(estimate.mean == 18);
    CHECK(estimate.spread == Estimate::Spread::bootstrap);
    CHECK(estimate.low == 17);
    CHECK(estimate.high == 20);
    CHECK(estimate.deviation == 0);
    RunRow bare = run;
    bare.score->low.reset();
    CHECK(estimate_of({&bare}).spread == Estimate::Spread::none);
    CHECK_FALSE(estimate_of({&bare}).high);
}

TEST_CASE("several seeds have the sample standard deviation, not their intervals", "[analysis]") {
    const RunRow a = finished_run(1, "small", 2, 18, 1), b = finished_run(2, "small", 2, 20, 2), c = finished_run(3, "small", 2, 25, 3);
    const Estimate estimate = estimate_of({&a, &b, &c});
    CHECK_THAT(estimate.mean, WithinAbs(21, 1e-12));
    CHECK_THAT(estimate.deviation, WithinAbs(3.605551275463989, 1e-12));  // of 18, 20, 25, from Python's statistics.stdev
    CHECK(estimate.spread == Estimate::Spread::deviation);
    CHECK(estimate.seeds == 3);
    CHECK_THAT(*estimate.low, WithinAbs(21 - 3.605551275463989, 1e-12));
    CHECK_THAT(*estimate.high, WithinAbs(21 + 3.605551275463989, 1e-12));
}

TEST_CASE("repetitions differ in nothing but their seed, and one experiment in two studies is one", "[analysis]") {
    RunRow first = finished_run(1, "small", 2, 18), again = finished_run(2, "small", 2, 18.5), seed = finished_run(3, "small", 2, 19, 2),
           other = finished_run(4, "small", 1, 12);
    first.spec.study = "a";
    again.spec.study = "b";
    auto groups = repetitions({&first, &again, &seed, &other});
    REQUIRE(groups.size() == 2);
    std::sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
    CHECK(groups[0] == std::vector<const RunRow*>{&again, &seed});
    CHECK(groups[1] == std::vector<const RunRow*>{&other});
}

}  // namespace permille::test
