#include "core/peft/expert_split.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <metis.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "core/base/stopped.h"

namespace permille {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kRounds = 30;  // of k-means at most; it usually comes to rest before

std::vector<std::int64_t> values_of(const at::Tensor& indices) {
    const at::Tensor list = indices.to(at::kCPU, at::kLong).contiguous();
    return {list.const_data_ptr<std::int64_t>(), list.const_data_ptr<std::int64_t>() + list.numel()};
}

// [neurons, experts] of ones and zeros
at::Tensor membership(const ExpertOf& expert_of, std::int64_t experts) {
    return at::one_hot(at::tensor(expert_of, at::kLong), experts).to(at::kFloat);
}

// Each next centre is a row, the likelier the farther it is from those that there are (Arthur and Vassilvitskii 2007).
at::Tensor first_centres(const at::Tensor& rows, std::int64_t experts, at::Generator generator) {
    at::Tensor distance = at::full({rows.size(0)}, 1.0);
    std::vector<at::Tensor> centres;
    for (std::int64_t e = 0; e < experts; ++e) {
        const bool all_taken = distance.sum().item<double>() <= 0;  // fewer different rows than experts
        const at::Tensor chosen = at::multinomial(all_taken ? at::ones_like(distance) : distance, 1, false, generator);
        centres.push_back(rows.index_select(0, chosen));
        const at::Tensor own = (rows - centres.back()).pow(2).sum(1);
        distance = e == 0 ? own : at::minimum(distance, own);
    }
    return at::cat(centres);
}

// The graph in METIS's form: the neighbours of node i are neighbours[offsets[i]] up to neighbours[offsets[i + 1]].
struct Graph {
    std::vector<idx_t> offsets = {0}, neighbours, weights;
};

Graph graph_of(const at::Tensor& weights) {
    Graph graph;
    const auto nodes = weights.size(0);
    const float* row = weights.const_data_ptr<float>();
    for (std::int64_t i = 0; i < nodes; ++i, row += nodes) {
        for (std::int64_t j = 0; j < nodes; ++j) {
            if (row[j] <= 0) continue;
            graph.neighbours.push_back(static_cast<idx_t>(j));
            graph.weights.push_back(static_cast<idx_t>(std::min(row[j], 1e6F)));
        }
        graph.offsets.push_back(static_cast<idx_t>(graph.neighbours.size()));
    }
    return graph;
}

// Moves neurons out of parts that have too many until all have the same number.
void equalise(ExpertOf& expert_of, const at::Tensor& weights, std::int64_t experts, const std::stop_token& stop) {
    const auto neurons = static_cast<std::int64_t>(expert_of.size()), size = neurons / experts;
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(experts));
    for (const auto expert : expert_of) ++sizes[static_cast<std::size_t>(expert)];
    const at::Tensor ties = weights.matmul(membership(expert_of, experts));  // [neurons, experts]: of a neuron to each part
    const auto tie = ties.accessor<float, 2>();
    for (;;) {
        throw_if_stopped(stop);
        std::int64_t moved = -1, to = -1;
        double best = -kInfinity;
        for (std::int64_t i = 0; i < neurons; ++i) {
            const auto from = expert_of[static_cast<std::size_t>(i)];
            if (sizes[static_cast<std::size_t>(from)] <= size) continue;
            for (std::int64_t e = 0; e < experts; ++e) {
                const double gain = tie[i][e] - tie[i][from];
                if (sizes[static_cast<std::size_t>(e)] >= size || gain <= best) continue;
                best = gain;
                moved = i;
                to = e;
            }
        }
        if (moved < 0) return;
        auto& expert = expert_of[static_cast<std::size_t>(moved)];
        ties.select(1, to).add_(weights.select(1, moved));
        ties.select(1, expert).sub_(weights.select(1, moved));
        --sizes[static_cast<std::size_t>(expert)];
        ++sizes[static_cast<std::size_t>(to)];
        expert = to;
    }
}

}  // namespace

