#include "core/base/events.h"

#include <algorithm>
#include <array>

namespace permille {

namespace {

// In the order of the enumeration; the names stand in databases.
constexpr std::array<std::string_view, 7> kFigures = {"train_loss",        "contrast_loss", "learning_rate", "gradient_norm",
                                                      "tokens_per_second", "valid_loss",    "valid_bleu"};

}  // namespace

std::string_view to_string(StepFigure figure) { return kFigures[static_cast<std::size_t>(figure)]; }

std::optional<StepFigure> step_figure(std::string_view name) {
    const auto found = std::find(kFigures.begin(), kFigures.end(), name);
    if (found == kFigures.end()) return std::nullopt;
    return static_cast<StepFigure>(found - kFigures.begin());
}

}  // namespace permille
