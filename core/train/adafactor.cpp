#include <ATen/ATen.h>

#include <cmath>

#include "core/train/optimiser.h"

namespace permille {

namespace {

constexpr double kDecayPower = -0.8, kEpsilon = 1e-30, kClip = 1.0;

at::Tensor root_mean_square(const at::Tensor& tensor) { return tensor.norm(2) / std::sqrt(static_cast<double>(tensor.numel())); }

class Adafactor : public Optimiser {
public:
    Adafactor(const Attached& attached, const TrainingSettings& settings) : Optimiser(attached), weight_decay_(settings.weight_decay) {
        for (std::size_t i = 0; i < attached.values.size(); ++i) {
            std::vector<std::int64_t> rows = attached.values[i].sizes().vec(), columns = rows;
            Moments moments;
            if (rows.size() >= 2) {
                rows.pop_back();
                columns.erase(columns.end() - 2);
                moments.rows = remember("rows", i, rows);
                moments.columns = remember("columns", i, columns);
            } else {
                moments.whole = remember("squares", i, rows);
            }
            moments.steps = remember("steps", i, {});
            moments_.push_back(std::move(moments));
        }
    }

    // What a step depends on stays on the device, so that nobody waits for it.
    void step(double rate, const at::Tensor& divisor, const at::Tensor& skip) override {
        for (std::size_t i = 0; i < attached_.values.size(); ++i) {
            at::Tensor gradient = attached_.values[i].grad();
            if (!gradient.defined()) continue;  // not reached by this batch
            if (divisor.defined()) gradient.div_(divisor);
            if (skip.defined()) gradient = at::where(skip > 0, 0.0, gradient);  // it may be no number
            const Moments& moments = moments_[i];
            const double own_rate = rate * attached_.specs[i].rate;
            if (skip.defined()) moments.steps.add_(1.0 - skip);
            else moments.steps.add_(1.0);
            at::Tensor fresh = moments.steps.to(at::kDouble).clamp_min(1.0).pow(kDecayPower).to(at::kFloat);  // share of the new squares
            if (skip.defined()) fresh = fresh * (1.0 - skip);
            const at::Tensor squares = gradient.square().add_(kEpsilon);
            at::Tensor update;
            if (moments.whole.defined()) {
                moments.whole.lerp_(squares, fresh);
                update = moments.whole.rsqrt().mul_(gradient);
            } else {  // V is approximated by (row means x column means) / mean
                moments.rows.lerp_(squares.mean({-1}), fresh);
                moments.columns.lerp_(squares.mean({-2}), fresh);
                const at::Tensor of_row = (moments.rows / moments.rows.mean({-1}, true)).rsqrt_().unsqueeze(-1);
                update = at::mul(of_row, moments.columns.rsqrt().unsqueeze(-2)).mul_(gradient);
            }
            update.mul_(own_rate / at::clamp_min(root_mean_square(update) / kClip, 1.0));
            if (skip.defined()) update = at::where(skip > 0, 0.0, update);
            at::Tensor value = attached_.values[i];
            if (weight_decay_ > 0) {
                if (skip.defined()) value.mul_(1.0 - (1.0 - skip) * (weight_decay_ * own_rate));
                else value.mul_(1.0 - weight_decay_ * own_rate);
            }
            value.sub_(update);
        }
    }

private:
    struct Moments {
        at::Tensor rows, columns;  // of tensors of two or more dimensions
        at::Tensor whole;          // of the others
        at::Tensor steps;
    };
    double weight_decay_;
    std::vector<Moments> moments_;
};

}  // namespace

std::unique_ptr<Optimiser> adafactor(const Attached& attached, const TrainingSettings& settings) {
    return std::make_unique<Adafactor>(attached, settings);
}

}  // namespace permille
