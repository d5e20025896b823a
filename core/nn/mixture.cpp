#include "core/nn/mixture.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "core/base/error.h"

namespace permille {

namespace {

std::vector<Mixture::Stretch> stretched(const std::vector<Forward>& forwards, const std::vector<std::int64_t>& counts) {
    std::vector<Mixture::Stretch> list;
    std::int64_t from = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        if (counts[i] > 0) list.push_back({&forwards[i], from, counts[i]});
        from += counts[i];
    }
    return list;
}

}  // namespace

Mixture::Mixture(const Layout& layout, const Forward& base, const std::vector<Share>& shares) {
    std::vector<std::int64_t> counts;
    for (const Share& share : shares) {
        PERMILLE_ASSERT(share.sentences > 0);
        forwards_.push_back(base);
        forwards_.back().attachment = share.attachment;
        counts.push_back(share.sentences);
    }
    sentences_ = stretched(forwards_, counts);
    for (const Site& site : layout.sites) of_source_.push_back(site.of_source);
}

std::vector<Mixture::Stretch> Mixture::runs(int site, std::initializer_list<int> parameters) const {
    std::vector<Stretch> list;
    for (const Stretch& stretch : rows(site)) {
        const bool same = !list.empty() && std::all_of(parameters.begin(), parameters.end(), [&](int index) {
            return stretch.forward->parameter(index).is_same(list.back().forward->parameter(index));
        });
        if (same) list.back().count += stretch.count;
        else list.push_back(stretch);
    }
    return list;
}

std::vector<std::int64_t> Mixture::counts(const Rows& rows) const {
    std::vector<std::int64_t> list;
    for (const Stretch& share : sentences_) {
        PERMILLE_ASSERT(share.from + share.count <= rows.sentences);
        const auto first = rows.lengths.begin() + share.from;
        list.push_back(std::accumulate(first, first + share.count, std::int64_t{0}));
    }
    PERMILLE_ASSERT(std::accumulate(list.begin(), list.end(), std::int64_t{0}) == rows.count());
    return list;
}

void Mixture::set_source(const TokenRows& tokens) {
    source_ = stretched(forwards_, counts(tokens.rows));
    for (std::size_t i = 0; i < forwards_.size(); ++i) {
        const auto first = tokens.rows.lengths.begin() + sentences_[i].from;
        forwards_[i].source_ids = source_[i].of(tokens.ids);
        forwards_[i].source_rows = Rows::of({first, first + sentences_[i].count}, tokens.ids.device());
    }
}

void Mixture::set_target(const TokenRows& tokens) { set_target(counts(tokens.rows), tokens.ids); }

void Mixture::set_target(const std::vector<std::int64_t>& counts, const at::Tensor& ids) {
    PERMILLE_ASSERT(counts.size() == forwards_.size());
    target_ = stretched(forwards_, counts);
    std::int64_t from = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        forwards_[i].target_ids = ids.narrow(0, from, counts[i]);
        from += counts[i];
    }
    PERMILLE_ASSERT(from == ids.size(0));
}

void pass_source(const Forward& forward, const TokenRows& tokens) {
    forward.source_ids = tokens.ids;
    forward.source_rows = tokens.rows;
    if (forward.mixture) forward.mixture->set_source(tokens);
}

void pass_target(const Forward& forward, const TokenRows& tokens) {
    forward.target_ids = tokens.ids;
    if (forward.mixture) forward.mixture->set_target(tokens);
}

std::vector<Mixture::Stretch> sentences_of(const Forward& forward, std::int64_t sentences) {
    if (forward.mixture) return forward.mixture->sentences();
    return {{&forward, 0, sentences}};
}

}  // namespace permille
