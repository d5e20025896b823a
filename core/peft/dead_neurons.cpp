#include "core/peft/dead_neurons.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

namespace permille {

namespace {

struct Block {
    std::size_t first, bias, second;  // parameters: W1 [F, D], b1 [F], W2 [D, F]
    at::Tensor dead;                  // [F] bool
};

std::vector<Block> blocks_of(const Merged& merged, const std::string& side) {
    const Layout& layout = merged.layout;
    std::vector<Block> blocks;
    for (const Site& site : layout.sites) {
        if (site.kind != SiteKind::feed_forward || !site.name.starts_with(side)) continue;
        const Site& fc1 = layout.sites[static_cast<std::size_t>(layout.site(site.name + ".fc1"))];
        const Site& fc2 = layout.sites[static_cast<std::size_t>(layout.site(site.name + ".fc2"))];
        Block block{static_cast<std::size_t>(fc1.weight), static_cast<std::size_t>(fc1.bias), static_cast<std::size_t>(fc2.weight), {}};
        const at::Tensor unmoved = merged.weights[block.first].eq(0).all(1).logical_and(merged.weights[block.bias].eq(0));
        block.dead = unmoved.logical_or(merged.weights[block.second].eq(0).all(0));
        blocks.push_back(std::move(block));
    }
    return blocks;
}

// Returns how many went from each block of the stack.
std::int64_t narrow_stack(Merged& merged, const std::string& side, std::int64_t& width) {
    const std::vector<Block> blocks = blocks_of(merged, side);
    std::int64_t removed = blocks.empty() ? 0 : width - 1;
    for (const Block& block : blocks) removed = std::min(removed, block.dead.sum().item<std::int64_t>());
    if (removed == 0) return 0;
    for (const Block& block : blocks) {
        const at::Tensor gone = block.dead.nonzero().view({-1}).narrow(0, 0, removed);
        const at::Tensor kept = at::ones({width}, gone.options().dtype(at::kBool)).index_fill_(0, gone, false).nonzero().view({-1});
        for (const std::size_t parameter : {block.first, block.bias})
            merged.weights[parameter] = merged.weights[parameter].index_select(0, kept);
        merged.weights[block.second] = merged.weights[block.second].index_select(1, kept);
    }
    width -= removed;
    return removed;
}

}  // namespace

RemovedNeurons remove_dead_neurons(Merged& merged) {
    const at::NoGradGuard guard;
    RemovedNeurons removed;
    removed.encoder = narrow_stack(merged, "encoder", merged.architecture.encoder_ffn);
    removed.decoder = narrow_stack(merged, "decoder", merged.architecture.decoder_ffn);
    merged.layout = make_layout(merged.architecture);
    return removed;
}

}  // namespace permille
