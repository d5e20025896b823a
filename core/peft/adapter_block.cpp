#include "core/peft/adapter_block.h"

#include <ATen/ATen.h>

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/parts.h"

namespace permille {

Nonlinearity nonlinearity_of(const std::string& name) {
    if (name == "relu") return Nonlinearity::relu;
    if (name == "gelu") return Nonlinearity::gelu;
    if (name == "swish") return Nonlinearity::swish;
    if (name == "tanh") return Nonlinearity::tanh;
    PERMILLE_ASSERT(name == "none");
    return Nonlinearity::none;
}

at::Tensor nonlinear(Nonlinearity kind, const at::Tensor& x) {
    switch (kind) {
        case Nonlinearity::none: return x;
        case Nonlinearity::relu: return at::relu(x);
        case Nonlinearity::gelu: return at::gelu(x);
        case Nonlinearity::swish: return at::silu(x);
        case Nonlinearity::tanh: return at::tanh(x);
    }
    return x;
}

namespace {

// N(0, std) without what lies beyond two standard deviations: the inverse distribution function of uniform numbers.
Init cut_normal(double std, const std::vector<std::int64_t>& shape) {
    return Init::made([std, shape](const std::vector<at::Tensor>&, std::uint64_t seed) {
        const double edge = std::erf(2.0 / std::sqrt(2.0));
        at::Tensor value = at::empty(shape, at::kDouble);
        value.uniform_(-edge, edge, at::detail::createCPUGenerator(seed));
        return value.erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-2 * std, 2 * std).to(at::kFloat);
    });
}

}  // namespace

BlockStart BlockStart::of(const std::string& initialisation, std::int64_t width, std::int64_t middle) {
    if (initialisation == "bert") return {Init::normal(0.02), Init::zeros(), Init::normal(0.02), Init::zeros()};
    if (initialisation == "houlsby")
        return {cut_normal(0.01, {middle, width}), Init::zeros(), cut_normal(0.01, {width, middle}), Init::zeros()};
    PERMILLE_ASSERT(initialisation == "identity");
    return {Init::kaiming(width), Init::zeros(), Init::zeros(), Init::zeros()};
}

void AdapterBlock::add_specs(std::vector<TensorSpec>& specs, const std::string& stem, std::int64_t width, std::int64_t middle,
                             const BlockStart& start, const char* down, const char* up) {
    specs.push_back({stem + down + ".weight", {middle, width}, start.down});
    specs.push_back({stem + down + ".bias", {middle}, start.down_bias});
    specs.push_back({stem + up + ".weight", {width, middle}, start.up});
    specs.push_back({stem + up + ".bias", {width}, start.up_bias});
}

AdapterBlock::AdapterBlock(const std::vector<at::Tensor>& values, std::size_t first, Nonlinearity kind)
    : down_(values[first]), down_bias_(values[first + 1]), up_(values[first + 2]), up_bias_(values[first + 3]), kind_(kind) {}

at::Tensor AdapterBlock::operator()(const Forward& forward, const at::Tensor& x) const {
    const auto typed = [&](const at::Tensor& tensor) { return tensor.to(forward.compute); };
    const at::Tensor middle = nonlinear(kind_, linear_map(typed(x), typed(down_), typed(down_bias_)));
    return linear_map(middle, typed(up_), typed(up_bias_));
}

std::vector<int> block_outputs(const Layout& layout, const Scope& scope, const BlockPlaces& places) {
    std::vector<int> list;
    for (std::size_t i = 0; i < layout.sites.size(); ++i) {
        const Site& site = layout.sites[i];
        if (site.kind != SiteKind::output || !scope.holds(site.name, layout)) continue;
        if ((places.self_attention && site.name.ends_with(".self_attn.output")) ||
            (places.cross_attention && site.name.ends_with(".cross_attn.output")) ||
            (places.feed_forward && site.name.ends_with(".ffn.output")))
            list.push_back(static_cast<int>(i));
    }
    return list;
}

std::string layer_stem(const Site& site) {
    const auto first = site.name.find('.'), second = site.name.find('.', first + 1);
    return site.name.substr(0, first) + ".layers." + site.name.substr(first + 1, second - first);
}

std::string adapter_stem(const Site& site) {
    const bool self = site.name.ends_with(".self_attn.output"), cross = site.name.ends_with(".cross_attn.output");
    return layer_stem(site) + (self ? "attention_adapters." : cross ? "cross_attention_adapters." : "output_adapters.");
}

void add_blocks(std::vector<TensorSpec>& specs, const Layout& layout, const std::vector<int>& sites, std::int64_t middle,
                const std::string& initialisation) {
    for (const int index : sites) {
        const Site& site = layout.sites[static_cast<std::size_t>(index)];
        AdapterBlock::add_specs(specs, adapter_stem(site), site.out, middle, BlockStart::of(initialisation, site.out, middle));
    }
}

std::int64_t widest_output(const Layout& layout) {
    std::int64_t widest = 1;
    for (const Site& site : layout.sites) widest = std::max(widest, site.out);
    return widest;
}

std::int64_t widest_output(const Layout& layout, const std::vector<int>& sites) {
    std::int64_t widest = 1;
    for (const int index : sites) widest = std::max(widest, layout.sites[static_cast<std::size_t>(index)].out);
    return widest;
}

bool is_pre_norm(const Layout& layout) { return layout.site("encoder.norm") >= 0; }

at::Tensor AdapterModule::apply(const Forward& forward, const at::Tensor& rows, const Passage& passage) const {
    at::Tensor read = rows;
    switch (reads_) {
        case AdapterReads::output: break;
        case AdapterReads::sum:
            read = passage.residual + rows;
            if (!pre_norm_) read = (*passage.norm)(forward, read);
            break;
        case AdapterReads::block_input: read = passage.input; break;
        case AdapterReads::stream: read = passage.residual; break;
    }
    return rows + block_(forward, read);
}

void add_norms(std::vector<TensorSpec>& specs, const Layout& layout, const Scope& scope) {
    for (std::size_t i = 0; i < layout.parameters.size(); ++i) {
        const ParameterSpec& parameter = layout.parameters[i];
        const bool norm = parameter.role == ParameterRole::norm_weight || parameter.role == ParameterRole::norm_bias;
        if (norm && scope.holds(parameter.name, layout))
            specs.push_back({parameter.name, parameter.shape, Init::base_copy(), static_cast<int>(i)});
    }
}

void attach_norms(Attachment& attachment, const std::vector<TensorSpec>& specs, const std::vector<at::Tensor>& values) {
    for (std::size_t i = 0; i < specs.size(); ++i)
        if (specs[i].base >= 0) attachment.parameters[static_cast<std::size_t>(specs[i].base)] = values[i];
}

void require_match(const std::vector<TensorSpec>& specs, const std::string& method) {
    if (specs.empty()) throw Error(ErrorKind::config, method, "no layer of this model matches", "choose other stacks or layers");
}

}  // namespace permille
