// Attention on a device that is not the CPU: libtorch's kernel is called as it is on a card, and the stand-in computes what it is
// documented to compute.
#include <torch/csrc/autograd/autograd.h>

#include "core/nn/backward.h"
#include "core/nn/packed_attention.h"
#include "tests/device/on_device.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

struct Case {
    std::vector<std::int64_t> lengths, memory_lengths;
    std::int64_t heads, width;
    bool causal;
};

// Queries, keys and values, then the gradients of them and of the output's.
struct Made {
    at::Tensor out;
    std::vector<at::Tensor> gradients;
};

Made attend(const Case& one, const std::vector<at::Tensor>& inputs, const at::Tensor& down, const at::Device& device, at::ScalarType type,
            double dropout = 0, std::uint64_t seed = 3) {
    const Rows rows = Rows::of(one.lengths, device), memory_rows = Rows::of(one.memory_lengths, device);
    std::vector<at::Tensor> own;
    for (const at::Tensor& input : inputs) own.push_back(input.to(device, type).detach().set_requires_grad(true));
    DropoutStreams streams(seed);
    REQUIRE(fits_packed_attention(own[0], rows, memory_rows, one.heads, dropout));
    Made made{packed_attention(own[0], own[1], own[2], rows, memory_rows, one.heads, one.causal, dropout, streams), {}};
    permille::backward((made.out.to(at::kFloat) * down.to(device)).sum());
    for (const at::Tensor& input : own) made.gradients.push_back(input.grad());
    return made;
}

std::int64_t sum_of(const std::vector<std::int64_t>& lengths) { return std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}); }

}  // namespace

TEST_CASE("a card's attention over packed rows and its gradients are the CPU's", "[device][card]") {
    at::manual_seed(7);
    const Case one = GENERATE(Case{{7, 1, 33, 4}, {7, 1, 33, 4}, 2, 16, true}, Case{{5, 16, 1}, {17, 3, 48}, 3, 8, false},
                              Case{{9}, {40}, 1, 24, false}, Case{{6, 6}, {6, 6}, 4, 16, true});
    const at::ScalarType type = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
    const auto random = [&](const std::vector<std::int64_t>& lengths) { return at::randn({sum_of(lengths), one.heads * one.width}); };
    std::vector<at::Tensor> inputs = {random(one.lengths), random(one.memory_lengths), random(one.memory_lengths)};
    for (at::Tensor& input : inputs) input = input.to(type).to(at::kFloat);
    const at::Tensor down = random(one.lengths);
    const Made want = attend(one, inputs, down, at::kCPU, at::kFloat);
    reset_attention_work();
    const Made got = attend(one, inputs, down, test_device(), type);
    if (device_is_counted()) {
        REQUIRE(attention_work().packed == 1);
        REQUIRE(attention_work().padded == 0);
    }
    REQUIRE(got.out.scalar_type() == type);
    const double tolerance = type == at::kFloat ? 1e-4 : 4e-2;
    require_close(got.out.to(at::kFloat), want.out, tolerance);
    for (std::size_t i = 0; i < 3; ++i) require_close(got.gradients[i].to(at::kFloat), want.gradients[i], tolerance);
}

TEST_CASE("a card's attention drops weights in both passes alike, and never sees what pads", "[device][card]") {
    at::manual_seed(8);
    // Keys that are alike give every key the same weight; of values that are rows of the unit matrix the output tells each weight.
    constexpr std::int64_t kKeys = 16;
    constexpr double kDropout = 0.25;
    std::vector<std::int64_t> lengths(60, 9), memory_lengths(60, kKeys);
    const Case one{lengths, memory_lengths, 1, kKeys, false};
    const at::Tensor zeros = at::zeros({sum_of(memory_lengths), kKeys}), units = at::eye(kKeys).repeat({60, 1});
    const at::Tensor queries = at::randn({sum_of(lengths), kKeys}), down = at::randn({sum_of(lengths), kKeys});
    reset_attention_work();
    const Made made = attend(one, {queries, zeros, units}, down, test_device(), at::kFloat, kDropout);
    if (device_is_counted()) {
        REQUIRE(attention_work().padded == 1);
        REQUIRE(attention_work().dropout == kDropout);
    }
    const at::Tensor out = made.out.detach().to(at::kCPU);
    const double dropped = out.eq(0).to(at::kDouble).mean().item<double>();
    REQUIRE_THAT(dropped, Catch::Matchers::WithinAbs(kDropout, 0.02));
    require_close(out.masked_select(out.gt(0)), at::full({out.gt(0).sum().item<std::int64_t>()}, 1 / (kKeys * (1 - kDropout))), 1e-6);
    require_same(attend(one, {queries, zeros, units}, down, test_device(), at::kFloat, kDropout).out.detach(), made.out.detach());
    REQUIRE_FALSE(at::equal(attend(one, {queries, zeros, units}, down, test_device(), at::kFloat, kDropout, 4).out, made.out));

    // The output is linear in the values: their gradient by the same weights gives back the output's product with its own gradient.
    const Case ragged = GENERATE(Case{{9, 2, 5}, {9, 2, 5}, 2, 8, true}, Case{{9, 2, 5}, {9, 2, 5}, 2, 8, false},
                                 Case{{4, 1, 3}, {2, 30, 7}, 2, 8, false}, Case{{5, 5}, {7, 7}, 2, 8, false});
    const auto random = [&](const std::vector<std::int64_t>& of) { return at::randn({sum_of(of), ragged.heads * ragged.width}); };
    const std::vector<at::Tensor> inputs = {random(ragged.lengths), random(ragged.memory_lengths), random(ragged.memory_lengths)};
    const at::Tensor gradient = random(ragged.lengths);
    const Made found = attend(ragged, inputs, gradient, test_device(), at::kFloat, kDropout);
    REQUIRE_THAT((found.gradients[2].to(at::kCPU) * inputs[2]).sum().item<double>(),
                 Catch::Matchers::WithinAbs((found.out.detach().to(at::kCPU) * gradient).sum().item<double>(), 1e-3));
    // With values of one everywhere the mean output is one, if and only if the weights of real keys add up to one before some are dropped.
    double mean = 0;
    constexpr int kDraws = 200;
    for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
        const at::Tensor ones = at::ones_like(inputs[2]);
        mean += attend(ragged, {inputs[0], inputs[1], ones}, gradient, test_device(), at::kFloat, kDropout, seed)
                    .out.detach()
                    .to(at::kCPU)
                    .mean()
                    .item<double>() /
                kDraws;
    }
    REQUIRE_THAT(mean, Catch::Matchers::WithinAbs(1.0, 0.03));
}

