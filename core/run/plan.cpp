#include "core/run/plan.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sqlite3.h>
#include <torch/headeronly/version.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/study/budgets.h"

namespace permille {

void solve_method(RunPlan& plan, const std::string& method, const Json& settings, const std::optional<Budget>& budget) {
    const BudgetAnswer answer = solve_size(plan.network().layout(), method, settings, budget);
    if (!answer.solved) throw Error(ErrorKind::config, method, answer.reason, "choose a budget within this range, or another method");
    plan.method = &find_method_by_id(method, "method");
    plan.settings = *answer.solved;
    plan.learning_rate = plan.training.learning_rate > 0 ? plan.training.learning_rate : plan.method->info().default_learning_rate;
}

void check_teacher(const RunPlan& plan, const OpenModel& teacher, const std::stop_token& stop) {
    const auto same = [](const TokenPair& a, const TokenPair& b) { return a.source == b.source && a.labels == b.labels; };
    const std::string where = "teacher " + plan.training.teacher;
    TokenText theirs;
    try {
        theirs = tokenise(*teacher.tokenizer, plan.valid_rows, plan.source, plan.target, stop);
    } catch (const Error& error) {
        throw Error(error.kind(), where + ", " + error.where(), error.found(), "distil from a model with the same tokenizer");
    }
    const auto& ours = plan.valid->pairs;
    if (teacher.base->network->architecture().vocab_size != plan.network().architecture().vocab_size ||
        !std::equal(ours.begin(), ours.end(), theirs.pairs.begin(), theirs.pairs.end(), same))
        throw Error(ErrorKind::config, where, "has another vocabulary than the base", "distil from a model with the same tokenizer");
}

RunFacts facts_of(const OpenModel& model, const std::string& corpus_fingerprint, const std::string& folder) {
    RunFacts facts;
    facts.base_fingerprint = model.base->fingerprint;
    facts.corpus_fingerprint = corpus_fingerprint;
    facts.device = describe_device(model);
    facts.versions = program_versions();
    facts.folder = folder;
    return facts;
}

void add_method_facts(RunFacts& facts, const RunPlan& plan, const Json& settings, std::int64_t trainable, double learning_rate,
                      const Json& rate_search) {
    facts.settings = settings;
    facts.settings["learning_rate"] = learning_rate;
    if (!rate_search.is_null()) facts.settings["rate_search"] = rate_search;
    const Layout& layout = plan.network().layout();
    if (const std::int64_t pruned = plan.method->pruned(layout, settings); pruned > 0) facts.settings["pruned_weights"] = pruned;
    facts.trainable = trainable;
    facts.percent_base = 100.0 * static_cast<double>(trainable) / static_cast<double>(layout.parameter_count());
    facts.train_sentences = static_cast<std::int64_t>(plan.train->pairs.size());
}

Json program_versions() { return Json{{"permille", PERMILLE_VERSION}, {"libtorch", TORCH_VERSION}, {"sqlite", sqlite3_libversion()}}; }

std::string describe_device(const OpenModel& model) {
    const at::Device device = model.base->network->device();
    std::string text = device.str();
    if (device.is_cpu()) text += ", " + std::to_string(at::get_num_threads()) + (at::get_num_threads() == 1 ? " thread" : " threads");
    return text + ", " + model.device.dtype;
}

}  // namespace permille
