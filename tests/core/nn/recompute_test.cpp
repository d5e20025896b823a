// Gradient checkpointing over all methods and families: the same gradients bit for bit, and much less that is kept for the backward pass.
#include "core/nn/recompute.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/nn/vocabulary_loss.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// Bytes of tensors that are alive, of those made while it exists.
class Counter : public c10::MemoryReportingInfoBase {
public:
    void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t, c10::Device) override {
        alive += bytes;
        peak = std::max(peak, alive);
    }
    bool memoryProfilingEnabled() const override { return true; }
    std::int64_t alive = 0, peak = 0;
};

Json small(const Method& method) {
    Json settings = Json::object();
    for (const Field& knob : method.info().knobs)
        if (knob.unit == "tokens" || knob.name == method.info().size_knob) settings[knob.name] = 3;
    return settings;
}

struct Measured {
    std::vector<at::Tensor> gradients;
    double loss = 0;
    std::int64_t kept = 0, peak = 0;  // bytes before the backward pass; at most
};

Measured measure(const Seq2Seq& model, Attached& attached, const TensorBatch& batch, bool checkpointing) {
    for (at::Tensor& value : attached.values) value.mutable_grad() = at::Tensor();
    const auto counter = std::make_shared<Counter>();
    Measured result;
    {
        const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
        Forward forward = model.training(*attached.attachment, 0.2, 77);
        forward.attention_dropout = 0.1;
        if (checkpointing)
            for (const at::Tensor& value : attached.values)
                if (value.requires_grad()) forward.recompute.push_back(value);
        const at::Tensor states = states_of(model, forward, batch);
        result.kept = counter->alive;
        const LossSums loss = vocabulary_loss(states, model.output_weight(forward), model.logits_bias(), batch.labels, 0.1);
        torch::autograd::backward({loss.loss}, {});
        result.loss = loss.loss.item<double>();
    }
    result.peak = counter->peak;
    for (const at::Tensor& value : attached.values)
        result.gradients.push_back(value.grad().defined() ? value.grad().clone() : at::Tensor());
    return result;
}

}  // namespace

TEST_CASE("layers that are computed again give the same gradients, dropout included", "[nn]") {
    for (const Family& family : families())
        for (const auto& method : methods()) {
            INFO(method->info().id << ", " << family.model_type);
            const auto model = tiny_model(family);
            const TensorBatch batch = batch_of(*model, random_pairs(5, 50, 3));
            Attached attached = attach_method(*method, *model, small(*method), 1);
            SeededRandom random(3);
            for (std::size_t v = 0; v < attached.values.size(); ++v)  // away from zeros
                if (attached.values[v].requires_grad()) attached.values[v].detach().add_(0.1 * random.unit() + 0.01);
            const Measured plain = measure(*model, attached, batch, false), again = measure(*model, attached, batch, true);
            REQUIRE(again.loss == plain.loss);
            for (std::size_t v = 0; v < plain.gradients.size(); ++v) {
                INFO(attached.specs[v].name);
                REQUIRE(again.gradients[v].defined() == plain.gradients[v].defined());
                if (!plain.gradients[v].defined()) continue;
                // A tensor that several layers share gets its gradients added in another order.
                const double scale = plain.gradients[v].abs().max().item<double>();
                require_close(again.gradients[v] / std::max(scale, 1e-20), plain.gradients[v] / std::max(scale, 1e-20), 1e-5);
                if (attached.specs[v].base >= 0 || method->info().id == "lora") require_same(again.gradients[v], plain.gradients[v]);
            }
        }
}

TEST_CASE("layers that are computed again keep little for the backward pass", "[nn]") {
    Architecture architecture = tiny_architecture(families()[0]);
    architecture.encoder_layers = architecture.decoder_layers = 8;
    const auto model = tiny_model(architecture);
    const TensorBatch batch = batch_of(*model, random_pairs(40, 50, 3));
    Attached attached = attach_method(find_method_by_id("lora", ""), *model, {{"dropout", 0.1}}, 1);
    const Measured plain = measure(*model, attached, batch, false), again = measure(*model, attached, batch, true);
    INFO("kept " << plain.kept << " and " << again.kept << " bytes, peak " << plain.peak << " and " << again.peak);
    REQUIRE(again.kept * 5 < plain.kept);
    REQUIRE(again.peak * 3 < plain.peak);
    for (std::size_t v = 0; v < plain.gradients.size(); ++v) require_same(again.gradients[v], plain.gradients[v]);
}
