// VeRA (Kopiczko, Blankevoort & Asano 2023, arXiv 2310.11454, eq. 2): y = x W^T + b + l_b (B (l_d (A x))) with two random matrices A and B
// that are frozen and shared by all sites, sliced to each one's widths, and trained vectors l_d [r] (start 0.1) and l_b [out] (start 0).
// A [r, in] and B [out, r] are Kaiming-uniform with gain sqrt(2), as in PEFT. They are part of the adapter file, since a seed brings them
// back only with the same generator.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/targets.h"

namespace permille {

namespace {

struct VeraConfig : Targets {
    std::int64_t rank = 256;
    double dropout = 0;
    double initial_scale = 0.1;
    static const Fields<VeraConfig>& fields() {
        static const auto list =
            add_targets(Fields<VeraConfig>()
                            .add("rank", &VeraConfig::rank, "rows of the shared random A and columns of B", {.min = 1, .max = 65536})
                            .add("dropout", &VeraConfig::dropout, "dropout on the input of the update", {.min = 0, .max = 0.9})
                            .add("initial_scale", &VeraConfig::initial_scale, "start of the vectors l_d", {.min = 1e-6, .max = 10}));
        return list;
    }
};

class VeraDelta : public LinearDelta {
public:
    VeraDelta(const at::Tensor& a, const at::Tensor& b, at::Tensor inner, at::Tensor outer, std::int64_t in, double rate)
        : a_(a.narrow(1, 0, in)), b_(b.narrow(0, 0, outer.size(0))), inner_(std::move(inner)), outer_(std::move(outer)), rate_(rate) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const override {
        const auto type = x.scalar_type();
        const double rate = at::GradMode::is_enabled() ? rate_ : 0.0;
        const at::Tensor low = linear_map(dropout(x, rate, forward.streams), a_.to(type)) * inner_.to(type);
        return at::addcmul(y, linear_map(low, b_.to(type)), outer_.to(type));
    }
    bool merge(at::Tensor& weight, at::Tensor&) const override {
        weight = weight + at::mm(b_ * outer_.unsqueeze(1), a_ * inner_.unsqueeze(1));
        return true;
    }

private:
    at::Tensor a_, b_;  // of all sites
    at::Tensor inner_, outer_;
    double rate_;
};

class Vera : public MethodWith<VeraConfig> {
public:
    Vera()
        : MethodWith({.id = "vera",
                      .name = "VeRA",
                      .paper = "Kopiczko et al. 2023, arXiv 2310.11454",
                      .summary = "trains two vectors for each projection around random matrices that all share",
                      .sites = {"linear"},
                      .knobs = VeraConfig::fields().list(),
                      .size_knob = "rank",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 1e-2,
                      .equation = "y = x W^T + b + l_b (B (l_d (A x))), A [r, in] and B [out, r] random and shared, l_d [r], l_b [out]",
                      .advice = "Hundredths of a percent trained; the file also holds the two random matrices, so compare stored sizes "
                                "too. Wants a learning rate about ten times LoRA's."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const VeraConfig chosen = config(settings);
        const std::vector<int> places = chosen.sites(layout, info_.id);
        std::int64_t in = 0, out = 0;
        for (const int index : places) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            in = std::max(in, site.in);
            out = std::max(out, site.out);
        }
        const auto uniform = [](std::int64_t fan_in) {
            const double bound = std::sqrt(6.0 / static_cast<double>(fan_in));
            return Init::uniform(-bound, bound);
        };
        std::vector<TensorSpec> specs = {{"base_model.vera_A", {chosen.rank, in}, uniform(in), -1, TensorRole::constant, 1},
                                         {"base_model.vera_B", {out, chosen.rank}, uniform(chosen.rank), -1, TensorRole::constant, 1}};
        for (const int index : places) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string stem = peft_stem(layout, site);
            specs.push_back({stem + "vera_lambda_d", {chosen.rank}, Init::constant(chosen.initial_scale)});
            specs.push_back({stem + "vera_lambda_b", {site.out}, Init::zeros()});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const VeraConfig chosen = config(settings);
        std::size_t i = 2;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            attachment.linears.add(index,
                                   std::make_unique<VeraDelta>(values[0], values[1], values[i], values[i + 1], site.in, chosen.dropout));
            i += 2;
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        std::int64_t largest = 1;
        for (const int index : config(settings).sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            largest = std::max(largest, std::min(site.in, site.out));
        }
        return largest;
    }

    Json peft_config(const Layout& layout, const Json& settings) const override {
        const VeraConfig chosen = config(settings);
        return Json{{"peft_type", "VERA"},
                    {"r", chosen.rank},
                    {"vera_dropout", chosen.dropout},
                    {"d_initial", chosen.initial_scale},
                    {"projection_prng_key", 0},
                    {"save_projection", true},
                    {"bias", "none"},
                    {"fan_in_fan_out", false},
                    {"target_modules", peft_modules(layout, chosen.sites(layout, info_.id))}};
    }
    Json from_peft(const Layout& layout, const Json& config) const override {
        if (!is_peft_type(config, "VERA")) return nullptr;
        refuse_other_fields(config, {"r", "vera_dropout", "d_initial", "init_weights", "projection_prng_key", "save_projection"});
        if (config.value("save_projection", Json(true)) != true)
            throw Error(ErrorKind::unsupported, "adapter_config.json/save_projection",
                        "is false: the random matrices can only be made again by PyTorch's generator", "have PEFT save the projection");
        return Json{{"rank", config.value("r", Json(256))},
                    {"dropout", config.value("vera_dropout", Json(0.0))},
                    {"initial_scale", config.value("d_initial", Json(0.1))},
                    {"targets", targets_of_peft(layout, config)}};
    }
};

}  // namespace

std::unique_ptr<Method> vera_method() { return std::make_unique<Vera>(); }

}  // namespace permille
