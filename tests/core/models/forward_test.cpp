#include <torch/csrc/autograd/autograd.h>

#include "core/nn/vocabulary_loss.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

TEST_CASE("the forward pass equals transformers'", "[models][golden]") {
    const std::string name = GENERATE(from_range(golden_models()));
    INFO("model " << name);
    const auto base = golden_model(name);
    const Seq2Seq& model = *base->network;
    const TensorMap want = read_safetensors(golden(name + "/forward.safetensors"));
    const TensorBatch batch = batch_of(model, golden_pairs(name));
    const bool eager = GENERATE(true, false);
    INFO("eager attention " << eager);
    const at::NoGradGuard guard;
    Forward forward = model.inference();
    forward.eager_attention = eager;
    const Encoded encoded = model.encode(forward, batch.source);
    require_close(encoded.states, want.at("encoder_states"), 2e-5, "encoder states");
    const at::Tensor states = model.decode(forward, encoded, batch.target);
    require_close(model.logits(forward, states), want.at("logits"), 2e-5, "logits");
    require_close(label_log_probabilities(states, model.output_weight(forward), model.logits_bias(), batch.labels).neg(),
                  want.at("label_losses"), 2e-5, "label losses");
    require_same(batch.labels, want.at("labels"));
}

TEST_CASE("loss and all gradients equal transformers'", "[models][golden]") {
    const std::string name = GENERATE(from_range(golden_models()));
    INFO("model " << name);
    const auto base = golden_model(name);
    const Seq2Seq& model = *base->network;
    const TensorMap want = read_safetensors(golden(name + "/forward.safetensors"));
    const Json losses = read_json(golden(name + "/forward.json"))["losses"];
    const TensorBatch batch = batch_of(model, golden_pairs(name));
    const bool smoothed = GENERATE(false, true);
    const bool eager = GENERATE(true, false);
    INFO("smoothed " << smoothed << ", eager attention " << eager);
    Attached attached = attach_method(find_method_by_id("full", ""), model, Json::object(), 1);
    Forward forward = model.inference(attached.attachment.get());
    forward.eager_attention = eager;
    const double epsilon = smoothed ? losses["epsilon"].get<double>() : 0.0;
    const at::Tensor states = states_of(model, forward, batch);
    const LossSums loss = vocabulary_loss(states, model.output_weight(forward), model.logits_bias(), batch.labels, epsilon);
    REQUIRE_THAT(loss.loss.item<double>(), Catch::Matchers::WithinAbs(losses[smoothed ? "torch_smoothing" : "plain"].get<double>(), 1e-4));
    REQUIRE_THAT(-loss.log_likelihood.item<double>(), Catch::Matchers::WithinAbs(losses["plain"].get<double>(), 1e-4));
    if (smoothed) {
        const LossSums fairseq =
            vocabulary_loss(states, model.output_weight(forward), model.logits_bias(), batch.labels, epsilon, Smoothing::fairseq);
        REQUIRE_THAT(fairseq.loss.item<double>(), Catch::Matchers::WithinAbs(losses["fairseq_smoothing"].get<double>(), 1e-4));
    }
    torch::autograd::backward({loss.loss / static_cast<double>(batch.tokens)}, {});
    for (std::size_t i = 0; i < attached.values.size(); ++i) {
        const std::string& parameter = attached.specs[i].name;
        REQUIRE(attached.values[i].grad().defined());
        if (!smoothed && !want.contains("gradient.plain." + parameter)) continue;  // only the first golden holds both
        require_close(attached.values[i].grad(), want.at((smoothed ? "gradient.smoothed." : "gradient.plain.") + parameter), 2e-5,
                      parameter);
    }
}

TEST_CASE("the sinusoids equal transformers'", "[models][golden]") {
    const std::string name = GENERATE("m2m100", "marian", "marian_separate");
    INFO("model " << name);
    const at::Tensor want = read_safetensors(golden(name + "/forward.safetensors")).at("sinusoids");
    const Architecture a = golden_model(name)->network->architecture();  // the model is gone after this line
    require_close(sinusoid_table(a.positions, want.size(0), want.size(1), a.pad_id), want, 1e-6);
}

