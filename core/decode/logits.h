// What is done to the scores of the next token before one is chosen, as transformers 5 does it: rules that change scores (first) and rules
// that ban tokens (after them), each a small piece for one hypothesis. Beam search applies them to log-probabilities, greedy search and
// sampling to logits. Nothing here costs anything when no rule is set.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace permille {

using Tokens = std::vector<std::int64_t>;

// The names are those of Hugging Face's generation_config.json.
struct LogitsRules {
    std::int64_t min_length = 0;                    // no end before this many tokens, start token included
    std::int64_t no_repeat_ngram_size = 0;          // no n-gram twice in a hypothesis, start token included; 0: off
    std::int64_t encoder_no_repeat_ngram_size = 0;  // no n-gram of the source; 0: off
    double repetition_penalty = 1;                  // of tokens that the hypothesis has (Keskar et al. 2019, CTRL, section 4.1); 1: off
    double encoder_repetition_penalty = 1;          // above 1 favours the tokens of the source; 1: off
    std::vector<Tokens> bad_words_ids;              // sequences that are never completed
    Tokens suppress_tokens, begin_suppress_tokens;  // never; not as the first token that is chosen freely
    bool renormalize_logits = false;                // in beam search, log-softmax once more after the rules
};

// One running hypothesis: its tokens, start token included, and its source.
struct LogitsRow {
    Tokens tokens;
    const Tokens* source = nullptr;
};

// Changes the scores of some tokens of one hypothesis. scores: [V].
class ScoreRule {
public:
    virtual ~ScoreRule() = default;
    // Appends the tokens, which may repeat; all of them change in the same way.
    virtual void tokens(const LogitsRow& hypothesis, Tokens& found) const = 0;
    virtual at::Tensor changed(const at::Tensor& scores) const = 0;
};

// Forbids some tokens to one hypothesis.
class BanRule {
public:
    virtual ~BanRule() = default;
    // Appends the tokens, which may repeat.
    virtual void tokens(const LogitsRow& hypothesis, Tokens& banned) const = 0;
};

class LogitsProcessors {
public:
    // forced_first: whether the token after the start token is forced. Throws Error(config) for tokens that the vocabulary does not have.
    LogitsProcessors(const LogitsRules& rules, std::int64_t eos_id, std::int64_t vocab_size, bool forced_first);

    bool empty() const { return scores_.empty() && bans_.empty(); }
    bool changes_scores() const { return !scores_.empty(); }
    // scores: [R, V] float32, contiguous, on any device; one hypothesis a row.
    void change(const at::Tensor& scores, const std::vector<LogitsRow>& rows) const;
    // Places row * V + token in [R, V], ascending by row.
    Tokens banned(const std::vector<LogitsRow>& rows) const;

private:
    std::int64_t vocab_size_;
    std::vector<std::unique_ptr<ScoreRule>> scores_;
    std::vector<std::unique_ptr<BanRule>> bans_;
};

// Sets the scores at these places of [R, V] to minus infinity.
void ban(const at::Tensor& scores, const Tokens& places);

// The distribution that sampling draws from.
struct Truncation {
    double temperature = 1;  // scores are divided by it; above 1 flatter, below 1 sharper
    std::int64_t top_k = 0;  // only tokens whose score is among the k greatest (equal ones stay); 0: all
    double top_p = 1;        // then only the fewest most probable tokens that together have this much (Holtzman et al. 2020); 1: all

    // scores [R, V] -> [R, V], minus infinity where a token is left out.
    at::Tensor operator()(const at::Tensor& scores) const;
};

// The best k tokens of each row, best first.
struct TopTokens {
    std::vector<float> scores;  // [R * k]
    Tokens tokens;              // [R * k]
};
// scores: [R, V] float32. normalise: log-softmax first. banned: places that then count as minus infinity. k is at most V.
TopTokens top_tokens(const at::Tensor& scores, std::int64_t k, bool normalise, const Tokens& banned = {});

// The best continuations of each sentence, best first; of equal ones those of the first beam, and of these the likeliest token.
struct TopContinuations {
    std::int64_t count = 0;           // C, of each sentence
    std::vector<float> scores;        // [B * C]; minus infinity: there are no more
    std::vector<std::int64_t> beams;  // [B * C], of the sentence
    Tokens tokens;                    // [B * C]
};
// The same for sentences of `beams` rows each, whose own scores `before` [R] are added, chosen on the device of the scores: one small copy
// comes back. Not for the CPU. At most `count` of each sentence, from the best k tokens of each row.
TopContinuations top_continuations(const at::Tensor& scores, const at::Tensor& before, std::int64_t beams, std::int64_t count,
                                   std::int64_t k, bool normalise, const Tokens& banned);

}  // namespace permille
