// A teacher that shares the vocabulary: the loss against its definition, and its share over a run.
#include <torch/csrc/autograd/autograd.h>

#include "core/nn/vocabulary_loss.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

TEST_CASE("the distilled loss and its gradients equal the plain definition", "[train]") {
    at::manual_seed(5);
    // 700 rows of 1,500 classes take several blocks of rows.
    const std::int64_t rows = GENERATE(9, 700), classes = rows == 700 ? 1500 : 53;
    const double share = GENERATE(0.3, 1.0), temperature = GENERATE(1.0, 2.5), epsilon = 0.1;
    const at::Tensor hidden = at::randn({rows, 11}).requires_grad_(true), weight = at::randn({classes, 11}).requires_grad_(true);
    const at::Tensor labels = at::randint(classes, {rows}, at::kLong);
    const Distillation teacher{at::randn({rows, 6}), at::randn({classes, 6}), at::randn({classes}), share, temperature};
    const LossSums got = vocabulary_loss(hidden, weight, {}, labels, epsilon, Smoothing::torch, &teacher);
    torch::autograd::backward({got.loss}, {});

    const at::Tensor exact_hidden = hidden.detach().to(at::kDouble).requires_grad_(true),
                     exact_weight = weight.detach().to(at::kDouble).requires_grad_(true);
    const at::Tensor logits = at::matmul(exact_hidden, exact_weight.t()), log_p = at::log_softmax(logits, 1);
    const at::Tensor plain =
        -((1 - epsilon) * log_p.gather(1, labels.unsqueeze(1)).sum() + epsilon / static_cast<double>(classes) * log_p.sum());
    const at::Tensor taught =
        (at::matmul(teacher.hidden.to(at::kDouble), teacher.weight.to(at::kDouble).t()) + teacher.bias.to(at::kDouble)) / temperature;
    const at::Tensor divergence =
        at::kl_div(at::log_softmax(logits / temperature, 1), at::log_softmax(taught, 1), at::Reduction::Sum, /*log_target=*/true);
    const at::Tensor want = (1 - share) * plain + share * temperature * temperature * divergence;
    torch::autograd::backward({want}, {});
    REQUIRE_THAT(got.loss.item<double>() / want.item<double>(), Catch::Matchers::WithinAbs(1.0, 1e-5));
    require_close(hidden.grad(), exact_hidden.grad(), 2e-5, "hidden");
    require_close(weight.grad(), exact_weight.grad(), 1e-4, "weight");
}

TEST_CASE("a teacher's share falls linearly to nothing, and a copy of the student teaches nothing at first", "[train]") {
    const auto model = tiny_model(families()[0]), other = tiny_model(families()[0], 4);
    const auto pairs = random_pairs(30, 50, 1);
    TrainingSettings settings;
    settings.updates = 4;
    settings.batch_tokens = 1 << 20;  // one batch
    settings.dropout = 0;
    settings.label_smoothing = 0;
    settings.teacher_share = 0.8;
    std::vector<double> losses;
    const auto losses_with = [&](const Seq2Seq* teacher, double rate) {
        losses.clear();
        for (std::int64_t updates = 1; updates <= 4; ++updates) {
            // The loss of an update is told at its end only: runs of growing length, stopped there.
            TrainerHooks hooks;
            hooks.teacher = teacher;
            Attached fresh = attach_method(find_method_by_id("bitfit", ""), *model, Json::object(), 1);
            std::stop_source stop;
            std::int64_t done = 0;
            TrainingSettings told = settings;
            told.validate_every = 1;
            hooks.bleu = [&]() -> std::optional<double> {
                if (++done == updates) stop.request_stop();
                return 0.0;
            };
            const auto valid = random_pairs(2, 50, 3);
            Trainer trainer(*model, fresh, pairs, valid, told, rate, 7, "", hooks);
            losses.push_back(trainer.run(stop.get_token()).last_train_loss);
        }
        return losses;
    };
    // At a learning rate of nearly nothing the student stays where it is.
    const auto alone = losses_with(nullptr, 1e-12), same = losses_with(model.get(), 1e-12), taught = losses_with(other.get(), 1e-12);
    for (std::size_t i = 0; i < 4; ++i) {
        const double share = 0.8 * (1 - static_cast<double>(i) / 3);
        REQUIRE_THAT(same[i], Catch::Matchers::WithinAbs((1 - share) * alone[i], 1e-4));
    }
    // (1 - share) CE + share KL with the same KL in every update.
    const double divergence = (taught[0] - 0.2 * alone[0]) / 0.8;
    REQUIRE(divergence > 0.01);
    for (std::size_t i = 0; i < 4; ++i) {
        const double share = 0.8 * (1 - static_cast<double>(i) / 3);
        REQUIRE_THAT(taught[i], Catch::Matchers::WithinAbs((1 - share) * alone[i] + share * divergence, 1e-4));
    }
}

TEST_CASE("a student comes nearer to its teacher than without it", "[train]") {
    const auto model = tiny_model(families()[0]), other = tiny_model(families()[0], 4);
    const auto pairs = random_pairs(30, 50, 1);
    const std::vector<TokenPair> none;
    TrainingSettings settings;
    settings.updates = 60;
    settings.batch_tokens = 200;
    settings.dropout = 0;
    settings.teacher_share = 1.0;
    const TensorBatch batch = batch_of(*model, pairs);
    const auto probabilities = [&](const Seq2Seq& network, const Attachment* attachment) {
        const c10::InferenceMode guard;
        return at::log_softmax(logits_of(network, network.inference(attachment), batch), 1);
    };
    const at::Tensor expected = probabilities(*other, nullptr);
    const auto distance = [&](const Seq2Seq* teacher) {
        Attached attached = attach_method(find_method_by_id("full", ""), *model, Json::object(), 1);
        TrainerHooks hooks;
        hooks.teacher = teacher;
        Trainer(*model, attached, pairs, none, settings, 0.01, 7, "", hooks).run({});
        return at::kl_div(probabilities(*model, attached.attachment.get()), expected, at::Reduction::Mean, true).item<double>();
    };
    REQUIRE(distance(other.get()) < 0.7 * distance(nullptr));
}
