#include "core/peft/pruning.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/error.h"

namespace permille {

namespace {

at::Tensor bit_values(const at::Device& device) { return at::tensor({1, 2, 4, 8, 16, 32, 64, 128}, at::kByte).to(device); }

// [n] bool -> [ceil(n / 8)] bytes, the first in the lowest bit; what is over is one.
at::Tensor pack_bits(const at::Tensor& bits) {
    const at::Tensor filled = at::constant_pad_nd(bits.to(at::kByte), {0, (8 - bits.numel() % 8) % 8}, 1);
    return (filled.view({-1, 8}) * bit_values(bits.device())).sum(1, false, at::kByte);
}

at::Tensor unpack_bits(const at::Tensor& bytes, std::int64_t count) {
    return bytes.unsqueeze(1).bitwise_and(bit_values(bytes.device())).ne(0).view({-1}).narrow(0, 0, count);
}

Init ones_of_bytes(std::int64_t count, int value) {
    return Init::made([count, value](const std::vector<at::Tensor>&, std::uint64_t) { return at::full({count}, value, at::kByte); });
}

// The inputs or outputs of a projection that are left; kept [n] bytes, each for `width` of them. Removed outputs have no effect, since what
// reads them has removed them too: they are only left out of merged weights.
class Kept : public LinearDelta {
public:
    Kept(at::Tensor kept, std::int64_t width, bool inputs) : kept_(std::move(kept)), width_(width), inputs_(inputs) {}
    at::Tensor input(const Forward&, const at::Tensor& x) const override { return inputs_ ? x * mask(x.scalar_type()) : x; }
    bool merge(at::Tensor& weight, at::Tensor& bias) const override {
        const at::Tensor left = mask(at::kFloat);
        weight = weight * (inputs_ ? left : left.unsqueeze(1));
        if (!inputs_) bias = bias * left;
        return true;
    }

private:
    at::Tensor mask(at::ScalarType type) const { return kept_.to(type).repeat_interleave(width_); }
    at::Tensor kept_;
    std::int64_t width_;
    bool inputs_;
};

// The k-th smallest of all entries, which are not negative: float32 numbers of which are ordered as their bits.
float smallest(const std::vector<at::Tensor>& entries, std::int64_t k) {
    std::int32_t low = 0, high = 0x7f800000;  // infinity
    while (low < high) {
        const std::int32_t middle = low + (high - low) / 2;
        std::int64_t count = 0;
        for (const at::Tensor& tensor : entries) count += tensor.view(at::kInt).le(middle).sum().item<std::int64_t>();
        if (count >= k) high = middle;
        else low = middle + 1;
    }
    return at::tensor({low}, at::kInt).view(at::kFloat).item<float>();
}

// Zeros for the `count` smallest of the scores, ones elsewhere, in bytes.
at::Tensor without_smallest(const at::Tensor& scores, std::int64_t count) {
    const at::Tensor order = std::get<1>(scores.sort(/*stable=*/true, 0, /*descending=*/false));
    return at::ones({scores.numel()}, scores.options().dtype(at::kByte)).index_fill_(0, order.narrow(0, 0, count), 0);
}

}  // namespace

Pruner::Pruner(const Layout& layout, const Pruning& settings, std::vector<int> updated, std::string method)
    : layout_(layout), settings_(settings), updated_(std::move(updated)) {
    const bool by_update = settings_.prune_by == "update";
    const auto has_update = [&](int index) { return std::find(updated_.begin(), updated_.end(), index) != updated_.end(); };
    std::map<int, std::int64_t> removed;  // by matrix
    const auto remove = [&](const char* knob, const Site& block, const std::vector<std::string>& judged_by,
                            const std::vector<std::pair<std::string, std::int64_t>>& entries) {
        for (const std::string& name : judged_by)
            if (by_update && !has_update(layout_.site(block.name + name)))
                throw Error(ErrorKind::config, method + "/" + knob, block.name + name + " has no update to judge by",
                            "set prune_by to weight or both, or train " + judged_by.front() + " and " + judged_by.back() + " too");
        for (const auto& [name, count] : entries) removed[layout_.site(block.name + name)] = count;
    };
    const auto check = [&](const char* knob, std::int64_t wanted, std::int64_t present, const Site& block) {
        if (wanted >= present)
            throw Error(ErrorKind::config, method + "/" + knob, block.name + " has " + std::to_string(present),
                        "remove " + std::to_string(present - 1) + " or fewer");
    };
    for (std::size_t i = 0; i < layout_.sites.size(); ++i) {
        const Site& block = layout_.sites[i];
        if (!settings_.holds(block.name, layout_)) continue;
        if (block.kind == SiteKind::attention && settings_.heads > 0) {
            check("heads", settings_.heads, block.heads, block);
            const Site& out = site(block.name + ".out");
            const std::int64_t rows = settings_.heads * (out.in / block.heads);
            const auto of = [&](const char* name) { return std::pair(std::string(name), rows * site(block.name + name).in); };
            remove("heads", block, {".q", ".v"}, {of(".q"), of(".k"), of(".v"), {".out", rows * out.out}});
            attentions_.push_back(static_cast<int>(i));
        } else if (block.kind == SiteKind::feed_forward && settings_.neurons > 0) {
            const Site &first = site(block.name + ".fc1"), &second = site(block.name + ".fc2");
            check("neurons", settings_.neurons, first.out, block);
            remove("neurons", block, {".fc1", ".fc2"}, {{".fc1", settings_.neurons * first.in}, {".fc2", settings_.neurons * second.out}});
            blocks_.push_back(static_cast<int>(i));
        }
    }
    for (std::size_t i = 0; i < layout_.sites.size(); ++i) {
        const int index = static_cast<int>(i);
        if (site(index).kind == SiteKind::linear && settings_.holds(site(index).name, layout_))
            matrices_.push_back({index, removed[index], !by_update || has_update(index)});
    }
}

void Pruner::add_specs(std::vector<TensorSpec>& specs) const {
    const auto add = [&](const std::string& name, std::int64_t count, int value) {
        specs.push_back({name, {count}, ones_of_bytes(count, value), -1, TensorRole::constant, 1, at::kByte});
    };
    if (settings_.prune > 0)
        for (const Matrix& matrix : matrices_)
            add(module_of(layout_, site(matrix.site)) + ".kept", (site(matrix.site).in * site(matrix.site).out + 7) / 8, 255);
    for (const int index : attentions_) add(site(index).name + ".kept_heads", site(index).heads, 1);
    for (const int index : blocks_) add(site(index).name + ".kept_neurons", site(site(index).name + ".fc1").out, 1);
}

std::int64_t Pruner::single_weights() const {
    std::int64_t left = 0;
    for (const Matrix& matrix : matrices_)
        if (matrix.judged) left += site(matrix.site).in * site(matrix.site).out - matrix.removed;
    return std::llround(settings_.prune * static_cast<double>(left));
}

std::int64_t Pruner::count() const {
    std::int64_t total = single_weights();
    for (const Matrix& matrix : matrices_) total += matrix.removed;
    return total;
}

void Pruner::attach(Attachment& attachment, const std::vector<at::Tensor>& kept) const {
    std::size_t next = settings_.prune > 0 ? matrices_.size() : 0;
    const auto add = [&](const std::string& name, std::int64_t width, bool inputs) {
        attachment.linears.add(layout_.site(name), std::make_unique<Kept>(kept[next], width, inputs));
    };
    for (const int index : attentions_) {
        const std::string& name = site(index).name;
        const std::int64_t width = site(name + ".out").in / site(index).heads;
        for (const char* projection : {".q", ".k", ".v"}) add(name + projection, width, false);
        add(name + ".out", width, true);
        ++next;
    }
    for (const int index : blocks_) {
        add(site(index).name + ".fc1", 1, false);
        add(site(index).name + ".fc2", 1, true);
        ++next;
    }
}

void Pruner::attach_copies(Attachment& attachment, const std::vector<at::Tensor>& kept, const std::vector<at::Tensor>& weights) const {
    if (settings_.prune <= 0) return;
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
        const auto index = static_cast<std::size_t>(site(matrices_[i].site).weight);
        at::Tensor& own = attachment.parameters[index];
        const std::string& name = site(matrices_[i].site).name;
        const bool replaced = !attachment.feed_forwards.at(layout_.site(name.substr(0, name.rfind('.')))).empty();
        if ((own.defined() && own.requires_grad()) || replaced)
            throw Error(ErrorKind::config, layout_.parameters[index].name, "is pruned by one method and trained by another",
                        "combine methods that go to different places");
        if (kept[i].eq(255).all().item<bool>()) continue;
        const at::Tensor& weight = weights[index];
        own = weight.detach() * unpack_bits(kept[i], weight.numel()).view(weight.sizes()).to(weight.scalar_type());
    }
}

