// Dense to experts: the knowledge inheritance of CPM-2 (Zhang et al. 2021, arXiv 2106.10715), known as sparse upcycling (Komatsuzaki et al.
// 2022, arXiv 2212.05055). A feed-forward block becomes E experts, each a trained copy of it, and a router that sends every token to k of
// them: s = R x, and y is the sum over the k largest scores of g_e FFN_e(x), g the softmax of these k scores alone. So the gates sum to 1,
// and as long as the experts are the same the sum is the block itself, whatever the router says.
//
// The gate of a single expert would be 1 whatever its score, and nothing would teach the router; the softmax over all experts has a
// gradient but is no longer the block at the start. Hence k is at least 2. (In encoders Komatsuzaki et al. let experts choose tokens;
// there a sentence's result depends on its batch.)
//
// That no expert is left without tokens is seen to without a term in the loss (Wang et al. 2024, arXiv 2408.15664): a bias b is added to
// the scores for choosing, not for the gates, and after every update b += u sign(mean load - load) with the tokens that each expert had.
// Theirs stands beside sigmoids and moves by 0.001; ours stands beside the scores themselves, which are further apart, and moves by 0.01.
// Layers that are computed again count twice, all of them, which leaves the sign what it is.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/method.h"

namespace permille {

namespace {

struct ExpertsConfig : Scope {
    std::int64_t experts = 4, active = 2;  // E, k
    double balance = 0.01;                 // u
    ExpertsConfig() { layers = "last 2"; }
    static const Fields<ExpertsConfig>& fields() {
        static const auto list = add_scope(
            Fields<ExpertsConfig>()
                .add("experts", &ExpertsConfig::experts, "trained copies of each feed-forward block", {.min = 2, .max = 1024})
                .add("active", &ExpertsConfig::active,
                     "experts that work for each token, at most all of them; the gate of a single one would be 1 whatever its score and "
                     "teach the router nothing",
                     {.min = 2, .max = 1024})
                .add("balance", &ExpertsConfig::balance,
                     "how far an update moves the choice towards experts with few tokens, in units of the router's scores; 0: off",
                     {.min = 0, .max = 1}));
        return list;
    }
    std::int64_t chosen() const { return std::min(active, experts); }
};

// Rows in another order: row i of the result is row order[i]. Backward they go back, which is a gathering too.
struct ReorderRows : torch::autograd::Function<ReorderRows> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& rows, const at::Tensor& order,
                              const at::Tensor& inverse) {
        context->save_for_backward({inverse});
        return rows.index_select(0, order);
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        return {gradients[0].index_select(0, context->get_saved_variables()[0]), {}, {}};
    }
};

// Of one block, in the order of tensors().
struct BlockValues {
    at::Tensor router;        // R [E, D]
    at::Tensor inner, outer;  // W1 [E, F, D], W2 [E, D, F]
    at::Tensor inner_bias, outer_bias;
    at::Tensor balance, load;  // b [E], tokens of each expert since the last update [E]; undefined where nothing is balanced
};

class Experts : public FeedForwardModule {
public:
    Experts(BlockValues values, std::int64_t active) : values_(std::move(values)), active_(active) {}

