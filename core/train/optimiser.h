// What turns gradients into steps. Its state is a list of named tensors, so that a checkpoint of any optimiser continues bit for bit.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/spec.h"
#include "core/models/safetensors.h"
#include "core/peft/attach.h"

namespace permille {

class Optimiser {
public:
    virtual ~Optimiser() = default;
    // One step of every attached value that has a gradient, at this learning rate times the value's own factor. Without gradient mode.
    // divisor: of all gradients, which are left divided; skip: 1 where the step is not to be made. Both float32 of 0 dimensions on the
    // device, so that nobody waits for them, or undefined.
    virtual void step(double rate, const at::Tensor& divisor, const at::Tensor& skip) = 0;
    void step(double rate) { step(rate, {}, {}); }
    // All that is remembered between steps; the names are "<what>.<name of the value>". Tensors are shared, not copied.
    const std::vector<std::pair<std::string, at::Tensor>>& state() const { return state_; }
    // Takes the tensors of these names. Throws Error(tensor) naming `where` and the tensor when one is missing or of another shape.
    void load(const TensorMap& tensors, const std::string& where);

protected:
    explicit Optimiser(const Attached& attached) : attached_(attached) {}
    // A tensor of zeros that belongs to the state, on the value's device; for a value that is not trained it is undefined.
    at::Tensor remember(const std::string& what, std::size_t value, const std::vector<std::int64_t>& shape);

    const Attached& attached_;

private:
    std::vector<std::pair<std::string, at::Tensor>> state_;
};

// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101): Adam with decoupled weight decay, libtorch's fused kernel.
std::unique_ptr<Optimiser> adamw(const Attached& attached, const TrainingSettings& settings);
// Adafactor (Shazeer and Stern 2018, arXiv 1804.04235, algorithms 4 and 5) at a given learning rate: no first moment, no parameter scaling,
// no relative step, update clipping 1.0, decay 1 - t^-0.8, 1e-30 added to the squares, as in T-Few and in transformers with scale_parameter
// and relative_step off. Of a matrix [.., n, m] it remembers n + m values instead of n m.
std::unique_ptr<Optimiser> adafactor(const Attached& attached, const TrainingSettings& settings);

// As the settings say, or else the method.
std::unique_ptr<Optimiser> make_optimiser(const Attached& attached, const TrainingSettings& settings);

}  // namespace permille
