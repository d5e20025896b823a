#include "core/decode/beam.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"

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
    std::size_t sentence = 0;
    std::vector<Node> nodes;
    std::vector<std::int32_t> tips;   // [K] node of each running beam
    std::vector<float> scores;        // [K]
    std::vector<Finished> finished;   // best first, at most K
    bool can_improve = true;
};

struct Continuation {
    float score;
    std::int64_t beam, token;
};

class Batch {
public:
    Batch(const Seq2Seq& model, const Attachment* attachment, const SearchSettings& settings) : model_(model), settings_(settings), forward_(model.inference(attachment)) {}

    void run(const std::vector<std::vector<std::int64_t>>& sources, const std::vector<std::size_t>& sentences, const std::stop_token& stop,
             std::vector<std::vector<Candidate>>& results) {
        const std::int64_t beams = settings_.beam_size;
        std::vector<std::vector<std::int64_t>> chosen;
        for (const auto sentence : sentences) chosen.push_back(sources[sentence]);
        const TokenRows source = TokenRows::of(chosen, model_.device());
        const at::Tensor encoded = model_.encode(forward_, source);
        const std::int64_t most = std::min(settings_.max_length, model_.architecture().max_positions);
        DecoderCache cache = model_.start(forward_, source, encoded, beams, most);

        std::vector<Search> running(sentences.size());
        for (std::size_t i = 0; i < running.size(); ++i) {
            running[i].sentence = sentences[i];
            running[i].nodes.push_back({model_.architecture().decoder_start_id, -1});
            running[i].tips.assign(static_cast<std::size_t>(beams), 0);
            running[i].scores.assign(static_cast<std::size_t>(beams), static_cast<float>(kNever));
            running[i].scores[0] = 0;
        }
        for (std::int64_t length = 1; length < most && !running.empty(); ++length) {
            if (stop.stop_requested()) throw Stopped{};
            advance(running, cache, length, most);
            std::vector<std::int64_t> order, stay;
            std::vector<Search> next;
            for (std::size_t i = 0; i < running.size(); ++i) {
                if (done(running[i], length + 1, most)) {
                    results[running[i].sentence] = collect(running[i]);
                    continue;
                }
                stay.push_back(static_cast<std::int64_t>(i));
                for (std::int64_t k = 0; k < beams; ++k) order.push_back(static_cast<std::int64_t>(i) * beams + origin_[i][static_cast<std::size_t>(k)]);
                next.push_back(std::move(running[i]));
            }
            running = std::move(next);
            if (!running.empty()) cache.select(order, stay);
        }
    }

private:
    // The best 2K continuations of every sentence, from one decoder step over all of them.
    void advance(std::vector<Search>& running, DecoderCache& cache, std::int64_t length, std::int64_t most) {
        const std::int64_t beams = settings_.beam_size, keep = 2 * beams;
        std::vector<std::int64_t> tokens;
        for (const Search& search : running)
            for (const auto tip : search.tips) tokens.push_back(search.nodes[static_cast<std::size_t>(tip)].token);
        const at::Tensor states = model_.step(forward_, cache, at::tensor(tokens, at::kLong).to(model_.device()));
        std::optional<std::int64_t> forced;
        if (length == 1) forced = settings_.forced_first;
        if (length == most - 1 && settings_.forced_last) forced = settings_.forced_last;

        at::Tensor values, indices;
        const std::int64_t vocabulary = model_.architecture().vocab_size, per_row = std::min(keep, vocabulary);
        if (!forced) {
            const at::Tensor logits = model_.logits(forward_, states);
            std::tie(values, indices) = at::topk(logits, per_row, 1);
            values = (values - at::logsumexp(logits, {1}, true)).to(at::kCPU).contiguous();
            indices = indices.to(at::kCPU).contiguous();
        }
        origin_.assign(running.size(), {});
        std::vector<Continuation> candidates;
        for (std::size_t i = 0; i < running.size(); ++i) {
            Search& search = running[i];
            candidates.clear();
            for (std::int64_t k = 0; k < beams; ++k) {
                const float before = search.scores[static_cast<std::size_t>(k)];
                if (forced) {
                    candidates.push_back({before, k, *forced});
                    continue;
                }
                const std::int64_t row = (static_cast<std::int64_t>(i) * beams + k) * per_row;
                for (std::int64_t j = 0; j < per_row; ++j)
                    candidates.push_back({before + values.const_data_ptr<float>()[row + j], k, indices.const_data_ptr<std::int64_t>()[row + j]});
            }
            std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
            if (static_cast<std::int64_t>(candidates.size()) > keep) candidates.resize(static_cast<std::size_t>(keep));
            extend(search, candidates, origin_[i], length, most);
        }
    }