    at::Tensor apply(const Forward& forward, const FeedForward& block, const at::Tensor& x) const override {
        const at::Tensor scores = linear_map(x.to(at::kFloat), values_.router);
        const at::Tensor judged = values_.balance.defined() ? scores.detach() + values_.balance : scores.detach();
        const at::Tensor chosen = std::get<1>(judged.topk(active_, -1));  // [N, k]
        const at::Tensor gates = at::softmax(scores.gather(1, chosen), -1);

        // N k copies of the rows, those of the first expert first.
        const at::Tensor order = std::get<1>(chosen.reshape({-1}).sort(/*stable=*/true, 0, false));
        const at::Tensor inverse = at::empty_like(order).scatter_(0, order, at::arange(order.numel(), order.options()));
        const at::Tensor flat = chosen.reshape({-1});  // counted without bincount, for whose size the host would wait
        const at::Tensor counts = at::zeros({values_.router.size(0)}, flat.options()).scatter_add_(0, flat, at::ones_like(flat));
        if (values_.load.defined() && at::GradMode::is_enabled()) values_.load.add_(counts);
        const at::Tensor copies = x.to(forward.compute).unsqueeze(1).expand({-1, active_, -1}).reshape({order.numel(), x.size(1)});
        const at::Tensor results = through(forward, block, ReorderRows::apply(copies, order, inverse), counts.to(at::kCPU));
        const at::Tensor back = ReorderRows::apply(results, inverse, order).view({x.size(0), active_, -1});
        return (back.to(at::kFloat) * gates.unsqueeze(-1)).sum(1).to(forward.compute);
    }

    double blocks_per_row() const override { return static_cast<double>(active_); }

private:
    // Of rows that lie expert by expert, counts[e] of each.
    at::Tensor through(const Forward& forward, const FeedForward& block, const at::Tensor& rows, const at::Tensor& counts) const {
        const auto inner = values_.inner.unbind(), inner_bias = values_.inner_bias.unbind();
        const auto outer = values_.outer.unbind(), outer_bias = values_.outer_bias.unbind();
        const auto map = [&](const at::Tensor& read, const at::Tensor& weight, const at::Tensor& bias) {
            return linear_map(read, weight.to(forward.compute), bias.to(forward.compute));
        };
        std::vector<at::Tensor> results;
        std::int64_t first = 0;
        for (std::size_t e = 0; e < inner.size(); ++e) {
            const std::int64_t count = counts.const_data_ptr<std::int64_t>()[e];
            if (count == 0) continue;
            const at::Tensor middle = activate(block.activation, map(rows.narrow(0, first, count), inner[e], inner_bias[e]));
            results.push_back(map(dropout(middle, forward.activation_dropout, forward.streams), outer[e], outer_bias[e]));
            first += count;
        }
        return at::cat(results);
    }

    BlockValues values_;
    std::int64_t active_;
};

// A block in the scope.
struct Place {
    int site = -1;
    const Site* fc1 = nullptr;
    const Site* fc2 = nullptr;
    std::string stem;  // of its tensors' names, "encoder.layers.3."
};

