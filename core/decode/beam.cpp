#include "core/decode/beam.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/nn/device.h"

namespace permille {

namespace {

constexpr double kNever = -1e9;  // the score of a beam that does not exist, as in the reference

// A hypothesis as a chain of tokens, shared by its continuations.
struct Node {
    std::int64_t token;
    std::int32_t parent;
};

struct Finished {
    float score;
    float log_probability;
    std::int32_t node;
};

// The search of one sentence.
struct Search {
    std::size_t place = 0;  // in the batch
    const Tokens* source = nullptr;
    std::int64_t most = 0;  // tokens that a hypothesis may have
    std::vector<Node> nodes;
    std::vector<std::int32_t> tips;  // node of each running beam
    std::vector<float> scores;       // of each running beam, best first
    std::vector<Finished> finished;  // best first, at most K
    bool can_improve = true;
};

struct Continuation {
    float score;
    std::int64_t beam, token;
};

class Batch {
public:
    Batch(const Seq2Seq& model, const std::vector<SearchTask>& tasks, const SearchSettings& settings, const LogitsProcessors& processors)
        : model_(model), tasks_(tasks), settings_(settings), processors_(processors), forward_(model.inference(shares_of(tasks))) {}

    std::vector<std::vector<Candidate>> run(const std::vector<Tokens>& sources, const std::stop_token& stop) {
        std::vector<Search> running(tasks_.size());
        std::vector<Tokens> chosen;
        std::int64_t most = 0;
        for (std::size_t i = 0; i < running.size(); ++i) {
            chosen.push_back(sources[tasks_[i].source]);
            running[i].place = i;
            running[i].source = &sources[tasks_[i].source];
            running[i].most = std::min(settings_.max_length, model_.longest_target(model_.inference(tasks_[i].attachment)));
            running[i].nodes.push_back({settings_.start.value_or(model_.architecture().decoder_start_id), -1});
            running[i].tips = {0};
            running[i].scores = {0};
            most = std::max(most, running[i].most);
        }
        const TokenRows source = TokenRows::of(chosen, model_.device());
        const Encoded encoded = model_.encode(forward_, source);
        DecoderCache cache = model_.start(forward_, encoded, settings_.beam_size, most);
        // The beams of a sentence are alike until there is something to choose: one row stands for them, in the memory of all.
        width_ = 1;
        cache.beams = 1;
        cache.rows = static_cast<std::int64_t>(tasks_.size());

        std::vector<std::vector<Candidate>> results(tasks_.size());
        Tokens order, stay;
        for (std::int64_t length = 1; length < most && !running.empty(); ++length) {
            if (stop.stop_requested()) throw Stopped{};
            const std::int64_t stepped = width_;
            advance(running, cache, length);
            order.clear();
            stay.clear();
            std::size_t kept = 0;
            for (std::size_t i = 0; i < running.size(); ++i) {
                if (done(running[i], length + 1)) {
                    results[running[i].place] = collect(running[i]);
                    continue;
                }
                stay.push_back(static_cast<std::int64_t>(i));
                const std::vector<std::int64_t>& origin = origin_[i];
                for (std::int64_t k = 0; k < stepped; ++k)
                    order.push_back(static_cast<std::int64_t>(i) * stepped + (stepped == width_ ? origin[static_cast<std::size_t>(k)] : 0));
                if (kept != i) running[kept] = std::move(running[i]);
                ++kept;
            }
            running.resize(kept);
            if (running.empty()) break;
            cache.select(order, stay);
            if (stepped != width_) spread(cache, static_cast<std::int64_t>(kept));
        }
        return results;
    }

private:
    // From one row per sentence to K alike.
    void spread(DecoderCache& cache, std::int64_t sentences) const {
        Tokens order, all;
        for (std::int64_t i = 0; i < sentences; ++i) {
            all.push_back(i);
            for (std::int64_t k = 0; k < width_; ++k) order.push_back(i);
        }
        cache.select(order, all);
        cache.beams = width_;
    }

