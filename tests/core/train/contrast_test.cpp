// Training against wrong translations: the losses against T-Few's formulae in plain torch, and what a run does with them.
#include "core/train/contrast.h"

#include <torch/csrc/autograd/autograd.h>

#include "core/base/files.h"
#include "core/decode/beam.h"
#include "core/run/negatives.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

struct Golden {
    std::shared_ptr<const BaseModel> base = golden_model();
    TensorMap tensors = read_safetensors(golden("m2m100/contrast.safetensors"));
    Json file = read_json(golden("m2m100/contrast.json"));
    std::vector<TokenPair> pairs = golden_pairs();
    Contrast contrast;

    Golden() {
        for (const Json& candidates : file["wrong"]) contrast.wrong.push_back(candidates.get<std::vector<Tokens>>());
        REQUIRE(contrast.wrong.size() == pairs.size());
    }
    const Seq2Seq& model() const { return *base->network; }
    Attached start() const {
        const Method& method = find_method_by_id("bitfit", "");
        std::vector<at::Tensor> values;
        for (const TensorSpec& spec : method.tensors(model().layout(), method.complete(Json::object())))
            values.push_back(tensors.at("start." + spec.name).clone());
        return attach_values(method, model(), Json::object(), std::move(values));
    }
    TrainingSettings settings() const {
        TrainingSettings settings = TrainingSettings::fields().parse(file["training"], "golden");
        settings.optimiser = "adamw";
        settings.batch_tokens = 100000;  // all pairs in every batch
        settings.dropout = 0;
        settings.checkpoint_every = 0;
        settings.contrast = 3;
        return settings;
    }
};

std::size_t wrong_count(const Contrast& contrast) {
    std::size_t total = 0;
    for (const auto& candidates : contrast.wrong) total += candidates.size();
    return total;
}

}  // namespace

TEST_CASE("the losses against wrong translations are T-Few's, their gradients too", "[train][golden]") {
    const Golden golden;
    const Seq2Seq& model = golden.model();
    const Attached attached = golden.start();
    BatchPlan plan;
    for (std::size_t i = 0; i < golden.pairs.size(); ++i) plan.push_back(static_cast<std::uint32_t>(i));
    const ContrastTotals totals = ContrastTotals::of(golden.contrast, {plan});
    const Forward forward = model.inference(attached.attachment.get());
    // In one batch, and in two whose parts add up.
    const std::vector<std::vector<BatchPlan>> ways = {{plan},
                                                      {BatchPlan(plan.begin(), plan.begin() + 2), BatchPlan(plan.begin() + 2, plan.end())}};
    for (const auto& plans : ways) {
        for (const at::Tensor& value : attached.values) value.mutable_grad() = at::Tensor();
        double sum = 0;
        for (const BatchPlan& part : plans) {
            const TensorBatch batch = collate(golden.pairs, part, model.architecture(), model.device());
            const Encoded encoded = model.encode(forward, batch.source);
            const at::Tensor states = model.decode(forward, encoded, batch.target);
            const at::Tensor loss =
                contrast_loss(model, forward, golden.contrast, part, encoded, states, batch.labels, batch.target.rows.lengths, totals);
            if (!loss.defined()) continue;
            sum += loss.item<double>();
            torch::autograd::backward({loss}, {});
        }
        REQUIRE_THAT(sum,
                     Catch::Matchers::WithinAbs(golden.file["unlikelihood"].get<double>() + golden.file["ranking"].get<double>(), 1e-5));
        for (std::size_t i = 0; i < attached.values.size(); ++i)
            require_close(attached.values[i].grad(), golden.tensors.at("gradient." + attached.specs[i].name), 3e-5, attached.specs[i].name);
    }
    Contrast none;
    none.wrong.resize(golden.pairs.size());
    const TensorBatch batch = batch_of(model, golden.pairs);
    const Encoded encoded = model.encode(forward, batch.source);
    REQUIRE_FALSE(contrast_loss(model, forward, none, plan, encoded, model.decode(forward, encoded, batch.target), batch.labels,
                                batch.target.rows.lengths, ContrastTotals::of(none, {plan}))
                      .defined());
}

