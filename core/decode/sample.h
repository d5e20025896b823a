// Ancestral sampling: each token is drawn from the distribution that the rules and the truncation leave. The beam, the length penalty and
// early stopping play no part in what is drawn.
//
// The numbers behind a draw are a function of (seed, place of the source, which of its n_best draws, position): a sentence's draws depend
// neither on the batch it is in, nor on the number of threads, nor on what else is done with the same source, and the first of several
// draws is the one that n_best 1 gives.
#pragma once

#include <stop_token>
#include <vector>

#include "core/decode/search.h"
#include "core/models/seq2seq.h"

namespace permille {

// One list of n_best candidates per task, in the order of the draws, in the order of the tasks.
std::vector<std::vector<Candidate>> sample(const Seq2Seq& model, const std::vector<SearchTask>& tasks, const std::vector<Tokens>& sources,
                                           const SearchSettings& settings, std::stop_token stop = {}, const BatchDone& done = {});
// Every source with the same attachment, in the order of the sources.
std::vector<std::vector<Candidate>> sample(const Seq2Seq& model, const Attachment* attachment, const std::vector<Tokens>& sources,
                                           const SearchSettings& settings, std::stop_token stop = {}, const BatchDone& done = {});

// Rows of probabilities [R, V] (any scale) and one number in [0, 1) per row -> the chosen column of each: the first whose cumulative share
// is above the number.
std::vector<std::int64_t> choose(const at::Tensor& weights, const std::vector<double>& numbers);

// In [0, 1).
double uniform(std::uint64_t seed, std::uint64_t sentence, std::uint64_t draw, std::uint64_t position);

}  // namespace permille
