// Compacter (Karimi Mahabadi et al. 2021, arXiv 2106.04647, eq. 4 to 6): Houlsby adapters whose two matrices are sums of Kronecker
// products, W = sum_i A_i (x) (s_i t_i), A_i [n, n] shared by all adapters of the model, s_i [in / n, k] and t_i [k, out / n] an adapter's
// own; y = x W + b. compacter++ keeps only the adapter after the feed-forward block, where AdapterHub reads as Pfeiffer adapters do. Starts
// as in the authors' code and in AdapterHub: A ~ N(0, 1e-4), s and t Glorot-uniform, biases zero: so near to the identity that the
// difference is lost in many float32 sums. The width of the middle layer is n times the size knob, so every size is possible.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_block.h"
#include "core/peft/adapterhub.h"

namespace permille {

namespace {

struct CompacterConfig : Scope {
    std::int64_t middle_blocks = 8;
    std::int64_t division = 4;
    std::int64_t rank = 1;
    std::string variant = "compacter";
    bool cross_attention = false;
    std::string activation = "gelu";
    static const Fields<CompacterConfig>& fields() {
        static const auto list = add_scope(
            Fields<CompacterConfig>()
                .add("middle_blocks", &CompacterConfig::middle_blocks,
                     "width of the middle layer in units of the division; the paper's is D / 32, so 8 at D = 1024",
                     {.min = 1, .max = 1 << 18})
                .add("division", &CompacterConfig::division,
                     "n: how many Kronecker products make a matrix; the next smaller number where it does not divide the model's width",
                     {.min = 1, .max = 64})
                .add("rank", &CompacterConfig::rank, "k: rank of the second factors", {.min = 1, .max = 1024})
                .add("variant", &CompacterConfig::variant,
                     "compacter: after self-attention and feed-forward blocks; compacter++: after feed-forward blocks",
                     {.choices = {"compacter", "compacter++"}})
                .add("cross_attention", &CompacterConfig::cross_attention, "adapters after cross-attention too")
                .add("activation", &CompacterConfig::activation, "non-linearity of the middle layer",
                     {.choices = {"relu", "gelu", "swish"}}));
        return list;
    }
    // n of a model of this width.
    std::int64_t divisor(std::int64_t width) const {
        std::int64_t n = division;
        while (width % n != 0) --n;
        return n;
    }
    std::vector<int> sites(const Layout& layout) const {
        return block_outputs(layout, *this,
                             {.self_attention = variant == "compacter", .cross_attention = cross_attention, .feed_forward = true});
    }
};

// One of the two maps: rule [n, n, n], left [n, in / n, k], right [n, k, out / n], bias [out].
struct KroneckerMap {
    at::Tensor rule, left, right, bias;

