// One batch whose sentences have different attachments over the one base. What the base does it does to the rows of all at once; what an
// attachment does it does to its own rows, and the results are put together again. A module is called with a Forward of its own attachment
// and with its own rows alone, so that none has to know of the others, and the results are those of a batch of one attachment.
//
// Sentences with the same attachment lie together, so that their rows are one stretch of the encoder's rows and one of the decoder's.
#pragma once

#include <ATen/Functions.h>

#include <initializer_list>
#include <vector>

#include "core/nn/parts.h"

namespace permille {

// So many consecutive sentences of a batch that have the same attachment; null: the base alone.
struct Share {
    const Attachment* attachment = nullptr;
    std::int64_t sentences = 0;
};

// Belongs to one forward pass or search (Seq2Seq::inference) and is told there which rows pass. Inference only.
class Mixture {
public:
    // Consecutive sentences, or rows, of one attachment.
    struct Stretch {
        const Forward* forward;  // of that attachment alone
        std::int64_t from, count;
        at::Tensor of(const at::Tensor& rows) const { return rows.defined() ? rows.narrow(0, from, count) : rows; }
    };

    // base: what all have in common.
    Mixture(const Layout& layout, const Forward& base, const std::vector<Share>& shares);
    Mixture(const Mixture&) = delete;
    Mixture& operator=(const Mixture&) = delete;

    const std::vector<Stretch>& sentences() const { return sentences_; }
    // As they pass the site; none of them is empty.
    const std::vector<Stretch>& rows(int site) const { return of_source_[static_cast<std::size_t>(site)] ? source_ : target_; }
    // The same, with neighbours as one that read these parameters from the same tensors.
    std::vector<Stretch> runs(int site, std::initializer_list<int> parameters) const;

    void set_source(const TokenRows& tokens);
    void set_target(const TokenRows& tokens);
    // In cached decoding, where rows are hypotheses: how many of each share, and their ids.
    void set_target(const std::vector<std::int64_t>& counts, const at::Tensor& ids);

private:
    std::vector<std::int64_t> counts(const Rows& rows) const;

    std::vector<Forward> forwards_;  // by share
    std::vector<bool> of_source_;    // by site: whether the encoder's rows pass there
    std::vector<Stretch> sentences_, source_, target_;
};

// Tell the modules, of a mixed batch each with its own, which rows pass from now on.
void pass_source(const Forward& forward, const TokenRows& tokens);
void pass_target(const Forward& forward, const TokenRows& tokens);

// The sentences of a batch by attachment; of a batch with one attachment all of them.
std::vector<Mixture::Stretch> sentences_of(const Forward& forward, std::int64_t sentences);

// function(forward, rows, others...) where the rows of a batch pass a site; in a mixed batch for the rows of each attachment, joined.
template <class Function, class... Others>
at::Tensor by_attachment(const Forward& forward, int site, Function&& function, const at::Tensor& rows, const Others&... others) {
    if (!forward.mixture) return function(forward, rows, others...);
    std::vector<at::Tensor> results;
    bool changed = false;
    for (const Mixture::Stretch& stretch : forward.mixture->rows(site)) {
        const at::Tensor own = stretch.of(rows);
        results.push_back(function(*stretch.forward, own, stretch.of(others)...));
        changed = changed || !results.back().is_same(own);
    }
    return changed ? at::cat(results) : rows;
}

// The same for what depends on these parameters alone: neighbours that read the same tensors are done together.
template <class Function>
at::Tensor by_parameters(const Forward& forward, int site, std::initializer_list<int> parameters, Function&& function,
                         const at::Tensor& rows) {
    if (!forward.mixture) return function(forward, rows);
    std::vector<at::Tensor> results;
    for (const Mixture::Stretch& run : forward.mixture->runs(site, parameters)) results.push_back(function(*run.forward, run.of(rows)));
    return results.size() == 1 ? results.front() : at::cat(results);
}

}  // namespace permille
