// Translating and scoring on a device that is not the CPU.
#include "core/decode/beam.h"
#include "core/decode/sample.h"
#include "tests/device/on_device.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

std::vector<Tokens> some_sources() {
    std::vector<Tokens> sources;
    for (const TokenPair& pair : random_pairs(9, 50, 21)) sources.emplace_back(pair.source.begin(), pair.source.end());
    return sources;
}

void require_same_ids(const std::vector<std::vector<Candidate>>& got, const std::vector<std::vector<Candidate>>& want) {
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        REQUIRE(got[i].size() == want[i].size());
        for (std::size_t k = 0; k < got[i].size(); ++k) {
            REQUIRE(got[i][k].ids == want[i][k].ids);
            REQUIRE_THAT(got[i][k].score, Catch::Matchers::WithinAbs(want[i][k].score, 1e-3));
        }
    }
}

SearchSettings short_search(std::int64_t beams) {
    SearchSettings settings;
    settings.beam_size = beams;
    settings.max_length = 14;
    settings.n_best = beams;
    return settings;
}

// The same with everything that the rules can ask for.
SearchSettings ruled(SearchSettings settings) {
    settings.forced_first = 7;
    settings.forced_last = 2;
    settings.rules.min_length = 4;
    settings.rules.no_repeat_ngram_size = 2;
    settings.rules.repetition_penalty = 1.3;
    settings.rules.bad_words_ids = {{9}, {11, 12}};
    return settings;
}

}  // namespace

TEST_CASE("beam search, greedy search and sampling find on a device what they find on the CPU", "[device]") {
    const auto sources = some_sources();
    for (const Family& family : families()) {
        INFO("family " << family.model_type);
        const auto model = tiny_model(family), there = on_device(*model);
        for (const std::int64_t beams : {1, 4})
            for (const SearchSettings& settings : {short_search(beams), ruled(short_search(beams))})
                require_same_ids(beam_search(*there, nullptr, sources, settings), beam_search(*model, nullptr, sources, settings));
        for (SearchSettings settings : {short_search(3), ruled(short_search(3))}) {
            settings.truncation = {1.3, 20, 0.9};
            require_same_ids(sample(*there, nullptr, sources, settings), sample(*model, nullptr, sources, settings));
        }
    }
}

TEST_CASE("every method translates on a device, alone and in a batch with others", "[device]") {
    const auto sources = some_sources();
    const SearchSettings settings = short_search(3);
    for (const Family& family : families()) {
        const auto model = tiny_model(family), there = on_device(*model);
        std::vector<Attached> here_list, there_list;
        std::vector<SearchTask> here_tasks, there_tasks;
        for (const auto& method : methods()) {
            here_list.push_back(attach_shaken(*method, *model));
            there_list.push_back(on_device(here_list.back(), *there));
        }
        for (std::size_t i = 0; i < here_list.size(); ++i) {
            here_tasks.push_back({i % sources.size(), here_list[i].attachment.get()});
            there_tasks.push_back({i % sources.size(), there_list[i].attachment.get()});
        }
        here_tasks.push_back({0, nullptr});
        there_tasks.push_back({0, nullptr});
        INFO("family " << family.model_type);
        const auto want = beam_search(*model, here_tasks, sources, settings);
        require_same_ids(beam_search(*there, there_tasks, sources, settings), want);
        for (std::size_t i = 0; i < here_list.size(); ++i) {
            INFO("method " << here_list[i].method->info().id);
            require_same_ids(beam_search(*there, {there_tasks[i]}, sources, settings), {want[i]});
        }
    }
}

TEST_CASE("labels are scored on a device as on the CPU", "[device]") {
    const auto model = golden_model(), there = load_base(golden("m2m100"), standin_device(), at::kFloat);
    const auto pairs = golden_pairs();
    const c10::InferenceMode guard;
    const auto scores = [&](const Seq2Seq& network) {
        const TensorBatch batch = batch_of(network, pairs);
        const Forward forward = network.inference();
        return network.log_probabilities(forward, states_of(network, forward, batch), batch.labels);
    };
    require_close(scores(*there->network), scores(*model->network), 1e-4);
}

TEST_CASE("a step of decoding waits for the device once", "[device]") {
    const auto sources = some_sources();
    const auto model = tiny_model(families().front()), there = on_device(*model);
    const auto steps = [](const std::vector<std::vector<Candidate>>& found) {
        std::size_t longest = 0;
        for (const auto& candidates : found)
            for (const Candidate& candidate : candidates) longest = std::max(longest, candidate.ids.size());
        return static_cast<std::int64_t>(longest);
    };
    for (const bool rules : {false, true}) {
        const SearchSettings settings = rules ? ruled(short_search(4)) : short_search(4);
        beam_search(*there, nullptr, sources, settings);
        reset_device_work();
        const auto found = beam_search(*there, nullptr, sources, settings);
        std::string where;
        for (const auto& [operation, count] : device_work().waited_in) where += operation + " " + std::to_string(count) + ", ";
        INFO(where);
        REQUIRE(device_work().waits <= settings.max_length);
        reset_device_work();
        const auto drawn = sample(*there, nullptr, sources, settings);
        REQUIRE(device_work().waits <= steps(drawn));
    }
}
