#include "core/train/trainer.h"

#include <numbers>

#include "core/base/files.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

TrainingSettings quick(std::int64_t updates) {
    TrainingSettings settings;
    settings.updates = updates;
    settings.batch_tokens = 80;
    settings.warmup_updates = 3;
    settings.validate_every = 4;
    settings.checkpoint_every = 3;
    return settings;
}

struct Fixture {
    std::unique_ptr<Seq2Seq> model = tiny_model(families()[0]);
    std::vector<TokenPair> train = random_pairs(40, 50, 1), valid = random_pairs(9, 50, 2);
    TemporaryFolder folder;
    Attached attach(const std::string& method = "lora", const Json& settings = Json::object(), std::uint64_t seed = 1) const {
        return attach_method(find_method_by_id(method, ""), *model, settings, seed);
    }
};

std::vector<at::Tensor> copies(const Attached& attached) {
    std::vector<at::Tensor> list;
    for (const auto& value : attached.values) list.push_back(value.detach().clone());
    return list;
}

void require_same_values(const Attached& got, const std::vector<at::Tensor>& want) {
    for (std::size_t i = 0; i < want.size(); ++i) require_same(got.values[i], want[i], got.specs[i].name);
}

}  // namespace

TEST_CASE("schedules warm up linearly and then follow their curve", "[train]") {
    for (const char* name : {"linear", "polynomial", "inverse_sqrt", "cosine", "constant"}) {
        REQUIRE(schedule_factor(name, 1, 10, 100) == 0.1);
        REQUIRE(schedule_factor(name, 5, 10, 100) == 0.5);
        REQUIRE_THAT(schedule_factor(name, 10, 10, 100), Catch::Matchers::WithinAbs(1.0, 1e-12));
        REQUIRE_THAT(schedule_factor(name, 1, 0, 100), Catch::Matchers::WithinAbs(1.0, 1e-12));
        for (std::int64_t update = 1; update <= 100; ++update) REQUIRE(schedule_factor(name, update, 10, 100) >= 0);
        REQUIRE(std::isfinite(schedule_factor(name, 5, 10, 5)));
    }
    REQUIRE_THAT(schedule_factor("linear", 55, 10, 100), Catch::Matchers::WithinAbs(0.5, 1e-12));
    REQUIRE_THAT(schedule_factor("linear", 100, 10, 100), Catch::Matchers::WithinAbs(0.01, 1e-12));
    REQUIRE_THAT(schedule_factor("inverse_sqrt", 40, 10, 100), Catch::Matchers::WithinAbs(0.5, 1e-12));
    REQUIRE_THAT(schedule_factor("cosine", 55, 10, 100), Catch::Matchers::WithinAbs(0.5, 1e-12));
    REQUIRE_THAT(schedule_factor("cosine", 32, 10, 98), Catch::Matchers::WithinAbs(0.5 + 0.5 * std::cos(std::numbers::pi / 4), 1e-12));
    REQUIRE(schedule_factor("constant", 77, 10, 100) == 1.0);
    for (std::int64_t update = 1; update <= 100; ++update)
        REQUIRE(schedule_factor("polynomial", update, 10, 100) == schedule_factor("linear", update, 10, 100));
    REQUIRE_THAT(schedule_factor("polynomial", 55, 10, 100, 2), Catch::Matchers::WithinAbs(0.25, 1e-12));
    REQUIRE_THAT(schedule_factor("polynomial", 55, 10, 100, 0.5), Catch::Matchers::WithinAbs(std::sqrt(0.5), 1e-12));
    REQUIRE(schedule_factor("polynomial", 5, 10, 100, 3) == 0.5);
}