    // candidates: best first. Fills the next beams, and those that end among the best K join the finished ones.
    void extend(Search& search, const std::vector<Continuation>& candidates, std::vector<std::int64_t>& origin, std::int64_t length, std::int64_t most) {
        const auto beams = static_cast<std::size_t>(settings_.beam_size);
        const auto divisor = static_cast<float>(std::pow(static_cast<double>(length), settings_.length_penalty));
        const bool full = search.finished.size() == beams;
        std::vector<std::int32_t> tips;
        std::vector<float> scores;
        for (std::size_t rank = 0; rank < candidates.size(); ++rank) {
            const Continuation& candidate = candidates[rank];
            const bool ends = candidate.token == model_.architecture().eos_id || length + 1 >= most;
            if (ends) {
                const bool closed = (full && first_suffices()) || !search.can_improve;
                if (rank < beams && !closed && candidate.score > kNever / 2) {
                    search.nodes.push_back({candidate.token, search.tips[static_cast<std::size_t>(candidate.beam)]});
                    search.finished.push_back({candidate.score / divisor, candidate.score, static_cast<std::int32_t>(search.nodes.size()) - 1});
                }
            } else if (tips.size() < beams) {
                search.nodes.push_back({candidate.token, search.tips[static_cast<std::size_t>(candidate.beam)]});
                tips.push_back(static_cast<std::int32_t>(search.nodes.size()) - 1);
                scores.push_back(candidate.score);
                origin.push_back(candidate.beam);
            }
        }
        while (tips.size() < beams) {  // forced or exhausted: dead beams
            tips.push_back(tips.empty() ? search.tips[0] : tips[0]);
            scores.push_back(static_cast<float>(kNever));
            origin.push_back(origin.empty() ? 0 : origin[0]);
        }
        search.tips = std::move(tips);
        search.scores = std::move(scores);
        std::stable_sort(search.finished.begin(), search.finished.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
        if (search.finished.size() > beams) search.finished.resize(beams);
    }

    // length: tokens of the running hypotheses now, start token included.
    bool done(Search& search, std::int64_t length, std::int64_t most) const {
        const auto beams = static_cast<std::size_t>(settings_.beam_size);
        if (length >= most) return true;
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
            for (std::int32_t node = finished.node; node >= 0; node = search.nodes[static_cast<std::size_t>(node)].parent)
                candidate.ids.push_back(search.nodes[static_cast<std::size_t>(node)].token);
            std::reverse(candidate.ids.begin(), candidate.ids.end());
            candidate.log_probability = static_cast<double>(finished.log_probability);
            candidate.score = static_cast<double>(finished.score);
            list.push_back(std::move(candidate));
            if (static_cast<std::int64_t>(list.size()) == settings_.n_best) break;
        }
        return list;
    }

    const Seq2Seq& model_;
    const SearchSettings& settings_;
    Forward forward_;
    std::vector<std::vector<std::int64_t>> origin_;  // per sentence: the beam that each new beam continues
};

}  // namespace

std::vector<std::vector<Candidate>> beam_search(const Seq2Seq& model, const Attachment* attachment, const std::vector<std::vector<std::int64_t>>& sources,
                                                const SearchSettings& settings, std::stop_token stop, const std::function<void(std::int64_t)>& done) {
    const c10::InferenceMode guard;
    std::vector<std::size_t> order(sources.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return sources[a].size() > sources[b].size(); });
    std::vector<std::vector<Candidate>> results(sources.size());
    std::int64_t finished = 0;
    for (std::size_t from = 0; from < order.size();) {
        const auto longest = static_cast<std::int64_t>(sources[order[from]].size());
        const auto size = static_cast<std::size_t>(std::max<std::int64_t>(1, settings.batch_tokens / (longest * settings.beam_size)));
        const std::size_t to = std::min(order.size(), from + size);
        Batch(model, attachment, settings)
            .run(sources, std::vector<std::size_t>(order.begin() + static_cast<std::ptrdiff_t>(from), order.begin() + static_cast<std::ptrdiff_t>(to)), stop,
                 results);
        finished += static_cast<std::int64_t>(to - from);
        if (done) done(finished);
        from = to;
    }
    return results;
}

}  // namespace permille
