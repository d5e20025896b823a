#include "core/peft/moefication.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <mutex>
#include <sstream>

#include "core/base/error.h"
#include "core/nn/matmul.h"

namespace permille {

namespace {

// A block's weights in the order of its experts, made at the first use and kept: one copy of the block more, while the base's own is no
// longer read.
struct Arranged {
    at::Tensor from;         // the W1 that it was made of
    at::Tensor inner, bias;  // [E, neurons / E, D], [E, neurons / E]
    at::Tensor outer;        // [E, neurons / E, D]; for the router "truth" [D, neurons]
    at::Tensor outer_bias;   // [D]
};

class ExpertBlock : public FeedForwardModule {
public:
    // order [neurons]; router: its tensors.
    ExpertBlock(at::Tensor order, std::vector<at::Tensor> router, std::int64_t experts, std::int64_t active)
        : order_(std::move(order)), router_(std::move(router)), experts_(experts), active_(active) {}

    // No gradients: this is for translating and scoring.
    at::Tensor apply(const Forward& forward, const FeedForward& block, const at::Tensor& x) const override {
        const at::NoGradGuard guard;
        const at::Tensor rows = x.to(forward.compute);
        const std::shared_ptr<const Arranged> weights = arranged(forward, block);
        return router_.empty() ? masked(rows, *weights) : routed(rows, *weights);
    }

private:
    // All activations, those of the experts with the smaller sums set to 0.
    at::Tensor masked(const at::Tensor& rows, const Arranged& weights) const {
        const std::int64_t neurons = order_.size(0);
        const at::Tensor middle = at::relu(linear_map(rows, weights.inner.view({neurons, -1}), weights.bias.view({neurons})));
        const at::Tensor groups = middle.view({rows.size(0), experts_, neurons / experts_});
        const at::Tensor sums = groups.sum(-1, /*keepdim=*/false, at::kFloat);
        const at::Tensor keep = at::zeros_like(sums).scatter_(1, best(sums), 1.0).to(middle.scalar_type());
        return linear_map((groups * keep.unsqueeze(-1)).view({rows.size(0), neurons}), weights.outer, weights.outer_bias);
    }

    // Rows gathered by expert: one product in and one out for each expert that somebody chose.
    at::Tensor routed(const at::Tensor& rows, const Arranged& weights) const {
        const at::Tensor looks = routed_rows(rows);
        const at::Tensor scores = router_.size() == 1 ? similarity_scores(looks, router_[0]) : mlp_scores(looks, router_[0], router_[1]);
        const at::Tensor chosen = best(scores).view({-1});  // [N k]
        const at::Tensor places = std::get<1>(chosen.sort(/*stable=*/true, 0, false)).div_(active_, "floor");
        const at::Tensor counts = at::zeros({experts_}, chosen.options()).scatter_add_(0, chosen, at::ones_like(chosen)).to(at::kCPU);
        at::Tensor y = weights.outer_bias.to(at::kFloat).repeat({rows.size(0), 1});
        std::int64_t first = 0;
        for (std::int64_t e = 0; e < experts_; ++e) {
            const std::int64_t count = counts.const_data_ptr<std::int64_t>()[e];
            if (count == 0) continue;
            const at::Tensor own = places.narrow(0, first, count);
            // Few rows, a number that is seldom the same twice: plain products, since oneDNN makes ready for every shape anew.
            const at::Tensor middle = at::addmm(weights.bias[e], rows.index_select(0, own), weights.inner[e].t()).relu_();
            y.index_add_(0, own, middle.mm(weights.outer[e]).to(at::kFloat));
            first += count;
        }
        return y;
    }

    at::Tensor best(const at::Tensor& scores) const { return std::get<1>(scores.topk(active_, -1, /*largest=*/true, /*sorted=*/false)); }

