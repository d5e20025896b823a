#include "core/train/contrast.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/nn/device.h"
#include "core/nn/vocabulary_loss.h"

namespace permille {

namespace {

using Numbers = std::vector<std::int64_t>;

at::Tensor on_host(const Numbers& numbers) { return at::tensor(numbers, at::kLong); }

// Where each sentence's rows begin in packed rows.
Numbers starts_of(const Numbers& lengths) {
    Numbers starts(lengths.size());
    std::exclusive_scan(lengths.begin(), lengths.end(), starts.begin(), std::int64_t{0});
    return starts;
}

// The rows of some of the sentences, one after the other.
Numbers rows_of(const Numbers& lengths, const Numbers& sentences) {
    const Numbers starts = starts_of(lengths);
    Numbers rows;
    for (const std::int64_t sentence : sentences)
        for (std::int64_t t = 0; t < lengths[static_cast<std::size_t>(sentence)]; ++t)
            rows.push_back(starts[static_cast<std::size_t>(sentence)] + t);
    return rows;
}

Numbers lengths_of(const Numbers& lengths, const Numbers& sentences) {
    Numbers chosen;
    for (const std::int64_t sentence : sentences) chosen.push_back(lengths[static_cast<std::size_t>(sentence)]);
    return chosen;
}

}  // namespace

ContrastTotals ContrastTotals::of(const Contrast& contrast, const std::vector<BatchPlan>& plans) {
    ContrastTotals totals;
    for (const BatchPlan& plan : plans)
        for (const auto index : plan) {
            totals.sentences += contrast.wrong[index].empty() ? 0 : 1;
            for (const Tokens& ids : contrast.wrong[index]) totals.labels += static_cast<std::int64_t>(ids.size()) - 1;
        }
    return totals;
}

at::Tensor contrast_of(const at::Tensor& log_p, const Numbers& lengths, const Numbers& of_sentence, const ContrastTotals& totals) {
    const auto count = static_cast<std::int64_t>(lengths.size()), sentences = static_cast<std::int64_t>(of_sentence.size());
    const std::int64_t most = *std::max_element(of_sentence.begin(), of_sentence.end());
    Numbers candidate_of_row, wrong_rows, places;  // places: of the candidates in [sentences, most]
    std::int64_t candidate = 0, row = 0;
    for (std::int64_t sentence = 0; sentence < sentences; ++sentence)
        for (std::int64_t i = 0; i < of_sentence[static_cast<std::size_t>(sentence)]; ++i, ++candidate) {
            places.push_back(sentence * most + i);
            for (std::int64_t t = 0; t < lengths[static_cast<std::size_t>(candidate)]; ++t, ++row) {
                candidate_of_row.push_back(candidate);
                if (i > 0) wrong_rows.push_back(row);
            }
        }
    at::Tensor candidates = on_host(candidate_of_row), tokens = on_host(lengths), in_table = on_host(places),
               of_wrong = on_host(wrong_rows);
    Uploads uploads;
    for (at::Tensor* tensor : {&candidates, &tokens, &in_table, &of_wrong}) uploads.add(*tensor);
    uploads.send(log_p.device());
    const at::Tensor sums = at::zeros({count}, log_p.options()).index_add(0, candidates, log_p);
    const at::Tensor scores = sums / tokens;
    const at::Tensor table = at::full({sentences * most}, -std::numeric_limits<float>::infinity(), log_p.options())
                                 .index_copy(0, in_table, scores)
                                 .view({sentences, most});
    const at::Tensor ranking = -at::log_softmax(table, 1).select(1, 0).sum() / static_cast<double>(totals.sentences);
    const at::Tensor wrong = log_p.index_select(0, of_wrong);
    return ranking - (1.01 - wrong.exp()).log().sum() / static_cast<double>(totals.labels);
}

at::Tensor contrast_loss(const Seq2Seq& base, const Forward& forward, const Contrast& contrast, const BatchPlan& plan,
                         const Encoded& encoded, const at::Tensor& states, const at::Tensor& labels, const Numbers& lengths,
                         const ContrastTotals& totals) {
    Numbers contrasted, repeated, of_sentence, candidate_lengths, wrong_labels;
    std::vector<Tokens> inputs;
    Numbers order;  // of the rows: all references, then all wrong ones, put together sentence by sentence
    std::int64_t wrong_row = 0;
    for (std::size_t place = 0; place < plan.size(); ++place)
        if (!contrast.wrong[plan[place]].empty()) contrasted.push_back(static_cast<std::int64_t>(place));
    if (contrasted.empty()) return {};
    const Numbers reference_rows = rows_of(lengths, contrasted);
    const auto references = static_cast<std::int64_t>(reference_rows.size());
    std::int64_t reference_row = 0;
    for (const std::int64_t place : contrasted) {
        const auto& candidates = contrast.wrong[plan[static_cast<std::size_t>(place)]];
        const auto take = [&](std::int64_t& from, std::int64_t base_row, std::int64_t length) {
            candidate_lengths.push_back(length);
            for (std::int64_t t = 0; t < length; ++t) order.push_back(base_row + from++);
        };
        take(reference_row, 0, lengths[static_cast<std::size_t>(place)]);
        for (const Tokens& ids : candidates) {
            repeated.push_back(place);
            inputs.emplace_back(ids.begin(), ids.end() - 1);
            wrong_labels.insert(wrong_labels.end(), ids.begin() + 1, ids.end());
            take(wrong_row, references, static_cast<std::int64_t>(ids.size()) - 1);
        }
        of_sentence.push_back(static_cast<std::int64_t>(candidates.size()) + 1);
    }
    const Numbers& source_lengths = encoded.tokens.rows.lengths;
    at::Tensor source_rows = on_host(rows_of(source_lengths, repeated)), rows = on_host(reference_rows), together = on_host(order),
               more_labels = on_host(wrong_labels);
    Rows source = Rows::of(lengths_of(source_lengths, repeated), at::kCPU);
    TokenRows wrong = TokenRows::of(inputs, at::kCPU);
    Uploads uploads;
    source.add_to(uploads);
    wrong.add_to(uploads);
    for (at::Tensor* tensor : {&source_rows, &rows, &together, &more_labels}) uploads.add(*tensor);
    uploads.send(base.device());
    const Encoded read = {encoded.states.index_select(0, source_rows),
                          {source, encoded.tokens.ids.index_select(0, source_rows), encoded.tokens.positions.index_select(0, source_rows)}};
    const at::Tensor wrong_states = base.decode(forward, read, wrong);
    const at::Tensor all_states = at::cat({states.index_select(0, rows), wrong_states}).index_select(0, together);
    const at::Tensor all_labels = at::cat({labels.index_select(0, rows), more_labels}).index_select(0, together);
    const at::Tensor log_p = label_log_probabilities(all_states, base.output_weight(forward), base.logits_bias(), all_labels);
    return contrast_of(log_p, candidate_lengths, of_sentence, totals);
}

}  // namespace permille
