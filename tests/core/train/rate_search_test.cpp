#include "core/train/rate_search.h"

#include <cmath>

#include "core/base/files.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

struct Fixture {
    std::unique_ptr<Seq2Seq> model = tiny_model(families()[0]);
    std::vector<TokenPair> train = random_pairs(40, 50, 1), valid = random_pairs(9, 50, 2);
    TemporaryFolder folder;
    TrainingSettings settings;
    int attached = 0;

    Fixture() {
        settings.updates = 40;
        settings.warmup_updates = 8;
        settings.batch_tokens = 80;
        settings.tune_lr = 3;
        settings.tune_lr_updates = 5;
    }
    std::function<Attached()> start() {
        return [this] {
            ++attached;
            return attach_method(find_method_by_id("bottleneck", ""), *model, Json::object(), 1);
        };
    }
    RateSearch search(double middle, const TrainerHooks& hooks = {}, const std::stop_token& stop = {}) {
        return search_rate(*model, start(), train, valid, settings, middle, 7, folder / "rates.json", hooks, stop);
    }
};

}  // namespace

TEST_CASE("rates lie half a decade apart around the middle one", "[train]") {
    for (const std::int64_t count : {1, 2, 3, 4, 5}) {
        const auto rates = rates_around(0.01, count);
        REQUIRE(static_cast<std::int64_t>(rates.size()) == count);
        REQUIRE(std::find(rates.begin(), rates.end(), 0.01) != rates.end());
        for (std::size_t i = 1; i < rates.size(); ++i)
            REQUIRE_THAT(rates[i] / rates[i - 1], Catch::Matchers::WithinRel(std::sqrt(10.0), 0.02));
    }
    REQUIRE(rates_around(0.01, 5) == std::vector<double>{0.001, 0.0032, 0.01, 0.032, 0.1});
}

TEST_CASE("the search takes the rate of the lowest validation loss of runs that anybody can repeat", "[train]") {
    Fixture fixture;
    const RateSearch search = fixture.search(0.003);
    REQUIRE(search.trials.size() == 3);
    TrainingSettings alone = fixture.settings;
    alone.updates = 5;
    alone.warmup_updates = 1;
    alone.validate_every = 0;
    double lowest = 1e9, best = 0;
    for (const RateTrial& trial : search.trials) {
        Attached attached = fixture.start()();
        Trainer trainer(*fixture.model, attached, fixture.train, fixture.valid, alone, trial.learning_rate, 7, "", {});
        const TrainingResult result = trainer.run({});
        REQUIRE(*trial.valid_loss == *result.best_loss);
        if (*trial.valid_loss < lowest) std::tie(lowest, best) = std::pair(*trial.valid_loss, trial.learning_rate);
    }
    REQUIRE(search.learning_rate == best);
    const Json record = read_json(fixture.folder / "rates.json");
    REQUIRE(record["trials"] == search.to_json());
}

TEST_CASE("a search that was stopped does the rest only, and a finished one nothing", "[train]") {
    Fixture fixture;
    std::stop_source stop;
    TrainerHooks hooks;
    hooks.sink = [&](const Event& event) {
        if (const auto* now = std::get_if<Progress>(&event); now && now->done == 2) stop.request_stop();  // before the third trial
    };
    REQUIRE(fixture.search(0.003, hooks, stop.get_token()).learning_rate == 0);
    REQUIRE(read_json(fixture.folder / "rates.json")["trials"].size() == 2);
    fixture.attached = 0;
    const RateSearch search = fixture.search(0.003);
    REQUIRE(fixture.attached == 2);  // to know the question, and the third trial
    REQUIRE(search.learning_rate > 0);
    fixture.attached = 0;
    const RateSearch again = fixture.search(0.003);
    REQUIRE(fixture.attached == 1);
    REQUIRE(again.to_json() == search.to_json());
    REQUIRE(again.learning_rate == search.learning_rate);
    // Another question is asked anew.
    fixture.settings.batch_tokens = 60;
    fixture.attached = 0;
    fixture.search(0.003);
    REQUIRE(fixture.attached == 4);
}

TEST_CASE("a rate at which training diverges loses, and all of them are an error", "[train]") {
    Fixture fixture;
    auto weights = random_weights(fixture.model->layout(), 1);
    weights[1][0][0] = std::numeric_limits<float>::quiet_NaN();
    const Seq2Seq broken(fixture.model->architecture(), weights, {}, at::kFloat);
    fixture.settings.tune_lr_updates = 20;
    const auto start = [&] { return attach_method(find_method_by_id("bitfit", ""), broken, Json::object(), 1); };
    require_error(
        [&] { search_rate(broken, start, fixture.train, fixture.valid, fixture.settings, 0.01, 7, fixture.folder / "r", {}, {}); },
        ErrorKind::not_a_number, {"every learning rate"});
    REQUIRE(read_json(fixture.folder / "r")["trials"][0]["valid_loss"].is_null());
    fixture.valid.clear();
    require_error([&] { fixture.search(0.01); }, ErrorKind::config, {"validation"});
}
