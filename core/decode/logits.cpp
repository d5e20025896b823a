#include "core/decode/logits.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "core/nn/device.h"

namespace permille {

namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

// ---- rules that change scores

// A negative score times the penalty, a positive one divided by it: above 1 both fall.
at::Tensor penalised(const at::Tensor& scores, double penalty) { return at::where(scores < 0, scores * penalty, scores / penalty); }

struct SourceTokens : ScoreRule {
    explicit SourceTokens(double penalty) : reward(1 / penalty) {}
    void tokens(const LogitsRow& hypothesis, Tokens& found) const override {
        found.insert(found.end(), hypothesis.source->begin(), hypothesis.source->end());
    }
    at::Tensor changed(const at::Tensor& scores) const override { return penalised(scores, reward); }
    double reward;
};

struct RepeatedTokens : ScoreRule {
    explicit RepeatedTokens(double given) : penalty(given) {}
    void tokens(const LogitsRow& hypothesis, Tokens& found) const override {
        found.insert(found.end(), hypothesis.tokens.begin(), hypothesis.tokens.end());
    }
    at::Tensor changed(const at::Tensor& scores) const override { return penalised(scores, penalty); }
    double penalty;
};

// ---- rules that ban tokens

// What follows, in `text`, the last n - 1 tokens of the hypothesis.
void followers(const Tokens& text, const Tokens& tokens, std::int64_t n, Tokens& banned) {
    const std::int64_t length = static_cast<std::int64_t>(tokens.size());
    if (length < n - 1) return;
    const auto last = tokens.end() - (n - 1);
    for (std::int64_t from = 0; from + n <= static_cast<std::int64_t>(text.size()); ++from)
        if (std::equal(last, tokens.end(), text.begin() + from)) banned.push_back(text[static_cast<std::size_t>(from + n - 1)]);
}

struct OwnNgrams : BanRule {
    explicit OwnNgrams(std::int64_t n) : size(n) {}
    void tokens(const LogitsRow& hypothesis, Tokens& banned) const override {
        followers(hypothesis.tokens, hypothesis.tokens, size, banned);
    }
    std::int64_t size;
};

struct SourceNgrams : BanRule {
    explicit SourceNgrams(std::int64_t n) : size(n) {}
    void tokens(const LogitsRow& hypothesis, Tokens& banned) const override {
        followers(*hypothesis.source, hypothesis.tokens, size, banned);
    }
    std::int64_t size;
};

struct BadWords : BanRule {
    explicit BadWords(std::vector<Tokens> words) : sequences(std::move(words)) {}
    void tokens(const LogitsRow& hypothesis, Tokens& banned) const override {
        const Tokens& have = hypothesis.tokens;
        for (const Tokens& sequence : sequences) {
            // A sequence as long as the hypothesis or longer is let pass by the reference, even where its beginning is there; a single
            // token never.
            if (sequence.size() > 1 && sequence.size() > have.size()) continue;
            if (std::equal(sequence.begin(), sequence.end() - 1, have.end() - static_cast<std::ptrdiff_t>(sequence.size() - 1)))
                banned.push_back(sequence.back());
        }
    }
    std::vector<Tokens> sequences;
};

struct NoEarlyEnd : BanRule {
    NoEarlyEnd(std::int64_t length, std::int64_t eos) : min_length(length), eos_id(eos) {}
    void tokens(const LogitsRow& hypothesis, Tokens& banned) const override {
        if (static_cast<std::int64_t>(hypothesis.tokens.size()) < min_length) banned.push_back(eos_id);
    }
    std::int64_t min_length, eos_id;
};

struct Suppressed : BanRule {
    // at: only for hypotheses of this length; 0: always.
    Suppressed(Tokens ids, std::size_t length) : list(std::move(ids)), at(length) {}
    void tokens(const LogitsRow& hypothesis, Tokens& banned) const override {
        if (at == 0 || hypothesis.tokens.size() == at) banned.insert(banned.end(), list.begin(), list.end());
    }
    Tokens list;
    std::size_t at;
};

void check_ids(const Tokens& ids, std::int64_t vocab_size, const char* name) {
    for (const auto id : ids)
        if (id < 0 || id >= vocab_size)
            throw Error(ErrorKind::config, name,
                        "token " + std::to_string(id) + " is not in the vocabulary, which has " + std::to_string(vocab_size),
                        "correct generation_config.json or what was given");
}

}  // namespace

