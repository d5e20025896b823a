// AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): updates in the form of a singular value decomposition, W' = W + (alpha / (r + 1e-5)) B E A
// with A [r, in] and B [out, r] near orthogonal by a penalty (eq. 4) and E [r, 1] starting at zero. The ranks of all sites begin at `rank`
// and share a budget that falls by a cubic schedule (eq. 13) to `target_rank` a site on average. What a triplet (a column of B, a value of
// E, a row of A) is worth is the product of the moving averages of sensitivity |w dw| and of its uncertainty (eq. 9 to 12), the value's own
// and the means over its vectors (eq. 8). Triplets below the budget lose their singular value. Everything is as in Hugging Face PEFT, which
// divides by the first rank also after others were taken away; the shares of the run that come before and after the schedule are ours to
// choose. The kept adapter holds what has a singular value; its ranks are in its settings.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/low_rank.h"

namespace permille {

namespace {

constexpr double kSmoothing = 0.85;  // beta of both averages

struct AdaLoraConfig : Targets {
    std::int64_t rank = 12, target_rank = 0;
    double alpha = 0, dropout = 0;
    double orthogonality = 0.5;
    double before = 0.1, after = 0.3;
    std::int64_t every = 1;
    std::string ranks;
    static const Fields<AdaLoraConfig>& fields() {
        static const auto list = add_targets(
            Fields<AdaLoraConfig>()
                .add("rank", &AdaLoraConfig::rank, "rank of every update at the start, which is what is trained", {.min = 1, .max = 65536})
                .add("target_rank", &AdaLoraConfig::target_rank, "mean rank that is left at the end; 0: two thirds of rank",
                     {.min = 0, .max = 65536})
                .add("alpha", &AdaLoraConfig::alpha, "scale of the update is alpha / rank; 0: alpha = rank", {.min = 0})
                .add("dropout", &AdaLoraConfig::dropout, "dropout on the input of the update", {.min = 0, .max = 0.9})
                .add("orthogonality", &AdaLoraConfig::orthogonality, "weight of the penalty that keeps A and B orthogonal", {.min = 0})
                .add("before", &AdaLoraConfig::before, "share of the updates with all ranks, before the budget falls",
                     {.min = 0, .max = 0.9})
                .add("after", &AdaLoraConfig::after, "share of the updates with the final ranks", {.min = 0, .max = 0.9})
                .add("every", &AdaLoraConfig::every, "updates between two allocations of the budget", {.min = 1})
                .add("ranks", &AdaLoraConfig::ranks, "of a trained adapter: the rank that is left at each site; '' while it trains"));
        return list;
    }
    std::int64_t target() const { return target_rank > 0 ? target_rank : (2 * rank + 2) / 3; }
    double scale() const { return (alpha > 0 ? alpha : static_cast<double>(rank)) / (static_cast<double>(rank) + 1e-5); }
};

class AdaLoraDelta : public LinearDelta {
public:
    AdaLoraDelta(const std::vector<at::Tensor>& values, std::size_t first, double scale, double rate)
        : a_(values[first]), b_(values[first + 1]), e_(values[first + 2]), scale_(scale), rate_(rate) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const override {
        const double rate = at::GradMode::is_enabled() ? rate_ : 0.0;
        const at::Tensor low = linear_map(dropout(x, rate, forward.streams), (a_ * e_).to(x.scalar_type()));
        return at::add(y, linear_map(low, b_.to(x.scalar_type())), scale_);
    }
    bool merge(at::Tensor& weight, at::Tensor&) const override {
        weight = weight + scale_ * at::mm(b_, a_ * e_);
        return true;
    }

private:
    at::Tensor a_, b_, e_;
    double scale_, rate_;
};

// Of one site, in the order of tensors(). While it trains each of A, B and E has two averages behind them: sensitivity, uncertainty.
constexpr std::size_t kOfTrained = 3, kOfSite = 9;

class AdaLora : public MethodWith<AdaLoraConfig> {
public:
    AdaLora()
        : MethodWith({.id = "adalora",
                      .name = "AdaLoRA",
                      .paper = "Zhang et al. 2023, arXiv 2303.10512",
                      .summary = "trains low-rank updates and moves their ranks to where they matter",
                      .sites = {"linear"},
                      .knobs = AdaLoraConfig::fields().list(),
                      .size_knob = "rank",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 2e-3,
                      .equation = "W' = W + (alpha / r) B diag(E) A + penalty |A A^T - I| + |B^T B - I|, A [r, in], B [out, r], E [r]",
                      .advice = "When LoRA's rank is large enough to be spread unevenly. What is trained is counted at the start; the "
                                "kept adapter is smaller. Needs runs of some hundred updates for its averages."}) {}

