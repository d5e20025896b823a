// MAM adapters ("mix and match", He et al. 2022, arXiv 2110.04366, section 4.6): a short prefix at every attention and scaled parallel
// adapters beside the feed-forward blocks, where most of the parameters go. The settings are the paper's for translation and AdapterHub's
// "mam": 30 keys and values out of a network 800 wide, of which only what it makes is stored, and adapters of width 512 with scale 4.
#include "core/peft/composite.h"

namespace permille {

std::unique_ptr<Method> parallel_method();
std::unique_ptr<Method> prefix_method();

std::unique_ptr<Method> mam_method() {
    std::vector<std::unique_ptr<Method>> parts;
    parts.push_back(parallel_method());
    parts.push_back(prefix_method());
    return named_combination(
        {.id = "mam",
         .name = "MAM adapters",
         .paper = "He et al. 2022, arXiv 2110.04366",
         .summary = "joins a short prefix at the attentions with parallel adapters beside the feed-forward blocks",
         .sites = {},
         .knobs = {},
         .size_knob = "",
         .default_learning_rate = 1e-3,
         .equation = "h + 4 (Wu relu(Wd x + bd) + bu) beside feed-forward blocks, Wd [r, D]; K <- [P_K; K], V <- [P_V; V] at attentions, "
                     "P = W2 tanh(W1 E + b1) + b2 [l, D]",
         .advice = "What the comparison of parallel adapters ends with: a little more than parallel adapters alone, at several percent of "
                   "the model. Training has more parameters than the adapter that is kept, since the prefix's network is left out of it."},
        std::move(parts),
        {{"parallel.bottleneck_dim", 512},
         {"parallel.scale", 4.0},
         {"prefix.prefix_length", 30},
         {"prefix.reparametrised", true},
         {"prefix.hidden_dim", 800}});
}

}  // namespace permille