TEST_CASE("updates with all three losses are those of torch's AdamW", "[train][golden]") {
    const Golden golden;
    Attached attached = golden.start();
    TrainingSettings settings = golden.settings();
    settings.validate_every = 1;
    std::stop_source stop;
    std::vector<double> told;
    TrainerHooks hooks;
    hooks.contrast = &golden.contrast;
    hooks.sink = [&](const Event& event) {
        if (figure_in(event, StepFigure::valid_loss)) stop.request_stop();
        if (const auto* metric = figure_in(event, StepFigure::contrast_loss)) told.push_back(metric->value);
    };
    Trainer trainer(golden.model(), attached, golden.pairs, golden.pairs, settings, golden.file["learning_rate"].get<double>(), 1, "",
                    hooks);
    for (const Json& losses : golden.file["losses"]) {
        stop = std::stop_source();
        REQUIRE_THAT(trainer.run(stop.get_token()).last_train_loss, Catch::Matchers::WithinAbs(losses[0].get<double>(), 1e-4));
    }
    for (std::size_t i = 0; i < attached.values.size(); ++i) {
        if (attached.specs[i].name.find("k_proj.bias") != std::string::npos) continue;  // the sign of nothing
        require_close(attached.values[i], golden.tensors.at("end." + attached.specs[i].name), 1e-3, attached.specs[i].name);
    }
    stop = std::stop_source();
    settings.updates = 3;
    Attached again = golden.start();
    Trainer(golden.model(), again, golden.pairs, {}, settings, golden.file["learning_rate"].get<double>(), 1, "", hooks).run({});
    REQUIRE(told.size() == 1);  // told every ten updates and at the end: the mean of three
    REQUIRE(told[0] > 0.8);
    REQUIRE(told[0] < 1.3);
}

TEST_CASE("without wrong translations there is nothing to train against, and a checkpoint knows its own", "[train]") {
    const Golden golden;
    const TemporaryFolder folder;
    TrainingSettings settings = golden.settings();
    settings.updates = 2;
    const auto trainer = [&](Attached& attached, const Contrast* contrast) {
        TrainerHooks hooks;
        hooks.contrast = contrast;
        return Trainer(golden.model(), attached, golden.pairs, golden.pairs, settings, 0.01, 1, folder / "checkpoint", hooks);
    };
    Attached attached = golden.start();
    require_error([&] { trainer(attached, nullptr); }, ErrorKind::config, {"contrast", "no wrong translations"});
    trainer(attached, &golden.contrast).run({});
    Attached again = golden.start();
    REQUIRE(trainer(again, &golden.contrast).resume());
    Contrast other = golden.contrast;
    for (auto& candidates : other.wrong)
        if (!candidates.empty()) candidates.front()[2] = candidates.front()[2] == 9 ? 10 : 9;
    require_error([&] { trainer(again, &other).resume(); }, ErrorKind::file, {"checkpoint", "other settings or data"});
    settings.contrast = 0;
    require_error([&] { trainer(again, nullptr).resume(); }, ErrorKind::file, {"checkpoint", "other settings or data"});
    REQUIRE(TrainingSettings().identity().dump().find("contrast") == std::string::npos);  // runs of earlier versions stay what they were
}

TEST_CASE("wrong translations are the base's own, recorded, and found again after a stop", "[jobs]") {
    DeviceSettings device;
    device.device = "cpu";
    const OpenModel model = open_model(PERMILLE_TESTS_DIR "/support/tiny-base", device);
    const std::vector<Row> rows = {{"Apri il file", "Open the file"}, {"Chiudi la finestra", "Close the window"}, {"Salva", "Save"}};
    auto pairs = tokenise(*model.tokenizer, rows, "it", "en");
    TrainingSettings settings;
    const TemporaryFolder folder;
    REQUIRE(find_negatives(model, pairs, "en", settings, 1, folder.path(), {}, {}) == nullptr);
    settings.contrast = 2;
    for (const char* way : {"beam", "sample"}) {
        INFO(way);
        settings.contrast_by = way;
        const auto found = find_negatives(model, pairs, "en", settings, 1, folder.path(), {}, {});
        REQUIRE(found->wrong.size() == 3);
        for (const auto& candidates : found->wrong) {
            REQUIRE(candidates.size() == 2);
            REQUIRE(candidates[0] != candidates[1]);
        }
        std::stop_source stopped;
        stopped.request_stop();  // read again: nothing is left to search for
        REQUIRE(find_negatives(model, pairs, "en", settings, 1, folder.path(), {}, stopped.get_token())->wrong == found->wrong);
        // What the base says is no wrong translation once it is the reference.
        auto taught = pairs;
        taught.pairs[1].labels.assign(found->wrong[1][0].begin() + 1, found->wrong[1][0].end());
        taught.fingerprint = fingerprint_of(taught.pairs);
        const auto others = find_negatives(model, taught, "en", settings, 1, folder.path(), {}, {});
        for (const Tokens& candidate : others->wrong[1]) REQUIRE(candidate != found->wrong[1][0]);
        REQUIRE_THROWS_AS(find_negatives(model, pairs, "en", settings, 2, folder.path(), {}, stopped.get_token()), Stopped);
        const auto other_seed = find_negatives(model, pairs, "en", settings, 2, folder.path(), {}, {});
        REQUIRE((other_seed->wrong == found->wrong) == (settings.contrast_by == "beam"));
        REQUIRE(wrong_count(*other_seed) == 6);
    }
}
