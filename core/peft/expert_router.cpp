// The training of MoEfication's router.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "core/peft/moefication.h"

namespace permille {

namespace {

constexpr std::int64_t kBatch = 512;
constexpr double kRate = 0.01;

// Adam (Kingma and Ba 2015) over a few tensors, libtorch's fused kernel.
class Adam {
public:
    explicit Adam(std::vector<at::Tensor> values) : values_(std::move(values)) {
        for (const at::Tensor& value : values_) {
            first_.push_back(at::zeros_like(value));
            second_.push_back(at::zeros_like(value));
            steps_.push_back(at::zeros({}, value.options()));
        }
    }
    void step(const std::vector<at::Tensor>& gradients) {
        for (const at::Tensor& count : steps_) count.add_(1.0);
        at::_fused_adam_(values_, gradients, first_, second_, {}, steps_, kRate, 0.9, 0.999, 0.0, 1e-8, false, false);
    }

private:
    std::vector<at::Tensor> values_, first_, second_, steps_;
};

}  // namespace

TrainedRouter train_router(const at::Tensor& rows, const at::Tensor& sums, const at::Tensor& centres, std::int64_t active,
                           std::int64_t epochs, std::uint64_t seed, const std::function<void()>& stop) {
    const at::NoGradGuard guard;  // the gradients of two layers are written out below
    auto generator = at::detail::createCPUGenerator(seed);
    const auto shuffled = [&](std::int64_t count) { return at::randperm(count, generator).to(rows.device()); };
    const std::int64_t count = rows.size(0), held_out = std::max<std::int64_t>(1, count / 10),
                       used = std::max<std::int64_t>(1, count - held_out);
    const at::Tensor order = shuffled(count);
    const at::Tensor train_rows = rows.index_select(0, order.narrow(0, 0, used)),
                     train_sums = sums.index_select(0, order.narrow(0, 0, used));
    const at::Tensor test = order.narrow(0, count - held_out, held_out);
    const at::Tensor test_rows = rows.index_select(0, test), test_sums = sums.index_select(0, test);

    const at::Tensor first = centres.clone(), second = at::eye(centres.size(0), centres.options());
    const auto captured = [&] { return captured_share(mlp_scores(test_rows, first, second), test_sums, active); };
    TrainedRouter best{first.clone(), second.clone(), 0, captured(), 0};
    Adam adam({first, second});
    for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
        const at::Tensor places = shuffled(used);
        double loss = 0;
        std::int64_t batches = 0;
        for (const at::Tensor& batch : places.split(kBatch)) {
            const at::Tensor x = train_rows.index_select(0, batch);
            at::Tensor wanted = train_sums.index_select(0, batch);
            wanted = wanted / wanted.max().clamp_min(1e-12);
            const at::Tensor middle = x.matmul(first.t()).tanh(), scores = middle.matmul(second.t());
            loss += at::binary_cross_entropy_with_logits(scores, wanted).item<double>();
            ++batches;
            const at::Tensor slope = (scores.sigmoid() - wanted) / static_cast<double>(wanted.numel());
            const at::Tensor inner = slope.matmul(second) * (1 - middle * middle);
            adam.step({inner.t().matmul(x), slope.t().matmul(middle)});
        }
        if (const double share = captured(); share > best.captured)
            best = {first.clone(), second.clone(), epoch, share, loss / static_cast<double>(batches)};
        if (stop) stop();
    }
    return best;
}

}  // namespace permille