    std::shared_ptr<const Arranged> arranged(const Forward& forward, const FeedForward& block) const {
        const at::Tensor& weight = forward.parameter(block.fc1.weight);
        const std::lock_guard lock(mutex_);
        if (arranged_ && arranged_->from.is_same(weight) && arranged_->inner.scalar_type() == forward.compute) return arranged_;
        const auto by_expert = [&](const at::Tensor& tensor, std::int64_t dimension) {
            return tensor.to(forward.compute).index_select(dimension, order_);
        };
        const std::int64_t size = order_.size(0) / experts_;
        auto made = std::make_shared<Arranged>();
        made->from = weight;
        made->inner = by_expert(weight, 0).view({experts_, size, -1});
        made->bias = by_expert(forward.parameter(block.fc1.bias), 0).view({experts_, size});
        made->outer = by_expert(forward.parameter(block.fc2.weight), 1);
        if (!router_.empty()) made->outer = made->outer.view({-1, experts_, size}).permute({1, 2, 0}).contiguous();
        made->outer_bias = forward.typed_parameter(block.fc2.bias);
        return arranged_ = made;
    }

    at::Tensor order_;
    std::vector<at::Tensor> router_;
    std::int64_t experts_, active_;
    mutable std::mutex mutex_;
    mutable std::shared_ptr<const Arranged> arranged_;
};

std::vector<int> replaced_parameters(const Layout& layout, const MoeficationConfig& config) {
    std::vector<int> list;
    std::istringstream names(config.replaced);
    for (std::string name; std::getline(names, name, ',');) {
        list.push_back(layout.parameter(name));
        if (list.back() < 0) throw Error(ErrorKind::config, "moefication/replaced", "'" + name + "' is no parameter of this model");
    }
    return list;
}

class Moefication : public MethodWith<MoeficationConfig> {
public:
    Moefication()
        : MethodWith({.id = "moefication",
                      .name = "MoEfication",
                      .paper = "Zhang et al. 2022, arXiv 2110.01786",
                      .summary = "computes for each token only the experts of a feed-forward block that a router chooses",
                      .sites = {"feed_forward"},
                      .knobs = MoeficationConfig::fields().list(),
                      .size_knob = "",
                      .mergeable = false,
                      .identity_at_start = false}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const MoeficationConfig chosen = config(settings);
        if (chosen.active > chosen.experts)
            throw Error(ErrorKind::config, "moefication/active",
                        std::to_string(chosen.active) + " is more than the experts, " + std::to_string(chosen.experts));
        std::vector<TensorSpec> specs;
        const auto constant = [&](const std::string& name, std::vector<std::int64_t> shape, at::ScalarType type = at::kFloat) {
            specs.push_back({name, std::move(shape), Init::zeros(), -1, TensorRole::constant, 1, type});
        };
        for (const ConvertedBlock& block : converted_blocks(layout, chosen)) {
            constant(block.stem + "neurons", {block.neurons}, at::kInt);
            if (chosen.router == "similarity") constant(block.stem + "centres", {chosen.experts, block.width});
            if (chosen.router != "mlp") continue;
            constant(block.stem + "router.first", {chosen.experts, block.width});
            constant(block.stem + "router.second", {chosen.experts, chosen.experts});
        }
        for (const int index : replaced_parameters(layout, chosen)) {
            const ParameterSpec& parameter = layout.parameters[static_cast<std::size_t>(index)];
            specs.push_back({parameter.name, parameter.shape, Init::base_copy(), index, TensorRole::constant, 1});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const MoeficationConfig chosen = config(settings);
        std::size_t next = 0;
        for (const ConvertedBlock& block : converted_blocks(layout, chosen)) {
            const at::Tensor order = values[next++].to(at::kLong);
            if (!at::equal(std::get<0>(order.sort()), at::arange(block.neurons, order.options())))
                throw Error(ErrorKind::tensor, block.stem + "neurons", "does not name every neuron of the block once",
                            "the folder is damaged; make it again");
            std::vector<at::Tensor> router;
            for (int i = 0; i < (chosen.router == "truth" ? 0 : chosen.router == "similarity" ? 1 : 2); ++i)
                router.push_back(values[next++]);
            attachment.feed_forwards.add(block.site,
                                         std::make_unique<ExpertBlock>(order, std::move(router), chosen.experts, chosen.active));
        }
        for (const int index : replaced_parameters(layout, chosen)) attachment.parameters[static_cast<std::size_t>(index)] = values[next++];
    }
};

}  // namespace

const Method& find_stored_method(const std::string& id, const std::string& where) {
    static const Moefication conversion;
    return id == conversion.info().id ? conversion : find_method_by_id(id, where);
}

const Fields<MoeficationConfig>& MoeficationConfig::fields() {
    static const auto list =
        add_scope(Fields<MoeficationConfig>()
                      .add("experts", &MoeficationConfig::experts, "groups of neurons of each block", {.min = 1, .max = 65536})
                      .add("active", &MoeficationConfig::active, "experts that work for each token", {.min = 1, .max = 65536})
                      .add("router", &MoeficationConfig::router, "what chooses them", {.choices = {"truth", "similarity", "mlp"}})
                      .add("split", &MoeficationConfig::split, "how they were found", {.choices = {"clusters", "coactivation", "random"}})
                      .add("replaced", &MoeficationConfig::replaced, "parameters that differ from the base's"));
    return list;
}

std::vector<ConvertedBlock> converted_blocks(const Layout& layout, const MoeficationConfig& config) {
    std::vector<ConvertedBlock> blocks;
    for (std::size_t i = 0; i < layout.sites.size(); ++i) {
        const Site& site = layout.sites[i];
        if (site.kind != SiteKind::feed_forward || !config.holds(site.name, layout)) continue;
        const Site& fc1 = layout.sites[static_cast<std::size_t>(layout.site(site.name + ".fc1"))];
        if (fc1.out % config.experts != 0)
            throw Error(ErrorKind::config, "experts",
                        std::to_string(config.experts) + " does not divide the " + std::to_string(fc1.out) + " neurons of " + site.name,
                        "choose a number that does, such as " + std::to_string(fc1.out % 32 == 0  ? 32
                                                                               : fc1.out % 4 == 0 ? 4
                                                                                                  : 2));
        std::string stem = module_of(layout, fc1);
        stem.replace(stem.rfind('.') + 1, std::string::npos, "experts.");
        blocks.push_back({static_cast<int>(i), fc1.weight, fc1.bias, std::move(stem), fc1.in, fc1.out});
    }
    if (blocks.empty()) throw Error(ErrorKind::config, "layers", "no feed-forward block is left", "choose other stacks or layers");
    return blocks;
}

at::Tensor routed_rows(const at::Tensor& x) {
    const at::Tensor rows = x.to(at::kFloat);
    return rows / rows.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

at::Tensor expert_centres(const at::Tensor& weight, const at::Tensor& order, std::int64_t experts) {
    return routed_rows(weight).index_select(0, order).view({experts, order.size(0) / experts, -1}).mean(1);
}

at::Tensor expert_sums(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& order,
                       std::int64_t experts) {
    const at::Tensor inner = weight.to(at::kFloat).index_select(0, order), inner_bias = bias.to(at::kFloat).index_select(0, order);
    std::vector<at::Tensor> sums;
    for (const at::Tensor& rows : x.split(1024))
        sums.push_back(at::relu(linear_map(rows.to(at::kFloat), inner, inner_bias)).view({rows.size(0), experts, -1}).sum(-1));
    return at::cat(sums);
}

double captured_share(const at::Tensor& scores, const at::Tensor& sums, std::int64_t active) {
    const double all = sums.sum(at::kDouble).item<double>();
    if (all <= 0) return 1;
    return sums.gather(1, std::get<1>(scores.topk(active, -1, true, false))).sum(at::kDouble).item<double>() / all;
}

at::Tensor similarity_scores(const at::Tensor& rows, const at::Tensor& centres) {
    // Ordered as -|row - centre|, since |row| is the same for all experts.
    return linear_map(rows, centres, centres.pow(2).sum(1) * -0.5);
}

at::Tensor mlp_scores(const at::Tensor& rows, const at::Tensor& first, const at::Tensor& second) {
    return linear_map(linear_map(rows, first).tanh(), second);
}

}  // namespace permille
