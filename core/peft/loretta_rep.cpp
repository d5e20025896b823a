// LoRETTA with reparametrised updates (Yang et al. 2024, arXiv 2402.11417, section 4.2): LoRA whose two matrices are tensor trains of rank
// R (core/peft/tensor_train.h): y = x W^T + b + (alpha / r) (x A) B, A [in, r], B [r, out]; r = 8, alpha = 16 and the query and value
// projections as in the authors' examples. The layer norms are trained too. Their code starts all cores at random ("reference"), so that
// the base is disturbed; ours starts the last core of B at zero, the identity.
#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_block.h"
#include "core/peft/targets.h"
#include "core/peft/tensor_train.h"

namespace permille {

namespace {

struct LorettaRepConfig : Targets {
    std::int64_t tensor_rank = 5;
    std::int64_t rank = 8;
    double alpha = 16;
    bool train_layernorm = true;
    std::string initialisation = "identity";
    static const Fields<LorettaRepConfig>& fields() {
        static const auto list =
            add_targets(Fields<LorettaRepConfig>()
                            .add("tensor_rank", &LorettaRepConfig::tensor_rank, "rank of the tensor trains", {.min = 1, .max = 4096})
                            .add("rank", &LorettaRepConfig::rank, "rank of the update", {.min = 1, .max = 65536})
                            .add("alpha", &LorettaRepConfig::alpha, "scale of the update is alpha / rank", {.min = 0})
                            .add("train_layernorm", &LorettaRepConfig::train_layernorm, "train the layer norms too")
                            .add("initialisation", &LorettaRepConfig::initialisation,
                                 "identity: the second matrix is zero at the start; reference: all cores random, as in the authors' code",
                                 {.choices = {"identity", "reference"}}));
        return list;
    }
};

class LorettaDelta : public LinearDelta {
public:
    LorettaDelta(TensorTrain a, TensorTrain b, std::vector<at::Tensor> cores, double scale)
        : a_(std::move(a)), b_(std::move(b)), cores_(std::move(cores)), scale_(scale) {}

    at::Tensor apply(const Forward&, const at::Tensor& x, const at::Tensor& y) const override {
        const auto typed = [&](const at::Tensor& matrix) { return matrix.t().contiguous().to(x.scalar_type()); };
        const at::Tensor low = linear_map(x, typed(a_.matrix(cores_, 0)));
        return at::add(y, linear_map(low, typed(b_.matrix(cores_, a_.cores()))), scale_);
    }
    bool merge(at::Tensor& weight, at::Tensor&) const override {
        weight = weight + scale_ * at::mm(a_.matrix(cores_, 0), b_.matrix(cores_, a_.cores())).t();
        return true;
    }

private:
    TensorTrain a_, b_;
    std::vector<at::Tensor> cores_;  // of A, then of B
    double scale_;
};

class LorettaRep : public MethodWith<LorettaRepConfig> {
public:
    LorettaRep()
        : MethodWith({.id = "loretta_rep",
                      .name = "LoRETTA updates",
                      .paper = "Yang et al. 2024, arXiv 2402.11417",
                      .summary = "trains low-rank updates whose matrices are tensor trains, and the layer norms",
                      .sites = {"linear", "parameters"},
                      .knobs = LorettaRepConfig::fields().list(),
                      .size_knob = "tensor_rank",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 3e-3,
                      .equation = "y = x W^T + b + (alpha / r) x A B; A [in, r], B [r, out] products of cores [R, n, R]",
                      .advice =
                          "LoRA at a tenth of its size, and mergeable like it. Most of what it trains with its usual rank of 5 are the "
                          "layer norms."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const LorettaRepConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string stem = module_of(layout, site) + ".";
            TensorTrain::of(site.in, chosen.rank, chosen.tensor_rank).add_specs(specs, stem + "A.", false);
            TensorTrain::of(chosen.rank, site.out, chosen.tensor_rank).add_specs(specs, stem + "B.", chosen.initialisation == "identity");
        }
        require_match(specs, info_.id);
        if (chosen.train_layernorm) add_norms(specs, layout, chosen);
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const LorettaRepConfig chosen = config(settings);
        auto next = values.begin();
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            TensorTrain a = TensorTrain::of(site.in, chosen.rank, chosen.tensor_rank),
                        b = TensorTrain::of(chosen.rank, site.out, chosen.tensor_rank);
            const auto end = next + static_cast<std::ptrdiff_t>(a.cores() + b.cores());
            attachment.linears.add(index, std::make_unique<LorettaDelta>(std::move(a), std::move(b), std::vector<at::Tensor>(next, end),
                                                                         chosen.alpha / static_cast<double>(chosen.rank)));
            next = end;
        }
        if (chosen.train_layernorm) attach_norms(attachment, tensors(layout, settings), values);
    }

    std::int64_t largest_size(const Layout&, const Json&) const override { return 32; }
};

}  // namespace

std::unique_ptr<Method> loretta_rep_method() { return std::make_unique<LorettaRep>(); }

}  // namespace permille
