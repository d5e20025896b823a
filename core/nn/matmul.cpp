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

// Below this many rows the operator's fixed cost outweighs its faster kernel.
constexpr std::int64_t kFewRows = 6;

bool use_onednn(const at::Tensor& x) {
    return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 2 && x.size(0) >= kFewRows && onednn_linear().has_value();
}

at::Tensor run_onednn(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return onednn_linear()->call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
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
    if (!use_onednn(x)) return at::linear(x, weight, optional_bias);
    if (at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad())))
        return Linear32::apply(x, weight, optional_bias);
    return run_onednn(x, weight, optional_bias);
}

at::Tensor product_transposed(const at::Tensor& a, const at::Tensor& b) {
    if (!use_onednn(a)) return at::mm(a, b.t());
    return run_onednn(a.contiguous(), b, std::nullopt);
}

}  // namespace permille
