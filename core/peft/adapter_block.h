// What the methods with small inserted networks have in common: the block that they are made of, the places where it goes, and what it
// reads there.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/peft/method.h"

namespace permille {

enum class Nonlinearity { none, relu, gelu, swish, tanh };  // gelu: the exact, erf form
Nonlinearity nonlinearity_of(const std::string& name);
at::Tensor nonlinear(Nonlinearity kind, const at::Tensor& x);

// How the four tensors of a block start.
struct BlockStart {
    Init down, down_bias, up, up_bias;
    // identity: down Kaiming-uniform, the rest zero, so that the block gives zeros; bert: weights N(0, 0.02), biases zero; houlsby: weights
    // N(0, 0.01) cut off at two standard deviations, biases zero.
    static BlockStart of(const std::string& initialisation, std::int64_t width, std::int64_t middle);
};

// a(x) = Wu phi(Wd x + bd) + bu: rows x [N, D] -> [N, D] in the compute type. Wd [r, D], bd [r], Wu [D, r], bu [D].
class AdapterBlock {
public:
    static constexpr std::size_t kTensors = 4;
    // stem: of the names, "encoder.layers.0.output_adapters."; down and up: the two projections' names after it.
    static void add_specs(std::vector<TensorSpec>& specs, const std::string& stem, std::int64_t width, std::int64_t middle,
                          const BlockStart& start, const char* down = "adapter_down.0", const char* up = "adapter_up");
    // values[first] and the three after it, in the order of add_specs.
    AdapterBlock(const std::vector<at::Tensor>& values, std::size_t first, Nonlinearity kind);
    at::Tensor operator()(const Forward& forward, const at::Tensor& x) const;

private:
    at::Tensor down_, down_bias_, up_, up_bias_;
    Nonlinearity kind_;
};

// The blocks of a layer after which a method puts something.
struct BlockPlaces {
    bool self_attention = false, cross_attention = false, feed_forward = false;
};
// Their output sites ("encoder.3.ffn.output") within the scope, in the order of the layout.
std::vector<int> block_outputs(const Layout& layout, const Scope& scope, const BlockPlaces& places);
// "encoder.layers.3.output_adapters." for the site "encoder.3.ffn.output"; AdapterHub's names of the three places.
std::string adapter_stem(const Site& site);
// A block at each of these sites, named by its adapter_stem(); initialisation: of BlockStart.
void add_blocks(std::vector<TensorSpec>& specs, const Layout& layout, const std::vector<int>& sites, std::int64_t middle,
                const std::string& initialisation);
// The largest width of what flows out of any site, which is the feed-forward block's, or of these.
std::int64_t widest_output(const Layout& layout);
std::int64_t widest_output(const Layout& layout, const std::vector<int>& sites);
// "encoder.layers.3." for any site of a layer.
std::string layer_stem(const Site& site);
// Whether norms stand before the blocks (mBART, M2M-100) or after the residual addition (Marian).
bool is_pre_norm(const Layout& layout);

// What a module at a block's output reads. h: what the block gives; x: what h is added to; LN: the block's norm.
enum class AdapterReads {
    output,       // h
    sum,          // pre-norm: x + h; post-norm: LN(x + h), with which the base's norm works twice
    block_input,  // what the block itself read: pre-norm LN(x), post-norm x
    stream        // x
};

// h + a(what it reads): the result still has x added, and in a post-norm model the norm applied.
class AdapterModule : public OutputModule {
public:
    using Block = std::function<at::Tensor(const Forward&, const at::Tensor&)>;
    AdapterModule(Block block, AdapterReads reads, bool pre_norm) : block_(std::move(block)), reads_(reads), pre_norm_(pre_norm) {}
    at::Tensor apply(const Forward& forward, const at::Tensor& rows, const Passage& passage) const override;

private:
    Block block_;
    AdapterReads reads_;
    bool pre_norm_;
};

// The layer norms within the scope as trained copies, for methods whose recipe trains them beside what they add.
void add_norms(std::vector<TensorSpec>& specs, const Layout& layout, const Scope& scope);
void attach_norms(Attachment& attachment, const std::vector<TensorSpec>& specs, const std::vector<at::Tensor>& values);

// Throws Error(config) that names the method's setting when specs is empty.
void require_match(const std::vector<TensorSpec>& specs, const std::string& method);

}  // namespace permille