class DenseToExperts : public MethodWith<ExpertsConfig> {
public:
    DenseToExperts()
        : MethodWith(
              {.id = "experts",
               .name = "Dense to experts",
               .paper =
                   "Zhang et al. 2021, arXiv 2106.10715; Komatsuzaki et al. 2022, arXiv 2212.05055; Wang et al. 2024, arXiv 2408.15664",
               .summary = "trains several copies of each feed-forward block and a router that chooses among them for each token",
               .sites = {"feed_forward"},
               .knobs = ExpertsConfig::fields().list(),
               .size_knob = "experts",
               .mergeable = false,
               .identity_at_start = true,
               .default_learning_rate = 1e-3,
               .equation = "y = sum over the k experts e with the largest s + b of g_e (W2_e phi(W1_e x + b1_e) + b2_e), s = R x, "
                           "g = softmax of these k scores, R [E, D], W1_e [F, D], W2_e [D, F]",
               .advice = "To give a model more capacity, not to train fewer parameters: it trains E times the blocks that it takes, "
                         "and k of them work for each token. By default in the last two layers of each stack; layers 'all' takes "
                         "every block, often more than the base itself has. Wants much text. It cannot be merged: the base has no "
                         "place for experts."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const ExpertsConfig chosen = config(settings);
        const std::int64_t count = chosen.experts;
        const auto copies = [count](int parameter) {
            return Init::made([count, parameter](const std::vector<at::Tensor>& weights, std::uint64_t) {
                const at::Tensor& weight = weights[static_cast<std::size_t>(parameter)];
                std::vector<std::int64_t> shape = weight.sizes().vec();
                shape.insert(shape.begin(), count);
                return weight.unsqueeze(0).expand(shape);
            });
        };
        std::vector<TensorSpec> specs;
        for (const Place& place : places(layout, chosen)) {
            const Site &fc1 = *place.fc1, &fc2 = *place.fc2;
            specs.push_back({place.stem + "router.weight", {count, fc1.in}, Init::normal(0.02)});
            specs.push_back({place.stem + "experts.fc1.weight", {count, fc1.out, fc1.in}, copies(fc1.weight)});
            specs.push_back({place.stem + "experts.fc1.bias", {count, fc1.out}, copies(fc1.bias)});
            specs.push_back({place.stem + "experts.fc2.weight", {count, fc2.out, fc2.in}, copies(fc2.weight)});
            specs.push_back({place.stem + "experts.fc2.bias", {count, fc2.out}, copies(fc2.bias)});
            if (chosen.balance <= 0) continue;
            specs.push_back({place.stem + "router.balance", {count}, Init::zeros(), -1, TensorRole::adjusted});
            specs.push_back({place.stem + "router.load", {count}, Init::zeros(), -1, TensorRole::state});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const ExpertsConfig chosen = config(settings);
        std::size_t next = 0;
        for (const Place& place : places(layout, chosen))
            attachment.feed_forwards.add(place.site, std::make_unique<Experts>(take(chosen, values, next), chosen.chosen()));
    }

    // As long as the base has more, and in small ones the default all the same.
    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        std::int64_t each = 0;
        for (const Place& place : places(layout, config(settings)))
            each += 2 * place.fc1->in * place.fc1->out + place.fc1->out + place.fc2->out + place.fc1->in;
        return std::clamp<std::int64_t>((layout.parameter_count() - 1) / each, ExpertsConfig().experts, 1024);
    }

    bool after_update(const Layout& layout, const Json& settings, const std::vector<at::Tensor>&, const std::vector<at::Tensor>& values,
                      std::int64_t, std::int64_t) const override {
        const ExpertsConfig chosen = config(settings);
        if (chosen.balance <= 0) return false;
        std::size_t next = 0;
        for (std::size_t i = places(layout, chosen).size(); i > 0; --i) {
            const BlockValues block = take(chosen, values, next);
            block.balance.add_((block.load.mean() - block.load).sign(), chosen.balance);
            block.load.zero_();
        }
        return false;
    }

private:
    std::vector<Place> places(const Layout& layout, const ExpertsConfig& chosen) const {
        std::vector<Place> list;
        for (std::size_t i = 0; i < layout.sites.size(); ++i) {
            const Site& site = layout.sites[i];
            if (site.kind != SiteKind::feed_forward || !chosen.holds(site.name, layout)) continue;
            const auto within = [&](const char* name) { return &layout.sites[static_cast<std::size_t>(layout.site(site.name + name))]; };
            const std::string path = module_of(layout, *within(".fc1"));
            list.push_back({static_cast<int>(i), within(".fc1"), within(".fc2"), path.substr(0, path.rfind('.') + 1)});
        }
        if (list.empty())
            throw Error(ErrorKind::config, "experts/layers", "no feed-forward block of this model matches",
                        "choose other stacks or layers");
        return list;
    }

    static BlockValues take(const ExpertsConfig& chosen, const std::vector<at::Tensor>& values, std::size_t& next) {
        BlockValues block;
        for (at::Tensor* value : {&block.router, &block.inner, &block.inner_bias, &block.outer, &block.outer_bias}) *value = values[next++];
        if (chosen.balance > 0)
            for (at::Tensor* value : {&block.balance, &block.load}) *value = values[next++];
        return block;
    }
};

}  // namespace

std::unique_ptr<Method> experts_method() { return std::make_unique<DenseToExperts>(); }

}  // namespace permille