TEST_CASE("a run that is stopped and resumed gives the values of one that was not", "[train]") {
    const Fixture fixture;
    const auto [method, settings] = GENERATE(std::pair("lora", Json{{"dropout", 0.1}}),
                                             std::pair("bottleneck", Json{{"bottleneck_dim", 5}}), std::pair("full", Json::object()));
    TrainingSettings training = quick(10);
    training.optimiser = GENERATE(as<std::string>{}, "adamw", "adafactor");
    training.average_decay = GENERATE(0.0, 0.9);
    INFO(method << ", " << training.optimiser << ", average " << training.average_decay);
    Attached whole = fixture.attach(method, settings);
    const TrainingResult straight = Trainer(*fixture.model, whole, fixture.train, fixture.valid, training, 0.01, 7, "", {}).run({});
    REQUIRE(straight.updates == 10);
    REQUIRE(straight.best_update > 0);

    // Stopped in every validation: the run is made of three stretches, each in a new Trainer with freshly attached values.
    const auto checkpoint = fixture.folder / (std::string(method) + ".checkpoint");
    TrainingSettings later = training;
    later.gradient_checkpointing = true;  // may be switched on for the rest of a run
    for (int stretch = 0;; ++stretch) {
        Attached part = fixture.attach(method, settings, 100 + static_cast<std::uint64_t>(stretch));
        std::stop_source stop;
        TrainerHooks hooks;
        hooks.sink = [&](const Event& event) {
            if (figure_in(event, StepFigure::valid_loss)) stop.request_stop();
        };
        if (stretch == 0) part.set_values(copies(fixture.attach(method, settings)));
        Trainer trainer(*fixture.model, part, fixture.train, fixture.valid, stretch == 1 ? later : training, 0.01, 7, checkpoint, hooks);
        REQUIRE(trainer.resume() == (stretch > 0));
        const TrainingResult result = trainer.run(stop.get_token());
        REQUIRE(result.updates == std::min<std::int64_t>(10, 4 * (stretch + 1)));
        if (result.stopped) continue;
        REQUIRE(stretch == 2);
        require_same_values(part, copies(whole));
        REQUIRE(result.best_update == straight.best_update);
        REQUIRE(*result.best_loss == *straight.best_loss);
        REQUIRE(result.tokens == straight.tokens);
        REQUIRE(result.last_train_loss == straight.last_train_loss);
        break;
    }
}

TEST_CASE("a checkpoint of the first version, which named tensors by their place, continues", "[train]") {
    const bool one_count = GENERATE(false, true);  // the first programs had one count of steps for all values
    const Fixture fixture;
    const auto checkpoint = fixture.folder / "state";
    TrainingSettings training = quick(8);
    Attached whole = fixture.attach("bottleneck");
    Trainer(*fixture.model, whole, fixture.train, fixture.valid, training, 0.01, 7, "", {}).run({});

    Attached first = fixture.attach("bottleneck");
    std::stop_source stop;
    TrainerHooks hooks;
    hooks.sink = [&](const Event& event) {
        if (figure_in(event, StepFigure::valid_loss)) stop.request_stop();
    };
    REQUIRE(
        Trainer(*fixture.model, first, fixture.train, fixture.valid, training, 0.01, 7, checkpoint, hooks).run(stop.get_token()).stopped);
    std::map<std::string, std::string> metadata;
    NamedTensors kept;
    const auto keep = [&](const std::filesystem::path& file, std::map<std::string, std::string>* about) {
        for (const auto& [name, tensor] : read_safetensors(file, about)) {
            const auto dot = name.find('.');
            const auto place = std::find_if(first.specs.begin(), first.specs.end(),
                                            [&, &full = name](const TensorSpec& spec) { return spec.name == full.substr(dot + 1); });
            REQUIRE(place != first.specs.end());
            if (one_count && name.starts_with("steps.")) continue;
            kept.emplace_back(name.substr(0, dot + 1) + std::to_string(place - first.specs.begin()), tensor.clone());
        }
    };
    keep(checkpoint, &metadata);
    REQUIRE(metadata["permille_checkpoint"] == "2");
    Json state = parse_json(metadata["state"], "state");
    const auto best = fixture.folder / ("state.best." + state.at("best_values").dump() + ".safetensors");
    keep(best, nullptr);
    std::filesystem::remove(best);
    state.erase("best_values");
    if (one_count) state["adam_steps"] = 4.0;
    metadata["state"] = state.dump();
    metadata["permille_checkpoint"] = "1";
    write_safetensors(checkpoint, kept, metadata);

    Attached second = fixture.attach("bottleneck", Json::object(), 9);
    Trainer again(*fixture.model, second, fixture.train, fixture.valid, training, 0.01, 7, checkpoint, {});
    REQUIRE(again.resume());
    again.run({});
    require_same_values(second, copies(whole));
}

