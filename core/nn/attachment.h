// What a method trains, apart from the frozen base: one slot per parameter and per site of the layout. A model's forward pass looks here at
// every site; an empty slot is the base alone. Many attachments can share one base.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/nn/layout.h"

namespace permille {

struct Forward;  // core/nn/parts.h

// Adds to the result of a projection: given its input x [N, in] and the frozen y = x W^T + b [N, out], returns the adapted y.
class LinearDelta {
public:
    virtual ~LinearDelta() = default;
    virtual at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const = 0;
    // The same as a change of the frozen matrix [out, in], for methods that can be merged; undefined otherwise.
    virtual at::Tensor merged_weight(const at::Tensor& weight) const {
        (void)weight;
        return {};
    }
};

// Replaces rows [N, D] that flow out of a block.
class OutputModule {
public:
    virtual ~OutputModule() = default;
    virtual at::Tensor apply(const Forward& forward, const at::Tensor& rows) const = 0;
};

struct Attachment {
    explicit Attachment(const Layout& layout)
        : parameters(layout.parameters.size()), linears(layout.sites.size()), outputs(layout.sites.size()) {}

    std::vector<at::Tensor> parameters;                  // own copy of a base parameter, or undefined
    std::vector<std::unique_ptr<LinearDelta>> linears;   // by site index
    std::vector<std::unique_ptr<OutputModule>> outputs;  // by site index
};

}  // namespace permille
