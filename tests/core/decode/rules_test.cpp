#include "core/decode/beam.h"

#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// The settings of a golden case, by Hugging Face's names, as a user gives them and, for the lists, as a model's file has them.
SearchSettings settings_of(const Json& given, const Architecture& architecture) {
    Json ours = Json::object(), file = Json::object();
    for (const auto& [name, value] : given.items()) {
        if (name == "num_beams") ours["beam_size"] = value;
        else if (name == "suppress_tokens" || name == "begin_suppress_tokens" || name == "renormalize_logits") file[name] = value;
        else ours[name] = value;
    }
    SearchSettings settings = search_settings(DecodingSettings::fields().parse(ours, "case"), file, architecture);
    settings.n_best = settings.beam_size;
    return settings;
}

Json golden_rules() { return read_json(golden("m2m100/decode_rules.json")); }

// One search by hand: every step over whole sequences, no cache, no batch.
std::vector<std::int64_t> greedy(const Seq2Seq& model, const Tokens& source, std::size_t most,
                                 const std::function<void(at::Tensor&, const Tokens&)>& change) {
    const Forward forward = model.inference();
    const TokenRows rows = TokenRows::of({source}, at::kCPU);
    const Encoded encoded = model.encode(forward, rows);
    Tokens ids = {model.architecture().decoder_start_id};
    while (ids.size() < most && (ids.size() == 1 || ids.back() != model.architecture().eos_id)) {
        at::Tensor logits = model.logits(forward, model.decode(forward, encoded, TokenRows::of({ids}, at::kCPU)))[-1].clone();
        change(logits, ids);
        ids.push_back(logits.argmax().item<std::int64_t>());
    }
    return ids;
}

}  // namespace

TEST_CASE("rules change beams and greedy search as in transformers' generate", "[decode][golden]") {
    const auto base = golden_model();
    const Json file = golden_rules();
    const auto sources = file["sources"].get<std::vector<Tokens>>();
    for (const std::int64_t batch_tokens : {4000, 70}) {
        for (const Json& test : file["cases"]) {
            SearchSettings settings = settings_of(test["settings"], base->network->architecture());
            settings.batch_tokens = batch_tokens;
            INFO(test["name"] << " " << test["settings"].dump() << ", batch tokens " << batch_tokens);
            const auto got = beam_search(*base->network, nullptr, sources, settings);
            for (std::size_t i = 0; i < sources.size(); ++i) {
                INFO("sentence " << i);
                REQUIRE(got[i].size() == test["ids"][i].size());
                for (std::size_t k = 0; k < got[i].size(); ++k) {
                    INFO("candidate " << k << ": " << Json(got[i][k].ids).dump() << " " << got[i][k].score << ", expected "
                                      << test["ids"][i][k].dump() << " " << test["scores"][i][k]);
                    REQUIRE(got[i][k].ids == test["ids"][i][k].get<Tokens>());
                    // Greedy search has no sequence score there: the sum of the normalised scores of its tokens.
                    const double score = settings.beam_size == 1 ? got[i][k].log_probability : got[i][k].score;
                    REQUIRE_THAT(score, Catch::Matchers::WithinAbs(test["scores"][i][k].get<double>(), 1e-4));
                }
            }
        }
    }
}

TEST_CASE("no rule of the golden is without effect", "[decode][golden]") {
    const Json file = golden_rules();
    const auto base = golden_model();
    const auto sources = file["sources"].get<std::vector<Tokens>>();
    for (const Json& test : file["cases"]) {
        if (test["name"] == "min_length_1" || test["settings"]["num_beams"] != 5) continue;
        SearchSettings settings = settings_of(test["settings"], base->network->architecture());
        settings.rules = {};
        settings.max_length = 22;
        settings.forced_last.reset();
        const auto got = beam_search(*base->network, nullptr, sources, settings);
        bool differs = false;
        for (std::size_t i = 0; i < sources.size(); ++i)
            for (std::size_t k = 0; k < std::min(got[i].size(), test["ids"][i].size()); ++k)
                differs = differs || got[i][k].ids != test["ids"][i][k].get<Tokens>();
        INFO(test["name"] << " " << test["settings"].dump());
        CHECK(differs);
    }
}

TEST_CASE("a model that generates no padding never does, whatever is forbidden besides", "[decode]") {
    const auto base = golden_model();
    Architecture architecture = base->network->architecture();
    architecture.generates_pad = false;
    architecture.pad_id = 40;
    const Json file = {{"bad_words_ids", {{41}, {42, 43}}}};
    DecodingSettings given;
    given.bad_words_ids = "[[44]]";
    REQUIRE(search_settings(given, file, architecture).rules.bad_words_ids == std::vector<Tokens>{{41}, {42, 43}, {40}, {44}});
}

