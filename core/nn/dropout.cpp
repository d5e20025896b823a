#include "core/nn/dropout.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "core/nn/vector_clones.h"

namespace permille {

namespace {

// 32 well-mixed bits for one element (a two-round multiply-xorshift hash); integer work only, so that the compiler can vectorise it.
inline std::uint32_t bits(std::uint32_t key, std::uint32_t index) {
    std::uint32_t h = index * 0x9e3779b1u + key;
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

PERMILLE_VECTOR void scale_kept(const float* x, float* y, std::int64_t begin, std::int64_t end, std::uint32_t key, std::uint32_t threshold,
                                float scale) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = bits(key, static_cast<std::uint32_t>(i)) >= threshold ? x[i] * scale : 0.0f;
}

PERMILLE_VECTOR void add_kept(const float* residual, const float* x, float* y, std::int64_t begin, std::int64_t end, std::uint32_t key,
                              std::uint32_t threshold, float scale) {
    for (std::int64_t i = begin; i < end; ++i)
        y[i] = residual[i] + (bits(key, static_cast<std::uint32_t>(i)) >= threshold ? x[i] * scale : 0.0f);
}

struct Mask {
    std::uint32_t key, threshold;
    float scale;
    Mask(std::int64_t stream, double p)
        : key(static_cast<std::uint32_t>(stream) ^ static_cast<std::uint32_t>(static_cast<std::uint64_t>(stream) >> 32)),
          threshold(static_cast<std::uint32_t>(std::min(p, 0.999) * 4294967296.0)),
          scale(static_cast<float>(1.0 / (1.0 - p))) {}
};

constexpr std::int64_t kGrain = 1 << 14;

// true where an element is kept; not on the CPU. The generator is the call's own: that of the device is shared by all runs there.
at::Tensor kept(const at::Tensor& x, std::int64_t stream, double p) {
    at::Generator generator = at::globalContext().getAcceleratorHooksInterface(x.device().type()).getNewGenerator(x.device().index());
    generator.set_current_seed(static_cast<std::uint64_t>(stream));
    return at::empty(x.sizes(), x.options().dtype(at::kBool).requires_grad(false)).bernoulli_(1.0 - p, generator);
}

at::Tensor masked(const at::Tensor& x, std::int64_t stream, double p) {
    // The one operator that scales and masks in one pass over a card's memory.
    if (!x.is_cpu()) return at::native_dropout_backward(x, kept(x, stream, p), 1.0 / (1.0 - p));
    const Mask mask(stream, p);
    const at::Tensor input = x.to(at::kFloat).contiguous();
    at::Tensor output = at::empty_like(input);
    const float* in = input.const_data_ptr<float>();
    float* out = output.data_ptr<float>();
    at::parallel_for(0, input.numel(), kGrain,
                     [&](std::int64_t begin, std::int64_t end) { scale_kept(in, out, begin, end, mask.key, mask.threshold, mask.scale); });
    return output.to(x.scalar_type());
}

struct Dropout : torch::autograd::Function<Dropout> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, double p, std::int64_t stream) {
        context->saved_data["p"] = p;
        context->saved_data["stream"] = stream;
        return masked(x, stream, p);
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        return {masked(gradients[0], context->saved_data["stream"].toInt(), context->saved_data["p"].toDouble()), {}, {}};
    }
};

struct AddDropout : torch::autograd::Function<AddDropout> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& residual, const at::Tensor& x, double p,
                              std::int64_t stream) {
        context->saved_data["p"] = p;
        context->saved_data["stream"] = stream;
        context->saved_data["type"] = static_cast<std::int64_t>(x.scalar_type());
        if (!x.is_cpu())
            return at::addcmul(residual, x.to(residual.scalar_type()), kept(x, stream, p).to(residual.scalar_type()), 1.0 / (1.0 - p));
        const Mask mask(stream, p);
        const at::Tensor base = residual.to(at::kFloat).contiguous(), input = x.to(at::kFloat).contiguous();
        at::Tensor output = at::empty_like(base);
        const float *from = base.const_data_ptr<float>(), *in = input.const_data_ptr<float>();
        float* out = output.data_ptr<float>();
        at::parallel_for(0, output.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
            add_kept(from, in, out, begin, end, mask.key, mask.threshold, mask.scale);
        });
        return output.to(residual.scalar_type());
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
        at::Tensor to_x;
        if (context->needs_input_grad(1))
            to_x = masked(gradients[0], context->saved_data["stream"].toInt(), context->saved_data["p"].toDouble()).to(type);
        return {gradients[0], to_x, {}, {}};
    }
};

}  // namespace

std::unique_lock<std::mutex> shared_generator_at(std::uint64_t stream, const at::Device& device) {
    static std::mutex one_at_a_time;
    std::unique_lock lock(one_at_a_time);
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard guard(generator.mutex());
    generator.set_current_seed(stream);
    return lock;
}

at::Tensor dropout(const at::Tensor& x, double p, DropoutStreams& streams) {
    if (p <= 0) return x;
    const auto stream = static_cast<std::int64_t>(streams.next());
    return Dropout::apply(x, p, stream);
}

at::Tensor add_dropout(const at::Tensor& residual, const at::Tensor& x, double p, DropoutStreams& streams) {
    if (p <= 0) return residual + x;
    const auto stream = static_cast<std::int64_t>(streams.next());
    return AddDropout::apply(residual, x, p, stream);
}

}  // namespace permille
