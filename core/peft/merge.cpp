#include "core/peft/merge.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"

namespace permille {

namespace {

constexpr const char* kSides[] = {"encoder", "decoder"};

class Merging {
public:
    Merging(const Attached& attached, const Seq2Seq& base)
        : attached_(attached),
          attachment_(*attached.attachment),
          forward_(base.inference(&attachment_)),
          merged_{base.architecture(), base.layout(), base.weights()} {
        for (std::size_t i = 0; i < merged_.weights.size(); ++i)
            if (attachment_.parameters[i].defined()) merged_.weights[i] = attachment_.parameters[i].detach();
    }

    Merged all() {
        const std::vector<Site> sites = merged_.layout.sites;  // the order stays when tables come apart, the indices of parameters do not
        part_tables(sites);
        for (std::size_t i = 0; i < sites.size(); ++i) merge_at(merged_.layout.sites[i], static_cast<int>(i));
        return std::move(merged_);
    }

private:
    [[noreturn]] void refuse(const Site& site) const {
        throw Error(ErrorKind::unsupported, attached_.method->info().id,
                    "cannot be merged: what it adds at " + site.name + " is no change of weights", "keep it as an adapter beside its base");
    }

    bool is_taught(const std::string& side) const {
        return !attachment_.outputs.at(merged_.layout.site(side + ".embedding.tokens")).empty();
    }
    // The table that a stack looks its tokens up in.
    int table(const std::string& side) const {
        const int own = merged_.layout.parameter("model." + side + ".embed_tokens.weight");
        return own >= 0 ? own : merged_.layout.parameter("model.shared.weight");
    }

    // Gives every place a table of its own where a stack's lookups change but others read the same table.
    void part_tables(const std::vector<Site>& sites) {
        const Layout before = merged_.layout;
        Architecture& a = merged_.architecture;
        const bool shared = !a.source_vocab_size && (is_taught("encoder") || is_taught("decoder"));
        const bool projected = a.tied_projection && (shared || is_taught("decoder"));
        if (!shared && !projected) return;
        const at::Tensor encoder = tensor(table("encoder")), decoder = tensor(table("decoder"));
        if (shared) a.source_vocab_size = a.vocab_size;
        if (projected) a.tied_projection = false;
        merged_.layout = make_layout(a);
        PERMILLE_ASSERT(merged_.layout.sites.size() == sites.size());
        std::vector<at::Tensor> weights;
        for (const ParameterSpec& parameter : merged_.layout.parameters) {
            const int index = before.parameter(parameter.name);
            if (index >= 0) weights.push_back(tensor(index));
            else
                weights.push_back(parameter.name.starts_with("model.encoder") ? encoder
                                                                              : decoder);  // else the decoder's, or the projection
        }
        merged_.weights = std::move(weights);
    }

    const at::Tensor& tensor(int parameter) const { return merged_.weights[static_cast<std::size_t>(parameter)]; }
    at::Tensor own(int parameter) const { return tensor(parameter).to(at::kFloat, false, true); }
    void put(int parameter, at::Tensor value) { merged_.weights[static_cast<std::size_t>(parameter)] = std::move(value); }

    void merge_at(const Site& site, int index) {
        if (!attachment_.prefixes.at(index).empty() || !attachment_.feed_forwards.at(index).empty() ||
            !attachment_.prompts.at(index).empty())
            refuse(site);
        for (const char* side : kSides)
            if (site.name == std::string(side) + ".embedding.tokens") return merge_table(site, index, table(side));
        const auto merge_all = [&](const auto& modules) {
            if (modules.empty()) return;
            if (site.weight < 0) refuse(site);
            at::Tensor weight = own(site.weight), bias = own(site.bias);
            for (const auto& module : modules)
                if (!module->merge(weight, bias)) refuse(site);
            put(site.weight, weight);
            put(site.bias, bias);
        };
        merge_all(in_order_of_merging(attachment_.linears.at(index), site));
        merge_all(attachment_.outputs.at(index));
    }

    // Those that change what the projection reads come last: the updates of the others read it too, wherever they were attached.
    std::vector<const LinearDelta*> in_order_of_merging(const std::vector<std::unique_ptr<LinearDelta>>& modules, const Site& site) const {
        std::vector<const LinearDelta*> list;
        for (const auto& module : modules) list.push_back(module.get());
        const at::Tensor read = at::ones({1, site.in}, at::TensorOptions(at::kFloat).device(forward_.parameter(0).device()));
        std::stable_partition(list.begin(), list.end(),
                              [&](const LinearDelta* module) { return module->input(forward_, read).is_same(read); });
        return list;
    }

    void merge_table(const Site& site, int index, int parameter) {
        if (attachment_.outputs.at(index).empty()) return;
        at::Tensor values = own(parameter);
        for (const auto& module : attachment_.outputs.at(index))
            if (!module->merge_table(values, merged_.layout.embedding_scale)) refuse(site);
        put(parameter, values);
    }

    const Attached& attached_;
    const Attachment& attachment_;
    Forward forward_;
    Merged merged_;
};

}  // namespace

Merged merge(const Attached& attached, const Seq2Seq& base) {
    const at::NoGradGuard guard;
    return Merging(attached, base).all();
}

std::vector<at::Tensor> merged_weights(const Attached& attached, const Seq2Seq& base) {
    Merged merged = merge(attached, base);
    if (merged.weights.size() != base.weights().size())
        throw Error(ErrorKind::unsupported, attached.method->info().id,
                    "cannot be merged here: it changes what token embeddings are looked up, and others read the same table",
                    "merge it into a model folder with 'permille merge' first");
    return std::move(merged.weights);
}

}  // namespace permille
