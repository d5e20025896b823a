#include "core/decode/sample.h"

#include <set>

#include "core/decode/beam.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

std::vector<Tokens> golden_sources() { return read_json(golden("m2m100/decode.json"))["sources"].get<std::vector<Tokens>>(); }

SearchSettings sampling() {
    SearchSettings settings;
    settings.max_length = 20;
    settings.seed = 7;
    return settings;
}

std::vector<std::vector<Tokens>> ids(const std::vector<std::vector<Candidate>>& found) {
    std::vector<std::vector<Tokens>> all;
    for (const auto& candidates : found) {
        all.emplace_back();
        for (const Candidate& candidate : candidates) all.back().push_back(candidate.ids);
    }
    return all;
}

// Pearson's statistic of counts beside expected shares; cells that expect less than 5 are put together.
struct ChiSquare {
    double statistic = 0;
    int freedom = -1;
};
ChiSquare chi_square(const std::vector<double>& counts, const std::vector<double>& shares) {
    double total = 0, rest_count = 0, rest_expected = 0;
    for (const double count : counts) total += count;
    ChiSquare result;
    const auto add = [&](double count, double expected) {
        result.statistic += (count - expected) * (count - expected) / expected;
        ++result.freedom;
    };
    for (std::size_t i = 0; i < counts.size(); ++i) {
        if (shares[i] == 0) REQUIRE(counts[i] == 0);
        if (shares[i] * total >= 5) {
            add(counts[i], shares[i] * total);
        } else {
            rest_count += counts[i];
            rest_expected += shares[i] * total;
        }
    }
    if (rest_expected >= 1) add(rest_count, rest_expected);
    return result;
}

// Wilson and Hilferty's approximation of the value that chance exceeds once in 10,000 times.
double bound(int freedom) {
    const double f = freedom, root = 1 - 2 / (9 * f) + 3.719 * std::sqrt(2 / (9 * f));
    return f * root * root * root;
}

}  // namespace

TEST_CASE("temperature, top-k and top-p leave what transformers' warpers leave", "[decode][golden]") {
    const Json file = read_json(golden("m2m100/truncation.json"));
    const auto rows = file["scores"].get<std::vector<std::vector<float>>>();
    at::Tensor scores = at::empty({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size())}, at::kFloat);
    for (std::size_t i = 0; i < rows.size(); ++i)
        std::copy(rows[i].begin(), rows[i].end(), scores[static_cast<std::int64_t>(i)].data_ptr<float>());
    for (const Json& test : file["cases"]) {
        Truncation truncation{test["temperature"].get<double>(), test["top_k"].get<std::int64_t>(), test["top_p"].get<double>()};
        const at::Tensor kept = truncation(scores), p = at::softmax(kept, 1);
        INFO("temperature " << truncation.temperature << ", top-k " << truncation.top_k << ", top-p " << truncation.top_p);
        REQUIRE(test["kept"].size() >= 5);
        for (std::size_t i = 0; i < test["kept"].size(); ++i) {
            INFO("row " << i);
            const at::Tensor row = kept[static_cast<std::int64_t>(i)];
            const at::Tensor tokens = at::isfinite(row).nonzero().squeeze(1);
            const Tokens got(tokens.const_data_ptr<std::int64_t>(), tokens.const_data_ptr<std::int64_t>() + tokens.numel());
            REQUIRE(got == test["kept"][i].get<Tokens>());
            const auto expected = test["probabilities"][i].get<std::vector<double>>();
            for (std::size_t k = 0; k < got.size(); ++k)
                REQUIRE_THAT(p[static_cast<std::int64_t>(i)][got[k]].item<float>(), Catch::Matchers::WithinAbs(expected[k], 1e-5));
        }
    }
    REQUIRE(Truncation{}(scores).is_same(scores));
}

TEST_CASE("a chosen column is the first whose cumulative share is above the number", "[decode]") {
    const at::Tensor weights = at::tensor({0.0, 1.0, 0.0, 3.0, 0.0}, at::kDouble).reshape({1, 5});
    REQUIRE(choose(weights, {0.0}) == Tokens{1});
    REQUIRE(choose(weights, {0.2499}) == Tokens{1});
    REQUIRE(choose(weights, {0.25}) == Tokens{3});
    REQUIRE(choose(weights, {1.0 - 0x1.0p-53}) == Tokens{3});
}

TEST_CASE("the numbers behind the draws are uniform and do not follow each other", "[decode]") {
    std::vector<double> counts(20), pairs(25);
    double before = 0;
    for (std::uint64_t sentence = 0; sentence < 40; ++sentence) {
        for (std::uint64_t draw = 0; draw < 10; ++draw) {
            for (std::uint64_t position = 0; position < 100; ++position) {
                const double number = uniform(3, sentence, draw, position);
                REQUIRE(number >= 0);
                REQUIRE(number < 1);
                ++counts[static_cast<std::size_t>(number * 20)];
                ++pairs[static_cast<std::size_t>(before * 5) * 5 + static_cast<std::size_t>(number * 5)];
                before = number;
            }
        }
    }
    CHECK(chi_square(counts, std::vector<double>(20, 1.0 / 20)).statistic < bound(19));
    CHECK(chi_square(pairs, std::vector<double>(25, 1.0 / 25)).statistic < bound(24));
    CHECK(uniform(1, 0, 0, 1) != uniform(2, 0, 0, 1));
    CHECK(uniform(1, 1, 0, 1) != uniform(1, 0, 1, 1));
}

