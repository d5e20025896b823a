#include "core/peft/virtual_tokens.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "core/base/error.h"

namespace permille {

Init rows_of_vocabulary(const Layout& layout, const std::string& stack, std::int64_t count, bool scaled) {
    int table = layout.parameter("model." + stack + ".embed_tokens.weight");
    if (table < 0) table = layout.parameter("model.shared.weight");
    PERMILLE_ASSERT(table >= 0);
    const double scale = scaled ? layout.embedding_scale : 1.0;
    return Init::made([table, count, scale](const std::vector<at::Tensor>& weights, std::uint64_t seed) {
        const at::Tensor& rows = weights[static_cast<std::size_t>(table)];
        const std::int64_t specials = 4, last = std::min<std::int64_t>(rows.size(0), specials + 5000);
        auto generator = at::detail::createCPUGenerator(seed);
        const at::Tensor chosen = at::empty({count}, at::kLong).random_(std::min(specials, last - 1), last, generator);
        return rows.index_select(0, chosen.to(rows.device())).to(at::kFloat) * scale;
    });
}

std::int64_t width_of(const Layout& layout, const std::string& stack, const std::string& method) {
    const int site = layout.site(stack + ".prompt");
    if (site < 0)
        throw Error(ErrorKind::config, method, "no stack of this model matches '" + stack + "'", "it is for encoder-decoder models");
    return layout.sites[static_cast<std::size_t>(site)].out;
}

}  // namespace permille