bool Pruner::decided(const std::vector<at::Tensor>& kept) const {
    const std::size_t bits = settings_.prune > 0 ? matrices_.size() : 0;
    for (std::size_t i = 0; i < kept.size(); ++i)
        if (!kept[i].eq(i < bits ? 255 : 1).all().item<bool>()) return true;
    return false;
}

at::Tensor Pruner::importance(int index, const std::vector<at::Tensor>& weights, const Update& update) const {
    const at::Tensor& weight = weights[static_cast<std::size_t>(site(index).weight)];
    at::Tensor sum = settings_.prune_by == "update" ? at::zeros(weight.sizes(), weight.options().dtype(at::kFloat))
                                                    : weight.detach().to(at::kFloat).abs();
    if (settings_.prune_by != "weight" && std::find(updated_.begin(), updated_.end(), index) != updated_.end())
        sum = sum + update(index).abs();
    return sum.contiguous();
}

void Pruner::decide(const std::vector<at::Tensor>& kept, const std::vector<at::Tensor>& weights, const Update& update) const {
    const auto of = [&](const std::string& name) { return importance(layout_.site(name), weights, update); };
    std::size_t next = settings_.prune > 0 ? matrices_.size() : 0;
    std::map<int, at::Tensor> gone;  // bool, broadcast over the matrix
    for (const int index : attentions_) {
        const std::string& name = site(index).name;
        const std::int64_t heads = site(index).heads, width = site(name + ".out").in / heads;
        const at::Tensor scores = (of(name + ".q").sum(1) + of(name + ".v").sum(1)).view({heads, width}).sum(1);
        kept[next].copy_(without_smallest(scores, settings_.heads));
        const at::Tensor removed = kept[next++].eq(0).repeat_interleave(width);
        for (const char* projection : {".q", ".k", ".v"}) gone[layout_.site(name + projection)] = removed.unsqueeze(1);
        gone[layout_.site(name + ".out")] = removed.unsqueeze(0);
    }
    for (const int index : blocks_) {
        const std::string& name = site(index).name;
        kept[next].copy_(without_smallest(of(name + ".fc1").sum(1) + of(name + ".fc2").sum(0), settings_.neurons));
        const at::Tensor removed = kept[next++].eq(0);
        gone[layout_.site(name + ".fc1")] = removed.unsqueeze(1);
        gone[layout_.site(name + ".fc2")] = removed.unsqueeze(0);
    }
    const std::int64_t count = single_weights();
    if (count == 0) return;
    std::vector<at::Tensor> entries;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
        if (!matrices_[i].judged) continue;
        at::Tensor entry = importance(matrices_[i].site, weights, update);
        if (const auto found = gone.find(matrices_[i].site); found != gone.end())
            entry.masked_fill_(found->second, std::numeric_limits<float>::infinity());
        entries.push_back(entry.view({-1}));
        places.push_back(i);
    }
    const float threshold = smallest(entries, count);
    std::int64_t equal = count;  // of those at the threshold itself the first ones go
    for (const at::Tensor& entry : entries) equal -= entry.lt(threshold).sum().item<std::int64_t>();
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const at::Tensor same = entries[i].eq(threshold);
        const at::Tensor pruned = entries[i].lt(threshold).logical_or(same.logical_and(same.cumsum(0).le(equal)));
        equal = std::max<std::int64_t>(0, equal - same.sum().item<std::int64_t>());
        kept[places[i]].copy_(pack_bits(pruned.logical_not()));
    }
}

}  // namespace permille
