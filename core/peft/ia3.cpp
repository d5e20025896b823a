// (IA)^3 (Liu et al. 2022, arXiv 2205.05638, section 3.3): trained vectors that scale keys, values and the middle of the feed-forward
// blocks: k' = l_k (W_k x + b_k), v' = l_v (W_v x + b_v), fc2(l_ff act(fc1 x)). All start at one. Names, shapes and sites are PEFT's: at
// fc2 the vector scales the input, elsewhere the output. With sides = both every projection has a vector for its input and one for its
// output; at all projections that is "lora_scaling" of T-Few, the authors' code.
#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/nn/parts.h"
#include "core/peft/targets.h"

namespace permille {

namespace {

struct Ia3Config : Targets {
    Ia3Config() { targets = "k,v,fc2"; }
    std::string sides = "one";
    static const Fields<Ia3Config>& fields() {
        static const auto list = add_targets(Fields<Ia3Config>().add("sides", &Ia3Config::sides,
                                                                     "one: fc2 is scaled at its input, other projections at their output; "
                                                                     "both: each at both (with targets=all T-Few's lora_scaling)",
                                                                     {.choices = {"one", "both"}}));
        return list;
    }
};

class OutputScale : public LinearDelta {
public:
    explicit OutputScale(at::Tensor scale) : scale_(std::move(scale)) {}  // [out, 1]
    at::Tensor apply(const Forward&, const at::Tensor&, const at::Tensor& y) const override {
        return y * scale_.view({-1}).to(y.scalar_type());
    }
    bool merge(at::Tensor& weight, at::Tensor& bias) const override {
        weight = weight * scale_;
        bias = bias * scale_.view({-1});
        return true;
    }

private:
    at::Tensor scale_;
};

class InputScale : public LinearDelta {
public:
    explicit InputScale(at::Tensor scale) : scale_(std::move(scale)) {}  // [1, in]
    at::Tensor input(const Forward&, const at::Tensor& x) const override { return x * scale_.to(x.scalar_type()); }
    bool merge(at::Tensor& weight, at::Tensor&) const override {
        weight = weight * scale_;
        return true;
    }

private:
    at::Tensor scale_;
};

bool scales_input(const Site& site) { return site.name.ends_with(".fc2"); }

class Ia3 : public MethodWith<Ia3Config> {
public:
    Ia3()
        : MethodWith({.id = "ia3",
                      .name = "(IA)^3",
                      .paper = "Liu et al. 2022, arXiv 2205.05638",
                      .summary = "scales keys, values and the middle of feed-forward blocks by trained vectors",
                      .sites = {"linear"},
                      .knobs = Ia3Config::fields().list(),
                      .size_knob = "",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 3e-3,
                      .default_optimiser = "adafactor",
                      .equation = "k' = l_k k, v' = l_v v, fc2(l_ff act(fc1 x)); l_k, l_v [D], l_ff [F]",
                      .advice = "For very small budgets, some hundredths of a percent, and little data. It merges; T-Few trains it with "
                                "Adafactor for a thousand updates."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const Ia3Config chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            if (chosen.sides == "both") {
                specs.push_back({module_of(layout, site) + ".scaling_input", {1, site.in}, Init::ones()});
                specs.push_back({module_of(layout, site) + ".scaling_output", {site.out, 1}, Init::ones()});
                continue;
            }
            const std::vector<std::int64_t> shape =
                scales_input(site) ? std::vector<std::int64_t>{1, site.in} : std::vector<std::int64_t>{site.out, 1};
            specs.push_back({peft_stem(layout, site) + "ia3_l", shape, Init::ones()});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const Ia3Config chosen = config(settings);
        std::size_t i = 0;
        for (const int index : chosen.sites(layout, info_.id)) {
            const at::Tensor& scale = values[i++];
            if (chosen.sides == "both") {
                attachment.linears.add(index, std::make_unique<InputScale>(scale));
                attachment.linears.add(index, std::make_unique<OutputScale>(values[i++]));
            } else if (scales_input(layout.sites[static_cast<std::size_t>(index)]))
                attachment.linears.add(index, std::make_unique<InputScale>(scale));
            else attachment.linears.add(index, std::make_unique<OutputScale>(scale));
        }
    }

    Json peft_config(const Layout& layout, const Json& settings) const override {
        if (config(settings).sides == "both") return nullptr;
        const std::vector<int> all = config(settings).sites(layout, info_.id);
        std::vector<int> inner;
        for (const int index : all)
            if (scales_input(layout.sites[static_cast<std::size_t>(index)])) inner.push_back(index);
        return Json{{"peft_type", "IA3"},
                    {"target_modules", peft_modules(layout, all)},
                    {"feedforward_modules", peft_modules(layout, inner)},
                    {"fan_in_fan_out", false}};
    }
    Json from_peft(const Layout& layout, const Json& config) const override {
        if (!is_peft_type(config, "IA3")) return nullptr;
        refuse_other_fields(config, {"feedforward_modules", "init_ia3_weights"});
        Targets all, inner;
        all.targets = targets_of_peft(layout, config);
        std::vector<int> want, given;
        for (const int index : all.sites(layout, info_.id))
            if (scales_input(layout.sites[static_cast<std::size_t>(index)])) want.push_back(index);
        if (const Json modules = config.value("feedforward_modules", Json()); !modules.is_null() && !modules.empty()) {
            inner.targets = targets_of_peft(layout, {{"target_modules", modules}});
            given = inner.sites(layout, info_.id);
        }
        if (given != want)
            throw Error(ErrorKind::unsupported, "adapter_config.json/feedforward_modules",
                        "scales other inputs than those of the targets' fc2", "only fc2 can be scaled at its input, and only there");
        return Json{{"targets", all.targets}};
    }
};

}  // namespace

std::unique_ptr<Method> ia3_method() { return std::make_unique<Ia3>(); }

}  // namespace permille
