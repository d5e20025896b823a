// DoRA (Liu et al. 2024, arXiv 2402.09353, eq. 5 and 11): W' = m (W + (alpha / r) B A) / n, with A and B as in LoRA and for each output row
// a trained magnitude m [out] and the norm n of the row of W + (alpha / r) B A, which counts as a constant in the gradient (section 4.3).
// m starts as the norms of W's rows, so that W' is W. With dropout, what is added to the frozen projection sees the dropped input, as in
// PEFT.
#include <ATen/ATen.h>

#include <mutex>

#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/low_rank.h"

namespace permille {

namespace {

struct DoraConfig : LowRank {
    bool full_gradient = false;
    static const Fields<DoraConfig>& fields() {
        static const auto list = add_low_rank(Fields<DoraConfig>())
                                     .add("full_gradient", &DoraConfig::full_gradient,
                                          "let the gradient pass through the norms too, which the paper leaves out for its cost");
        return list;
    }
};

at::Tensor row_norms(const at::Tensor& weight) { return at::linalg_vector_norm(weight, 2, at::IntArrayRef{1}); }

class DoraDelta : public LinearDelta {
public:
    DoraDelta(at::Tensor a, at::Tensor b, at::Tensor magnitude, const Site& site, const DoraConfig& chosen)
        : a_(std::move(a)),
          b_(std::move(b)),
          magnitude_(std::move(magnitude)),
          weight_(site.weight),
          bias_(site.bias),
          scale_(chosen.scale()),
          rate_(chosen.dropout),
          full_gradient_(chosen.full_gradient) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const override {
        const double rate = at::GradMode::is_enabled() ? rate_ : 0.0;
        const at::Tensor weight = forward.parameter(weight_), share = shares(weight).to(x.scalar_type());
        const at::Tensor input = dropout(x, rate, forward.streams);
        const at::Tensor plain =
            rate > 0 ? linear_map(input, weight.to(x.scalar_type())) : y - forward.typed_parameter(bias_).to(y.scalar_type());
        const at::Tensor low = linear_map(linear_map(input, a_.to(x.scalar_type())), b_.to(x.scalar_type()));
        return y + (share - 1) * plain + share * scale_ * low;
    }
    bool merge(at::Tensor& weight, at::Tensor&) const override {
        const at::Tensor moved = weight + scale_ * at::mm(b_, a_);
        weight = moved * (magnitude_ / row_norms(moved)).unsqueeze(1);
        return true;
    }
    bool alone() const override { return true; }

private:
    at::Tensor norms(const at::Tensor& weight) const {
        const at::AutoGradMode mode(at::GradMode::is_enabled() && full_gradient_);
        return row_norms(weight.to(at::kFloat) + scale_ * at::mm(b_, a_));
    }
    // m / n [out]. Kept between the steps of a search: it costs more than the projection of a few rows.
    at::Tensor shares(const at::Tensor& weight) const {
        if (at::GradMode::is_enabled()) return magnitude_ / norms(weight);
        std::int64_t version = 0;  // counts changes in place
        for (const at::Tensor* value : {&a_, &b_, &magnitude_})
            if (!value->is_inference()) version += value->_version();
        const std::lock_guard lock(mutex_);
        if (!kept_.defined() || kept_of_ != weight.unsafeGetTensorImpl() || kept_version_ != version || weight.requires_grad()) {
            kept_ = magnitude_ / norms(weight);
            kept_of_ = weight.unsafeGetTensorImpl();
            kept_version_ = version;
        }
        return kept_;
    }

    at::Tensor a_, b_, magnitude_;
    int weight_, bias_;
    double scale_, rate_;
    bool full_gradient_;
    mutable std::mutex mutex_;
    mutable at::Tensor kept_;
    mutable const void* kept_of_ = nullptr;
    mutable std::int64_t kept_version_ = 0;
};

class Dora : public MethodWith<DoraConfig> {
public:
    Dora()
        : MethodWith({.id = "dora",
                      .name = "DoRA",
                      .paper = "Liu et al. 2024, arXiv 2402.09353",
                      .summary = "trains a low-rank update of the direction of each weight row, and its length",
                      .sites = {"linear"},
                      .knobs = DoraConfig::fields().list(),
                      .size_knob = "rank",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 2e-3,
                      .equation = "W' = m (W + (alpha / r) B A) / |W + (alpha / r) B A| by rows, A [r, in], B [out, r], m [out]",
                      .advice = "LoRA at small ranks, where the separate length helps most. An update costs about half as much again as "
                                "LoRA's; it merges, so that translating costs nothing more."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const DoraConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string stem = peft_stem(layout, site);
            specs.push_back({stem + "lora_A.weight", {chosen.rank, site.in}, chosen.start(site.in)});
            specs.push_back({stem + "lora_B.weight", {site.out, chosen.rank}, Init::zeros()});
            const auto weight = static_cast<std::size_t>(site.weight);
            specs.push_back(
                {stem + "lora_magnitude_vector", {site.out}, Init::made([weight](const std::vector<at::Tensor>& weights, std::uint64_t) {
                     return row_norms(weights[weight].to(at::kFloat));
                 })});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const DoraConfig chosen = config(settings);
        std::size_t i = 0;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            attachment.linears.add(index, std::make_unique<DoraDelta>(values[i], values[i + 1], values[i + 2], site, chosen));
            i += 3;
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        return largest_rank(layout, config(settings).sites(layout, info_.id));
    }

    Json peft_config(const Layout& layout, const Json& settings) const override {
        const DoraConfig chosen = config(settings);
        return lora_peft_config(layout, chosen.sites(layout, info_.id), chosen, true);
    }
    Json from_peft(const Layout& layout, const Json& config) const override { return lora_from_peft(layout, config, true); }
};

}  // namespace

std::unique_ptr<Method> dora_method() { return std::make_unique<Dora>(); }

}  // namespace permille