TEST_CASE("the moving average is what is validated and kept", "[train]") {
    const Fixture fixture;
    TrainingSettings training = quick(6);
    training.validate_every = 1;
    training.schedule = "constant";
    // The values after each update, from a run without the average.
    std::vector<std::vector<at::Tensor>> walked = {copies(fixture.attach("bottleneck"))};
    {
        Attached attached = fixture.attach("bottleneck");
        TrainerHooks hooks;
        hooks.sink = [&](const Event& event) {
            if (figure_in(event, StepFigure::valid_loss)) walked.push_back(copies(attached));
        };
        Trainer(*fixture.model, attached, fixture.train, fixture.valid, training, 0.01, 7, "", hooks).run({});
    }
    REQUIRE(walked.size() == 7);
    training.average_decay = 0.3;
    Attached averaged = fixture.attach("bottleneck");
    std::vector<std::vector<at::Tensor>> validated;
    TrainerHooks hooks;
    hooks.bleu = [&] {  // asked during the validation
        validated.push_back(copies(averaged));
        return std::optional(static_cast<double>(validated.size() == 4));
    };
    training.select_by = "bleu";
    Trainer trainer(*fixture.model, averaged, fixture.train, fixture.valid, training, 0.01, 7, "", hooks);
    const TrainingResult result = trainer.run({});
    REQUIRE(validated.size() == 6);
    std::vector<at::Tensor> want = walked[0];
    for (std::size_t update = 1; update <= 6; ++update) {
        const double t = static_cast<double>(update), decay = std::min(0.3, (1 + t) / (10 + t));
        for (std::size_t i = 0; i < want.size(); ++i) {
            want[i] = decay * want[i] + (1 - decay) * walked[update][i];
            require_close(validated[update - 1][i], want[i], 1e-6, averaged.specs[i].name);
        }
    }
    REQUIRE(result.best_update == 4);
    require_same_values(averaged, validated[3]);

    // Without validation text the average of the end is kept.
    const std::vector<TokenPair> none;
    Attached last = fixture.attach("bottleneck");
    Trainer(*fixture.model, last, fixture.train, none, training, 0.01, 7, "", {}).run({});
    for (std::size_t i = 0; i < want.size(); ++i) require_close(last.values[i], want[i], 1e-6, last.specs[i].name);
}

TEST_CASE("the convention of label smoothing reaches the loss", "[train]") {
    const Fixture fixture;
    const std::vector<TokenPair> none;
    TrainingSettings training = quick(1);
    training.label_smoothing = 0.2;
    training.dropout = 0;
    double losses[2];
    for (const auto& [convention, loss] : {std::pair("torch", &losses[0]), std::pair("fairseq", &losses[1])}) {
        training.smoothing_convention = convention;
        Attached attached = fixture.attach();
        *loss = Trainer(*fixture.model, attached, fixture.train, none, training, 0.01, 7, "", {}).run({}).last_train_loss;
    }
    // fairseq's is torch's with epsilon V / (V - 1): a little more smoothing.
    training.smoothing_convention = "torch";
    training.label_smoothing = 0.2 * 50 / 49;
    Attached attached = fixture.attach();
    const double more = Trainer(*fixture.model, attached, fixture.train, none, training, 0.01, 7, "", {}).run({}).last_train_loss;
    REQUIRE(losses[0] != losses[1]);
    REQUIRE_THAT(losses[1], Catch::Matchers::WithinAbs(more, 1e-5));
}

