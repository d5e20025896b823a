#include "core/decode/sample.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/nn/device.h"
#include "core/nn/dropout.h"

namespace permille {

double uniform(std::uint64_t seed, std::uint64_t sentence, std::uint64_t draw, std::uint64_t position) {
    constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15ULL;  // as in splitmix64
    std::uint64_t value = DropoutStreams::mix(seed + kStep);
    for (const std::uint64_t part : {sentence, draw, position}) value = DropoutStreams::mix(value + kStep * (part + 1));
    return static_cast<double>(value >> 11) * 0x1.0p-53;
}

namespace {

// As choose(), [R] int64 on the device of the weights.
at::Tensor chosen_columns(const at::Tensor& weights, const at::Tensor& numbers) {
    const at::Tensor sums = at::cumsum(weights.to(at::kDouble), 1), number = numbers.unsqueeze(1);
    const at::Tensor chosen = at::searchsorted(sums, number * sums.narrow(1, sums.size(1) - 1, 1), false, true);
    return chosen.clamp_max(weights.size(1) - 1).squeeze(1);
}

}  // namespace

std::vector<std::int64_t> choose(const at::Tensor& weights, const std::vector<double>& numbers) {
    const at::Tensor columns = chosen_columns(weights, upload(at::tensor(numbers, at::kDouble), weights.device())).to(at::kCPU);
    return {columns.const_data_ptr<std::int64_t>(), columns.const_data_ptr<std::int64_t>() + columns.numel()};
}

namespace {

struct Draw {
    std::size_t place = 0;     // of its sentence in the batch
    std::uint64_t number = 0;  // among the draws of its sentence
    std::int64_t most = 0;     // tokens that it may have
    LogitsRow hypothesis;
    double log_probability = 0;
    bool ended = false;
};

class Batch {
public:
    Batch(const Seq2Seq& model, const std::vector<SearchTask>& tasks, const SearchSettings& settings, const LogitsProcessors& processors)
        : model_(model), tasks_(tasks), settings_(settings), processors_(processors), forward_(model.inference(shares_of(tasks))) {}

    std::vector<std::vector<Candidate>> run(const std::vector<Tokens>& sources, const std::stop_token& stop) {
        const std::int64_t draws = settings_.n_best;
        std::vector<Tokens> chosen;
        std::vector<Draw> running;
        std::int64_t most = 0;
        for (std::size_t i = 0; i < tasks_.size(); ++i) {
            chosen.push_back(sources[tasks_[i].source]);
            const std::int64_t longest = std::min(settings_.max_length, model_.longest_target(model_.inference(tasks_[i].attachment)));
            most = std::max(most, longest);
            for (std::int64_t k = 0; k < draws; ++k)
                running.push_back({i,
                                   static_cast<std::uint64_t>(k),
                                   longest,
                                   {{settings_.start.value_or(model_.architecture().decoder_start_id)}, &sources[tasks_[i].source]}});
        }
        const TokenRows source = TokenRows::of(chosen, model_.device());
        const Encoded encoded = model_.encode(forward_, source);
        DecoderCache cache = model_.start(forward_, encoded, draws, most);
        std::vector<std::vector<Candidate>> results(tasks_.size());
        for (std::int64_t length = 1; length < most && !running.empty(); ++length) {
            if (stop.stop_requested()) throw Stopped{};
            advance(running, cache, length);
            leave(running, cache, length + 1, results);
        }
        return results;
    }

private:
    void advance(std::vector<Draw>& running, DecoderCache& cache, std::int64_t length) {
        Tokens last;
        std::vector<double> drawn_numbers;
        for (const Draw& draw : running) {
            last.push_back(draw.hypothesis.tokens.back());
            drawn_numbers.push_back(uniform(settings_.seed, tasks_[draw.place].source, draw.number, static_cast<std::uint64_t>(length)));
        }
        at::Tensor tokens = at::tensor(last, at::kLong), numbers = at::tensor(drawn_numbers, at::kDouble);
        Uploads uploads;
        uploads.add(tokens);
        uploads.add(numbers);
        uploads.send(model_.device());
        const at::Tensor states = model_.step(forward_, cache, tokens);
        at::Tensor drawn;  // [R, 2]: the token and its log-probability
        if (!std::all_of(running.begin(), running.end(),
                         [&](const Draw& draw) { return settings_.forced(length, draw.most).has_value(); })) {
            at::Tensor scores = model_.logits(forward_, states);
            if (!processors_.empty()) {
                std::vector<LogitsRow> rows;
                for (const Draw& draw : running) rows.push_back(draw.hypothesis);
                processors_.change(scores, rows);
                ban(scores, processors_.banned(rows));
            }
            const at::Tensor log_p = at::log_softmax(settings_.truncation(scores), 1);
            // One copy, for which the host waits once: a float64 holds a token and its log-probability exactly.
            const at::Tensor columns = chosen_columns(at::exp(log_p.to(at::kDouble)), numbers).unsqueeze(1);
            drawn = at::cat({columns.to(at::kDouble), log_p.gather(1, columns).to(at::kDouble)}, 1).to(at::kCPU);
        }
        for (std::size_t row = 0; row < running.size(); ++row) {
            Draw& draw = running[row];
            if (draw.ended) continue;  // waits for the other draws of its sentence
            const std::optional<std::int64_t> forced = settings_.forced(length, draw.most);
            const double* found = forced ? nullptr : drawn.const_data_ptr<double>() + 2 * row;
            const std::int64_t token = forced ? *forced : static_cast<std::int64_t>(found[0]);
            draw.hypothesis.tokens.push_back(token);
            if (!forced) {
                const double log_p = found[1];
                if (!std::isfinite(log_p))
                    throw Error(ErrorKind::config, "sampling",
                                "no token is left to draw after " + std::to_string(length) + " tokens: every one is banned",
                                "ban fewer tokens or n-grams");
                draw.log_probability += log_p;
            }
            draw.ended = token == model_.architecture().eos_id;
        }
    }

