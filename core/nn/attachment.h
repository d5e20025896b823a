// What a method trains, apart from the frozen base: own copies of parameters, and modules at the sites of the layout. A model's forward
// pass looks here at every parameter and site; where nothing is attached the base alone speaks. Many attachments can share one base.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <utility>
#include <vector>

#include "core/nn/layout.h"

namespace permille {

struct FeedForward;  // core/nn/parts.h
struct Forward;
struct Norm;

// At a projection y = x W^T + b, x [N, in], y [N, out], in the compute type.
class LinearDelta {
public:
    virtual ~LinearDelta() = default;
    // What the projection reads instead of x.
    virtual at::Tensor input(const Forward& forward, const at::Tensor& x) const { return (void)forward, x; }
    // What flows on instead of y, which is the projection's own result for x, changed by the modules attached before this one.
    virtual at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const { return (void)forward, (void)x, y; }
    // The same as a change of weight [out, in] and bias [out], both float32; false when the module is no such change.
    virtual bool merge(at::Tensor& weight, at::Tensor& bias) const { return (void)weight, (void)bias, false; }
    // Whether y must be the frozen projection's own: no other module may then share the site.
    virtual bool alone() const { return false; }
};

// What passes at an output, norm or embedding site beside the rows themselves. Undefined and null where the site has no such thing.
struct Passage {
    at::Tensor input;            // [N, D] what the block read, after the norm of a pre-norm model
    at::Tensor residual;         // [N, D] what the rows will be added to
    const Norm* norm = nullptr;  // of the block
    at::Tensor positions;        // [N] int64, at embedding sites: the place of each token in its sentence, virtual tokens not counted
    at::Tensor ids;              // [N] int64, at "embedding.tokens" sites: of the tokens
};

// At rows [N, D] that flow out of a block, a norm or an embedding, or into a cross-attention as its memory: what flows on instead.
class OutputModule {
public:
    virtual ~OutputModule() = default;
    virtual at::Tensor apply(const Forward& forward, const at::Tensor& rows, const Passage& passage) const = 0;
    // At norm sites: the same as a change of the norm's weight and bias [D], float32; false when the module is no such change.
    virtual bool merge(at::Tensor& weight, at::Tensor& bias) const { return (void)weight, (void)bias, false; }
    // At "embedding.tokens" sites: the same as a change of the table [V, D], float32, whose rows are multiplied by `scale` when they are
    // looked up; false when the module is no such change.
    virtual bool merge_table(at::Tensor& table, double scale) const { return (void)table, (void)scale, false; }
};

// At an attention: keys and values [l, D] each, in the compute type, that every query sees before the real ones.
class AttentionPrefix {
public:
    virtual ~AttentionPrefix() = default;
    virtual std::int64_t length() const = 0;
    // At the self-attention of a stack's first layer: whether the tokens of the stack count their positions from the prefix's end.
    virtual bool shifts_positions() const { return false; }
    virtual std::pair<at::Tensor, at::Tensor> keys_values(const Forward& forward) const = 0;
    // What each query's keys and values of the prefix are multiplied by, [N, 1] float32, from the rows x [N, D] that the attention reads;
    // undefined: nothing.
    virtual at::Tensor gate(const Forward& forward, const at::Tensor& x) const { return (void)forward, (void)x, at::Tensor(); }
};

// At a feed-forward block, in its place: rows [N, D] -> [N, D].
class FeedForwardModule {
public:
    virtual ~FeedForwardModule() = default;
    virtual at::Tensor apply(const Forward& forward, const FeedForward& block, const at::Tensor& x) const = 0;
    // What every row goes through in products with trained matrices, in blocks; for estimates of time.
    virtual double blocks_per_row() const { return 1; }
};

// At the input of a stack: virtual tokens around every sentence. They take positions; the real tokens move. In the decoder only front ones.
class Prompt {
public:
    virtual ~Prompt() = default;
    virtual std::int64_t front() const = 0;
    virtual std::int64_t back() const { return 0; }
    // [front + back, D] float32, where scaled token embeddings stand: before positions and norm.
    virtual at::Tensor embeddings(const Forward& forward) const = 0;
    // [front + back, D]: what replaces the states of the virtual tokens before layer 1, 2, ...; undefined: nothing.
    virtual at::Tensor states(const Forward& forward, std::int64_t layer) const { return (void)forward, (void)layer, at::Tensor(); }
};

// The modules of one kind by site index, in the order in which they work.
template <class Module>
class Slots {
public:
    explicit Slots(std::size_t sites) : slots_(sites) {}
    void add(int site, std::unique_ptr<Module> module) { slots_[static_cast<std::size_t>(site)].push_back(std::move(module)); }
    const std::vector<std::unique_ptr<Module>>& at(int site) const { return slots_[static_cast<std::size_t>(site)]; }
    std::size_t size() const { return slots_.size(); }

private:
    std::vector<std::vector<std::unique_ptr<Module>>> slots_;
};

struct Attachment {
    explicit Attachment(const Layout& layout)
        : parameters(layout.parameters.size()),
          linears(layout.sites.size()),
          outputs(layout.sites.size()),
          prefixes(layout.sites.size()),
          feed_forwards(layout.sites.size()),
          prompts(layout.sites.size()) {}

    std::vector<at::Tensor> parameters;  // own copy of a base parameter, or undefined
    Slots<LinearDelta> linears;
    Slots<OutputModule> outputs;  // of output, norm, embedding and memory sites
    Slots<AttentionPrefix> prefixes;
    Slots<FeedForwardModule> feed_forwards;
    Slots<Prompt> prompts;
};

}  // namespace permille