TEST_CASE("a stop request before the first update keeps the start", "[train]") {
    const Fixture fixture;
    Attached attached = fixture.attach();
    const auto before = copies(attached);
    std::stop_source stop;
    stop.request_stop();
    const TrainingResult result =
        Trainer(*fixture.model, attached, fixture.train, fixture.valid, quick(5), 0.01, 7, "", {}).run(stop.get_token());
    REQUIRE(result.stopped);
    REQUIRE(result.updates == 0);
    require_same_values(attached, before);
}

TEST_CASE("accumulated batches equal one large batch", "[train]") {
    const Fixture fixture;
    TrainingSettings training = quick(4);
    training.dropout = 0;
    const std::vector<TokenPair> none;
    const auto batches = static_cast<std::int64_t>(plan_batches(
                                                       fixture.train,
                                                       [&] {
                                                           std::vector<std::uint32_t> list;
                                                           for (std::uint32_t i = 0; i < fixture.train.size(); ++i) list.push_back(i);
                                                           return list;
                                                       }(),
                                                       training.batch_tokens, 1)
                                                       .size());
    Attached together = fixture.attach("bottleneck"), apart = fixture.attach("bottleneck");
    training.batch_tokens = 1 << 20;
    const TrainingResult one = Trainer(*fixture.model, together, fixture.train, none, training, 0.003, 7, "", {}).run({});
    training.batch_tokens = 80;
    training.accumulate = batches;  // an epoch
    const TrainingResult many = Trainer(*fixture.model, apart, fixture.train, none, training, 0.003, 7, "", {}).run({});
    REQUIRE(one.tokens == many.tokens);
    REQUIRE_THAT(one.last_train_loss, Catch::Matchers::WithinAbs(many.last_train_loss, 1e-5));
    // The gradients differ by rounding; Adam's division makes that at most a small share of its steps.
    for (std::size_t i = 0; i < together.values.size(); ++i)
        REQUIRE((together.values[i] - apart.values[i]).abs().mean().item<double>() < 1e-6);
}

TEST_CASE("updates that are not a number are skipped and end the run when they go on", "[train]") {
    const Fixture fixture;
    auto weights = random_weights(fixture.model->layout(), 1);
    weights[1][0][0] = std::numeric_limits<float>::quiet_NaN();
    const Seq2Seq broken(fixture.model->architecture(), weights, {}, at::kFloat);
    Attached attached = attach_method(find_method_by_id("bitfit", ""), broken, Json::object(), 1);
    const auto before = copies(attached);
    const auto checkpoint = fixture.folder / "nan.checkpoint";
    TrainingSettings training = quick(5);
    const TrainingResult result = Trainer(broken, attached, fixture.train, fixture.valid, training, 0.01, 7, checkpoint, {}).run({});
    REQUIRE(result.skipped_updates == 5);
    require_same_values(attached, before);
    Trainer again(broken, attached, fixture.train, fixture.valid, training, 0.01, 7, checkpoint, {});
    REQUIRE(again.resume());  // the checkpoint of such a run can be read
    training.updates = 20;
    require_error([&] { Trainer(broken, attached, fixture.train, fixture.valid, training, 0.01, 7, "", {}).run({}); },
                  ErrorKind::not_a_number, {"update 8", "learning rate"});
}

TEST_CASE("a run without improvement ends early and leaves the best values", "[train]") {
    const Fixture fixture;
    TrainingSettings training = quick(60);
    training.schedule = "constant";
    training.warmup_updates = 0;
    training.validate_every = 1;
    training.patience = 3;
    Attached attached = fixture.attach("bitfit");
    std::vector<std::int64_t> validated;
    TrainerHooks hooks;
    hooks.sink = [&](const Event& event) {
        if (const auto* metric = figure_in(event, StepFigure::valid_loss)) validated.push_back(metric->step);
    };
    const auto checkpoint = fixture.folder / "early.checkpoint";
    Trainer trainer(*fixture.model, attached, fixture.train, fixture.valid, training, 0.5, 7, checkpoint, hooks);
    const TrainingResult result = trainer.run({});
    REQUIRE(result.updates < 60);
    REQUIRE(result.updates == result.best_update + 3);
    REQUIRE(validated.size() == static_cast<std::size_t>(result.updates));  // none twice
    REQUIRE_THAT(trainer.valid_loss(), Catch::Matchers::WithinAbs(*result.best_loss, 1e-9));
    const auto best = copies(attached);

    Attached later = fixture.attach("bitfit");
    Trainer finished(*fixture.model, later, fixture.train, fixture.valid, training, 0.5, 7, checkpoint, hooks);
    REQUIRE(finished.resume());
    REQUIRE(finished.run({}).updates == result.updates);
    REQUIRE(validated.size() == static_cast<std::size_t>(result.updates));
    require_same_values(later, best);
}

