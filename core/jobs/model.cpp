#include "core/jobs/model.h"

#include <ATen/ATen.h>
#include "core/run/translate.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/decode/beam.h"
#include "core/decode/sample.h"
#include "core/hub/hub.h"
#include "core/nn/threads.h"
#include "core/peft/adapter_file.h"
#include "core/run/open_model.h"
#include "core/train/trainer.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

// Batches of pairs by place. As in searches, only what is left when every adapter has had its full batches is mixed.
std::vector<BatchPlan> plan_tasks(const std::vector<TokenPair>& pairs, const std::vector<AdapterTask>& tasks, std::int64_t batch_tokens) {
    std::map<std::size_t, BatchPlan> places;  // by adapter
    for (std::size_t i = 0; i < tasks.size(); ++i) places[tasks[i].adapter].push_back(static_cast<std::uint32_t>(i));
    std::vector<BatchPlan> plans;
    BatchPlan rest;
    // Adds the batches of some places; the last, which is not full as a rule, to `unfilled`.
    const auto plan = [&](const BatchPlan& chosen, BatchPlan* unfilled) {
        std::vector<TokenPair> own;
        for (const auto place : chosen) own.push_back(pairs[place]);
        const auto batches = plan_batches_by_length(own, batch_tokens);
        for (const BatchPlan& batch : batches) {
            BatchPlan& target = unfilled && &batch == &batches.back() ? *unfilled : plans.emplace_back();
            for (const auto index : batch) target.push_back(chosen[index]);
        }
    };
    for (const auto& [adapter, chosen] : places) plan(chosen, &rest);
    const std::size_t full = plans.size();
    plan(rest, nullptr);
    for (std::size_t i = full; i < plans.size(); ++i)
        std::stable_sort(plans[i].begin(), plans[i].end(), [&](auto a, auto b) { return tasks[a].adapter < tasks[b].adapter; });
    return plans;
}

}  // namespace

struct ModelSession::State {
    OpenModel model;
    std::vector<std::optional<Attached>> adapters;
    std::vector<SearchTask> tasks(const std::vector<AdapterTask>& asked) const {
        std::vector<SearchTask> list;
        for (const AdapterTask& task : asked) {
            const auto& adapter = adapters.at(task.adapter);
            list.push_back({task.line, adapter ? adapter->attachment.get() : nullptr});
        }
        return list;
    }
};

ModelSession::ModelSession(const std::string& model, const std::vector<std::optional<fs::path>>& adapters, const DeviceSettings& device,
                           const EventSink& sink)
    : state_(std::make_unique<State>()) {
    state_->model = open_model(model, device, sink);
    for (const auto& adapter : adapters) {
        state_->adapters.emplace_back();
        if (adapter) state_->adapters.back() = load_adapter(*adapter, *state_->model.base, sink);
    }
}
ModelSession::ModelSession(const std::string& model, const std::optional<fs::path>& adapter, const DeviceSettings& device,
                           const EventSink& sink)
    : ModelSession(model, std::vector{adapter}, device, sink) {}
ModelSession::~ModelSession() = default;

std::vector<Translation> ModelSession::translate(const std::vector<std::string>& lines, const std::string& source_language,
                                                 const std::string& target_language, const DecodingSettings& settings, std::int64_t n_best,
                                                 const EventSink& sink, std::stop_token stop) const {
    std::vector<AdapterTask> tasks(lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i) tasks[i].line = i;
    return translate(lines, tasks, source_language, target_language, settings, n_best, sink, std::move(stop));
}

std::vector<Translation> ModelSession::translate(const std::vector<std::string>& lines, const std::vector<AdapterTask>& tasks,
                                                 const std::string& source_language, const std::string& target_language,
                                                 const DecodingSettings& settings, std::int64_t n_best, const EventSink& sink,
                                                 std::stop_token stop) const {
    try {
        return translate_lines(state_->model, state_->tasks(tasks), lines, source_language, target_language, settings, n_best, sink, stop);
    } catch (const Stopped&) {
        return {};
    }
}

std::vector<ScoredPair> ModelSession::score(const std::vector<std::pair<std::string, std::string>>& pairs,
                                            const std::vector<AdapterTask>& tasks, const std::string& source_language,
                                            const std::string& target_language, std::int64_t batch_tokens) const {
    const Tokenizer& tokenizer = *state_->model.tokenizer;
    const ModelLanguage &source = tokenizer.source_language(source_language), &target = tokenizer.target_language(target_language);
    std::vector<TokenPair> encoded, wanted;
    for (const auto& [from, to] : pairs) {
        const auto source_ids = tokenizer.encode_source(from, source, target), labels = tokenizer.encode_target(to, target);
        encoded.push_back({{source_ids.begin(), source_ids.end()}, {labels.begin(), labels.end()}});
    }
    const std::vector<SearchTask> searched = state_->tasks(tasks);
    for (const SearchTask& task : searched) wanted.push_back(encoded.at(task.source));
    std::vector<ScoredPair> scores(tasks.size());
    const Seq2Seq& network = *state_->model.base->network;
    const c10::InferenceMode guard;
    for (const BatchPlan& plan : plan_tasks(wanted, tasks, batch_tokens)) {
        std::vector<SearchTask> together;
        for (const auto index : plan) together.push_back(searched[index]);
        const Forward forward = network.inference(shares_of(together));
        const TensorBatch batch = collate(wanted, plan, network.architecture(), network.device());
        const at::Tensor states = network.decode(forward, network.encode(forward, batch.source), batch.target);
        const at::Tensor log_p = network.log_probabilities(forward, states, batch.labels).to(at::kCPU);
        std::int64_t row = 0;
        for (const auto index : plan) {
            const auto tokens = static_cast<std::int64_t>(wanted[index].labels.size());
            scores[index] = {log_p.narrow(0, row, tokens).sum(at::kDouble).item<double>(), tokens};
            row += tokens;
        }
    }
    return scores;
}

Json adapter_info(const fs::path& folder) { return describe_adapter(folder); }

}  // namespace permille