TEST_CASE("the kernel is asked for only where the device has it", "[device][card]") {
    const auto fits = [](const at::Tensor& rows, std::int64_t heads, double dropout) {
        const Rows own = Rows::of({rows.size(0)}, rows.device());
        return fits_packed_attention(rows, own, own, heads, dropout);
    };
    const at::Tensor rows = at::ones({6, 32});
    REQUIRE(fits(rows, 4, 0));
    REQUIRE_FALSE(fits(rows, 4, 0.1));
    REQUIRE_FALSE(fits(rows.to(at::kHalf), 4, 0));
    REQUIRE(fits(rows.to(test_device()), 4, 0));
    REQUIRE(fits(rows.to(test_device()), 4, 0.1));
    REQUIRE(fits(rows.to(test_device(), at::kHalf), 4, 0.1));
    REQUIRE_FALSE(fits(rows.to(test_device(), at::kHalf), 8, 0));    // heads of 8 bytes
    REQUIRE_FALSE(fits(rows.to(test_device(), at::kDouble), 4, 0));  // no kernel of libtorch's
}

TEST_CASE("a model with dropout of attention weights learns on a device, the same when layers are computed again", "[device][card]") {
    Architecture architecture = tiny_architecture(families().front());
    architecture.attention_dropout = 0.3;
    const auto model = tiny_model(architecture);
    const auto there = on_device(*model);
    const auto pairs = random_pairs(8, 50, 3);
    const auto gradients = [&](bool again, std::uint64_t seed) {
        const Attached attached = on_device(attach_shaken(find_method_by_id("lora", "test"), *model), *there);
        const TensorBatch batch = batch_of(*there, pairs);
        Forward forward = there->training(*attached.attachment, 0.3, seed);
        if (again) forward.recompute = attached.values;
        const at::Tensor states = states_of(*there, forward, batch);
        permille::backward((states * states).sum());
        std::vector<at::Tensor> list;
        for (const at::Tensor& value : attached.values) list.push_back(value.grad());
        return list;
    };
    reset_attention_work();
    const auto plain = gradients(false, 5);
    if (device_is_counted()) {
        REQUIRE(attention_work().padded == 2 + 2 * 3);
        REQUIRE(attention_work().packed == 0);
        REQUIRE(attention_work().dropout == 0.3);
    }
    const auto again = gradients(true, 5), other = gradients(false, 6);
    bool differs = false;
    for (std::size_t i = 0; i < plain.size(); ++i) {
        require_close(again[i], plain[i], 1e-5);
        differs = differs || !at::equal(other[i], plain[i]);
    }
    REQUIRE(differs);
}

TEST_CASE("masks are made once for all layers of a batch", "[device][standin]") {
    const auto model = tiny_model(families().front()), there = on_device(*model);
    const auto pairs = random_pairs(8, 50, 3);
    // With prefixes attention is on padded rows: padded sources for the encoder and for the decoder's cross-attention, earlier targets.
    const Attached attached = on_device(attach_shaken(find_method_by_id("prefix", "test"), *model), *there);
    const TensorBatch batch = batch_of(*there, pairs);
    const Forward forward = there->training(*attached.attachment, 0, 5);
    reset_device_work();
    states_of(*there, forward, batch);
    REQUIRE(device_work().launched["aten::masked_fill_"] <= 3);
    REQUIRE(device_work().launched["aten::masked_fill_"] >= 2);
}

TEST_CASE("biases of the base are cast once, those of an attachment when they are needed", "[device]") {
    const auto model = tiny_model(families().front()), there = on_device(*model, at::kBFloat16);
    const int bias = there->layout().sites[static_cast<std::size_t>(there->layout().site("encoder.0.ffn.fc1"))].bias;
    const Forward plain = there->inference();
    REQUIRE(plain.typed_parameter(bias).scalar_type() == at::kBFloat16);
    REQUIRE(plain.typed_parameter(bias).is_same(there->inference().typed_parameter(bias)));
    const Attached attached = on_device(attach_shaken(find_method_by_id("bitfit", "test"), *model), *there);
    const Forward trained = there->training(*attached.attachment, 0, 1);
    REQUIRE(trained.typed_parameter(bias).requires_grad());
    require_close(trained.typed_parameter(bias), trained.parameter(bias), 1e-2);
    REQUIRE_FALSE(at::equal(trained.typed_parameter(bias).detach(), plain.typed_parameter(bias)));
}
