#include "core/jobs/budget.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "core/base/error.h"
#include "core/jobs/model_job.h"
#include "core/models/base_model.h"
#include "core/peft/method.h"

namespace permille {

namespace {

std::string percent(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g %%", value);
    return text;
}

// Floating-point operations per second of this machine in one float32 matrix product, all threads; measured once.
double matrix_rate() {
    static const double rate = [] {
        const c10::InferenceMode guard;
        const at::Tensor a = at::ones({512, 512}), b = at::ones({512, 512});
        at::mm(a, b);
        double best = 0;
        for (int i = 0; i < 5; ++i) {
            const auto started = std::chrono::steady_clock::now();
            at::mm(a, b);
            best =
                std::max(best, 2.0 * 512 * 512 * 512 / std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
        }
        return best;
    }();
    return rate;
}

// Share of the matrix rate that training reaches here, norms, attention, loss and optimiser counted; see tests/bench.
constexpr double kEfficiency = 0.5;

void estimate_time(BudgetAnswer& answer, const Layout& layout, const Architecture& a, bool whole_model, const TrainingSettings& training) {
    const auto parameters = static_cast<double>(layout.parameter_count());
    const auto table = static_cast<double>(a.vocab_size * a.d_model);
    const auto tokens = static_cast<double>(training.batch_tokens * training.accumulate);
    const double body = parameters - table;
    // A token passes one of the two stacks; the vocabulary projection sees the target half.
    const double forward = 2.0 * (body * 0.5 + table * 0.5) * tokens;
    const double added = 2.0 * static_cast<double>(answer.added) * 0.5 * tokens;
    const double backward = whole_model ? 2.0 * forward : forward + 2.0 * added;
    answer.seconds_per_1000_updates = 1000.0 * (forward + added + backward) / (matrix_rate() * kEfficiency);
}

// The program, libtorch and the allocator's slack.
constexpr double kProgramBytes = 170e6;

double element_bytes(const DeviceSettings& device) { return device.dtype == "float32" ? 4 : 2; }

double weights_bytes(const Layout& layout, const DeviceSettings& device) {
    double total = 0;
    for (const ParameterSpec& parameter : layout.parameters) {
        const bool matrix = parameter.role == ParameterRole::matrix || parameter.role == ParameterRole::embedding;
        total += static_cast<double>(parameter.count()) * (matrix ? element_bytes(device) : 4);
    }
    return total;
}

// Trained values cost five float32 each: value, gradient, two moments, the best value so far. What the backward pass keeps of a token, per
// layer: the inputs of the norms and attention, queries, keys, values, the feed-forward network's middle, attention's weights.
double training_bytes(const BudgetAnswer& answer, const Layout& layout, const Architecture& a, bool whole_model,
                      const TrainingSettings& training, const DeviceSettings& device) {
    const auto d = static_cast<double>(a.d_model), tokens = static_cast<double>(training.batch_tokens) / 2;
    const double weights = static_cast<double>(kSentenceTokens) * (training.dropout == 0 || a.attention_dropout == 0 ? 0 : 2);
    const double encoder = 10 * d + 2 * static_cast<double>(a.encoder_ffn) + static_cast<double>(a.encoder_heads) * weights;
    const double decoder = 18 * d + 2 * static_cast<double>(a.decoder_ffn) + static_cast<double>(a.decoder_heads) * weights * 2;
    const double kept = tokens * (static_cast<double>(a.encoder_layers) * encoder + static_cast<double>(a.decoder_layers) * decoder) * 4;
    double total = kProgramBytes + weights_bytes(layout, device) + static_cast<double>(answer.trainable) * 20 + kept;
    // The table's gradient comes in parts, from both ends of the model, before they are added.
    if (whole_model) total += 2.0 * static_cast<double>(a.vocab_size) * d * 4;
    // The loss holds three blocks of logits at a time; how large one may be, core/nn/vocabulary_loss.cpp says.
    const double block = std::min(tokens * static_cast<double>(a.vocab_size), whole_model ? 0x1p24 : 0x1p22);
    return total + 3 * block * 4;
}

// The caches of keys and values of a batch (both halves of the double buffer, all beams), and the scores of its rows.
double inference_bytes(const Layout& layout, const Architecture& a, const DecodingSettings& decoding, const DeviceSettings& device) {
    const auto d = static_cast<double>(a.d_model), layers = static_cast<double>(a.decoder_layers),
               source = static_cast<double>(kSentenceTokens);
    const double target = std::min(static_cast<double>(std::min(decoding.max_length, a.max_positions)), 1.5 * source);
    const auto beams = static_cast<double>(decoding.beam_size);
    const double sentences = std::max(1.0, static_cast<double>(decoding.batch_tokens) / (source * beams)), rows = sentences * beams;
    const double own = 4 * rows * target * d * layers, cross = 2 * sentences * source * d * layers;
    const double scores = 2 * rows * static_cast<double>(a.vocab_size) * 4;
    return kProgramBytes + weights_bytes(layout, device) + (own + cross) * element_bytes(device) + scores;
}

}  // namespace

Json BudgetAnswer::to_json() const {
    Json json = {{"method", method}};
    json["requested"] = requested ? Json(*requested) : Json(nullptr);
    json["reachable"] = {{"min_percent", min_percent ? Json(*min_percent) : Json(nullptr)},
                         {"max_percent", max_percent ? Json(*max_percent) : Json(nullptr)}};
    json["solved"] = solved ? *solved : Json(nullptr);
    json["trainable"] = trainable;
    json["stored"] = stored;
    json["train_only"] = train_only;
    json["added"] = added;
    json["percent_base"] = percent_base;
    json["percent_total"] = percent_total;
    json["peak_memory_bytes"] = peak_memory_bytes;
    json["seconds_per_1000_updates"] = seconds_per_1000_updates;
    json["reason"] = reason;
    return json;
}

BudgetAnswer solve_budget(const std::string& model, const std::string& method_id, const Json& settings, std::optional<double> wanted,
                          const TrainingSettings& training, const DeviceSettings& device) {
    if (device.threads > 0) at::set_num_threads(static_cast<int>(device.threads));
    const ModelDescription description = describe_model(find_model(model));
    const Layout& layout = description.layout;
    const Method& method = find_method_by_id(method_id, "method");
    const auto base_count = static_cast<double>(layout.parameter_count());
    const auto percent_of = [&](std::int64_t trainable) { return 100.0 * static_cast<double>(trainable) / base_count; };

    BudgetAnswer answer;
    answer.method = method_id;
    answer.requested = wanted;
    Json chosen = method.complete(settings);
    const std::string& knob = method.info().size_knob;
    if (knob.empty()) {
        answer.min_percent = answer.max_percent = percent_of(sizes(method, layout, chosen).trainable);
        if (wanted && std::abs(*wanted - *answer.min_percent) > 0.1 * *wanted) {
            answer.reason = method.info().name + " has a fixed size, " + percent(*answer.min_percent) + " of this base";
            return answer;
        }
        answer.solved = chosen;
    } else {
        const auto at = [&](std::int64_t size) {
            Json tried = chosen;
            tried[knob] = size;
            return sizes(method, layout, tried).trainable;
        };
        std::int64_t low = 1, high = std::max<std::int64_t>(1, method.largest_size(layout, chosen));
        answer.min_percent = percent_of(at(low));
        answer.max_percent = percent_of(at(high));
        if (wanted) {
            const double target = *wanted / 100.0 * base_count;
            if (*wanted < *answer.min_percent * 0.999999 || *wanted > *answer.max_percent * 1.000001) {
                answer.reason = method.info().name + " reaches " + percent(*answer.min_percent) + " to " + percent(*answer.max_percent) +
                                " of this base";
                return answer;
            }
            while (low < high) {  // the count grows with the knob: the first size at or above the target
                const std::int64_t middle = low + (high - low) / 2;
                if (static_cast<double>(at(middle)) < target) low = middle + 1;
                else high = middle;
            }
            if (low > 1 && target - static_cast<double>(at(low - 1)) < static_cast<double>(at(low)) - target) --low;
            chosen[knob] = low;
        }
        answer.solved = chosen;
    }
    const Sizes total = sizes(method, layout, *answer.solved);
    answer.trainable = total.trainable;
    answer.stored = total.stored;
    answer.train_only = total.train_only;
    answer.added = total.added;
    answer.percent_base = percent_of(total.trainable);
    answer.percent_total = 100.0 * static_cast<double>(total.trainable) / (base_count + static_cast<double>(total.added));
    const bool whole_model = total.trainable > layout.parameter_count() / 2;
    estimate_time(answer, layout, description.architecture, whole_model, training);
    answer.peak_memory_bytes =
        static_cast<std::int64_t>(training_bytes(answer, layout, description.architecture, whole_model, training, device));
    return answer;
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
    const ModelDescription description = describe_model(find_model(model));
    MemoryNeeds needs{device.dtype,
                      static_cast<std::int64_t>(weights_bytes(description.layout, device)),
                      static_cast<std::int64_t>(inference_bytes(description.layout, description.architecture, decoding, device)),
                      decoding.beam_size,
                      decoding.batch_tokens,
                      training.batch_tokens,
                      {}};
    for (const auto& method : methods()) {
        const std::string& id = method->info().id;
        needs.training_bytes.emplace_back(id, solve_budget(model, id, Json::object(), std::nullopt, training, device).peak_memory_bytes);
    }
    return needs;
}

}  // namespace permille