TEST_CASE("tokens are drawn as often as their probability says", "[decode]") {
    const auto base = golden_model();
    const Seq2Seq& model = *base->network;
    const at::NoGradGuard guard;
    const Tokens source = golden_sources()[2];
    SearchSettings settings = sampling();
    settings.max_length = 3;
    settings.forced_first = 5;
    settings.n_best = 6000;
    settings.truncation.temperature = GENERATE(1.0, 2.0);
    SECTION("all tokens") {}
    SECTION("top-k") { settings.truncation.top_k = 9; }
    SECTION("top-p") { settings.truncation.top_p = 0.8; }
    SECTION("without some tokens") { settings.rules.suppress_tokens = {2, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30}; }

    const Forward forward = model.inference();
    const TokenRows rows = TokenRows::of({source}, at::kCPU);
    at::Tensor logits = model.logits(forward, model.decode(forward, model.encode(forward, rows), TokenRows::of({Tokens{2, 5}}, at::kCPU)))
                            .narrow(0, 1, 1)
                            .clone();
    for (const auto token : settings.rules.suppress_tokens) logits[0][token] = -std::numeric_limits<float>::infinity();
    const at::Tensor log_p = at::log_softmax(settings.truncation(logits), 1);

    const auto found = sample(model, nullptr, {source}, settings);
    std::vector<double> counts(static_cast<std::size_t>(model.architecture().vocab_size)), shares(counts.size());
    for (std::size_t i = 0; i < shares.size(); ++i)
        shares[i] = std::exp(static_cast<double>(log_p[0][static_cast<std::int64_t>(i)].item<float>()));
    REQUIRE(found.at(0).size() == 6000);
    for (const Candidate& candidate : found[0]) {
        REQUIRE(candidate.ids.size() == 3);
        ++counts[static_cast<std::size_t>(candidate.ids[2])];
        REQUIRE_THAT(candidate.log_probability, Catch::Matchers::WithinAbs(log_p[0][candidate.ids[2]].item<double>(), 1e-4));
    }
    const ChiSquare result = chi_square(counts, shares);
    REQUIRE(result.freedom >= 3);
    CHECK(result.statistic < bound(result.freedom));
}

TEST_CASE("a seed draws the same whatever the batches, the order within one and the number of draws", "[decode]") {
    const auto base = golden_model();
    const auto sources = golden_sources();
    SearchSettings settings = sampling();
    settings.n_best = 3;
    const auto together = ids(sample(*base->network, nullptr, sources, settings));
    settings.batch_tokens = 1;
    CHECK(ids(sample(*base->network, nullptr, sources, settings)) == together);
    settings.batch_tokens = 70;
    CHECK(ids(sample(*base->network, nullptr, sources, settings)) == together);
    settings.n_best = 1;
    const auto first = ids(sample(*base->network, nullptr, sources, settings));
    for (std::size_t i = 0; i < sources.size(); ++i) CHECK(first[i][0] == together[i][0]);
    // Other neighbours, the same place.
    auto others = sources;
    others[0] = sources[3];
    const auto beside = ids(sample(*base->network, nullptr, others, settings));
    for (std::size_t i = 1; i < sources.size(); ++i) CHECK(beside[i] == first[i]);
    settings.seed = 8;
    CHECK(ids(sample(*base->network, nullptr, sources, settings)) != first);
}

TEST_CASE("draws of one sentence differ, end at the end token or the greatest length, and obey forced tokens", "[decode]") {
    const auto base = golden_model();
    SearchSettings settings = sampling();
    settings.n_best = 8;
    settings.max_length = 9;
    settings.forced_first = 5;
    settings.forced_last = 2;
    settings.truncation.temperature = 1.5;
    for (const auto& candidates : sample(*base->network, nullptr, golden_sources(), settings)) {
        REQUIRE(candidates.size() == 8);
        std::set<Tokens> different;
        for (const Candidate& candidate : candidates) {
            different.insert(candidate.ids);
            REQUIRE(candidate.ids[1] == 5);
            REQUIRE(candidate.ids.back() == 2);
            REQUIRE(candidate.ids.size() <= 9);
            REQUIRE(std::count(candidate.ids.begin() + 1, candidate.ids.end(), 2) == 1);
        }
        CHECK(different.size() > 1);
    }
}

TEST_CASE("sampling from the single most probable token is greedy search", "[decode]") {
    const auto base = golden_model();
    SearchSettings settings = sampling();
    settings.beam_size = 1;
    settings.rules.repetition_penalty = 1.3;
    settings.rules.min_length = 6;
    const auto greedy = beam_search(*base->network, nullptr, golden_sources(), settings);
    settings.truncation.top_k = 1;
    const auto drawn = sample(*base->network, nullptr, golden_sources(), settings);
    REQUIRE(ids(drawn) == ids(greedy));
}

TEST_CASE("sampling with nothing left to draw is an error", "[decode]") {
    const auto base = golden_model();
    SearchSettings settings = sampling();
    for (std::int64_t id = 0; id < base->network->architecture().vocab_size; ++id) settings.rules.suppress_tokens.push_back(id);
    require_error([&] { sample(*base->network, nullptr, golden_sources(), settings); }, ErrorKind::config, {"banned"});
}

TEST_CASE("a stop request ends sampling", "[decode]") {
    const auto base = golden_model();
    std::stop_source stop;
    stop.request_stop();
    REQUIRE_THROWS_AS(sample(*base->network, nullptr, golden_sources(), sampling(), stop.get_token()), Stopped);
}
