#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/train/optimiser.h"

namespace permille {

namespace {

constexpr double kDecayPower = -0.8, kEpsilon = 1e-30, kClip = 1.0;

double root_mean_square(const at::Tensor& tensor) { return tensor.norm(2).item<double>() / std::sqrt(static_cast<double>(tensor.numel())); }

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

    void step(double rate) override {
        for (std::size_t i = 0; i < attached_.values.size(); ++i) {
            const at::Tensor gradient = attached_.values[i].grad();
            if (!gradient.defined()) continue;  // not reached by this batch
            const Moments& moments = moments_[i];
            const double own_rate = rate * attached_.specs[i].rate;
            const double decay = 1.0 - std::pow(moments.steps.add_(1.0).item<double>(), kDecayPower);
            const at::Tensor squares = gradient.square().add_(kEpsilon);
            at::Tensor update;
            if (moments.whole.defined()) {
                moments.whole.mul_(decay).add_(squares, 1.0 - decay);
                update = moments.whole.rsqrt().mul_(gradient);
            } else {  // V is approximated by (row means x column means) / mean
                moments.rows.mul_(decay).add_(squares.mean({-1}), 1.0 - decay);
                moments.columns.mul_(decay).add_(squares.mean({-2}), 1.0 - decay);
                const at::Tensor of_row = (moments.rows / moments.rows.mean({-1}, true)).rsqrt_().unsqueeze(-1);
                update = at::mul(of_row, moments.columns.rsqrt().unsqueeze(-2)).mul_(gradient);
            }
            update.mul_(own_rate / std::max(1.0, root_mean_square(update) / kClip));
            at::Tensor value = attached_.values[i];
            if (weight_decay_ > 0) value.mul_(1.0 - weight_decay_ * own_rate);
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
