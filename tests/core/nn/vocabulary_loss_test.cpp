#include "core/nn/vocabulary_loss.h"

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/tensors.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// The definition, in float64 over the whole [N, V].
at::Tensor defined_loss(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& labels,
                        double epsilon, Smoothing smoothing) {
    at::Tensor logits = at::matmul(hidden, weight.t());
    if (bias.defined()) logits = logits + bias;
    const at::Tensor log_p = at::log_softmax(logits, 1);
    const auto classes = static_cast<double>(weight.size(0));
    const double other = smoothing == Smoothing::fairseq ? epsilon / (classes - 1) : epsilon / classes;
    const double own = smoothing == Smoothing::fairseq ? 1 - epsilon - other : 1 - epsilon;
    return -(own * log_p.gather(1, labels.unsqueeze(1)).sum() + other * log_p.sum());
}

}  // namespace

TEST_CASE("the loss and its gradients equal the plain definition", "[nn]") {
    at::manual_seed(3);
    // 700 rows of 1,500 classes take several blocks of rows; one row takes less than one.
    const std::int64_t rows = GENERATE(1, 37, 700), classes = rows == 700 ? 1500 : 53;
    const double epsilon = GENERATE(0.0, 0.1);
    const Smoothing smoothing = GENERATE(Smoothing::torch, Smoothing::fairseq);
    const bool with_bias = GENERATE(false, true);
    const at::Tensor exact_hidden = at::randn({rows, 11}, at::kDouble).requires_grad_(true);
    const at::Tensor exact_weight = at::randn({classes, 11}, at::kDouble).requires_grad_(true);
    const at::Tensor bias = with_bias ? at::randn({classes}, at::kDouble) : at::Tensor();
    const at::Tensor labels = at::randint(classes, {rows}, at::kLong);
    const at::Tensor want = defined_loss(exact_hidden, exact_weight, bias, labels, epsilon, smoothing);
    torch::autograd::backward({want * 0.25}, {});

    const at::Tensor hidden = exact_hidden.detach().to(at::kFloat).requires_grad_(true),
                     weight = exact_weight.detach().to(at::kFloat).requires_grad_(true);
    const at::Tensor typed_bias = with_bias ? bias.to(at::kFloat) : at::Tensor();
    const LossSums got = vocabulary_loss(hidden, weight, typed_bias, labels, epsilon, smoothing);
    const double likelihood = got.log_likelihood.item<double>();
    torch::autograd::backward({got.loss * 0.25}, {});
    REQUIRE_THAT(got.loss.item<double>() / want.item<double>(), Catch::Matchers::WithinAbs(1.0, 1e-6));
    require_close(hidden.grad(), exact_hidden.grad(), 1e-5, "hidden");
    require_close(weight.grad(), exact_weight.grad(), 1e-5, "weight");

    const at::Tensor each = label_log_probabilities(hidden, weight, typed_bias, labels);
    REQUIRE(each.size(0) == rows);
    REQUIRE_THAT(each.sum(at::kDouble).item<double>(), Catch::Matchers::WithinAbs(likelihood, 1e-5 * std::abs(likelihood)));
    REQUIRE_THAT(-defined_loss(exact_hidden, exact_weight, bias, labels, 0, smoothing).item<double>(),
                 Catch::Matchers::WithinAbs(likelihood, 1e-5 * std::abs(likelihood)));

    const at::Tensor factors = at::randn({rows}, at::kDouble);  // each row by itself
    for (const at::Tensor* tensor : {&hidden, &weight, &exact_hidden, &exact_weight}) tensor->mutable_grad() = at::Tensor();
    torch::autograd::backward({(each * factors.to(at::kFloat)).sum()}, {});
    at::Tensor logits = at::matmul(exact_hidden, exact_weight.t());
    if (with_bias) logits = logits + bias;
    torch::autograd::backward({(at::log_softmax(logits, 1).gather(1, labels.unsqueeze(1)).squeeze(1) * factors).sum()}, {});
    require_close(hidden.grad(), exact_hidden.grad(), 1e-5, "hidden");
    require_close(weight.grad(), exact_weight.grad(), 1e-5, "weight");
}

TEST_CASE("a frozen table gets no gradient, frozen states neither", "[nn]") {
    at::manual_seed(4);
    const at::Tensor labels = at::randint(9, {5}, at::kLong);
    const at::Tensor weight = at::randn({9, 4});
    const at::Tensor hidden = at::randn({5, 4}).requires_grad_(true);
    torch::autograd::backward({vocabulary_loss(hidden, weight, {}, labels, 0.1).loss}, {});
    REQUIRE(hidden.grad().defined());
    REQUIRE_FALSE(weight.grad().defined());
    const at::Tensor frozen = hidden.detach();
    REQUIRE_FALSE(vocabulary_loss(frozen, weight, {}, labels, 0.1).loss.requires_grad());
    const at::NoGradGuard guard;
    REQUIRE_FALSE(vocabulary_loss(hidden, weight, {}, labels, 0.1).loss.requires_grad());
}

TEST_CASE("logits of any size give a finite loss", "[nn]") {
    const at::Tensor hidden = at::full({2, 3}, 100.0f).requires_grad_(true);
    const at::Tensor weight = at::stack({at::full({3}, 100.0f), at::full({3}, -100.0f), at::zeros({3})});
    const LossSums loss = vocabulary_loss(hidden, weight, {}, at::tensor({0, 1}, at::kLong), 0.0);
    REQUIRE(std::isfinite(loss.loss.item<double>()));
    REQUIRE_THAT(loss.loss.item<double>(), Catch::Matchers::WithinAbs(60000.0, 1.0));
}
