// A method put onto a base: its trained tensors, and the attachment that wires them to the sites. All or nothing: on error nothing is
// attached.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/models/seq2seq.h"
#include "core/peft/method.h"

namespace permille {

struct Attached {
    const Method* method = nullptr;
    Json settings;  // complete
    std::vector<TensorSpec> specs;
    std::vector<at::Tensor> values;  // float32, on the base's device, in the order of specs
    std::unique_ptr<Attachment> attachment;

    std::int64_t trainable() const;
    std::int64_t added() const;  // of them, those that the base does not have
    // Puts other tensors of the same shapes in place of the values (a checkpoint's, the best ones).
    void set_values(const std::vector<at::Tensor>& tensors);
    // Makes again what is attached of the base's parameters, when constants that it follows from have changed.
    void refresh(const Seq2Seq& base);
};

// Fresh, initialised from the seed; each tensor's start depends on the seed and its name only.
Attached attach_method(const Method& method, const Seq2Seq& base, const Json& settings, std::uint64_t seed);
// With given values, checked against the specs by name and shape (an adapter file's).
Attached attach_values(const Method& method, const Seq2Seq& base, const Json& settings, std::vector<at::Tensor> values);

// What is kept of a trained method: the same translations without what only training needs.
Attached stored_form(const Attached& attached, const Seq2Seq& base);

}  // namespace permille