TEST_CASE("the best values can be chosen by BLEU", "[train]") {
    const Fixture fixture;
    TrainingSettings training = quick(8);
    training.validate_every = 2;
    training.select_by = GENERATE("bleu", "loss");
    const std::vector<double> scores = {10, 30, 20, 5};
    std::size_t asked = 0;
    TrainerHooks hooks;
    hooks.bleu = [&] { return std::optional(scores.at(asked++)); };
    Attached attached = fixture.attach();
    const TrainingResult result = Trainer(*fixture.model, attached, fixture.train, fixture.valid, training, 0.003, 7, "", hooks).run({});
    REQUIRE(asked == 4);
    if (training.select_by == "bleu") {
        REQUIRE(result.best_update == 4);
        REQUIRE(*result.best_bleu == 30);
    } else {
        REQUIRE(*result.best_bleu == scores[static_cast<std::size_t>(result.best_update / 2) - 1]);
    }
}

TEST_CASE("another run's checkpoint is refused", "[train]") {
    const Fixture fixture;
    const auto checkpoint = fixture.folder / "state";
    Attached attached = fixture.attach();
    Trainer(*fixture.model, attached, fixture.train, fixture.valid, quick(3), 0.01, 7, checkpoint, {}).run({});
    const auto refused = [&](const std::vector<TokenPair>& train, const TrainingSettings& training, std::uint64_t seed, double rate) {
        Trainer trainer(*fixture.model, attached, train, fixture.valid, training, rate, seed, checkpoint, {});
        require_error([&] { trainer.resume(); }, ErrorKind::file, {"state", "other settings or data"});
    };
    refused(fixture.train, quick(3), 8, 0.01);
    refused(fixture.train, quick(4), 7, 0.01);
    refused(fixture.train, quick(3), 7, 0.02);
    auto other = fixture.train;
    other[3].labels[0] += 1;
    refused(other, quick(3), 7, 0.01);
    write_text(checkpoint, read_text(checkpoint).substr(0, 500));
    Trainer trainer(*fixture.model, attached, fixture.train, fixture.valid, quick(3), 0.01, 7, checkpoint, {});
    require_error([&] { trainer.resume(); }, ErrorKind::file, {"state"});
}

TEST_CASE("metrics are told and training lowers the loss", "[train]") {
    const Fixture fixture;
    TrainingSettings training = quick(60);
    training.validate_every = 0;
    training.dropout = 0;
    std::map<std::string, std::vector<double>> told;
    TrainerHooks hooks;
    hooks.sink = [&](const Event& event) {
        if (const auto* metric = std::get_if<StepMetric>(&event)) told[std::string(to_string(metric->figure))].push_back(metric->value);
    };
    Attached attached = fixture.attach("full");
    const TrainingResult result = Trainer(*fixture.model, attached, fixture.train, fixture.valid, training, 0.01, 7, "", hooks).run({});
    for (const char* name : {"train_loss", "learning_rate", "gradient_norm", "tokens_per_second"}) REQUIRE(told[name].size() == 6);
    REQUIRE(told["valid_loss"].size() == 1);
    REQUIRE(told["train_loss"].back() < told["train_loss"].front() - 0.3);
    REQUIRE(result.tokens > 0);
    REQUIRE(result.seconds > 0);
}
