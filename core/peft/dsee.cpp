// DSEE (Chen et al. 2021, arXiv 2111.00160, section 3.2): W' = W + (alpha / r) (B A + S), A [r, in] and B [out, r] as in LoRA and S a
// matrix that is zero but at N fixed places, whose values are trained. A starts at N(0, 0.02), B and S at zero. The places are those where
// W is furthest from a matrix of rank r ("decomposition"), where it is largest ("magnitude"), or random. The decomposition takes the turns
// of GreBsmo (Zhou & Tao 2013), as the authors do, but with the rank r and N entries given, where they let the rank grow to several hundred
// and the entries be those above 0.01; so S takes what an update of rank r cannot.
//
// Second phase (section 3.3): W' = m . W + (alpha / r) (B A + S) with a mask m of zeros and ones, found in the middle of training by the
// size of |W|, |B A + S| or their sum, after which A, B and S are trained on (core/peft/pruning.h). The authors train, prune and train
// again as three runs with schedules of their own; here it is one run. Their neurons go by coefficients trained with an l1 penalty, here by
// the sum of their weights' sizes.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/low_rank.h"
#include "core/peft/pruning.h"

namespace permille {

namespace {

struct DseeConfig : Pruning {
    std::int64_t rank = 4, entries = 128;
    double alpha = 32, dropout = 0;
    std::string places = "decomposition";
    static const Fields<DseeConfig>& fields() {
        static const auto list = add_targets(add_pruning(
            Fields<DseeConfig>()
                .add("rank", &DseeConfig::rank, "rank of the update", {.min = 1, .max = 65536})
                .add("entries", &DseeConfig::entries, "trained places of the sparse update in each matrix", {.min = 1, .max = 1 << 24})
                .add("places", &DseeConfig::places, "how they are chosen", {.choices = {"decomposition", "magnitude", "random"}})
                .add("alpha", &DseeConfig::alpha, "scale of the update is alpha / rank; 0: alpha = rank", {.min = 0})
                .add("dropout", &DseeConfig::dropout, "dropout on the input of the update", {.min = 0, .max = 0.9})));
        return list;
    }
    bool prunes() const { return prune > 0 || heads > 0 || neurons > 0; }
    std::int64_t pruned_after(std::int64_t total) const {
        return std::max<std::int64_t>(1, std::llround(prune_at * static_cast<double>(total)));
    }
    double scale() const { return alpha > 0 ? alpha / static_cast<double>(rank) : 1.0; }
    std::int64_t entries_of(const Site& site) const { return std::min(entries, site.in * site.out); }
};

// Where a matrix is furthest from one of low rank: flat indices of the entries of S in W = U V + S, found by turns: U an orthogonal base of
// (W - S) V^T, V = U^T (W - S), S the `count` largest entries of W - U V.
at::Tensor decomposition_rest(const at::Tensor& weight, std::int64_t rank, std::int64_t count) {
    constexpr int kTurns = 20;
    at::Tensor sparse = at::zeros_like(weight), v = weight.narrow(0, 0, rank), places;
    for (int turn = 0; turn < kTurns; ++turn) {
        const at::Tensor u = std::get<0>(at::linalg_qr(at::mm(weight - sparse, v.t())));
        v = at::mm(u.t(), weight - sparse);
        const at::Tensor rest = (weight - at::mm(u, v)).view({-1});
        places = std::get<1>(rest.abs().topk(count));
        sparse = at::zeros_like(rest).index_copy(0, places, rest.index_select(0, places)).view_as(weight);
    }
    return places;
}

// Flat indices [n] of the places in ascending order.
at::Tensor chosen_places(const at::Tensor& weight, const DseeConfig& chosen, std::int64_t count, std::uint64_t seed) {
    at::Tensor places;
    if (chosen.places == "random") {
        places = at::randperm(weight.numel(), at::detail::createCPUGenerator(seed), at::TensorOptions(at::kLong)).narrow(0, 0, count);
    } else {
        const at::Tensor matrix = weight.to(at::kFloat);
        const std::int64_t rank = std::min({chosen.rank, weight.size(0), weight.size(1)});
        places = chosen.places == "magnitude" ? std::get<1>(matrix.abs().view({-1}).topk(count)) : decomposition_rest(matrix, rank, count);
    }
    return std::get<0>(places.sort());
}

class DseeDelta : public LinearDelta {
public:
    DseeDelta(const std::vector<at::Tensor>& values, std::size_t first, std::int64_t in, double scale, double rate)
        : a_(values[first]),
          b_(values[first + 1]),
          sparse_(values[first + 2]),
          places_(values[first + 3]),
          rows_(places_.div(in, "floor")),
          columns_(places_.remainder(in)),
          scale_(scale),
          rate_(rate) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const override {
        const auto type = x.scalar_type();
        const at::Tensor input = dropout(x, at::GradMode::is_enabled() ? rate_ : 0.0, forward.streams);
        const at::Tensor low = linear_map(linear_map(input, a_.to(type)), b_.to(type));
        const at::Tensor single = input.index_select(1, columns_) * sparse_.to(type);
        return at::add(y, low.index_add(1, rows_, single), scale_);
    }
    // B A + S
    at::Tensor update() const {
        const at::Tensor product = at::mm(b_, a_).detach();
        return product + at::zeros({product.numel()}, product.options()).index_copy(0, places_, sparse_.detach()).view(product.sizes());
    }
    bool merge(at::Tensor& weight, at::Tensor&) const override {
        weight = weight + scale_ * update();
        return true;
    }

private:
    at::Tensor a_, b_, sparse_, places_, rows_, columns_;
    double scale_, rate_;
};

class Dsee : public MethodWith<DseeConfig> {
public:
    Dsee()
        : MethodWith(
              {.id = "dsee",
               .name = "DSEE",
               .paper = "Chen et al. 2021, arXiv 2111.00160",
               .summary = "trains a low-rank and a sparse update of chosen projections together, and can prune the base beside them",
               .sites = {"linear"},
               .knobs = DseeConfig::fields().list(),
               .size_knob = "rank",
               .mergeable = true,
               .identity_at_start = true,
               .default_learning_rate = 5e-4,
               .equation =
                   "W' = m . W + (alpha / r) (B A + S), A [r, in], B [out, r], S zero but at N fixed places; m zero where pruned, else one",
               .advice = "LoRA with a few single weights beside it, for changes that a low rank does not reach. Its scale is eight "
                         "times LoRA's by default, so it wants a smaller learning rate. With prune, heads or neurons the base is pruned "
                         "in the middle of training: it becomes sparse, not faster, until neurons removed in all layers are left out by "
                         "merging."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const DseeConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string stem = module_of(layout, site);
            const std::int64_t count = chosen.entries_of(site);
            specs.push_back({stem + ".lora_A", {chosen.rank, site.in}, Init::normal(0.02)});
            specs.push_back({stem + ".lora_B", {site.out, chosen.rank}, Init::zeros()});
            specs.push_back({stem + ".sparse", {count}, Init::zeros()});
            const auto weight = static_cast<std::size_t>(site.weight);
            const auto find = [weight, chosen, count](const std::vector<at::Tensor>& weights, std::uint64_t seed) {
                return chosen_places(weights[weight], chosen, count, seed);
            };
            specs.push_back({stem + ".places", {count}, Init::made(find), -1, TensorRole::constant, 1, at::kLong});
        }
        if (chosen.prunes()) pruner(layout, chosen).add_specs(specs);
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const DseeConfig chosen = config(settings);
        std::size_t first = 0;
        for (const int index : chosen.sites(layout, info_.id)) {
            attachment.linears.add(index, std::make_unique<DseeDelta>(delta(layout, chosen, index, values, first)));
            first += kOfSite;
        }
        if (chosen.prunes()) pruner(layout, chosen).attach(attachment, kept(layout, chosen, values));  // after what they prune
    }
    void attach_copies(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values,
                       const std::vector<at::Tensor>& weights) const override {
        const DseeConfig chosen = config(settings);
        if (chosen.prunes()) pruner(layout, chosen).attach_copies(attachment, kept(layout, chosen, values), weights);
    }