TEST_CASE("Marian's sinusoids count from zero and divide by the whole width", "[models]") {
    const at::Tensor table = sinusoid_table(Positions::marian, 3, 8, 1);
    for (int i = 0; i < 4; ++i) {
        REQUIRE(table[0][i].item<double>() == 0.0);
        REQUIRE(table[0][4 + i].item<double>() == 1.0);
        const double angle = 2.0 / std::pow(10000.0, 2.0 * i / 8);
        REQUIRE_THAT(table[2][i].item<double>(), Catch::Matchers::WithinAbs(std::sin(angle), 1e-7));
        REQUIRE_THAT(table[2][4 + i].item<double>(), Catch::Matchers::WithinAbs(std::cos(angle), 1e-7));
    }
}

TEST_CASE("a batch gives every sentence what it gets alone", "[models]") {
    const std::string name = GENERATE(from_range(golden_models()));
    INFO("model " << name);
    const auto base = golden_model(name);
    const Seq2Seq& model = *base->network;
    const auto pairs = golden_pairs(name);
    const at::NoGradGuard guard;
    Forward forward = model.inference();
    forward.eager_attention = GENERATE(true, false);
    const at::Tensor together = logits_of(model, forward, batch_of(model, pairs));
    std::int64_t row = 0;
    for (const TokenPair& pair : pairs) {
        const auto count = static_cast<std::int64_t>(pair.labels.size());
        require_close(logits_of(model, forward, batch_of(model, {pair})), together.narrow(0, row, count), 1e-5);
        row += count;
    }
}

namespace {

// Root mean square of the difference over that of the expected values.
double relative_difference(const at::Tensor& got, const at::Tensor& want) {
    const at::Tensor a = got.to(at::kDouble), b = want.to(at::kDouble);
    return ((a - b).square().mean() / b.square().mean()).sqrt().item<double>();
}

struct HalfTolerance {
    at::ScalarType type;
    std::string name;
    double values;  // relative difference of encoder states and logits, two roundings of the type
    double loss;    // nats per label
};
const std::vector<HalfTolerance> kHalfTolerances = {{at::kBFloat16, "bfloat16", 0.008, 0.004}, {at::kHalf, "float16", 0.001, 0.001}};

}  // namespace

// float16 is offered on CUDA only, where its products are fast; the same code computes here.
TEST_CASE("half precision stays near float32, nearer than transformers' own", "[models][golden]") {
    const std::string name = GENERATE(from_range(golden_models()));
    const HalfTolerance tolerance = GENERATE(from_range(kHalfTolerances));
    INFO("model " << name << ", " << tolerance.name);
    const auto base = load_base(golden(name), at::kCPU, tolerance.type);
    const Seq2Seq& model = *base->network;
    REQUIRE(model.weights()[0].scalar_type() == tolerance.type);
    const TensorMap want = read_safetensors(golden(name + "/forward.safetensors"));
    const Json theirs = read_json(golden("half.json"))[name][tolerance.name];
    const TensorBatch batch = batch_of(model, golden_pairs(name));
    const at::NoGradGuard guard;
    Forward forward = model.inference();
    forward.eager_attention = GENERATE(true, false);
    const Encoded encoded = model.encode(forward, batch.source);
    const at::Tensor states = model.decode(forward, encoded, batch.target);
    const at::Tensor logits = model.logits(forward, states);
    REQUIRE(logits.scalar_type() == at::kFloat);
    const auto check = [&](const std::string& what, double difference) {
        INFO(what << " differs by " << difference << ", transformers' by " << theirs[what]);
        CHECK(difference > 0);
        CHECK(difference <= tolerance.values);
        CHECK(difference <= theirs[what].get<double>());
    };
    check("encoder_states", relative_difference(encoded.states, want.at("encoder_states")));
    check("logits", relative_difference(logits, want.at("logits")));
    const at::Tensor losses = label_log_probabilities(states, model.output_weight(forward), model.logits_bias(), batch.labels).neg();
    const double loss = (losses.mean() - want.at("label_losses").mean()).item<double>();
    INFO("loss differs by " << loss << " nats per label, transformers' by " << theirs["loss"]);
    CHECK(std::abs(loss) <= tolerance.loss);
}
