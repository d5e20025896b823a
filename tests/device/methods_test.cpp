// Every method on every family, on a device that is not the CPU: whatever is made on the wrong side fails here by name.
#include "core/nn/backward.h"
#include "core/peft/adapter_file.h"
#include "core/peft/merge.h"
#include "tests/device/on_device.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

TEST_CASE("what a method says and learns on a device is what it says and learns on the CPU", "[device]") {
    for_all_on_device([](const Method& method, const Seq2Seq& model, const Seq2Seq& there) {
        const auto pairs = random_pairs(6, 50, 3);
        const Attached attached = attach_shaken(method, model), moved = on_device(attached, there);
        require_close(logits(there, moved.attachment.get(), pairs), logits(model, attached.attachment.get(), pairs), 1e-4);
        const at::Tensor loss = loss_of(model, attached, pairs), same = loss_of(there, moved, pairs);
        require_close(same, loss, 1e-4);
        permille::backward(loss);
        permille::backward(same);
        for (std::size_t i = 0; i < attached.values.size(); ++i) {
            INFO("tensor " << attached.specs[i].name);
            REQUIRE(moved.values[i].device() == test_device());
            REQUIRE(moved.values[i].grad().defined() == attached.values[i].grad().defined());
            if (attached.values[i].grad().defined()) require_close(moved.values[i].grad(), attached.values[i].grad(), 1e-4);
        }
    });
}

TEST_CASE("a fresh method starts on a device as on the CPU", "[device]") {
    for_all_on_device([](const Method& method, const Seq2Seq& model, const Seq2Seq& there) {
        const Attached attached = attach_method(method, model, small_settings(method), 1);
        const Attached moved = attach_method(method, there, small_settings(method), 1);
        for (std::size_t i = 0; i < attached.values.size(); ++i)
            require_close(moved.values[i], attached.values[i], 1e-4, attached.specs[i].name);
    });
}

TEST_CASE("dropout on a device has the masks of its seed, again in the backward pass and when a layer is computed again", "[device]") {
    const at::Tensor x = at::ones({1000, 20}).to(test_device()).set_requires_grad(true);
    const auto drop = [&](std::uint64_t seed) {
        DropoutStreams streams(seed);
        return dropout(x, 0.25, streams);
    };
    const at::Tensor y = drop(7);
    require_same(drop(7), y);
    REQUIRE_FALSE(at::equal(drop(8), y));
    REQUIRE_THAT(y.eq(0).to(at::kDouble).mean().item<double>(), Catch::Matchers::WithinAbs(0.25, 0.02));
    permille::backward(y.sum());
    require_same(x.grad(), y.detach());  // of ones
    DropoutStreams streams(7);
    const at::Tensor residual = at::full_like(x, 2).detach();
    require_close(add_dropout(residual, x, 0.25, streams), residual + y, 1e-6);

    const auto model = on_device(*tiny_model(families().front()));
    const auto pairs = random_pairs(6, 50, 3);
    const auto gradients = [&](bool again) {
        const Attached attached = on_device(attach_shaken(find_method_by_id("lora", "test"), *tiny_model(families().front())), *model);
        const TensorBatch batch = batch_of(*model, pairs);
        Forward forward = model->training(*attached.attachment, 0.3, 5);
        if (again) forward.recompute = attached.values;
        permille::backward(vocabulary_loss(states_of(*model, forward, batch), model->output_weight(forward), {}, batch.labels, 0).loss);
        std::vector<at::Tensor> list;
        for (const at::Tensor& value : attached.values) list.push_back(value.grad());
        return list;
    };
    const auto plain = gradients(false), again = gradients(true);
    for (std::size_t i = 0; i < plain.size(); ++i) require_close(again[i], plain[i], 1e-6);
}

TEST_CASE("what was trained on a device is saved, loaded on either side and merged", "[device]") {
    const TemporaryFolder folder;
    const Family& family = families().front();
    const auto fresh = tiny_model(family);
    save_model(folder / "base", family.config(fresh->architecture()), fresh->layout(), fresh->weights(), at::kFloat, fresh->logits_bias());
    const auto here = load_base(folder / "base", at::kCPU, at::kFloat), there = load_base(folder / "base", test_device(), at::kFloat);
    const auto pairs = random_pairs(5, 50, 3);
    for (const auto& method : methods()) {
        INFO("method " << method->info().id);
        const Attached moved = on_device(attach_shaken(*method, *here->network), *there->network);
        const at::Tensor want = logits(*there->network, moved.attachment.get(), pairs);
        const auto place = folder / method->info().id;
        save_adapter(place, moved, *there, Json::object());
        const Attached again = load_adapter(place, *there), down = load_adapter(place, *here);
        for (const at::Tensor& value : again.values) REQUIRE(value.device() == test_device());
        require_close(logits(*there->network, again.attachment.get(), pairs), want, 1e-4);
        require_close(logits(*here->network, down.attachment.get(), pairs), want, 1e-4);
        if (!method->info().mergeable) continue;
        const Seq2Seq merged(there->network->architecture(), merged_weights(moved, *there->network), there->network->logits_bias(),
                             at::kFloat);
        require_close(logits(merged, nullptr, pairs), want, 1e-3);
    }
}
