// LoRETTA with adapters (Yang et al. 2024, arXiv 2402.11417, section 4.1): adapters a(x) = tanh(x W1 + b1) W2 + b2 after attention and
// after the feed-forward block, h + a(h), with both matrices tensor trains of rank R (core/peft/tensor_train.h). The layer norms are
// trained too, as the paper means it; in the authors' code a slip makes that all or nothing of the model. Theirs starts all cores at random
// ("reference"), so that the base is disturbed; ours starts the last core of W2 and b2 at zero, the identity. Their bottleneck is 256 in
// the code, 64 in its examples.
#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_block.h"
#include "core/peft/tensor_train.h"

namespace permille {

namespace {

struct LorettaAdpConfig : Scope {
    std::int64_t tensor_rank = 5;
    std::int64_t bottleneck_dim = 64;
    std::string activation = "tanh";
    bool cross_attention = false;
    bool train_layernorm = true;
    std::string initialisation = "identity";
    static const Fields<LorettaAdpConfig>& fields() {
        static const auto list = add_scope(
            Fields<LorettaAdpConfig>()
                .add("tensor_rank", &LorettaAdpConfig::tensor_rank, "rank of the tensor trains", {.min = 1, .max = 4096})
                .add("bottleneck_dim", &LorettaAdpConfig::bottleneck_dim, "width of the adapters' middle layer", {.min = 1, .max = 1 << 20})
                .add("activation", &LorettaAdpConfig::activation, "non-linearity of the middle layer",
                     {.choices = {"tanh", "relu", "gelu", "swish"}})
                .add("cross_attention", &LorettaAdpConfig::cross_attention, "adapters after cross-attention too")
                .add("train_layernorm", &LorettaAdpConfig::train_layernorm, "train the layer norms too")
                .add("initialisation", &LorettaAdpConfig::initialisation,
                     "identity: the second matrix is zero at the start; reference: all cores random, as in the authors' code",
                     {.choices = {"identity", "reference"}}));
        return list;
    }
    std::vector<int> sites(const Layout& layout) const {
        return block_outputs(layout, *this, {.self_attention = true, .cross_attention = cross_attention, .feed_forward = true});
    }
};

class LorettaAdp : public MethodWith<LorettaAdpConfig> {
public:
    LorettaAdp()
        : MethodWith(
              {.id = "loretta_adp",
               .name = "LoRETTA adapters",
               .paper = "Yang et al. 2024, arXiv 2402.11417",
               .summary = "adds adapters whose matrices are tensor trains, and trains the layer norms",
               .sites = {"output", "parameters"},
               .knobs = LorettaAdpConfig::fields().list(),
               .size_knob = "tensor_rank",
               .mergeable = false,
               .identity_at_start = true,
               .default_learning_rate = 3e-3,
               .equation = "h + tanh(h W1 + b1) W2 + b2 after a block that gives h; W1 [D, r], W2 [r, D] products of cores [R, n, R]",
               .advice = "Adapters at a fiftieth of their size. For budgets of a few hundredths of a percent; most of what it trains "
                         "with its usual rank of 5 are the layer norms."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const LorettaAdpConfig chosen = config(settings);
        const bool identity = chosen.initialisation == "identity";
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string stem = adapter_stem(site);
            const std::int64_t width = site.out, middle = chosen.bottleneck_dim;
            TensorTrain::of(width, middle, chosen.tensor_rank).add_specs(specs, stem + "down.", false);
            specs.push_back({stem + "down.bias", {middle}, Init::kaiming(middle)});
            TensorTrain::of(middle, width, chosen.tensor_rank).add_specs(specs, stem + "up.", identity);
            specs.push_back({stem + "up.bias", {width}, identity ? Init::zeros() : Init::kaiming(width)});
        }
        require_match(specs, info_.id);
        if (chosen.train_layernorm) add_norms(specs, layout, chosen);
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const LorettaAdpConfig chosen = config(settings);
        const Nonlinearity kind = nonlinearity_of(chosen.activation);
        std::size_t first = 0;
        for (const int index : chosen.sites(layout)) {
            const std::int64_t width = layout.sites[static_cast<std::size_t>(index)].out;
            const auto next_map = [&](std::int64_t in, std::int64_t out) {
                const TensorTrain train = TensorTrain::of(in, out, chosen.tensor_rank);
                const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
                const std::vector<at::Tensor> own(begin, begin + static_cast<std::ptrdiff_t>(train.cores() + 1));
                first += own.size();
                return [train, own](const Forward& forward, const at::Tensor& x) {
                    const at::Tensor weight = train.matrix(own, 0).t().contiguous().to(forward.compute);
                    return linear_map(x.to(forward.compute), weight, own.back().to(forward.compute));
                };
            };
            const auto down = next_map(width, chosen.bottleneck_dim);
            const auto up = next_map(chosen.bottleneck_dim, width);
            attachment.outputs.add(index, std::make_unique<AdapterModule>(
                                              [down, up, kind](const Forward& forward, const at::Tensor& x) {
                                                  return up(forward, nonlinear(kind, down(forward, x)));
                                              },
                                              AdapterReads::output, is_pre_norm(layout)));
        }
        if (chosen.train_layernorm) attach_norms(attachment, tensors(layout, settings), values);
    }

    std::int64_t largest_size(const Layout&, const Json&) const override { return 32; }
};

}  // namespace

std::unique_ptr<Method> loretta_adp_method() { return std::make_unique<LorettaAdp>(); }

}  // namespace permille
