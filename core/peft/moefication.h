// MoEfication (Zhang et al. 2022, arXiv 2110.01786): the feed-forward blocks of a trained model, of whose neurons a ReLU leaves few active
// for any one token, as mixtures of experts. The neurons of a block are divided into E equal groups (core/peft/expert_split.h); for each
// token a router chooses k of them, the others' activations count as 0 and are not computed: y = sum over the chosen experts e of
// W2_e relu(W1_e x + b1_e), + b2. Nothing is trained but the router; at k = E the block is what it was.
//
// It is stored and attached as a method is, but no training makes it, so it is not in the table of methods: find_stored_method() below
// knows it. Routers: truth, the experts with the largest sums of activations, all of which are computed to know (the bound of what a router
// can reach, no saving); similarity, those whose centre, the mean of their rows of W1 at length 1, is nearest to x / |x|; mlp, the largest
// of R2 tanh(R1 x / |x|), R1 [E, D], R2 [E, E].
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/nn/parts.h"
#include "core/peft/method.h"

namespace permille {

struct MoeficationConfig : Scope {
    std::int64_t experts = 32;     // E
    std::int64_t active = 8;       // k
    std::string router = "mlp";    // truth, similarity, mlp
    std::string split = "random";  // how the experts were found; for those who read it
    std::string replaced;          // parameters of the base that the conversion had changed before (a merged adapter), joined by commas
    static const Fields<MoeficationConfig>& fields();
};

// Of an adapter folder: this conversion, or what find_method_by_id() finds.
const Method& find_stored_method(const std::string& id, const std::string& where);

// One block to convert.
struct ConvertedBlock {
    int site = -1;                // of the feed-forward block
    int fc1 = -1, fc1_bias = -1;  // parameters
    std::string stem;             // of its tensors' names, "encoder.layers.3.experts."
    std::int64_t width = 0, neurons = 0;
};
// Those in the scope, in the layout's order; throws Error(config) when there is none or `experts` does not divide a block's neurons.
std::vector<ConvertedBlock> converted_blocks(const Layout& layout, const MoeficationConfig& config);

// x / |x|, by rows: what routers read. float32.
at::Tensor routed_rows(const at::Tensor& x);
// [E, D] from weight [neurons, D]; order [neurons] lists the neurons expert by expert.
at::Tensor expert_centres(const at::Tensor& weight, const at::Tensor& order, std::int64_t experts);
// Sums of activations [N, E] of relu(x W1^T + b1), N rows at a time that need little memory.
at::Tensor expert_sums(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& order,
                       std::int64_t experts);
// The share of all activation [N, E] that lies in the `active` experts with the largest scores [N, E]; 1 where there is none.
double captured_share(const at::Tensor& scores, const at::Tensor& sums, std::int64_t active);

// Scores [N, E] of a router's tensors (none: truth; centres: similarity; R1 and R2: mlp) for rows at length 1.
at::Tensor similarity_scores(const at::Tensor& rows, const at::Tensor& centres);
at::Tensor mlp_scores(const at::Tensor& rows, const at::Tensor& first, const at::Tensor& second);

struct TrainedRouter {
    at::Tensor first, second;  // R1 [E, D], R2 [E, E]
    std::int64_t epoch = 0;    // the kept one; 0: the start
    double captured = 0;       // of the held-out tenth by the kept one
    double loss = 0;           // of its epoch, mean over the batches
};
// The authors' training: from R1 = centres and R2 = 1, binary cross-entropy of the scores with the sums divided by their largest in the
// batch, Adam at 0.01, batches of 512, on nine tenths of the rows [N, D] at length 1 and their sums [N, E]; kept is the epoch after which
// the `active` best experts capture most of the held-out tenth (the authors look at the best fifth). stop: asked after every epoch.
TrainedRouter train_router(const at::Tensor& rows, const at::Tensor& sums, const at::Tensor& centres, std::int64_t active,
                           std::int64_t epochs, std::uint64_t seed, const std::function<void()>& stop = {});

}  // namespace permille
