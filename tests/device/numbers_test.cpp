// How far a device's numbers may be from the CPU's: every method's updates in float32, and every family in half precision.
#include "core/nn/backward.h"
#include "tests/device/on_device.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// Root mean square of the difference over that of what is expected.
double relative_difference(const at::Tensor& got, const at::Tensor& want) {
    const at::Tensor a = got.detach().to(at::kCPU, at::kDouble), b = want.detach().to(at::kCPU, at::kDouble);
    return ((a - b).square().mean() / b.square().mean()).sqrt().item<double>();
}

struct HalfTolerance {
    at::ScalarType type;
    double logits;     // relative difference
    double loss;       // nats per label
    double gradients;  // relative difference, of all tensors of a method together
};
const std::vector<HalfTolerance> kHalfTolerances = {{at::kBFloat16, 0.02, 0.02, 0.1}, {at::kHalf, 0.003, 0.003, 0.02}};

}  // namespace

TEST_CASE("every method's first updates on a device are those on the CPU", "[device]") {
    for_all_on_device([](const Method& method, const Seq2Seq& model, const Seq2Seq& there) {
        const auto pairs = random_pairs(8, 50, 7);
        const std::vector<TokenPair> none;
        const TrainingSettings settings = some_settings(2);
        const Attached start = attach_shaken(method, model);
        Attached here = on_device(start, model), moved = on_device(start, there);
        const auto want = Trainer(model, here, pairs, none, settings, 0.001, 3, "", {}).run({});
        const auto got = Trainer(there, moved, pairs, none, settings, 0.001, 3, "", {}).run({});
        REQUIRE_THAT(got.last_train_loss, Catch::Matchers::WithinAbs(want.last_train_loss, 1e-3));
        // What was learned, of all tensors together: the optimiser makes a whole step of a gradient that is nothing but rounding.
        double error = 0, learned = 0;
        for (std::size_t i = 0; i < here.values.size(); ++i) {
            const at::Tensor value = here.values[i].detach();
            error += (moved.values[i].detach().to(at::kCPU) - value).square().sum().item<double>();
            learned += (value - start.values[i].detach()).square().sum().item<double>();
        }
        REQUIRE(learned > 0);
        REQUIRE(std::sqrt(error / learned) < 0.05);
    });
}

TEST_CASE("half precision on a device stays near the CPU's float32: logits, loss and gradients", "[device]") {
    const auto pairs = random_pairs(20, 50, 7);
    for (const Family& family : families()) {
        const auto model = tiny_model(family);
        for (const HalfTolerance& tolerance : kHalfTolerances) {
            const auto there = on_device(*model, tolerance.type);
            for (const char* id : {"lora", "bottleneck", "full"}) {
                INFO("family " << family.model_type << ", " << at::toString(tolerance.type) << ", method " << id);
                const Attached here = attach_shaken(find_method_by_id(id, "method"), *model), moved = on_device(here, *there);
                const double logits_differ =
                    relative_difference(logits(*there, moved.attachment.get(), pairs), logits(*model, here.attachment.get(), pairs));
                const at::Tensor loss = loss_of(*model, here, pairs), same = loss_of(*there, moved, pairs);
                const double loss_differs = std::abs(same.item<double>() - loss.item<double>());
                permille::backward(loss);
                permille::backward(same);
                std::vector<at::Tensor> want, got;
                for (std::size_t i = 0; i < here.values.size(); ++i) {
                    if (!here.values[i].grad().defined()) continue;
                    want.push_back(here.values[i].grad().reshape({-1}));
                    got.push_back(moved.values[i].grad().reshape({-1}).to(at::kCPU, at::kFloat));
                }
                const double gradients_differ = relative_difference(at::cat(got), at::cat(want));
                INFO("logits differ by " << logits_differ << ", loss by " << loss_differs << ", gradients by " << gradients_differ);
                CHECK(logits_differ > 0);
                CHECK(logits_differ <= tolerance.logits);
                CHECK(loss_differs <= tolerance.loss);
                CHECK(gradients_differ <= tolerance.gradients);
            }
        }
    }
}
