#include "core/peft/merge.h"

#include <ATen/ATen.h>

#include "core/base/error.h"

namespace permille {

std::vector<at::Tensor> merged_weights(const Attached& attached, const Seq2Seq& base) {
    const at::NoGradGuard guard;
    const Attachment& attachment = *attached.attachment;
    const Layout& layout = base.layout();
    std::vector<at::Tensor> weights = base.weights();
    for (std::size_t i = 0; i < weights.size(); ++i)
        if (attachment.parameters[i].defined()) weights[i] = attachment.parameters[i].detach();
    const auto refuse = [&](const Site& site) {
        throw Error(ErrorKind::unsupported, attached.method->info().id,
                    "cannot be merged: what it adds at " + site.name + " is no change of weights", "keep it as an adapter beside its base");
    };
    for (std::size_t i = 0; i < layout.sites.size(); ++i) {
        const Site& site = layout.sites[i];
        const int index = static_cast<int>(i);
        if (!attachment.prefixes.at(index).empty() || !attachment.feed_forwards.at(index).empty() || !attachment.prompts.at(index).empty())
            refuse(site);
        const auto merge_all = [&](const auto& modules) {
            if (modules.empty()) return;
            if (site.weight < 0) refuse(site);
            const auto own = [&](int parameter) { return weights[static_cast<std::size_t>(parameter)].to(at::kFloat, false, true); };
            at::Tensor weight = own(site.weight), bias = own(site.bias);
            for (const auto& module : modules)
                if (!module->merge(weight, bias)) refuse(site);
            weights[static_cast<std::size_t>(site.weight)] = weight;
            weights[static_cast<std::size_t>(site.bias)] = bias;
        };
        merge_all(attachment.linears.at(index));
        merge_all(attachment.outputs.at(index));
    }
    return weights;
}

}  // namespace permille