    // Sentences of which every draw has ended, or has `length` tokens and may have no more, leave.
    void leave(std::vector<Draw>& running, DecoderCache& cache, std::int64_t length, std::vector<std::vector<Candidate>>& results) const {
        const auto draws = static_cast<std::size_t>(settings_.n_best);
        Tokens order, stay;
        std::vector<Draw> next;
        for (std::size_t from = 0; from < running.size(); from += draws) {
            const auto begin = running.begin() + static_cast<std::ptrdiff_t>(from), end = begin + static_cast<std::ptrdiff_t>(draws);
            if (length >= begin->most || std::all_of(begin, end, [](const Draw& draw) { return draw.ended; })) {
                for (auto draw = begin; draw != end; ++draw) {
                    const double divisor = std::pow(static_cast<double>(draw->hypothesis.tokens.size()) - 1, settings_.length_penalty);
                    results[draw->place].push_back(
                        {std::move(draw->hypothesis.tokens), draw->log_probability, draw->log_probability / divisor});
                }
                continue;
            }
            stay.push_back(static_cast<std::int64_t>(from / draws));
            for (std::size_t k = 0; k < draws; ++k) order.push_back(static_cast<std::int64_t>(from + k));
            std::move(begin, end, std::back_inserter(next));
        }
        const bool shrinks = next.size() != running.size();
        running = std::move(next);
        if (shrinks && !running.empty()) cache.select(order, stay);
    }

    const Seq2Seq& model_;
    const std::vector<SearchTask>& tasks_;
    const SearchSettings& settings_;
    const LogitsProcessors& processors_;
    Forward forward_;
};

}  // namespace

std::vector<std::vector<Candidate>> sample(const Seq2Seq& model, const std::vector<SearchTask>& tasks, const std::vector<Tokens>& sources,
                                           const SearchSettings& settings, std::stop_token stop, const BatchDone& done) {
    return search_in_batches(model, tasks, sources, settings, settings.n_best, done, [&](const auto& batch, const auto& processors) {
        return Batch(model, batch, settings, processors).run(sources, stop);
    });
}

std::vector<std::vector<Candidate>> sample(const Seq2Seq& model, const Attachment* attachment, const std::vector<Tokens>& sources,
                                           const SearchSettings& settings, std::stop_token stop, const BatchDone& done) {
    return sample(model, one_task_each(sources.size(), attachment), sources, settings, std::move(stop), done);
}

}  // namespace permille