    bool after_update(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& weights,
                      const std::vector<at::Tensor>& values, std::int64_t update, std::int64_t total) const override {
        const DseeConfig chosen = config(settings);
        if (!chosen.prunes() || update < chosen.pruned_after(total)) return false;
        const Pruner pruner = this->pruner(layout, chosen);
        const std::vector<at::Tensor> masks = kept(layout, chosen, values);
        if (pruner.decided(masks)) return false;
        const std::vector<int> sites = chosen.sites(layout, info_.id);
        pruner.decide(masks, weights, [&](int site) {
            const auto place = static_cast<std::size_t>(std::find(sites.begin(), sites.end(), site) - sites.begin());
            return delta(layout, chosen, site, values, place * kOfSite).update();
        });
        return true;
    }
    std::int64_t first_choice(const Json& settings, std::int64_t total) const override {
        const DseeConfig chosen = config(settings);
        return chosen.prunes() ? chosen.pruned_after(total) : 0;
    }
    std::int64_t pruned(const Layout& layout, const Json& settings) const override {
        const DseeConfig chosen = config(settings);
        return chosen.prunes() ? pruner(layout, chosen).count() : 0;
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        return largest_rank(layout, config(settings).sites(layout, info_.id));
    }

private:
    static constexpr std::size_t kOfSite = 4;  // tensors
    Pruner pruner(const Layout& layout, const DseeConfig& chosen) const {
        return Pruner(layout, chosen, chosen.sites(layout, info_.id), info_.id);
    }
    std::vector<at::Tensor> kept(const Layout& layout, const DseeConfig& chosen, const std::vector<at::Tensor>& values) const {
        return {values.begin() + static_cast<std::ptrdiff_t>(kOfSite * chosen.sites(layout, info_.id).size()), values.end()};
    }
    static DseeDelta delta(const Layout& layout, const DseeConfig& chosen, int site, const std::vector<at::Tensor>& values,
                           std::size_t first) {
        return DseeDelta(values, first, layout.sites[static_cast<std::size_t>(site)].in, chosen.scale(), chosen.dropout);
    }
};

}  // namespace

std::unique_ptr<Method> dsee_method() { return std::make_unique<Dsee>(); }

}  // namespace permille