std::vector<std::int64_t> assign_evenly(const at::Tensor& costs, const std::stop_token& stop) {
    struct Move {  // the cheapest of an item from one group to another
        double cost = kInfinity;
        std::size_t item = 0;
    };
    const auto items = static_cast<std::size_t>(costs.size(0)), groups = static_cast<std::size_t>(costs.size(1)), size = items / groups;
    PERMILLE_ASSERT(size * groups == items);
    const at::Tensor table = costs.to(at::kCPU, at::kDouble).contiguous();
    const double* cost = table.const_data_ptr<double>();
    std::vector<std::vector<std::size_t>> members(groups);
    for (std::size_t i = 0; i < items; ++i) {
        const double* row = cost + i * groups;
        members[static_cast<std::size_t>(std::min_element(row, row + groups) - row)].push_back(i);
    }
    std::vector<Move> moves(groups * groups);
    const auto refresh = [&](std::size_t from) {
        std::fill_n(moves.begin() + static_cast<std::ptrdiff_t>(from * groups), groups, Move{});
        for (const std::size_t item : members[from]) {
            const double* row = cost + item * groups;
            for (std::size_t to = 0; to < groups; ++to)
                if (to != from && row[to] - row[from] < moves[from * groups + to].cost)
                    moves[from * groups + to] = {row[to] - row[from], item};
        }
    };
    for (std::size_t group = 0; group < groups; ++group) refresh(group);
    for (;;) {
        throw_if_stopped(stop);
        // Bellman and Ford's shortest paths from the groups that have too many; a chain of such paths stays the cheapest assignment of
        // its sizes, so that no cycle is negative.
        std::vector<double> distance(groups, kInfinity);
        std::vector<std::size_t> before(groups, groups);
        bool overfull = false;
        for (std::size_t group = 0; group < groups; ++group)
            if (members[group].size() > size) distance[group] = 0, overfull = true;
        if (!overfull) break;
        bool changed = true;
        for (std::size_t round = 0; changed && round < groups; ++round) {
            changed = false;
            for (std::size_t from = 0; from < groups; ++from) {
                if (distance[from] == kInfinity) continue;
                for (std::size_t to = 0; to < groups; ++to) {
                    const double through = distance[from] + moves[from * groups + to].cost;
                    if (through >= distance[to] - 1e-12) continue;
                    distance[to] = through;
                    before[to] = from;
                    changed = true;
                }
            }
        }
        std::size_t end = groups;
        for (std::size_t group = 0; group < groups; ++group)
            if (members[group].size() < size && (end == groups || distance[group] < distance[end])) end = group;
        std::vector<std::size_t> path = {end};
        while (before[path.back()] != groups && path.size() <= groups) path.push_back(before[path.back()]);
        PERMILLE_ASSERT(path.size() > 1 && path.size() <= groups);
        for (std::size_t i = 0; i + 1 < path.size(); ++i) {
            auto& from = members[path[i + 1]];
            const std::size_t item = moves[path[i + 1] * groups + path[i]].item;
            from.erase(std::find(from.begin(), from.end(), item));
            members[path[i]].push_back(item);
        }
        for (const std::size_t group : path) refresh(group);
    }
    std::vector<std::int64_t> group_of(items);
    for (std::size_t group = 0; group < groups; ++group)
        for (const std::size_t item : members[group]) group_of[item] = static_cast<std::int64_t>(group);
    return group_of;
}

ExpertOf split_by_clusters(const at::Tensor& weight, std::int64_t experts, std::uint64_t seed, const std::stop_token& stop) {
    const at::NoGradGuard guard;
    PERMILLE_ASSERT(weight.size(0) % experts == 0);
    at::Tensor rows = weight.to(at::kCPU, at::kFloat);
    rows = rows / rows.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
    at::Tensor centres = first_centres(rows, experts, at::detail::createCPUGenerator(seed));
    const double share = static_cast<double>(experts) / static_cast<double>(rows.size(0));
    ExpertOf expert_of;
    for (int round = 0; round < kRounds; ++round) {
        // |row - centre|^2 without |row|^2, which is 1 for all.
        ExpertOf next = assign_evenly(centres.pow(2).sum(1) - 2 * rows.matmul(centres.t()), stop);
        if (next == expert_of) break;
        expert_of = std::move(next);
        centres = membership(expert_of, experts).t().matmul(rows) * share;
    }
    return expert_of;
}

ExpertOf split_by_coactivation(const at::Tensor& counts, std::int64_t experts, std::uint64_t seed, const std::stop_token& stop) {
    const at::NoGradGuard guard;
    const std::int64_t neurons = counts.size(0);
    PERMILLE_ASSERT(neurons % experts == 0);
    at::Tensor weights = counts.to(at::kCPU, at::kFloat, false, /*copy=*/true).contiguous();
    weights.fill_diagonal_(0);
    const double threshold = std::get<0>(weights.view({-1}).kthvalue(std::max<std::int64_t>(1, neurons * neurons * 9 / 10))).item<double>();
    weights.masked_fill_(weights < threshold, 0);
    Graph graph = graph_of(weights);
    if (graph.neighbours.empty()) return split_at_random(neurons, experts, seed);  // nothing is ever active together
    idx_t nodes = static_cast<idx_t>(neurons), constraints = 1, parts = static_cast<idx_t>(experts), cut = 0;
    std::vector<idx_t> part(static_cast<std::size_t>(neurons));
    if (experts > 1) {
        idx_t options[METIS_NOPTIONS];
        METIS_SetDefaultOptions(options);
        options[METIS_OPTION_SEED] = static_cast<idx_t>(seed % 1000000007);
        const int result = METIS_PartGraphKway(&nodes, &constraints, graph.offsets.data(), graph.neighbours.data(), nullptr, nullptr,
                                               graph.weights.data(), &parts, nullptr, nullptr, options, &cut, part.data());
        if (result != METIS_OK)
            throw Error(ErrorKind::internal, "co-activation", "METIS could not cut the graph (code " + std::to_string(result) + ")",
                        "use another split");
    }
    ExpertOf expert_of(part.begin(), part.end());
    equalise(expert_of, weights, experts, stop);
    return expert_of;
}

ExpertOf split_at_random(std::int64_t neurons, std::int64_t experts, std::uint64_t seed) {
    PERMILLE_ASSERT(neurons % experts == 0);
    const auto order = values_of(at::randperm(neurons, at::detail::createCPUGenerator(seed)));
    ExpertOf expert_of(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) expert_of[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i) % experts;
    return expert_of;
}

}  // namespace permille
