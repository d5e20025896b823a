#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "core/decode/logits.h"

namespace permille {

namespace {

constexpr std::int64_t kBlock = 128, kLanes = 16;

// Finds the best k of a row by the greatest of each block: the k-th greatest of those bounds the k-th score from below, so that nearly
// every block is passed by after one look at it. Reused between rows for its memory.
class RowScan {
public:
    void operator()(const float* row, std::int64_t vocabulary, std::int64_t k, float* scores, std::int64_t* tokens) {
        const std::int64_t blocks = (vocabulary + kBlock - 1) / kBlock;
        greatest_.resize(static_cast<std::size_t>(blocks));
        for (std::int64_t block = 0; block < blocks; ++block)
            greatest_[static_cast<std::size_t>(block)] = greatest(row + block * kBlock, std::min(kBlock, vocabulary - block * kBlock));
        float bound = -std::numeric_limits<float>::infinity();
        if (k < blocks) {
            sorted_ = greatest_;
            std::nth_element(sorted_.begin(), sorted_.begin() + (k - 1), sorted_.end(), std::greater<>());
            bound = sorted_[static_cast<std::size_t>(k - 1)];
        }
        found_.clear();
        for (std::int64_t block = 0; block < blocks; ++block) {
            if (greatest_[static_cast<std::size_t>(block)] < bound) continue;
            for (std::int64_t token = block * kBlock; token < std::min(vocabulary, (block + 1) * kBlock); ++token)
                if (row[token] >= bound) found_.push_back({row[token], token});
        }
        while (static_cast<std::int64_t>(found_.size()) < k)
            found_.push_back({-std::numeric_limits<float>::infinity(), 0});  // not-a-numbers
        // Equal scores: the first token, whatever the blocks.
        std::partial_sort(found_.begin(), found_.begin() + k, found_.end(),
                          [](const auto& a, const auto& b) { return a.score > b.score || (a.score == b.score && a.token < b.token); });
        for (std::int64_t i = 0; i < k; ++i) {
            scores[i] = found_[static_cast<std::size_t>(i)].score;
            tokens[i] = found_[static_cast<std::size_t>(i)].token;
        }
    }

private:
    // Lane by lane, so that the compiler may use vector instructions without reordering a sum.
    static float greatest(const float* values, std::int64_t count) {
        float lanes[kLanes];
        std::fill(lanes, lanes + kLanes, -std::numeric_limits<float>::infinity());
        std::int64_t i = 0;
        for (; i + kLanes <= count; i += kLanes)
            for (std::int64_t lane = 0; lane < kLanes; ++lane)
                lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
        for (; i < count; ++i) lanes[0] = std::max(lanes[0], values[i]);
        return *std::max_element(lanes, lanes + kLanes);
    }