LogitsProcessors::LogitsProcessors(const LogitsRules& rules, std::int64_t eos_id, std::int64_t vocab_size, bool forced_first)
    : vocab_size_(vocab_size) {
    if (rules.encoder_repetition_penalty != 1) scores_.push_back(std::make_unique<SourceTokens>(rules.encoder_repetition_penalty));
    if (rules.repetition_penalty != 1) scores_.push_back(std::make_unique<RepeatedTokens>(rules.repetition_penalty));

    if (rules.no_repeat_ngram_size > 0) bans_.push_back(std::make_unique<OwnNgrams>(rules.no_repeat_ngram_size));
    if (rules.encoder_no_repeat_ngram_size > 0) bans_.push_back(std::make_unique<SourceNgrams>(rules.encoder_no_repeat_ngram_size));
    std::vector<Tokens> words;
    for (const Tokens& word : rules.bad_words_ids) {
        check_ids(word, vocab_size, "bad_words_ids");
        if (!word.empty() && word != Tokens{eos_id}) words.push_back(word);  // the end alone is never forbidden
    }
    if (!words.empty()) bans_.push_back(std::make_unique<BadWords>(std::move(words)));
    if (rules.min_length > 1) bans_.push_back(std::make_unique<NoEarlyEnd>(rules.min_length, eos_id));
    check_ids(rules.suppress_tokens, vocab_size, "suppress_tokens");
    check_ids(rules.begin_suppress_tokens, vocab_size, "begin_suppress_tokens");
    if (!rules.suppress_tokens.empty()) bans_.push_back(std::make_unique<Suppressed>(rules.suppress_tokens, 0));
    if (!rules.begin_suppress_tokens.empty())
        bans_.push_back(std::make_unique<Suppressed>(rules.begin_suppress_tokens, forced_first ? 2 : 1));
}

void LogitsProcessors::change(const at::Tensor& scores, const std::vector<LogitsRow>& rows) const {
    for (const auto& rule : scores_) {
        Tokens places;
        for (std::size_t row = 0; row < rows.size(); ++row) {
            const std::size_t from = places.size();
            rule->tokens(rows[row], places);
            for (std::size_t i = from; i < places.size(); ++i) places[i] += static_cast<std::int64_t>(row) * vocab_size_;
        }
        // Read all, then write all: a token that is there twice changes once, as in the reference.
        const at::Tensor index = upload(at::tensor(places, at::kLong), scores.device()), flat = scores.view({-1});
        flat.index_copy_(0, index, rule->changed(flat.index_select(0, index)));
    }
}

Tokens LogitsProcessors::banned(const std::vector<LogitsRow>& rows) const {
    Tokens places;
    for (std::size_t row = 0; row < rows.size(); ++row) {
        const std::size_t from = places.size();
        for (const auto& rule : bans_) rule->tokens(rows[row], places);
        for (std::size_t i = from; i < places.size(); ++i) places[i] += static_cast<std::int64_t>(row) * vocab_size_;
    }
    return places;
}

void ban(const at::Tensor& scores, const Tokens& places) {
    if (places.empty()) return;
    if (scores.is_cpu()) {
        for (const auto place : places) scores.data_ptr<float>()[place] = kBanned;
    } else {
        scores.view({-1}).index_fill_(0, upload(at::tensor(places, at::kLong), scores.device()), kBanned);
    }
}

at::Tensor Truncation::operator()(const at::Tensor& scores) const {
    at::Tensor kept = temperature == 1 ? scores : scores / temperature;
    const std::int64_t vocabulary = scores.size(1);
    if (top_k > 0 && top_k < vocabulary) {
        const at::Tensor least = std::get<0>(at::topk(kept, top_k, 1)).narrow(1, top_k - 1, 1);
        kept = kept.masked_fill(kept < least, kBanned);
    }
    if (top_p < 1) {
        // The most probable tokens first; as few as have the mass, found without sorting a vocabulary of which most is not needed.
        const at::Tensor log_sum = at::logsumexp(kept, {1}, true);
        for (std::int64_t count = std::min<std::int64_t>(64, vocabulary);; count = std::min(8 * count, vocabulary)) {
            const auto [best, tokens] = at::topk(kept, count, 1);
            const at::Tensor p = at::exp((best - log_sum).to(at::kDouble)), before = at::cumsum(p, 1) - p;
            const at::Tensor inside = before < top_p;
            if (count < vocabulary && inside.select(1, count - 1).any().item<bool>()) continue;  // perhaps more belong to it
            return at::full_like(kept, kBanned).scatter_(1, tokens, best.masked_fill(inside.logical_not(), kBanned));
        }
    }
    return kept;
}

}  // namespace permille
