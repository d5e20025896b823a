#include <ATen/ATen.h>

#include <map>
#include <optional>

#include "core/train/optimiser.h"

namespace permille {

namespace {

class AdamW : public Optimiser {
public:
    AdamW(const Attached& attached, const TrainingSettings& settings) : Optimiser(attached), settings_(settings) {
        for (std::size_t i = 0; i < attached.values.size(); ++i) {
            first_.push_back(remember("first", i, attached.values[i].sizes().vec()));
            second_.push_back(remember("second", i, attached.values[i].sizes().vec()));
            steps_.push_back(remember("steps", i, {}));
        }
    }

    void step(double rate, const at::Tensor& divisor, const at::Tensor& skip) override {
        struct Group {  // of one learning rate
            std::vector<at::Tensor> values, gradients, first, second, steps;
        };
        std::map<double, Group> groups;
        for (std::size_t i = 0; i < attached_.values.size(); ++i) {
            const at::Tensor gradient = attached_.values[i].grad();
            if (!gradient.defined()) continue;  // not reached by this batch
            Group& group = groups[attached_.specs[i].rate];
            group.values.push_back(attached_.values[i]);
            group.gradients.push_back(gradient);
            group.first.push_back(first_[i]);
            group.second.push_back(second_[i]);
            group.steps.push_back(steps_[i]);
        }
        const auto optional = [](const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; };
        for (auto& [factor, group] : groups) {
            if (skip.defined()) at::_foreach_add_(group.steps, 1.0 - skip);
            else at::_foreach_add_(group.steps, 1.0);
            at::_fused_adamw_(group.values, group.gradients, group.first, group.second, {}, group.steps, rate * factor, settings_.beta1,
                              settings_.beta2, settings_.weight_decay, settings_.epsilon, false, false, optional(divisor), optional(skip));
        }
    }

private:
    TrainingSettings settings_;
    std::vector<at::Tensor> first_, second_, steps_;
};

}  // namespace

std::unique_ptr<Optimiser> adamw(const Attached& attached, const TrainingSettings& settings) {
    return std::make_unique<AdamW>(attached, settings);
}

}  // namespace permille
