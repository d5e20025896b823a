#include "core/nn/matmul.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

namespace permille {

namespace {

using LinearOperator = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                                  c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

// oneDNN's linear operator, or nothing where libtorch was built without it.
const std::optional<c10::TypedOperatorHandle<LinearOperator>>& onednn_linear() {
    static const auto handle = []() -> std::optional<c10::TypedOperatorHandle<LinearOperator>> {
        if (!at::hasMKLDNN()) return std::nullopt;
        const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
        if (!found) return std::nullopt;
        return found->typed<LinearOperator>();
    }();
    return handle;
}

// Whether the operator is faster than libtorch's own product x W^T. Its fixed cost outweighs its faster kernel for a single row, and for
// few rows of a small matrix.
bool use_onednn(const at::Tensor& x, const at::Tensor& weight) {
    constexpr std::int64_t kFewRows = 2, kFewRowsOfSmall = 12, kSmall = 1 << 16;
    if (!x.device().is_cpu() || x.scalar_type() != at::kFloat || x.dim() != 2) return false;
    return x.size(0) >= (weight.numel() > kSmall ? kFewRows : kFewRowsOfSmall) && onednn_linear().has_value();
}

at::Tensor call_onednn(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
    return onednn_linear()->call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

// With a matrix that lies as [out, in] the operator has a slow kernel for these numbers of rows, which uses one thread only. W x^T is the
// same product with `out` rows; its kernels like x in whole groups (measured for widths from 256 to 4,096: 1.2 to 2 times faster than
// either library on one thread where the rows fill their groups and never slower by more than a tenth, 1.3 to 3 times on two).
constexpr std::int64_t kSlowFrom = 16, kSlowTo = 55, kGroup = 16;

bool is_slow(const at::Tensor& x, const at::Tensor& weight) {
    return x.size(0) >= kSlowFrom && x.size(0) <= kSlowTo && weight.is_contiguous() && weight.size(0) > kSlowTo;
}

at::Tensor run_turned(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
    const std::int64_t rows = x.size(0), groups = (rows + kGroup - 1) / kGroup * kGroup;
    at::Tensor filled = x.contiguous();
    if (rows < groups) {
        filled = at::zeros({groups, x.size(1)}, x.options());
        filled.narrow(0, 0, rows).copy_(x);
    }
    const at::Tensor turned = call_onednn(weight, filled, std::nullopt).narrow(1, 0, rows).t();
    if (!bias) return turned.contiguous();
    at::Tensor result = at::empty({rows, weight.size(0)}, x.options());
    return at::add_out(result, turned, *bias);
}

at::Tensor run_onednn(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return is_slow(x, weight) ? run_turned(x, weight, bias) : call_onednn(x, weight, bias);
}

struct Linear32 : torch::autograd::Function<Linear32> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                              const std::optional<at::Tensor>& bias) {
        // Only what the backward pass needs: the input for the weight's gradient, the weight for the input's.
        context->save_for_backward({weight.requires_grad() ? x : at::Tensor(), x.requires_grad() ? weight : at::Tensor()});
        context->saved_data["bias_trains"] = bias && bias->requires_grad();  // an absent bias has no edge to ask
        return run_onednn(x, weight, bias);
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor gradient = gradients[0].contiguous();
        at::Tensor to_x, to_weight, to_bias;
        if (saved[1].defined()) to_x = product_transposed(gradient, saved[1].t());
        if (saved[0].defined()) to_weight = product_transposed(gradient.t(), saved[0].t());
        if (context->saved_data["bias_trains"].toBool()) to_bias = gradient.sum(0);
        return {to_x, to_weight, to_bias};
    }
};

}  // namespace

at::Tensor linear_map(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    const auto optional_bias = bias.defined() ? std::optional(bias) : std::nullopt;
    if (!use_onednn(x, weight)) return at::linear(x, weight, optional_bias);
    if (at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad())))
        return Linear32::apply(x, weight, optional_bias);
    return run_onednn(x, weight, optional_bias);
}

at::Tensor product_transposed(const at::Tensor& a, const at::Tensor& b) {
    if (!use_onednn(a, b)) return at::mm(a, b.t());
    return run_onednn(a.contiguous(), b, std::nullopt);
}

}  // namespace permille
