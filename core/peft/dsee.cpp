// DSEE (Chen et al. 2021, arXiv 2111.00160, section 3.2): W' = W + (alpha / r) (B A + S), A [r, in] and B [out, r] as in LoRA and S a
// matrix that is zero but at N fixed places, whose values are trained. A starts at N(0, 0.02), B and S at zero. The places are those where
// W is furthest from a matrix of rank r ("decomposition"), where it is largest ("magnitude"), or random. The decomposition takes the turns
// of GreBsmo (Zhou & Tao 2013), as the authors do, but with the rank r and N entries given, where they let the rank grow to several hundred
// and the entries be those above 0.01; so S takes what an update of rank r cannot. Their second phase, pruning, is not part of this method.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/low_rank.h"

namespace permille {

namespace {

struct DseeConfig : Targets {
    std::int64_t rank = 4, entries = 128;
    double alpha = 32, dropout = 0;
    std::string places = "decomposition";
    static const Fields<DseeConfig>& fields() {
        static const auto list = add_targets(
            Fields<DseeConfig>()
                .add("rank", &DseeConfig::rank, "rank of the update", {.min = 1, .max = 65536})
                .add("entries", &DseeConfig::entries, "trained places of the sparse update in each matrix", {.min = 1, .max = 1 << 24})
                .add("places", &DseeConfig::places, "how they are chosen", {.choices = {"decomposition", "magnitude", "random"}})
                .add("alpha", &DseeConfig::alpha, "scale of the update is alpha / rank; 0: alpha = rank", {.min = 0})
                .add("dropout", &DseeConfig::dropout, "dropout on the input of the update", {.min = 0, .max = 0.9}));
        return list;
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
    bool merge(at::Tensor& weight, at::Tensor&) const override {
        const at::Tensor sparse = at::zeros({weight.numel()}, weight.options()).index_copy(0, places_, sparse_.detach());
        weight = weight + scale_ * (at::mm(b_, a_) + sparse.view(weight.sizes()));
        return true;
    }

private:
    at::Tensor a_, b_, sparse_, places_, rows_, columns_;
    double scale_, rate_;
};

class Dsee : public MethodWith<DseeConfig> {
public:
    Dsee()
        : MethodWith({.id = "dsee",
                      .name = "DSEE",
                      .paper = "Chen et al. 2021, arXiv 2111.00160",
                      .summary = "trains a low-rank and a sparse update of chosen projections together",
                      .sites = {"linear"},
                      .knobs = DseeConfig::fields().list(),
                      .size_knob = "rank",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 5e-4,
                      .equation = "W' = W + (alpha / r) (B A + S), A [r, in], B [out, r], S zero but at N fixed places",
                      .advice = "LoRA with a few single weights beside it, for changes that a low rank does not reach. Its scale is eight "
                                "times LoRA's by default, so it wants a smaller learning rate."}) {}

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
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const DseeConfig chosen = config(settings);
        std::size_t first = 0;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            attachment.linears.add(index, std::make_unique<DseeDelta>(values, first, site.in, chosen.scale(), chosen.dropout));
            first += 4;
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        return largest_rank(layout, config(settings).sites(layout, info_.id));
    }
};

}  // namespace

std::unique_ptr<Method> dsee_method() { return std::make_unique<Dsee>(); }

}  // namespace permille