    at::Tensor operator()(const Forward& forward, const at::Tensor& x) const {
        const std::int64_t n = rule.size(0), in = left.size(1), out = right.size(2);
        const at::Tensor inner = at::bmm(left, right);  // [n, in / n, out / n]
        // sum over i of rule[i, a, b] inner[i, j, k], wanted at row (b, k) and column (a, j): the transposed matrix [out, in].
        const at::Tensor products = at::mm(rule.view({n, n * n}).t(), inner.view({n, in * out})).view({n, n, in, out});
        const at::Tensor weight = products.permute({1, 3, 0, 2}).reshape({n * out, n * in});
        return linear_map(x.to(forward.compute), weight.to(forward.compute), bias.to(forward.compute));
    }
};

constexpr std::size_t kTensors = 6;
constexpr const char* kRule = "shared.phm_rule";

// Glorot's uniform distribution for one matrix [rows, columns].
Init glorot(std::int64_t rows, std::int64_t columns) {
    const double bound = std::sqrt(6.0 / static_cast<double>(rows + columns));
    return Init::uniform(-bound, bound);
}

class Compacter : public MethodWith<CompacterConfig> {
public:
    Compacter()
        : MethodWith(
              {.id = "compacter",
               .name = "Compacter",
               .paper = "Karimi Mahabadi et al. 2021, arXiv 2106.04647",
               .summary = "adds adapters whose matrices are sums of Kronecker products with a factor shared by all of them",
               .sites = {"output"},
               .knobs = CompacterConfig::fields().list(),
               .size_knob = "middle_blocks",
               .mergeable = false,
               .identity_at_start = false,
               .default_learning_rate = 3e-3,
               .equation = "h + a(h), a(x) = gelu(x W1 + b1) W2 + b2, W = sum_i A_i (x) (s_i t_i), A_i [n, n] shared, s_i [in/n, k], "
                           "t_i [k, out/n]",
               .advice = "Adapters at a tenth of their size: for budgets of a few hundredths of a percent. Its matrices are made anew "
                         "in every pass, so it is slower than plain adapters."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const CompacterConfig chosen = config(settings);
        const std::int64_t rank = chosen.rank, middle = chosen.middle_blocks;
        std::vector<TensorSpec> specs;
        std::int64_t n = 1;
        for (const int index : chosen.sites(layout)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            n = chosen.divisor(site.out);
            const std::string stem = adapter_stem(site);
            const std::int64_t outer = site.out / n;
            specs.push_back({stem + "adapter_down.0.W_left", {n, outer, rank}, glorot(outer, rank)});
            specs.push_back({stem + "adapter_down.0.W_right", {n, rank, middle}, glorot(rank, middle)});
            specs.push_back({stem + "adapter_down.0.b", {n * middle}, Init::zeros()});
            specs.push_back({stem + "adapter_up.W_left", {n, middle, rank}, glorot(middle, rank)});
            specs.push_back({stem + "adapter_up.W_right", {n, rank, outer}, glorot(rank, outer)});
            specs.push_back({stem + "adapter_up.b", {site.out}, Init::zeros()});
        }
        require_match(specs, info_.id);
        specs.push_back({kRule, {n, n, n}, Init::normal(1e-4)});
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const CompacterConfig chosen = config(settings);
        const Nonlinearity kind = nonlinearity_of(chosen.activation);
        const at::Tensor& rule = values.back();
        std::size_t first = 0;
        for (const int index : chosen.sites(layout)) {
            const KroneckerMap down = {rule, values[first], values[first + 1], values[first + 2]};
            const KroneckerMap up = {rule, values[first + 3], values[first + 4], values[first + 5]};
            first += kTensors;
            const AdapterReads reads = chosen.variant == "compacter" ? AdapterReads::output : AdapterReads::sum;
            attachment.outputs.add(index, std::make_unique<AdapterModule>(
                                              [down, up, kind](const Forward& forward, const at::Tensor& x) {
                                                  return up(forward, nonlinear(kind, down(forward, x)));
                                              },
                                              reads, is_pre_norm(layout)));
        }
    }

    Json adapterhub_config(const Layout& layout, const Json& settings) const override {
        const CompacterConfig chosen = config(settings);
        const std::int64_t width = layout.sites[static_cast<std::size_t>(chosen.sites(layout).front())].out;
        const std::int64_t division = chosen.divisor(width);
        const bool both = chosen.variant == "compacter";
        return Json{{"phm_layer", true},
                    {"phm_dim", division},
                    {"phm_rank", chosen.rank},
                    {"mh_adapter", both},
                    {"original_ln_before", !both},
                    {"cross_adapter", chosen.cross_attention},
                    {"non_linearity", chosen.activation},
                    {"reduction_factor", reduction_factor(width, division * chosen.middle_blocks)}};
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        const CompacterConfig chosen = config(settings);
        std::int64_t largest = 1;
        for (const int index : chosen.sites(layout)) {
            const std::int64_t width = layout.sites[static_cast<std::size_t>(index)].out;
            largest = std::max(largest, width / chosen.divisor(width));
        }
        return largest;
    }
};

}  // namespace

std::unique_ptr<Method> compacter_method() { return std::make_unique<Compacter>(); }

}  // namespace permille
