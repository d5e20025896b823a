// Models and what is attached to them, on the CPU and again on the device under test.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/nn/vocabulary_loss.h"
#include "core/train/trainer.h"
#include "tests/contract/every_method.h"
#include "tests/support/models.h"
#include "tests/support/standin_device.h"

namespace permille::test {

// In device_tests the stand-in, in card_tests the one that PERMILLE_TEST_DEVICE names, a card if nothing is named. Test cases with the tag
// [standin] are about what it alone counts or says of itself, those with [card] about what no CPU has.
at::Device test_device();
// Only the stand-in's work is; elsewhere its counts stay 0.
bool device_is_counted();

inline std::unique_ptr<Seq2Seq> on_device(const Seq2Seq& model, at::ScalarType compute = at::kFloat) {
    std::vector<at::Tensor> weights;
    for (std::size_t i = 0; i < model.weights().size(); ++i) {
        const ParameterRole role = model.layout().parameters[i].role;
        const bool matrix = role == ParameterRole::matrix || role == ParameterRole::embedding;
        weights.push_back(model.weights()[i].to(test_device(), matrix ? compute : at::kFloat));
    }
    const at::Tensor& bias = model.logits_bias();
    return std::make_unique<Seq2Seq>(model.architecture(), std::move(weights), bias.defined() ? bias.to(test_device()) : bias, compute);
}

// The same values on the model's device.
inline Attached on_device(const Attached& attached, const Seq2Seq& model) {
    std::vector<at::Tensor> values;
    for (const at::Tensor& value : attached.values) values.push_back(value.detach().clone());
    return attach_values(*attached.method, model, attached.settings, std::move(values));
}

// Every method on the plainest model of each family: (method, model on the CPU, the same on the device).
inline void for_all_on_device(const std::function<void(const Method&, const Seq2Seq&, const Seq2Seq&)>& test) {
    for (const Family& family : families()) {
        const auto model = tiny_model(family), there = on_device(*model);
        for (const auto& method : methods()) {
            INFO("method " << method->info().id << ", family " << family.model_type);
            test(*method, *model, *there);
        }
    }
}

// Nats per label of the pairs as one batch, with its gradients.
inline at::Tensor loss_of(const Seq2Seq& model, const Attached& attached, const std::vector<TokenPair>& pairs) {
    const TensorBatch batch = batch_of(model, pairs);
    const Forward forward = model.training(*attached.attachment, 0, 5);
    return vocabulary_loss(states_of(model, forward, batch), model.output_weight(forward), model.logits_bias(), batch.labels, 0.1).loss /
           static_cast<double>(batch.tokens);
}

// Of a short training of these models, without dropout.
inline TrainingSettings some_settings(std::int64_t updates) {
    TrainingSettings settings;
    settings.updates = updates;
    settings.warmup_updates = 1;
    settings.batch_tokens = 60;
    settings.dropout = 0;
    return settings;
}

}  // namespace permille::test
