// LoRA (Hu et al. 2021, arXiv 2106.09685, eq. 3): y = x W^T + b + (alpha / r) dropout(x) A^T B^T with A [r, in], B [out, r] and W frozen.
// A starts Kaiming-uniform, B at zero, as in the authors' code and in Hugging Face PEFT; alpha 0 means alpha = r (PEFT's scale of 1).
// rsLoRA (Kalajdzievski 2023, arXiv 2312.03732) scales by alpha / sqrt(r).
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/method.h"

namespace permille {

namespace {

struct LoraConfig : Scope {
    std::int64_t rank = 8;
    double alpha = 0;
    double dropout = 0;
    std::string targets = "qv";
    bool rank_stabilised = false;
    static const Fields<LoraConfig>& fields() {
        static const auto list = add_scope(
            Fields<LoraConfig>()
                .add("rank", &LoraConfig::rank, "rank of the update", {.min = 1, .max = 65536})
                .add("alpha", &LoraConfig::alpha, "scale of the update is alpha / rank; 0: alpha = rank", {.min = 0})
                .add("dropout", &LoraConfig::dropout, "dropout on the input of the update", {.min = 0, .max = 0.9})
                .add("targets", &LoraConfig::targets, "which projections: queries and values, all of attention, or all linear maps",
                     {.choices = {"qv", "attention", "all"}})
                .add("rank_stabilised", &LoraConfig::rank_stabilised, "scale by alpha / sqrt(rank) (rsLoRA)"));
        return list;
    }
    double scale() const {
        const double numerator = alpha > 0 ? alpha : static_cast<double>(rank);
        return rank_stabilised ? numerator / std::sqrt(static_cast<double>(rank)) : numerator / static_cast<double>(rank);
    }
};

class LoraDelta : public LinearDelta {
public:
    LoraDelta(at::Tensor a, at::Tensor b, double scale, double rate) : a_(std::move(a)), b_(std::move(b)), scale_(scale), rate_(rate) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const override {
        const double rate = at::GradMode::is_enabled() ? rate_ : 0.0;
        const at::Tensor input = dropout(x, rate, forward.streams);
        const at::Tensor low = linear_map(input, a_.to(x.scalar_type()));
        return at::add(y, linear_map(low, b_.to(x.scalar_type())), scale_);
    }
    bool merge(at::Tensor& weight, at::Tensor&) const override {
        weight = weight + scale_ * at::mm(b_, a_);
        return true;
    }

private:
    at::Tensor a_, b_;
    double scale_, rate_;
};

class Lora : public MethodWith<LoraConfig> {
public:
    Lora()
        : MethodWith({.id = "lora",
                      .name = "LoRA",
                      .paper = "Hu et al. 2021, arXiv 2106.09685",
                      .summary = "trains a low-rank update of chosen projections",
                      .sites = {"linear"},
                      .knobs = LoraConfig::fields().list(),
                      .size_knob = "rank",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 2e-3,
                      .equation = "y = x W^T + b + (alpha / r) dropout(x) A^T B^T, A [r, in], B [out, r], W frozen",
                      .advice = "The common choice between a tenth of a percent and a few percent: it merges into the base, so that "
                                "translating costs nothing more."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const LoraConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : sites(layout, chosen)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string& weight = layout.parameters[static_cast<std::size_t>(site.weight)].name;
            const std::string stem = "base_model.model." + weight.substr(0, weight.rfind('.'));
            specs.push_back({stem + ".lora_A.weight", {chosen.rank, site.in}, Init::kaiming(site.in)});
            specs.push_back({stem + ".lora_B.weight", {site.out, chosen.rank}, Init::zeros()});
        }
        if (specs.empty())
            throw Error(ErrorKind::config, "lora/targets", "no projection of this model matches", "choose other targets or stacks");
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const LoraConfig chosen = config(settings);
        std::size_t i = 0;
        for (const int index : sites(layout, chosen)) {
            attachment.linears.add(index, std::make_unique<LoraDelta>(values[i], values[i + 1], chosen.scale(), chosen.dropout));
            i += 2;
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        std::int64_t largest = 0;
        for (const int index : sites(layout, config(settings))) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            largest = std::max(largest, std::min(site.in, site.out));
        }
        return std::max<std::int64_t>(1, largest / 2);
    }

    Json peft_config(const Layout& layout, const Json& settings) const override {
        const LoraConfig chosen = config(settings);
        Json targets = Json::array();
        for (const int index : sites(layout, chosen))
            targets.push_back("model." + module_of(layout, layout.sites[static_cast<std::size_t>(index)]));
        return Json{{"peft_type", "LORA"},
                    {"r", chosen.rank},
                    {"lora_alpha", chosen.alpha > 0 ? chosen.alpha : static_cast<double>(chosen.rank)},
                    {"lora_dropout", chosen.dropout},
                    {"use_rslora", chosen.rank_stabilised},
                    {"use_dora", false},
                    {"bias", "none"},
                    {"fan_in_fan_out", false},
                    {"target_modules", targets}};
    }

private:
    static std::vector<int> sites(const Layout& layout, const LoraConfig& chosen) {
        std::vector<int> list;
        for (std::size_t i = 0; i < layout.sites.size(); ++i) {
            const Site& site = layout.sites[i];
            if (site.kind != SiteKind::linear || !chosen.holds(site.name, layout)) continue;
            const std::string part = site.name.substr(site.name.rfind('.') + 1);
            const bool attention = part == "q" || part == "k" || part == "v" || part == "out";
            if (chosen.targets == "all" || (chosen.targets == "attention" && attention) || part == "q" || part == "v")
                list.push_back(static_cast<int>(i));
        }
        return list;
    }
};

}  // namespace

std::unique_ptr<Method> lora_method() { return std::make_unique<Lora>(); }

}  // namespace permille
