// Pruning of the base beside an update of it, the second phase of DSEE (Chen et al. 2021, arXiv 2111.00160, section 3.3): single weights of
// all attention and feed-forward projections by one threshold, and whole attention heads and neurons of feed-forward blocks in each layer.
// What is kept is decided once, in the middle of training, and stays; it is stored as bits. The base itself is never touched: what is
// attached holds a pruned copy of its matrices. All of them compute as much as before, with zeros, until they are merged: there neurons
// that are gone from every block of a stack are left out (core/peft/dead_neurons.h). Heads are not: published model families have one width
// of queries in all layers, that of the model.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "core/peft/targets.h"

namespace permille {

struct Pruning : Targets {
    double prune = 0;
    std::int64_t heads = 0, neurons = 0;
    std::string prune_by = "weight";
    double prune_at = 0.5;
};

template <class Config>
Fields<Config> add_pruning(Fields<Config> fields) {
    fields
        .add("prune", static_cast<double Config::*>(&Pruning::prune),
             "share of the base's attention and feed-forward weights that is set to zero while training, the smallest first; 0: none",
             {.min = 0, .max = 0.99})
        .add("heads", static_cast<std::int64_t Config::*>(&Pruning::heads), "attention heads removed at every attention",
             {.min = 0, .max = 1024, .unit = "heads"})
        .add("neurons", static_cast<std::int64_t Config::*>(&Pruning::neurons), "neurons removed in every feed-forward block",
             {.min = 0, .max = 1 << 20, .unit = "neurons"})
        .add("prune_by", static_cast<std::string Config::*>(&Pruning::prune_by),
             "what is small; weight: |W|; update: |B A + S|, in matrices that have one; both: |W| + |B A + S|",
             {.choices = {"weight", "update", "both"}})
        .add("prune_at", static_cast<double Config::*>(&Pruning::prune_at), "the share of the updates after which it is pruned",
             {.min = 0, .max = 0.99});
    return fields;
}

class Pruner {
public:
    // updated: the sites whose matrices have an update. method: for errors. Throws Error(config): more heads or neurons than there are, or
    // nothing to judge them by.
    Pruner(const Layout& layout, const Pruning& settings, std::vector<int> updated, std::string method);

    // What is kept: of each matrix [ceil(out in / 8)] bits, of each attention [H] and of each feed-forward block [F], bytes.
    void add_specs(std::vector<TensorSpec>& specs) const;
    // Weights of the base that are set to zero, from arithmetic alone.
    std::int64_t count() const;

    // `kept` are the values of add_specs().
    void attach(Attachment& attachment, const std::vector<at::Tensor>& kept) const;
    void attach_copies(Attachment& attachment, const std::vector<at::Tensor>& kept, const std::vector<at::Tensor>& weights) const;

    // The update of the matrix at a site [out, in], without its scale.
    using Update = std::function<at::Tensor(int site)>;
    bool decided(const std::vector<at::Tensor>& kept) const;
    void decide(const std::vector<at::Tensor>& kept, const std::vector<at::Tensor>& weights, const Update& update) const;

private:
    struct Matrix {
        int site = -1;
        std::int64_t removed = 0;  // entries that go with heads or neurons
        bool judged = true;        // whether single weights of it may be pruned
    };
    const Site& site(int index) const { return layout_.sites[static_cast<std::size_t>(index)]; }
    const Site& site(const std::string& name) const { return site(layout_.site(name)); }
    std::int64_t single_weights() const;
    at::Tensor importance(int site, const std::vector<at::Tensor>& weights, const Update& update) const;

    const Layout& layout_;
    Pruning settings_;
    std::vector<int> updated_;
    std::vector<Matrix> matrices_;
    std::vector<int> attentions_, blocks_;  // sites with heads or neurons to remove
};

}  // namespace permille
