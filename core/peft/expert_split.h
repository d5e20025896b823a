// How the neurons of a feed-forward block are divided into equal groups, the experts of MoEfication (core/peft/moefication.h; Zhang et al.
// 2022, arXiv 2110.01786, section 3.1). Each function gives the expert of every neuron, and each expert gets the same number of them; the
// number of neurons must divide by `experts`. They throw Stopped when asked to stop.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <stop_token>
#include <vector>

namespace permille {

using ExpertOf = std::vector<std::int64_t>;  // [neurons]

// Parameter clustering: neurons whose rows of `weight` [neurons, D] point the same way. k-means over the rows at length 1 from a k-means++
// start, in which every assignment is the best of those with equal sizes (assign_evenly).
ExpertOf split_by_clusters(const at::Tensor& weight, std::int64_t experts, std::uint64_t seed, const std::stop_token& stop = {});

// Co-activation: neurons that are active together. counts [neurons, neurons]: for how many tokens both are. A graph of the strongest tenth
// of all pairs is cut by METIS (Karypis and Kumar 1998) into parts of about equal size, and then single neurons move, the one that loses
// least first, until the sizes are equal. The authors add up products of activations, cut off at 1, in place of counting.
ExpertOf split_by_coactivation(const at::Tensor& counts, std::int64_t experts, std::uint64_t seed, const std::stop_token& stop = {});

// The control.
ExpertOf split_at_random(std::int64_t neurons, std::int64_t experts, std::uint64_t seed);

// The assignment of items to groups of equal size with the least sum of costs [items, groups], exactly: from every item in its cheapest
// group, items move along the cheapest chains of groups from those that have too many to those that have too few.
std::vector<std::int64_t> assign_evenly(const at::Tensor& costs, const std::stop_token& stop = {});

}  // namespace permille