    // The best 2K continuations of every sentence, from one decoder step over all of them.
    void advance(std::vector<Search>& running, DecoderCache& cache, std::int64_t length) {
        const std::int64_t beams = settings_.beam_size, keep = 2 * beams, stepped = width_;
        tokens_.clear();
        scores_.clear();
        for (const Search& search : running) {
            for (const auto tip : search.tips) tokens_.push_back(search.nodes[static_cast<std::size_t>(tip)].token);
            scores_.insert(scores_.end(), search.scores.begin(), search.scores.end());
        }
        at::Tensor tokens = at::tensor(tokens_, at::kLong), before = at::tensor(scores_, at::kFloat);
        Uploads uploads;
        uploads.add(tokens);
        uploads.add(before);
        uploads.send(model_.device());
        const at::Tensor states = model_.step(forward_, cache, tokens);
        const bool all_forced = std::all_of(running.begin(), running.end(),
                                            [&](const Search& search) { return settings_.forced(length, search.most).has_value(); });
        const std::int64_t per_row = std::min(keep, model_.architecture().vocab_size);
        TopTokens of_rows;
        TopContinuations of_sentences;
        if (!all_forced) {
            const Scored scored = continuations(running, model_.logits(forward_, states));
            if (model_.device().is_cpu()) of_rows = top_tokens(scored.scores, per_row, scored.normalise, scored.banned);
            else of_sentences = top_continuations(scored.scores, before, stepped, keep, per_row, scored.normalise, scored.banned);
            width_ = beams;  // from here on the beams of a sentence differ
        }
        origin_.resize(running.size());
        for (std::size_t i = 0; i < running.size(); ++i) {
            Search& search = running[i];
            candidates_.clear();
            if (const std::optional<std::int64_t> forced = settings_.forced(length, search.most)) {
                for (std::int64_t k = 0; k < stepped; ++k) candidates_.push_back({search.scores[static_cast<std::size_t>(k)], k, *forced});
                keep_best(keep);
            } else if (of_sentences.count > 0) {
                take(of_sentences, i);
            } else {
                for (std::int64_t k = 0; k < stepped; ++k)
                    take(of_rows, search.scores[static_cast<std::size_t>(k)], k, static_cast<std::int64_t>(i) * stepped + k, per_row);
                keep_best(keep);
            }
            extend(search, candidates_, origin_[i], length);
        }
    }

    static bool possible(float score) { return score > -std::numeric_limits<float>::infinity(); }  // else banned, as is what follows

    void take(const TopContinuations& best, std::size_t sentence) {
        const auto count = static_cast<std::size_t>(best.count);
        for (std::size_t j = sentence * count; j < (sentence + 1) * count && possible(best.scores[j]); ++j)
            candidates_.push_back({best.scores[j], best.beams[j], best.tokens[j]});
    }

    void take(const TopTokens& best, float before, std::int64_t beam, std::int64_t row, std::int64_t count) {
        for (auto j = static_cast<std::size_t>(row * count); j < static_cast<std::size_t>((row + 1) * count); ++j) {
            const float score = before + best.scores[j];
            if (!possible(score)) break;
            candidates_.push_back({score, beam, best.tokens[j]});
        }
    }

