#include "core/study/budgets.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/base/error.h"
#include "core/bases/find.h"
#include "core/models/base_model.h"
#include "core/peft/adapter_file.h"
#include "core/peft/method.h"
#include "core/train/costs.h"

namespace permille {

namespace {

std::string percent(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g %%", value);
    return text;
}

}  // namespace

Json BudgetAnswer::to_json() const {
    Json json = {{"method", method}};
    json["budget"] = budget ? Json(format_budget(*budget)) : Json(nullptr);
    json["requested"] = requested ? Json(*requested) : Json(nullptr);
    json["reachable"] = {{"min_percent", min_percent ? Json(*min_percent) : Json(nullptr)},
                         {"max_percent", max_percent ? Json(*max_percent) : Json(nullptr)}};
    json["solved"] = solved ? *solved : Json(nullptr);
    json["size_knob"] = size_knob.empty() ? Json(nullptr) : Json(size_knob);
    json["trainable"] = trainable;
    json["stored"] = stored;
    json["file_bytes"] = file_bytes;
    json["train_only"] = train_only;
    if (pruned > 0) json["pruned_weights"] = pruned;
    json["added"] = added;
    json["percent_base"] = percent_base;
    json["percent_total"] = percent_total;
    json["percent_stored"] = percent_stored;
    json["peak_memory_bytes"] = peak_memory_bytes;
    json["seconds_per_1000_updates"] = seconds_per_1000_updates;
    json["reason"] = reason;
    return json;
}

namespace {

// A method on a base, and how large it becomes in the unit of a budget.
class Sizing {
public:
    Sizing(const Method& method, const Layout& layout, const Json& settings)
        : method_(method), layout_(layout), settings_(method.complete(settings)), base_(static_cast<double>(layout.parameter_count())) {
        const MethodInfo& info = method.info();
        const auto knob =
            std::find_if(info.knobs.begin(), info.knobs.end(), [&](const Field& field) { return field.name == info.size_knob; });
        if (knob != info.knobs.end()) smallest_ = static_cast<std::int64_t>(knob->min.value_or(1));
        largest_ = fixed() ? smallest_ : std::max(smallest_, method.largest_size(layout, settings_));
    }

    bool fixed() const { return method_.info().size_knob.empty(); }
    double percent_of(std::int64_t trainable) const { return 100.0 * static_cast<double>(trainable) / base_; }
    Json at(std::int64_t size) const {
        Json settings = settings_;
        if (!fixed()) settings[method_.info().size_knob] = size;
        return settings;
    }
    double measure(Budget::Unit unit, const Json& settings) const {
        if (unit == Budget::Unit::bytes) return static_cast<double>(adapter_file_size(method_, layout_, settings));
        return static_cast<double>(sizes(method_, layout_, settings).trainable);
    }

    // Sets what the answer says of the budget: the range, the settings or the reason, and the budget in percent.
    void solve(const std::optional<Budget>& budget, BudgetAnswer& answer) const {
        const double smallest = measure(Budget::Unit::parameters, at(smallest_));
        const double largest = fixed() ? smallest : measure(Budget::Unit::parameters, at(largest_));
        answer.min_percent = 100.0 * smallest / base_;
        answer.max_percent = 100.0 * largest / base_;
        answer.budget = budget;
        if (!budget) {
            answer.solved = settings_;
            return;
        }
        const bool bytes = budget->unit == Budget::Unit::bytes;
        const double target = budget->unit == Budget::Unit::percent ? budget->amount / 100.0 * base_ : budget->amount;
        const double least = bytes ? measure(budget->unit, at(smallest_)) : smallest;
        const double most = !bytes ? largest : fixed() ? least : measure(budget->unit, at(largest_));
        const double slack = fixed() ? 0.1 * target : 1e-6 * target;
        const double over = budget->at_most ? kRounding * target : slack;  // how much more than the budget will do
        const bool reached = least <= target + over && most >= target - slack;
        if (reached) answer.solved = fixed() ? settings_ : at(search(*budget, target, least, most));
        else answer.reason = refusal(bytes, least, most, answer);
        if (budget->unit == Budget::Unit::percent) answer.requested = budget->amount;
        else if (!bytes) answer.requested = 100.0 * target / base_;
        else if (reached) answer.requested = percent_of(sizes(method_, layout_, *answer.solved).trainable);
        else answer.requested = target < least ? *answer.min_percent * target / least : *answer.max_percent * target / most;
    }

private:
    static constexpr double kRounding = 1e-9;  // of a budget that was a percentage in between

    // The size whose measure is nearest to the target, or the largest that does not exceed it. The measure grows with the size, for nearly
    // all methods in a straight line: every other guess lies on the line between the known ends, the others in the middle.
    std::int64_t search(const Budget& budget, double target, double least, double most) const {
        std::int64_t below = smallest_, above = largest_;
        if (least >= target * (1.0 - kRounding)) return below;
        if (most <= target * (1.0 + kRounding)) return above;
        for (bool on_line = true; above - below > 1; on_line = !on_line) {  // measure(below) = least < target < most = measure(above)
            const double share = on_line ? (target - least) / (most - least) : 0.5;
            const auto step = static_cast<std::int64_t>(share * static_cast<double>(above - below));
            const std::int64_t guess = std::clamp(below + step, below + 1, above - 1);
            const double found = measure(budget.unit, at(guess));
            if (std::abs(found - target) <= kRounding * target) return guess;
            (found < target ? below : above) = guess;
            (found < target ? least : most) = found;
        }
        return budget.at_most || target - least < most - target ? below : above;
    }