    struct Found {
        float score;
        std::int64_t token;
    };
    std::vector<float> greatest_, sorted_;
    std::vector<Found> found_;
};

struct TopOfRows {
    at::Tensor scores, tokens;  // [R, k]
};

TopOfRows top_of_rows(const at::Tensor& scores, std::int64_t k, bool normalise, const Tokens& banned) {
    at::Tensor values, tokens;
    if (banned.empty()) {
        std::tie(values, tokens) = at::topk(scores, k, 1);
        if (normalise) values = values - at::logsumexp(scores, {1}, true);
    } else {
        const at::Tensor changed = normalise ? at::log_softmax(scores, 1) : scores.clone();
        ban(changed, banned);
        std::tie(values, tokens) = at::topk(changed, k, 1);
    }
    return {values, tokens};
}

// Scores and whole numbers to the host in one copy, for which it waits once: a float64 holds either exactly.
std::vector<at::Tensor> downloaded(const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> wide;
    for (const at::Tensor& tensor : tensors) wide.push_back(tensor.to(at::kDouble));
    const at::Tensor all = at::stack(wide).to(at::kCPU);
    std::vector<at::Tensor> here;
    for (std::size_t i = 0; i < tensors.size(); ++i) here.push_back(all[static_cast<std::int64_t>(i)].to(tensors[i].scalar_type()));
    return here;
}

template <class T>
std::vector<T> list_of(const at::Tensor& tensor) {
    return {tensor.const_data_ptr<T>(), tensor.const_data_ptr<T>() + tensor.numel()};
}

TopTokens on_device(const at::Tensor& scores, std::int64_t k, bool normalise, const Tokens& banned) {
    const TopOfRows best = top_of_rows(scores, k, normalise, banned);
    const auto here = downloaded({best.scores, best.tokens});
    return {list_of<float>(here[0]), list_of<std::int64_t>(here[1])};
}

}  // namespace

TopContinuations top_continuations(const at::Tensor& scores, const at::Tensor& before, std::int64_t beams, std::int64_t count,
                                   std::int64_t k, bool normalise, const Tokens& banned) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const TopOfRows best = top_of_rows(scores, k, normalise, banned);
    // What is not a number would be the greatest of all.
    const at::Tensor sums = at::nan_to_num(best.scores + before.unsqueeze(1), -kInfinity, kInfinity, -kInfinity);
    const std::int64_t sentences = scores.size(0) / beams, choices = beams * k, kept = std::min(count, choices);
    const auto [sorted, order] = at::sort(sums.view({sentences, choices}), /*stable=*/true, /*dim=*/1, /*descending=*/true);
    const at::Tensor places = order.narrow(1, 0, kept);
    const auto here = downloaded({sorted.narrow(1, 0, kept), places, best.tokens.view({sentences, choices}).gather(1, places)});
    TopContinuations found{kept, list_of<float>(here[0]), list_of<std::int64_t>(here[1]), list_of<std::int64_t>(here[2])};
    for (std::int64_t& beam : found.beams) beam /= k;
    return found;
}

TopTokens top_tokens(const at::Tensor& scores, std::int64_t k, bool normalise, const Tokens& banned) {
    if (!scores.is_cpu()) return on_device(scores, k, normalise, banned);
    const std::int64_t rows = scores.size(0), vocabulary = scores.size(1);
    const bool copies = normalise || !banned.empty();
    // As many rows at a time as stay in the cache between the softmax and the search in it.
    const std::int64_t step = std::max<std::int64_t>(1, (std::int64_t{1} << 17) / vocabulary);
    TopTokens best{std::vector<float>(static_cast<std::size_t>(rows * k)), Tokens(static_cast<std::size_t>(rows * k))};
    at::parallel_for(0, rows, step, [&](std::int64_t begin, std::int64_t end) {
        const c10::InferenceMode guard;  // is of the thread
        RowScan scan;
        const at::Tensor space = copies ? at::empty({std::min(step, end - begin), vocabulary}, scores.options()) : at::Tensor();
        auto place = std::lower_bound(banned.begin(), banned.end(), begin * vocabulary);
        for (std::int64_t from = begin; from < end; from += step) {
            const std::int64_t count = std::min(step, end - from);
            at::Tensor part = scores.narrow(0, from, count);
            if (copies) {
                at::Tensor changed = space.narrow(0, 0, count);
                if (normalise) at::_log_softmax_out(changed, part, 1, false);
                else changed.copy_(part);
                part = changed;
                // The places are ascending by row only; those of these rows end where the next rows begin.
                for (; place != banned.end() && *place < (from + count) * vocabulary; ++place)
                    part.data_ptr<float>()[*place - from * vocabulary] = -std::numeric_limits<float>::infinity();
            }
            for (std::int64_t row = 0; row < count; ++row)
                scan(part.const_data_ptr<float>() + row * vocabulary, vocabulary, k, best.scores.data() + (from + row) * k,
                     best.tokens.data() + (from + row) * k);
        }
    });
    return best;
}

}  // namespace permille