    void keep_best(std::int64_t count) {
        std::stable_sort(candidates_.begin(), candidates_.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
        if (static_cast<std::int64_t>(candidates_.size()) > count) candidates_.resize(static_cast<std::size_t>(count));
    }

    // What the best tokens of each row are chosen from.
    struct Scored {
        at::Tensor scores;      // [R, V]
        bool normalise = true;  // log-softmax first
        Tokens banned = {};
    };

    // Beam search: log-probabilities, then the rules. Greedy search: the rules, then log-probabilities.
    Scored continuations(const std::vector<Search>& running, at::Tensor logits) {
        if (processors_.empty()) return {std::move(logits)};
        rows_.clear();
        for (const Search& search : running)
            for (const auto tip : search.tips) rows_.push_back({ids(search, tip), search.source});
        Tokens banned = processors_.banned(rows_);
        const bool greedy = settings_.beam_size == 1, normalises_last = greedy || settings_.rules.renormalize_logits;
        if (processors_.changes_scores()) {
            if (!greedy) logits = at::log_softmax(logits, 1);
            processors_.change(logits, rows_);
        } else if (!normalises_last) {
            return {std::move(logits), true, std::move(banned)};
        }
        if (!normalises_last) return {std::move(logits), false, std::move(banned)};
        ban(logits, banned);
        return {std::move(logits)};
    }

    // From the start token to a node.
    static Tokens ids(const Search& search, std::int32_t node) {
        Tokens list;
        for (; node >= 0; node = search.nodes[static_cast<std::size_t>(node)].parent)
            list.push_back(search.nodes[static_cast<std::size_t>(node)].token);
        std::reverse(list.begin(), list.end());
        return list;
    }

    // candidates: best first. Fills the next beams, and those that end among the best K join the finished ones.
    void extend(Search& search, const std::vector<Continuation>& candidates, std::vector<std::int64_t>& origin, std::int64_t length) {
        const auto beams = static_cast<std::size_t>(settings_.beam_size);
        const auto divisor = static_cast<float>(std::pow(static_cast<double>(length), settings_.length_penalty));
        const std::size_t before = search.finished.size();
        const bool full = before == beams;
        const auto width = static_cast<std::size_t>(width_);
        std::vector<std::int32_t> tips;
        std::vector<float> scores;
        origin.clear();
        for (std::size_t rank = 0; rank < candidates.size(); ++rank) {
            const Continuation& candidate = candidates[rank];
            const bool ends = candidate.token == model_.architecture().eos_id || length + 1 >= search.most;
            if (ends) {
                const bool closed = (full && first_suffices()) || !search.can_improve;
                if (rank < beams && !closed && candidate.score > kNever / 2) {
                    search.nodes.push_back({candidate.token, search.tips[static_cast<std::size_t>(candidate.beam)]});
                    search.finished.push_back(
                        {candidate.score / divisor, candidate.score, static_cast<std::int32_t>(search.nodes.size()) - 1});
                }
            } else if (tips.size() < width) {
                search.nodes.push_back({candidate.token, search.tips[static_cast<std::size_t>(candidate.beam)]});
                tips.push_back(static_cast<std::int32_t>(search.nodes.size()) - 1);
                scores.push_back(candidate.score);
                origin.push_back(candidate.beam);
            }
        }
        while (tips.size() < width) {  // exhausted: dead beams
            tips.push_back(tips.empty() ? search.tips[0] : tips[0]);
            scores.push_back(static_cast<float>(kNever));
            origin.push_back(origin.empty() ? 0 : origin[0]);
        }
        search.tips = std::move(tips);
        search.scores = std::move(scores);
        if (search.finished.size() == before) return;
        std::stable_sort(search.finished.begin(), search.finished.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
        if (search.finished.size() > beams) search.finished.resize(beams);
    }

    // length: tokens of the running hypotheses now, start token included.
    bool done(Search& search, std::int64_t length) const {
        const auto beams = static_cast<std::size_t>(settings_.beam_size);
        if (length >= search.most || search.scores[0] <= kNever / 2) return true;  // too long, or every beam is dead
        if (search.finished.size() < beams) return false;
        if (first_suffices()) return true;
        const bool longest = settings_.early_stopping == EarlyStopping::never && settings_.length_penalty > 0;
        const double best_length = static_cast<double>(longest ? settings_.max_length - 1 : length - 1);
        const double possible = static_cast<double>(search.scores[0]) / std::pow(best_length, settings_.length_penalty);
        search.can_improve = search.can_improve && possible > static_cast<double>(search.finished.back().score);
        return !search.can_improve;
    }

    // Done with as many finished hypotheses as beams; a single beam is greedy search, which always stops at its first end.
    bool first_suffices() const { return settings_.early_stopping == EarlyStopping::yes || settings_.beam_size == 1; }

    std::vector<Candidate> collect(const Search& search) const {
        std::vector<Candidate> list;
        for (const Finished& finished : search.finished) {
            Candidate candidate;
            candidate.ids = ids(search, finished.node);
            candidate.log_probability = static_cast<double>(finished.log_probability);
            candidate.score = static_cast<double>(finished.score);
            list.push_back(std::move(candidate));
            if (static_cast<std::int64_t>(list.size()) == settings_.n_best) break;
        }
        return list;
    }

    const Seq2Seq& model_;
    const std::vector<SearchTask>& tasks_;
    const SearchSettings& settings_;
    const LogitsProcessors& processors_;
    Forward forward_;
    std::int64_t width_ = 1;                         // rows of each sentence: 1 until there was something to choose, then K
    std::vector<std::vector<std::int64_t>> origin_;  // per sentence: the beam that each new beam continues
    // Kept for their memory.
    Tokens tokens_;
    std::vector<float> scores_;
    std::vector<LogitsRow> rows_;
    std::vector<Continuation> candidates_;
};

}  // namespace

std::vector<std::vector<Candidate>> beam_search(const Seq2Seq& model, const std::vector<SearchTask>& tasks,
                                                const std::vector<Tokens>& sources, const SearchSettings& settings, std::stop_token stop,
                                                const BatchDone& done) {
    return search_in_batches(model, tasks, sources, settings, settings.beam_size, done, [&](const auto& batch, const auto& processors) {
        return Batch(model, batch, settings, processors).run(sources, stop);
    });
}

std::vector<std::vector<Candidate>> beam_search(const Seq2Seq& model, const Attachment* attachment, const std::vector<Tokens>& sources,
                                                const SearchSettings& settings, std::stop_token stop, const BatchDone& done) {
    return beam_search(model, one_task_each(sources.size(), attachment), sources, settings, std::move(stop), done);
}

}  // namespace permille
