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
    const auto model = tiny_model(families().front()), there = on_device(*model);
    const auto pairs = random_pairs(20, 50, 7);
    const c10::InferenceMode guard;
    const auto scores = [&](const Seq2Seq& network) {
        const TensorBatch batch = batch_of(network, pairs);
        const Forward forward = network.inference();
        return network.log_probabilities(forward, states_of(network, forward, batch), batch.labels);
    };
    require_close(scores(*there), scores(*model), 1e-4);
}

TEST_CASE("a step of decoding waits for the device once and sends it two copies, and four with rules", "[device][standin]") {
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
        const std::int64_t chosen = steps(found) - 1;                // tokens that follow the start
        REQUIRE(device_work().uploads <= (rules ? 4 : 2) * chosen);  // tokens with their scores, and which go on; penalties and bans
        REQUIRE(device_work().launches <= 150 * chosen);             // of three layers; the encoder's are among them
        reset_device_work();
        const auto drawn = sample(*there, nullptr, sources, settings);
        REQUIRE(device_work().uploads <= (rules ? 3 : 1) * steps(drawn));
        REQUIRE(device_work().waits <= steps(drawn));
    }
}

TEST_CASE("a search takes no more of a device's memory than is free", "[device][standin]") {
    const auto sources = some_sources();
    const auto model = tiny_model(families().front()), there = on_device(*model);
    const SearchSettings settings = short_search(2);
    const auto batches = [&] {
        std::vector<std::size_t> sizes;
        search_in_batches(*there, one_task_each(sources.size(), nullptr), sources, settings, 2, {}, [&](const auto& batch, const auto&) {
            sizes.push_back(batch.size());
            return std::vector<std::vector<Candidate>>(batch.size());
        });
        return sizes;
    };
    REQUIRE(batches() == std::vector<std::size_t>{9});
    std::size_t longest = 0;
    for (const Tokens& source : sources) longest = std::max(longest, source.size());
    const std::int64_t bytes = there->bytes_per_hypothesis(2, static_cast<std::int64_t>(longest), settings.max_length);
    // 3 layers, keys and values of 14 places twice, keys and values of the source for two beams, 16 float32 numbers; logits three times.
    REQUIRE(bytes == 3 * (4 * 14 + static_cast<std::int64_t>(longest)) * 16 * 4 + 3 * 50 * 4);
    const auto want = beam_search(*there, nullptr, sources, settings);
    set_standin_memory(2 * 8 * bytes, 0);  // half of it holds the hypotheses of four sentences
    const auto sizes = batches();
    const auto got = beam_search(*there, nullptr, sources, settings);
    set_standin_memory(0, 0);
    const auto alone = batches();
    set_standin_memory(std::int64_t{1} << 35, 0);
    REQUIRE(sizes.front() == 4);
    REQUIRE(sizes.size() >= 2);
    REQUIRE(alone == std::vector<std::size_t>(9, 1));
    require_same_ids(got, want);
}