    std::string refusal(bool bytes, double least, double most, const BudgetAnswer& answer) const {
        const auto shown = [&](double amount, double share) {
            return std::to_string(static_cast<std::int64_t>(amount)) + (bytes ? " bytes" : " parameters") + " (" + percent(share) +
                   " of this base)";
        };
        const std::string name = (bytes ? "the file of " : "") + method_.info().name;
        if (fixed()) return name + " has a fixed size, " + shown(least, *answer.min_percent);
        return name + " reaches " + shown(least, *answer.min_percent) + " to " + shown(most, *answer.max_percent);
    }

    const Method& method_;
    const Layout& layout_;
    Json settings_;  // complete
    double base_;    // P_base
    std::int64_t smallest_ = 1, largest_ = 1;
};

}  // namespace

namespace {

BudgetAnswer solve(const Layout& layout, const Method& method, const Json& settings, const std::optional<Budget>& budget) {
    const Sizing sizing(method, layout, settings);
    BudgetAnswer answer;
    answer.method = method.info().id;
    answer.size_knob = method.info().size_knob;
    sizing.solve(budget, answer);
    if (!answer.solved) return answer;
    const Sizes total = sizes(method, layout, *answer.solved);
    answer.trainable = total.trainable;
    answer.stored = total.stored;
    answer.file_bytes = adapter_file_size(method, layout, *answer.solved);
    answer.train_only = total.train_only;
    answer.pruned = total.pruned;
    answer.added = total.added;
    answer.percent_base = sizing.percent_of(total.trainable);
    answer.percent_total = 100.0 * static_cast<double>(total.trainable) / static_cast<double>(layout.parameter_count() + total.added);
    answer.percent_stored = sizing.percent_of(total.stored);
    return answer;
}

void add_costs(BudgetAnswer& answer, const ModelDescription& description, const Method& method, const TrainingSettings& training,
               const DeviceSettings& device, const ModelDescription* teacher) {
    const TrainingCosts costs = training_costs(description, method, *answer.solved, training, device, teacher);
    answer.peak_memory_bytes = costs.peak_memory_bytes;
    answer.seconds_per_1000_updates = costs.seconds_per_1000_updates;
}

std::optional<ModelDescription> describe_teacher(const TrainingSettings& training) {
    if (training.teacher.empty()) return std::nullopt;
    return describe_stored(find_model(training.teacher));
}

}  // namespace

BudgetAnswer solve_budget(const std::string& model, const std::string& method_id, const Json& settings, const std::optional<Budget>& budget,
                          const TrainingSettings& training, const DeviceSettings& device) {
    const ModelDescription description = describe_stored(find_model(model));
    const std::optional<ModelDescription> teacher = describe_teacher(training);
    const Method& method = find_method_by_id(method_id, "method");
    BudgetAnswer answer = solve(description.layout, method, settings, budget);
    if (answer.solved) add_costs(answer, description, method, training, device, teacher ? &*teacher : nullptr);
    return answer;
}

BudgetAnswer solve_size(const std::string& model, const std::string& method, const Json& settings, const std::optional<Budget>& budget) {
    return solve_size(describe_stored(find_model(model)).layout, method, settings, budget);
}

BudgetAnswer solve_size(const Layout& layout, const std::string& method, const Json& settings, const std::optional<Budget>& budget) {
    return solve(layout, find_method_by_id(method, "method"), settings, budget);
}

double budget_percent(const Budget& budget, const std::string& model, const std::string& method, const Json& settings) {
    if (budget.unit == Budget::Unit::percent) return budget.amount;
    const ModelDescription description = describe_stored(find_model(model));
    BudgetAnswer answer;
    Sizing(find_method_by_id(method, "method"), description.layout, settings).solve(budget, answer);
    return *answer.requested;
}

Json MemoryNeeds::to_json() const {
    Json training = Json::object();
    for (const auto& [method, bytes] : training_bytes) training[method] = bytes;
    return {{"dtype", dtype},
            {"weights_bytes", weights_bytes},
            {"inference_bytes", inference_bytes},
            {"beam_size", beam_size},
            {"decoding_batch_tokens", decoding_tokens},
            {"training_batch_tokens", training_tokens},
            {"training_bytes", training}};
}

MemoryNeeds memory_needs(const std::string& model, const TrainingSettings& training, const DecodingSettings& decoding,
                         const DeviceSettings& device) {
    const ModelDescription description = describe_stored(find_model(model));
    const std::optional<ModelDescription> teacher = describe_teacher(training);
    MemoryNeeds needs{device.dtype,
                      weights_bytes(description.layout, device),
                      translation_bytes(description, decoding, device),
                      decoding.beam_size,
                      decoding.batch_tokens,
                      training.batch_tokens,
                      {}};
    for (const auto& method : methods())
        needs.training_bytes.emplace_back(method->info().id, training_costs(description, *method, method->complete(Json::object()),
                                                                            training, device, teacher ? &*teacher : nullptr)
                                                                 .peak_memory_bytes);
    return needs;
}

}  // namespace permille
