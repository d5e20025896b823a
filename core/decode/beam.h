// Beam search with a key/value cache, batched; finished sentences leave the batch. Sequences and scores equal Hugging Face's generate
// (transformers 5) for the same settings; a beam of 1 is greedy search.
//
// Different from there: hypotheses of which nothing is possible (every token banned, or the copies that a forced token leaves) are not
// returned, so there may be fewer than n_best, or none. The penalty of source tokens holds for every beam of its own sentence, and padding
// is not penalised.
#pragma once

#include <stop_token>
#include <vector>

#include "core/decode/search.h"
#include "core/models/seq2seq.h"

namespace permille {

// One list of candidates per task, best first, in the order of the tasks.
std::vector<std::vector<Candidate>> beam_search(const Seq2Seq& model, const std::vector<SearchTask>& tasks,
                                                const std::vector<Tokens>& sources, const SearchSettings& settings,
                                                std::stop_token stop = {}, const BatchDone& done = {});
// Every source with the same attachment, in the order of the sources.
std::vector<std::vector<Candidate>> beam_search(const Seq2Seq& model, const Attachment* attachment, const std::vector<Tokens>& sources,
                                                const SearchSettings& settings, std::stop_token stop = {}, const BatchDone& done = {});

}  // namespace permille
