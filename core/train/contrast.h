// Training against wrong translations: the unlikelihood and the length-normalised loss of T-Few (Liu et al. 2022, arXiv 2205.05638, section
// 3.2), added to the usual one with equal weights, L = L_LM + L_UL + L_LN. There the wrong answers are the other choices of a question;
// translation has none, so hypotheses of the base stand for them, and this is no part of the usual recipe for translation.
//
// Of a sentence with candidates c, the reference and the wrong ones: s(c) = mean over c's tokens of log p. L_LN = -log
// softmax(s)[reference], the mean over sentences; L_UL = mean over the tokens of all wrong candidates of -log(1 - p + 0.01), as in the
// authors' code.
#pragma once

#include <cstdint>
#include <vector>

#include "core/data/batches.h"
#include "core/decode/logits.h"
#include "core/models/seq2seq.h"

namespace permille {

// The wrong translations of each training sentence, as the decoder wrote them, start token included; a sentence may have none.
struct Contrast {
    std::vector<std::vector<Tokens>> wrong;
};

// What the means of an update are taken over: sentences that have wrong translations, and the labels of these.
struct ContrastTotals {
    std::int64_t sentences = 0, labels = 0;
    static ContrastTotals of(const Contrast& contrast, const std::vector<BatchPlan>& plans);
};

// L_UL + L_LN of a batch, its share of the update's. encoded and states are those of the references, lengths their labels. Undefined when
// no sentence of the batch has wrong translations.
at::Tensor contrast_loss(const Seq2Seq& base, const Forward& forward, const Contrast& contrast, const BatchPlan& plan,
                         const Encoded& encoded, const at::Tensor& states, const at::Tensor& labels,
                         const std::vector<std::int64_t>& lengths, const ContrastTotals& totals);

// The same from log p of each label of the candidates [sum of lengths], candidates in order, `of_sentence` of them for each sentence, the
// reference first.
at::Tensor contrast_of(const at::Tensor& log_p, const std::vector<std::int64_t>& lengths, const std::vector<std::int64_t>& of_sentence,
                       const ContrastTotals& totals);

}  // namespace permille
