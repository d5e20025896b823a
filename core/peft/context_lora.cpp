// Context-PEFT with LoRA (Hadji-Kyriacou & Arandjelovic 2023, arXiv 2312.08900): y = x W^T + b + sum over groups g of (alpha / r) m_g
// (x A_g^T) B_g^T, m_g being 1 for the tokens of group g. All groups are computed in two products, with the rows A_g and the columns B_g
// side by side. A starts Kaiming-uniform, B at zero.
#include <ATen/ATen.h>

#include "core/nn/matmul.h"
#include "core/peft/context.h"
#include "core/peft/low_rank.h"

namespace permille {

namespace {

struct ContextLoraConfig : Contexts {
    std::int64_t rank = 8;
    double alpha = 0, dropout = 0;
    static const Fields<ContextLoraConfig>& fields() {
        static const auto list =
            add_contexts(Fields<ContextLoraConfig>()
                             .add("rank", &ContextLoraConfig::rank, "rank of each group's update", {.min = 1, .max = 65536})
                             .add("alpha", &ContextLoraConfig::alpha, "scale of the updates is alpha / rank; 0: alpha = rank", {.min = 0})
                             .add("dropout", &ContextLoraConfig::dropout, "dropout on the input of the updates", {.min = 0, .max = 0.9}));
        return list;
    }
    double scale() const { return alpha > 0 ? alpha / static_cast<double>(rank) : 1.0; }
};

class ContextLoraDelta : public LinearDelta {
public:
    ContextLoraDelta(std::vector<at::Tensor> a, std::vector<at::Tensor> b, Membership members, double scale, double rate)
        : a_(std::move(a)), b_(std::move(b)), members_(std::move(members)), scale_(scale), rate_(rate) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const override {
        const auto type = x.scalar_type();
        const double rate = at::GradMode::is_enabled() ? rate_ : 0.0;
        const auto count = static_cast<std::int64_t>(a_.size());
        const at::Tensor low = linear_map(dropout(x, rate, forward.streams), at::cat(a_).to(type));
        const at::Tensor own = low.view({x.size(0), count, -1}) * members_(forward, type).unsqueeze(2);
        return at::add(y, linear_map(own.view({x.size(0), -1}), at::cat(b_, 1).to(type)), scale_);
    }

private:
    std::vector<at::Tensor> a_, b_;  // by group
    Membership members_;
    double scale_, rate_;
};

class ContextLora : public MethodWith<ContextLoraConfig> {
public:
    ContextLora()
        : MethodWith(
              {.id = "context_lora",
               .name = "Context-LoRA",
               .paper = "Hadji-Kyriacou & Arandjelovic 2023, arXiv 2312.08900",
               .summary = "trains a low-rank update of its own for text and for each domain of tokens",
               .sites = {"linear"},
               .knobs = ContextLoraConfig::fields().list(),
               .size_knob = "rank",
               .mergeable = false,
               .identity_at_start = true,
               .default_learning_rate = 2e-3,
               .equation = "y = x W^T + b + sum_g (alpha / r) m_g (x A_g^T) B_g^T, A_g [r, in], B_g [out, r], m_g 1 for tokens of group g",
               .advice = "When tokens of different kinds should not share an update: language tags beside text, or terms of a "
                         "domain. With G groups a budget buys 1/G of LoRA's rank."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const ContextLoraConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            for (const std::string& group : chosen.groups(site, info_.id)) {
                const std::string stem = module_of(layout, site) + "." + group;
                specs.push_back({stem + ".lora_A", {chosen.rank, site.in}, Init::kaiming(site.in)});
                specs.push_back({stem + ".lora_B", {site.out, chosen.rank}, Init::zeros()});
            }
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const ContextLoraConfig chosen = config(settings);
        const auto domains = chosen.parsed(info_.id);
        std::size_t i = 0;
        for (const int index : chosen.sites(layout, info_.id)) {
            std::vector<at::Tensor> a, b;
            for (std::size_t group = 0; group < domains.size() + 1; ++group, i += 2) {
                a.push_back(values[i]);
                b.push_back(values[i + 1]);
            }
            attachment.linears.add(index,
                                   std::make_unique<ContextLoraDelta>(std::move(a), std::move(b),
                                                                      Membership(layout.sites[static_cast<std::size_t>(index)], domains),
                                                                      chosen.scale(), chosen.dropout));
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        return largest_rank(layout, config(settings).sites(layout, info_.id));
    }
};

}  // namespace

std::unique_ptr<Method> context_lora_method() { return std::make_unique<ContextLora>(); }

}  // namespace permille
