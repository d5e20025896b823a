// What a running job tells the outside: small values, sent from the worker's thread. A sink must be quick and must not throw.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace permille {

struct LogLine {
    std::string text;
};

// How far the present piece of work is.
struct Progress {
    std::string doing = {};            // "training", "translating the test set"
    std::int64_t done = 0, total = 0;  // total 0: not known
    double eta_seconds = -1;           // of the whole job; -1: not known
};

// A figure of training that is told update by update. Losses are in nats per target token, speeds in tokens without padding per second.
enum class StepFigure { train_loss, contrast_loss, learning_rate, gradient_norm, tokens_per_second, valid_loss, valid_bleu };
std::string_view to_string(StepFigure figure);
std::optional<StepFigure> step_figure(std::string_view name);  // nothing for a name that this program does not know

struct StepMetric {
    std::int64_t step = 0;  // updates done
    StepFigure figure = StepFigure::train_loss;
    double value = 0;  // NaN and infinities are kept
};

using Event = std::variant<LogLine, Progress, StepMetric>;
using EventSink = std::function<void(const Event&)>;

inline void log_to(const EventSink& sink, std::string line) {
    if (sink) sink(LogLine{std::move(line)});
}

// The event as this figure, or null.
inline const StepMetric* figure_in(const Event& event, StepFigure figure) {
    const auto* metric = std::get_if<StepMetric>(&event);
    return metric && metric->figure == figure ? metric : nullptr;
}

}  // namespace permille