    Json complete(const Json& settings) const override {
        const Json all = MethodWith::complete(settings);
        const AdaLoraConfig chosen = config(all);
        if (chosen.target() > chosen.rank)
            throw Error(ErrorKind::config, "adalora/target_rank",
                        std::to_string(chosen.target_rank) + " is more than the rank at the start",
                        "choose at most " + std::to_string(chosen.rank));
        if (chosen.before + chosen.after >= 1)
            throw Error(ErrorKind::config, "adalora/after", "leaves no updates in which the budget falls", "choose before + after below 1");
        return all;
    }

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const AdaLoraConfig chosen = config(settings);
        const std::vector<int> places = chosen.sites(layout, info_.id);
        const std::vector<std::int64_t> ranks = ranks_of(chosen, places.size());
        std::vector<TensorSpec> specs;
        for (std::size_t i = 0; i < places.size(); ++i) {
            const Site& site = layout.sites[static_cast<std::size_t>(places[i])];
            const std::string stem = peft_stem(layout, site);
            const std::size_t first = specs.size();
            specs.push_back({stem + "lora_A", {ranks[i], site.in}, Init::normal(0.02)});
            specs.push_back({stem + "lora_B", {site.out, ranks[i]}, Init::normal(0.02)});
            specs.push_back({stem + "lora_E", {ranks[i], 1}, Init::zeros()});
            if (!chosen.ranks.empty()) continue;
            for (std::size_t tensor = first; tensor < first + kOfTrained; ++tensor)
                for (const char* average : {".sensitivity", ".uncertainty"})
                    specs.push_back({specs[tensor].name + average, specs[tensor].shape, Init::zeros(), -1, TensorRole::state, 1});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const AdaLoraConfig chosen = config(settings);
        std::size_t first = 0;
        for (const int index : chosen.sites(layout, info_.id)) {
            if (values[first].size(0) > 0)
                attachment.linears.add(index, std::make_unique<AdaLoraDelta>(values, first, chosen.scale(), chosen.dropout));
            first += chosen.ranks.empty() ? kOfSite : kOfTrained;
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        return largest_rank(layout, config(settings).sites(layout, info_.id));
    }

    at::Tensor penalty(const Layout&, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const AdaLoraConfig chosen = config(settings);
        if (chosen.orthogonality == 0 || !chosen.ranks.empty()) return {};
        std::vector<at::Tensor> distances;
        for (std::size_t first = 0; first < values.size(); first += kOfSite) {
            const at::Tensor identity = at::eye(values[first].size(0), values[first].options().requires_grad(false));
            distances.push_back((at::mm(values[first], values[first].t()) - identity).norm());
            distances.push_back((at::mm(values[first + 1].t(), values[first + 1]) - identity).norm());
        }
        return at::stack(distances).mean() * chosen.orthogonality;
    }

    bool after_update(const Layout&, const Json& settings, const std::vector<at::Tensor>&, const std::vector<at::Tensor>& values,
                      std::int64_t update, std::int64_t total) const override {
        const AdaLoraConfig chosen = config(settings);
        if (!chosen.ranks.empty()) return false;
        const auto share = [&](double part) { return std::llround(part * static_cast<double>(total)); };
        const std::int64_t begin = share(chosen.before), end = total - share(chosen.after);
        // From `end` on the averages stand still, so that every allocation repeats the last one.
        if (update < end) average(values);
        const bool falling = update > begin && update < end;
        if (update < end && !(falling && update % chosen.every == 0)) return false;
        const auto count = static_cast<std::int64_t>(values.size() / kOfSite);
        const std::int64_t whole = chosen.rank * count, target = chosen.target() * count;
        std::int64_t budget = target;
        if (falling) {
            const double left = 1.0 - static_cast<double>(update - begin) / static_cast<double>(end - begin);
            budget += static_cast<std::int64_t>(static_cast<double>(whole - target) * left * left * left);
        }
        allocate(values, whole - budget);
        return false;
    }

    Json trained_settings(const Layout&, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const AdaLoraConfig chosen = config(settings);
        if (!chosen.ranks.empty()) return settings;
        std::string ranks;
        bool all = true;
        for (std::size_t first = 0; first < values.size(); first += kOfSite) {
            const std::int64_t rank = kept(values[first + 2]).size(0);
            all = all && rank == chosen.rank;
            ranks += (ranks.empty() ? "" : ",") + std::to_string(rank);
        }
        if (all) return settings;
        Json smaller = settings;
        smaller["ranks"] = ranks;
        return smaller;
    }
    std::vector<at::Tensor> stored_values(const Layout& layout, const Json& settings,
                                          const std::vector<at::Tensor>& values) const override {
        if (trained_settings(layout, settings, values) == settings) return values;
        std::vector<at::Tensor> smaller;
        for (std::size_t first = 0; first < values.size(); first += kOfSite) {
            const at::Tensor index = kept(values[first + 2]);
            smaller.push_back(values[first].index_select(0, index));
            smaller.push_back(values[first + 1].index_select(1, index));
            smaller.push_back(values[first + 2].index_select(0, index));
        }
        return smaller;
    }

    Json peft_config(const Layout& layout, const Json& settings) const override {
        const AdaLoraConfig chosen = config(settings);
        const std::vector<int> places = chosen.sites(layout, info_.id);
        Json pattern;
        if (!chosen.ranks.empty()) {  // for each site which of the first ranks are left; their places do not matter to PEFT
            const std::vector<std::int64_t> ranks = ranks_of(chosen, places.size());
            for (std::size_t i = 0; i < places.size(); ++i) {
                Json left = Json::array();
                for (std::int64_t rank = 0; rank < chosen.rank; ++rank) left.push_back(rank < ranks[i]);
                pattern[peft_module(layout, layout.sites[static_cast<std::size_t>(places[i])]) + ".lora_E"] = left;
            }
        }
        return Json{{"peft_type", "ADALORA"},
                    {"init_r", chosen.rank},
                    {"target_r", chosen.target()},
                    {"lora_alpha", chosen.alpha > 0 ? chosen.alpha : static_cast<double>(chosen.rank)},
                    {"lora_dropout", chosen.dropout},
                    {"total_step", 1},
                    {"bias", "none"},
                    {"fan_in_fan_out", false},
                    {"rank_pattern", pattern},
                    {"target_modules", peft_modules(layout, places)}};
    }
    Json from_peft(const Layout& layout, const Json& config) const override {
        if (!is_peft_type(config, "ADALORA")) return nullptr;
        refuse_other_fields(config, {"r", "init_r", "target_r", "lora_alpha", "lora_dropout", "init_lora_weights", "total_step", "tinit",
                                     "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "rank_pattern"});
        Targets places;
        places.targets = targets_of_peft(layout, config);
        std::string ranks;
        if (const Json pattern = config.value("rank_pattern", Json()); pattern.is_object() && !pattern.empty())
            for (const int index : places.sites(layout, info_.id)) {
                const std::string name = peft_module(layout, layout.sites[static_cast<std::size_t>(index)]) + ".lora_E";
                const Json left = pattern.value(name, Json());
                if (!left.is_array())
                    throw Error(ErrorKind::unsupported, "adapter_config.json/rank_pattern", "has no list for " + name,
                                "the adapter is damaged");
                ranks += (ranks.empty() ? "" : ",") + std::to_string(std::count(left.begin(), left.end(), Json(true)));
            }
        return Json{{"rank", config.value("init_r", Json(12))},
                    {"target_rank", config.value("target_r", Json(8))},
                    {"alpha", config.value("lora_alpha", Json(8))},
                    {"dropout", config.value("lora_dropout", Json(0.0))},
                    {"orthogonality", config.value("orth_reg_weight", Json(0.5))},
                    {"every", config.value("deltaT", Json(1))},
                    {"ranks", ranks},
                    {"targets", places.targets}};
    }

private:
    static std::vector<std::int64_t> ranks_of(const AdaLoraConfig& chosen, std::size_t count) {
        if (chosen.ranks.empty()) return std::vector<std::int64_t>(count, chosen.rank);
        std::vector<std::int64_t> ranks;
        std::istringstream words(chosen.ranks);
        std::string word;
        while (std::getline(words, word, ',')) {
            const bool digits = !word.empty() && word.size() < 6 && word.find_first_not_of("0123456789") == std::string::npos;
            ranks.push_back(digits ? std::stoll(word) : -1);
        }
        const bool good = std::all_of(ranks.begin(), ranks.end(), [&](std::int64_t rank) { return rank >= 0 && rank <= chosen.rank; });
        if (!good || ranks.size() != count)
            throw Error(ErrorKind::config, "adalora/ranks", "is not one rank for each of " + std::to_string(count) + " sites",
                        "leave it empty: only a trained adapter has it");
        return ranks;
    }

    // Which triplets have a singular value: [k] int64.
    static at::Tensor kept(const at::Tensor& e) { return e.detach().view({-1}).nonzero().view({-1}); }

    // The moving averages of every weight after an update; gradients are still there.
    static void average(const std::vector<at::Tensor>& values) {
        for (std::size_t first = 0; first < values.size(); first += kOfSite)
            for (std::size_t i = 0; i < kOfTrained; ++i) {
                const at::Tensor& value = values[first + i];
                if (!value.grad().defined()) continue;
                at::Tensor sensitivity = values[first + kOfTrained + 2 * i], uncertainty = values[first + kOfTrained + 2 * i + 1];
                const at::Tensor now = (value * value.grad()).abs();
                sensitivity.mul_(kSmoothing).add_(now, 1 - kSmoothing);
                uncertainty.mul_(kSmoothing).add_((now - sensitivity).abs(), 1 - kSmoothing);
            }
    }

    // The singular values of the `fewest` least important triplets of all sites become zero, and of those that tie with the last of them.
    static void allocate(const std::vector<at::Tensor>& values, std::int64_t fewest) {
        if (fewest <= 0) return;
        std::vector<at::Tensor> scores;
        for (std::size_t first = 0; first < values.size(); first += kOfSite) {
            const auto score = [&](std::size_t i) { return values[first + kOfTrained + 2 * i] * values[first + kOfTrained + 2 * i + 1]; };
            scores.push_back(score(2).view({-1}) + (score(0).mean(1) + score(1).mean(0)));
        }
        const at::Tensor threshold = std::get<0>(at::cat(scores).kthvalue(fewest));
        for (std::size_t site = 0; site < scores.size(); ++site) {
            at::Tensor e = values[site * kOfSite + 2].detach();
            e.masked_fill_((scores[site] <= threshold).unsqueeze(1), 0.0);
        }
    }
};

}  // namespace

std::unique_ptr<Method> adalora_method() { return std::make_unique<AdaLora>(); }

}  // namespace permille
