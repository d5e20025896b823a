#include "core/decode/beam.h"

#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

EarlyStopping stopping(const std::string& name) {
    return name == "yes" ? EarlyStopping::yes : name == "no" ? EarlyStopping::no : EarlyStopping::never;
}

std::vector<std::vector<std::int64_t>> golden_sources() {
    return read_json(golden("m2m100/decode.json"))["sources"].get<std::vector<std::vector<std::int64_t>>>();
}

bool same(const std::vector<std::vector<Candidate>>& a, const std::vector<std::vector<Candidate>>& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i].size() != b[i].size()) return false;
        for (std::size_t k = 0; k < a[i].size(); ++k)
            if (a[i][k].ids != b[i][k].ids || std::abs(a[i][k].score - b[i][k].score) > 1e-5) return false;
    }
    return true;
}

}  // namespace

TEST_CASE("beams, scores and their order equal transformers' generate", "[decode][golden]") {
    const auto base = golden_model();
    const Json file = read_json(golden("m2m100/decode.json"));
    const auto sources = golden_sources();
    const std::int64_t batch_tokens = GENERATE(4000, 60, 1);  // all together, some together, one by one
    for (const Json& test : file["cases"]) {
        SearchSettings settings;
        settings.beam_size = test["beam_size"].get<std::int64_t>();
        settings.length_penalty = test["length_penalty"].get<double>();
        settings.max_length = test["max_length"].get<std::int64_t>();
        settings.early_stopping = stopping(test["early_stopping"].get<std::string>());
        settings.n_best = settings.beam_size;
        settings.batch_tokens = batch_tokens;
        if (!test["forced_first"].is_null()) settings.forced_first = test["forced_first"].get<std::int64_t>();
        INFO("beam " << settings.beam_size << ", penalty " << settings.length_penalty << ", early stopping " << test["early_stopping"]
                     << ", forced " << test["forced_first"] << ", at most " << settings.max_length << ", batch tokens " << batch_tokens);
        const auto got = beam_search(*base->network, nullptr, sources, settings);
        for (std::size_t i = 0; i < sources.size(); ++i) {
            INFO("sentence " << i);
            REQUIRE(got[i].size() == test["ids"][i].size());
            for (std::size_t k = 0; k < got[i].size(); ++k) {
                INFO("candidate " << k << ": " << Json(got[i][k].ids).dump() << " " << got[i][k].score << ", expected "
                                  << test["ids"][i][k].dump());
                REQUIRE(got[i][k].ids == test["ids"][i][k].get<std::vector<std::int64_t>>());
                if (!test["scores"].is_null())
                    REQUIRE_THAT(got[i][k].score, Catch::Matchers::WithinAbs(test["scores"][i][k].get<double>(), 2e-5));
                const double divisor = std::pow(static_cast<double>(got[i][k].ids.size()) - 1, settings.length_penalty);
                REQUIRE_THAT(got[i][k].log_probability, Catch::Matchers::WithinAbs(got[i][k].score * divisor, 1e-4));
            }
        }
    }
}

TEST_CASE("beam of 1 equals greedy", "[decode]") {
    const auto base = golden_model();
    const Seq2Seq& model = *base->network;
    const at::NoGradGuard guard;
    SearchSettings settings;
    settings.beam_size = 1;
    settings.max_length = 16;
    settings.early_stopping = GENERATE(EarlyStopping::yes, EarlyStopping::no, EarlyStopping::never);
    const auto sources = golden_sources();
    const auto got = beam_search(model, nullptr, sources, settings);
    const Forward forward = model.inference();
    for (std::size_t i = 0; i < sources.size(); ++i) {
        const TokenRows source = TokenRows::of({sources[i]}, at::kCPU);
        const Encoded encoded = model.encode(forward, source);
        std::vector<std::int64_t> ids = {model.architecture().decoder_start_id};
        double sum = 0;
        while (static_cast<std::int64_t>(ids.size()) < settings.max_length &&
               (ids.size() == 1 || ids.back() != model.architecture().eos_id)) {
            const at::Tensor states = model.decode(forward, encoded, TokenRows::of({ids}, at::kCPU));
            const at::Tensor log_p = at::log_softmax(model.logits(forward, states)[-1], 0);
            ids.push_back(log_p.argmax().item<std::int64_t>());
            sum += log_p.max().item<double>();
        }
        REQUIRE(got[i].size() == 1);
        REQUIRE(got[i][0].ids == ids);
        REQUIRE_THAT(got[i][0].log_probability, Catch::Matchers::WithinAbs(sum, 1e-4));
    }
}

