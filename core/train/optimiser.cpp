#include "core/train/optimiser.h"

#include <ATen/ATen.h>

#include "core/base/error.h"

namespace permille {

at::Tensor Optimiser::remember(const std::string& what, std::size_t value, const std::vector<std::int64_t>& shape) {
    if (attached_.specs[value].role != TensorRole::trained) return {};
    at::Tensor tensor = at::zeros(shape, at::TensorOptions(at::kFloat).device(attached_.values[value].device()));
    state_.emplace_back(what + "." + attached_.specs[value].name, tensor);
    return tensor;
}

void Optimiser::load(const TensorMap& tensors, const std::string& where) {
    const at::NoGradGuard guard;
    for (auto& [name, tensor] : state_) {
        const auto found = tensors.find(name);
        if (found == tensors.end() || found->second.sizes() != tensor.sizes())
            throw Error(ErrorKind::tensor, where + ", " + name, "is missing or of another shape", "remove the file");
        tensor.copy_(found->second);
    }
}

std::unique_ptr<Optimiser> make_optimiser(const Attached& attached, const TrainingSettings& settings) {
    const std::string& chosen = settings.optimiser == "default" ? attached.method->info().default_optimiser : settings.optimiser;
    return chosen == "adafactor" ? adafactor(attached, settings) : adamw(attached, settings);
}

}  // namespace permille
