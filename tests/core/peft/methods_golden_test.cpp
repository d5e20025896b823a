#include <torch/csrc/autograd/autograd.h>

#include "core/nn/vocabulary_loss.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// The method with the golden file's values.
Attached attach_golden(const Seq2Seq& model, const std::string& name, const Json& test, const TensorMap& tensors) {
    const Method& method = find_method_by_id(test["method"].get<std::string>(), "");
    const Json settings = method.complete(test["settings"]);
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : method.tensors(model.layout(), settings)) {
        INFO("tensor " << spec.name);
        if (spec.role == TensorRole::state) {
            values.push_back(at::zeros(spec.shape));
            continue;
        }
        REQUIRE(tensors.count(name + ".start." + spec.name) == 1);
        values.push_back(tensors.at(name + ".start." + spec.name).clone());
    }
    return attach_values(method, model, settings, std::move(values));
}

// One model of each family, and one file for each maker of tests/golden/make.
const std::vector<std::string> kFamilies = {"m2m100", "marian", "mbart50"};
const std::vector<std::string> kFiles = {"methods",         "methods_adapters", "methods_experts", "methods_lowrank",
                                         "methods_prompts", "methods_pruned",   "methods_unified"};

}  // namespace

TEST_CASE("methods give the logits, loss and gradients of PEFT and plain torch", "[peft][golden]") {
    const std::string family = GENERATE(from_range(kFamilies)), stem = GENERATE(from_range(kFiles));
    INFO(family + "/" + stem);
    const auto base = golden_model(family);
    const Seq2Seq& model = *base->network;
    const TensorMap tensors = read_safetensors(golden(family + "/" + stem + ".safetensors"));
    const Json file = read_json(golden(family + "/" + stem + ".json"));
    const TensorBatch batch = batch_of(model, golden_pairs(family));
    for (const auto& [name, test] : file["cases"].items()) {
        INFO("case " << name);
        const Attached attached = attach_golden(model, name, test, tensors);
        REQUIRE(attached.trainable() == test["trained"].get<std::int64_t>());
        const Forward forward = model.inference(attached.attachment.get());
        const at::Tensor states = states_of(model, forward, batch);
        const at::Tensor want = tensors.at(name + ".logits");
        require_close(model.logits(forward, states).narrow(0, 0, want.size(0)), want, 5e-5, "logits");
        const LossSums loss = vocabulary_loss(states, model.output_weight(forward), model.logits_bias(), batch.labels,
                                              file["training"]["label_smoothing"].get<double>());
        const at::Tensor mean = loss.loss / static_cast<double>(batch.tokens);
        REQUIRE_THAT(mean.item<double>(), Catch::Matchers::WithinAbs(test["loss"].get<double>(), 1e-5));
        torch::autograd::backward({mean}, {});
        std::size_t trained = 0;
        for (std::size_t i = 0; i < attached.values.size(); ++i) {
            if (attached.specs[i].role != TensorRole::trained) continue;
            ++trained;
            require_close(attached.values[i].grad(), tensors.at(name + ".gradient." + attached.specs[i].name), 3e-5,
                          attached.specs[i].name);
        }
        REQUIRE(trained == test["tensors"].size());
    }
}

TEST_CASE("five updates give the losses and values of torch's AdamW", "[peft][train][golden]") {
    const std::string family = GENERATE(from_range(kFamilies)), stem = GENERATE(from_range(kFiles));
    INFO(family + "/" + stem);
    const auto base = golden_model(family);
    const Seq2Seq& model = *base->network;
    const TensorMap tensors = read_safetensors(golden(family + "/" + stem + ".safetensors"));
    const Json file = read_json(golden(family + "/" + stem + ".json"));
    const auto pairs = golden_pairs(family);
    Json given = file["training"];
    const double learning_rate = given["learning_rate"].get<double>();
    given.erase("learning_rate");
    given["optimiser"] = "adamw";  // whatever the method would take
    TrainingSettings settings = TrainingSettings::fields().parse(given, "golden");
    settings.batch_tokens = 100000;  // all pairs in every batch
    settings.dropout = 0;
    settings.checkpoint_every = 0;
    for (const auto& [name, test] : file["cases"].items()) {
        INFO("case " << name);
        Attached attached = attach_golden(model, name, test, tensors);
        settings.validate_every = 1;  // each validation ends a stretch of one update
        std::stop_source stop;
        TrainerHooks hooks;
        hooks.sink = [&](const Event& event) {
            if (figure_in(event, StepFigure::valid_loss)) stop.request_stop();
        };
        Trainer stepping(model, attached, pairs, pairs, settings, learning_rate, 1, "", hooks);
        for (std::size_t update = 0; update < test["losses"].size(); ++update) {
            stop = std::stop_source();
            const TrainingResult result = stepping.run(stop.get_token());
            REQUIRE(result.updates == static_cast<std::int64_t>(update) + 1);
            REQUIRE_THAT(result.last_train_loss, Catch::Matchers::WithinAbs(test["losses"][update].get<double>(), 1e-4));
        }
        if (!tensors.count(name + ".end." + attached.specs[0].name)) continue;
        Attached whole = attach_golden(model, name, test, tensors);
        const std::vector<TokenPair> none;
        Trainer(model, whole, pairs, none, settings, learning_rate, 1, "", {}).run({});
        for (std::size_t i = 0; i < whole.values.size(); ++i) {
            // Adam divides by the root of a mean square: where the gradient is as good as zero (key biases) its sign is chance.
            const std::string& tensor = whole.specs[i].name;
            if (tensor.find("k_proj.bias") != std::string::npos || tensor.find("k_proj.ssf_shift") != std::string::npos) continue;
            if (whole.specs[i].role != TensorRole::trained) continue;
            require_close(whole.values[i], tensors.at(name + ".end." + tensor), 1e-3, tensor);
        }
    }
}
