// LoRA (Hu et al. 2021, arXiv 2106.09685, eq. 3): y = x W^T + b + (alpha / r) dropout(x) A^T B^T with A [r, in], B [out, r] and W frozen.
// A starts Kaiming-uniform, B at zero, as in the authors' code and in Hugging Face PEFT; alpha 0 means alpha = r (PEFT's scale of 1).
// At token embeddings it is PEFT's: row t gains (alpha / r) B A[:, t] with A [r, V] starting at zero and B [D, r] normal, for what is
// looked up; a vocabulary projection tied to the table stays as it is, so that merging gives the tables apart (core/peft/merge.h).
#include <ATen/ATen.h>

#include <algorithm>

#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/low_rank.h"

namespace permille {

namespace {

struct LoraConfig : LowRank {
    static const Fields<LoraConfig>& fields() {
        static const auto list = add_low_rank(Fields<LoraConfig>(), ", embeddings");
        return list;
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

class LoraEmbedding : public OutputModule {
public:
    // pad: the token whose column of A learns nothing where it is looked up, as in PEFT.
    LoraEmbedding(at::Tensor a, at::Tensor b, double scale, std::int64_t pad)
        : a_(std::move(a)), b_(std::move(b)), scale_(scale), pad_(pad < a_.size(1) ? pad : -1) {}

    at::Tensor apply(const Forward&, const at::Tensor& rows, const Passage& passage) const override {
        return at::add(rows, linear_map(at::embedding(a_.t(), passage.ids, pad_), b_), scale_);
    }
    bool merge_table(at::Tensor& table, double scale) const override {
        table = at::add(table, at::mm(a_.t(), b_.t()), scale_ / scale);
        return true;
    }

private:
    at::Tensor a_, b_;
    double scale_;
    std::int64_t pad_;
};

// Rows of the table that a stack looks tokens up in.
std::int64_t vocabulary(const Layout& layout, const Site& site) {
    const std::string table = peft_module(layout, site) + ".weight";
    for (const ParameterSpec& parameter : layout.parameters) {
        const auto& names = parameter.aliases;
        if (parameter.name == table || std::find(names.begin(), names.end(), table) != names.end()) return parameter.shape.front();
    }
    throw Error(ErrorKind::internal, site.name, "has no table");
}

class Lora : public MethodWith<LoraConfig> {
public:
    Lora()
        : MethodWith({.id = "lora",
                      .name = "LoRA",
                      .paper = "Hu et al. 2021, arXiv 2106.09685",
                      .summary = "trains a low-rank update of chosen projections",
                      .sites = {"linear", "embedding"},
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
            const std::string stem = peft_stem(layout, site);
            if (site.kind == SiteKind::linear) {
                specs.push_back({stem + "lora_A.weight", {chosen.rank, site.in}, chosen.start(site.in)});
                specs.push_back({stem + "lora_B.weight", {site.out, chosen.rank}, Init::zeros()});
            } else {
                specs.push_back({stem + "lora_embedding_A", {chosen.rank, vocabulary(layout, site)}, Init::zeros()});
                specs.push_back({stem + "lora_embedding_B", {site.out, chosen.rank}, Init::normal(1.0)});
            }
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const LoraConfig chosen = config(settings);
        std::size_t i = 0;
        for (const int index : sites(layout, chosen)) {
            const at::Tensor &a = values[i], &b = values[i + 1];
            i += 2;
            if (layout.sites[static_cast<std::size_t>(index)].kind == SiteKind::linear)
                attachment.linears.add(index, std::make_unique<LoraDelta>(a, b, chosen.scale(), chosen.dropout));
            else
                attachment.outputs.add(index,
                                       std::make_unique<LoraEmbedding>(a, b, chosen.scale() * layout.embedding_scale, layout.pad_id));
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        return largest_rank(layout, sites(layout, config(settings)));
    }

    Json peft_config(const Layout& layout, const Json& settings) const override {
        const LoraConfig chosen = config(settings);
        return lora_peft_config(layout, sites(layout, chosen), chosen, false);
    }
    Json from_peft(const Layout& layout, const Json& config) const override { return lora_from_peft(layout, config, false); }

private:
    std::vector<int> sites(const Layout& layout, const LoraConfig& chosen) const { return chosen.sites(layout, info_.id, true); }
};

}  // namespace

std::unique_ptr<Method> lora_method() { return std::make_unique<Lora>(); }

}  // namespace permille
