// Beam search with a key/value cache, batched; finished sentences leave the batch. Sequences and scores equal Hugging Face's generate (transformers 5)
// for the same settings; a beam of 1 is greedy search.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

#include "core/models/seq2seq.h"

namespace permille {

// When a sentence is done: yes - as soon as beam_size hypotheses are finished; no - when no running one can beat the worst finished one at its
// present length; never - the same at the most favourable length.
enum class EarlyStopping { yes, no, never };

struct SearchSettings {
    std::int64_t beam_size = 5;
    double length_penalty = 1.0;               // score = log-probability / (generated tokens)^length_penalty, the start token not counted
    std::int64_t max_length = 200;             // tokens, start token included
    std::int64_t n_best = 1;                   // at most beam_size
    EarlyStopping early_stopping = EarlyStopping::yes;
    std::optional<std::int64_t> forced_first;  // the token after the start token (a language code)
    std::optional<std::int64_t> forced_last;   // at max_length
    std::int64_t batch_tokens = 4000;          // padded source tokens x beam_size of a batch
};

struct Candidate {
    std::vector<std::int64_t> ids;  // start token included
    double log_probability = 0;     // sum over the generated tokens; a forced token counts as 0
    double score = 0;
};

// One list of candidates per source, best first, in the order of the sources. `done` (may be empty) is called with the number of finished sources
// after each batch. When asked to stop, throws Stopped.
struct Stopped {};
std::vector<std::vector<Candidate>> beam_search(const Seq2Seq& model, const Attachment* attachment, const std::vector<std::vector<std::int64_t>>& sources,
                                                const SearchSettings& settings, std::stop_token stop = {},
                                                const std::function<void(std::int64_t)>& done = {});

}  // namespace permille