TEST_CASE("a cached step equals the full decoder, hypotheses reordered and sentences gone", "[decode]") {
    const auto base = golden_model();
    const Seq2Seq& model = *base->network;
    const at::NoGradGuard guard;
    const Forward forward = model.inference();
    const std::vector<std::vector<std::int64_t>> sources = {{4, 9, 11, 2}, {4, 30, 2}, {4, 8, 9, 10, 40, 2}};
    const TokenRows source = TokenRows::of(sources, at::kCPU);
    DecoderCache cache = model.start(forward, model.encode(forward, source), 2, 8);
    std::vector<std::vector<std::int64_t>> histories(6);
    std::vector<std::size_t> sentence = {0, 0, 1, 1, 2, 2};
    const std::vector<std::vector<std::int64_t>> given = {
        {2, 2, 2, 2, 2, 2}, {5, 6, 7, 8, 9, 10}, {11, 12, 13, 14, 15, 16}, {20, 21, 22, 23}, {30, 31, 32, 33}};
    for (std::size_t t = 0; t < given.size(); ++t) {
        if (t == 2 || t == 3) {  // first a reorder within sentences, then the second sentence leaves and beams change
            const std::vector<std::int64_t> order =
                t == 2 ? std::vector<std::int64_t>{1, 0, 2, 2, 5, 5} : std::vector<std::int64_t>{1, 1, 5, 4};
            const std::vector<std::int64_t> stay = t == 2 ? std::vector<std::int64_t>{0, 1, 2} : std::vector<std::int64_t>{0, 2};
            std::vector<std::vector<std::int64_t>> moved;
            std::vector<std::size_t> moved_sentence;
            for (const auto row : order) {
                moved.push_back(histories[static_cast<std::size_t>(row)]);
                moved_sentence.push_back(sentence[static_cast<std::size_t>(row)]);
            }
            histories = moved;
            sentence = moved_sentence;
            cache.select(order, stay);
        }
        const at::Tensor states = model.step(forward, cache, at::tensor(given[t], at::kLong));
        for (std::size_t row = 0; row < histories.size(); ++row) {
            histories[row].push_back(given[t][row]);
            const TokenRows one = TokenRows::of({sources[sentence[row]]}, at::kCPU);
            const at::Tensor full = model.decode(forward, model.encode(forward, one), TokenRows::of({histories[row]}, at::kCPU));
            INFO("position " << t << ", row " << row);
            require_close(states[static_cast<std::int64_t>(row)], full[-1], 1e-5);
        }
    }
}

TEST_CASE("the order of the sources changes nothing", "[decode]") {
    const auto base = golden_model();
    SearchSettings settings;
    settings.beam_size = 4;
    settings.n_best = 4;
    settings.max_length = 20;
    settings.early_stopping = EarlyStopping::no;
    const auto sources = golden_sources();
    const auto straight = beam_search(*base->network, nullptr, sources, settings);
    const std::vector<std::vector<std::int64_t>> turned(sources.rbegin(), sources.rend());
    auto back = beam_search(*base->network, nullptr, turned, settings);
    std::reverse(back.begin(), back.end());
    REQUIRE(same(straight, back));
}

TEST_CASE("a forced last token ends what reaches the greatest length", "[decode]") {
    const auto base = golden_model();
    SearchSettings settings;
    settings.max_length = 4;
    settings.forced_last = 2;
    for (const auto& candidates : beam_search(*base->network, nullptr, golden_sources(), settings)) {
        REQUIRE(candidates.size() == 1);
        REQUIRE(candidates[0].ids.back() == 2);
        REQUIRE(candidates[0].ids.size() <= 4);
    }
}

TEST_CASE("a stop request ends the search, progress is told batch by batch", "[decode]") {
    const auto base = golden_model();
    SearchSettings settings;
    settings.batch_tokens = 1;
    settings.max_length = 10;
    std::stop_source stop;
    std::vector<std::int64_t> told;
    const auto tell = [&](std::int64_t finished) {
        told.push_back(finished);
        if (finished == 2) stop.request_stop();
    };
    REQUIRE_THROWS_AS(beam_search(*base->network, nullptr, golden_sources(), settings, stop.get_token(), tell), Stopped);
    REQUIRE(told == std::vector<std::int64_t>{1, 2});
}
