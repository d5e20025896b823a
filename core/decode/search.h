// What beam search and sampling have in common: the settings, the result, and how sentences are put into batches.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

#include "core/base/json.h"
#include "core/base/spec.h"
#include "core/base/stopped.h"
#include "core/decode/logits.h"
#include "core/models/architecture.h"
#include "core/nn/mixture.h"

namespace permille {

class Seq2Seq;  // core/models/seq2seq.h

// When a sentence is done: yes - as soon as beam_size hypotheses are finished; no - when no running one can beat the worst finished one at
// its present length; never - the same at the most favourable length.
enum class EarlyStopping { yes, no, never };

struct SearchSettings {
    std::int64_t beam_size = 5;     // 1: greedy search
    double length_penalty = 1.0;    // score = log-probability / (generated tokens)^length_penalty, the start token not counted
    std::int64_t max_length = 200;  // tokens, start token included
    std::int64_t n_best = 1;        // beam search: at most beam_size; sampling: independent draws per source
    EarlyStopping early_stopping = EarlyStopping::yes;
    std::optional<std::int64_t> start;  // what the decoder reads first, where it is not the model's decoder_start_id (a language code)
    std::optional<std::int64_t> forced_first;  // the token after the start token (a language code)
    std::optional<std::int64_t> forced_last;   // at max_length
    LogitsRules rules;
    Truncation truncation;             // sampling only
    std::uint64_t seed = 1;            // sampling only
    std::int64_t batch_tokens = 4000;  // padded source tokens x hypotheses of a batch

    // What must follow `length` tokens of a hypothesis that may have `most`.
    std::optional<std::int64_t> forced(std::int64_t length, std::int64_t most) const {
        if (length == most - 1 && forced_last) return forced_last;
        return length == 1 ? forced_first : std::nullopt;
    }
};

// The settings of a run for a model: the lists of its generation_config.json (see generation_config) hold beside what is given; forced
// tokens that are given go before those of the model. Throws Error(config) for values that make no sense and Error(unsupported) naming a
// field of the file that would change the output and that we do not know.
SearchSettings search_settings(const DecodingSettings& settings, const Json& generation_config, const Architecture& architecture);

struct Candidate {
    std::vector<std::int64_t> ids;  // start token included
    // Sum over the generated tokens, of the scores that they were chosen by: in beam search log-probabilities after the rules, else the
    // log-softmax of the logits after rules and truncation. A forced token counts as 0.
    double log_probability = 0;
    double score = 0;
};

// One translation to find: of the source at this place, with an attachment over the base; null: with the base alone. A batch may mix
// attachments (core/nn/mixture.h); what is found does not depend on what else is in it.
struct SearchTask {
    std::size_t source = 0;
    const Attachment* attachment = nullptr;
};

// Every source with the same attachment.
std::vector<SearchTask> one_task_each(std::size_t sources, const Attachment* attachment);

// The attachments of the sentences of a batch, neighbours with the same one together.
std::vector<Share> shares_of(const std::vector<SearchTask>& batch);

// Called with the number of finished tasks after each batch; may be empty.
using BatchDone = std::function<void(std::int64_t)>;

// Searches one batch; results are in its order.
using SearchBatch =
    std::function<std::vector<std::vector<Candidate>>(const std::vector<SearchTask>& batch, const LogitsProcessors& processors)>;

// Tasks by the length of their source, longest first, in batches of at most batch_tokens padded source tokens x hypotheses (one task at
// least), and on a card of no more than half of its free memory holds. Of the tasks of one attachment those that fill batches come first;
// what is left of all attachments shares the others.
std::vector<std::vector<Candidate>> search_in_batches(const Seq2Seq& model, const std::vector<SearchTask>& tasks,
                                                      const std::vector<Tokens>& sources, const SearchSettings& settings,
                                                      std::int64_t hypotheses, const BatchDone& done, const SearchBatch& search);

}  // namespace permille