TEST_CASE("when everything is banned there is no translation, and the others are as they were", "[decode]") {
    const auto base = golden_model();
    const auto sources = golden_rules()["sources"].get<std::vector<Tokens>>();
    SearchSettings settings;
    settings.beam_size = GENERATE(1, 3);
    settings.max_length = 12;
    for (std::int64_t id = 0; id < base->network->architecture().vocab_size; ++id) settings.rules.suppress_tokens.push_back(id);
    for (const auto& candidates : beam_search(*base->network, nullptr, sources, settings)) REQUIRE(candidates.empty());
}

TEST_CASE("few tokens left: fewer candidates than beams, each with a finite score", "[decode]") {
    const auto base = golden_model();
    const auto sources = golden_rules()["sources"].get<std::vector<Tokens>>();
    SearchSettings settings;
    settings.beam_size = 6;
    settings.n_best = 6;
    settings.max_length = 4;
    for (std::int64_t id = 0; id < base->network->architecture().vocab_size; ++id)
        if (id != base->network->architecture().eos_id) settings.rules.suppress_tokens.push_back(id);
    for (const auto& candidates : beam_search(*base->network, nullptr, sources, settings)) {
        REQUIRE(candidates.size() == 1);
        REQUIRE(candidates[0].ids == Tokens{2, 2});
        REQUIRE(std::isfinite(candidates[0].score));
    }
}

TEST_CASE("a forbidden token that the model would choose is replaced by its second choice", "[decode]") {
    const auto base = golden_model();
    const at::NoGradGuard guard;
    const auto sources = golden_rules()["sources"].get<std::vector<Tokens>>();
    SearchSettings settings;
    settings.beam_size = 1;
    settings.max_length = 10;
    settings.rules.no_repeat_ngram_size = 1;
    const auto got = beam_search(*base->network, nullptr, sources, settings);
    for (std::size_t i = 0; i < sources.size(); ++i) {
        const auto expected = greedy(*base->network, sources[i], 10, [](at::Tensor& logits, const Tokens& ids) {
            for (const auto id : ids) logits[id] = -std::numeric_limits<float>::infinity();
        });
        REQUIRE(got[i].at(0).ids == expected);
    }
}

TEST_CASE("the best tokens of a row are those of a full sort, normalised or not, with bans", "[decode]") {
    SeededRandom random(5);
    for (const std::int64_t vocabulary : {1, 7, 127, 128, 129, 1000, 5000}) {
        at::Tensor scores = at::empty({9, vocabulary}, at::kFloat);
        for (std::int64_t i = 0; i < scores.numel(); ++i)  // few values, so that many are equal
            scores.data_ptr<float>()[i] =
                vocabulary == 1000 ? static_cast<float>(random.below(12)) : static_cast<float>(8 * random.unit() - 4);
        Tokens banned;
        for (std::int64_t row = 1; row < 9; row += 3)
            for (std::int64_t i = 0; i < std::min<std::int64_t>(vocabulary / 3, 40); ++i)
                banned.push_back(row * vocabulary + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(vocabulary))));
        for (const bool normalise : {false, true}) {
            for (const std::int64_t k : {1, 2, 10, 60}) {
                if (k > vocabulary) continue;
                at::Tensor expected = normalise ? at::log_softmax(scores, 1) : scores.clone();
                ban(expected, banned);
                const auto [values, order] = expected.sort(/*stable=*/true, 1, /*descending=*/true);
                const TopTokens got = top_tokens(scores, k, normalise, banned);
                INFO("V " << vocabulary << ", k " << k << ", normalise " << normalise);
                for (std::int64_t row = 0; row < 9; ++row) {
                    for (std::int64_t j = 0; j < k; ++j) {
                        const auto place = static_cast<std::size_t>(row * k + j);
                        REQUIRE(got.tokens[place] == order[row][j].item<std::int64_t>());
                        const float value = values[row][j].item<float>();
                        if (std::isinf(value)) REQUIRE(got.scores[place] == value);
                        else REQUIRE_THAT(got.scores[place], Catch::Matchers::WithinAbs(value, 1e-5));
                    }
                }
            }
        }
    }
}

TEST_CASE("scores that are no numbers do not end the program", "[decode]") {
    at::Tensor scores = at::full({2, 300}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
    scores[1][250] = 1;
    const TopTokens best = top_tokens(scores, 4, false);
    REQUIRE(best.tokens[4] == 250);
    REQUIRE(best.scores[0] == -std::numeric_limits<float>::infinity());
}
