#include "core/nn/recompute.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>

namespace permille {

namespace {

// What the backward pass needs to do the layer again.
struct Again : torch::CustomClassHolder {
    Again(const Forward& before, LayerFunction function) : forward(before), layer(std::move(function)) {}
    Forward forward;  // as it was before the layer: its dropout streams stand where the layer's first mask is
    LayerFunction layer;
};

struct Recompute : torch::autograd::Function<Recompute> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList inputs, at::TensorList trained, const Forward& now,
                              const LayerFunction& layer) {
        context->saved_data["again"] = c10::IValue::make_capsule(c10::make_intrusive<Again>(now, layer));
        context->saved_data["inputs"] = static_cast<std::int64_t>(inputs.size());
        torch::autograd::variable_list kept = inputs.vec();
        kept.insert(kept.end(), trained.begin(), trained.end());
        context->save_for_backward(kept);
        // With gradient mode as it is outside: modules tell training from translating by it. The graph ends with this function.
        const at::AutoGradMode training(true);
        torch::autograd::variable_list cut;
        bool reached = false;  // by a gradient: an input or a trained tensor is behind the output
        for (const at::Tensor& input : inputs) {
            cut.push_back(input.defined() ? input.detach() : input);
            reached = reached || (input.defined() && input.requires_grad());
        }
        const at::Tensor output = layer(now, cut);
        reached = reached || output.requires_grad();
        at::Tensor result = output.detach();
        if (!reached) context->mark_non_differentiable({result});
        return result;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        const auto again = c10::static_intrusive_pointer_cast<Again>(context->saved_data["again"].toCapsule());
        const auto count = static_cast<std::size_t>(context->saved_data["inputs"].toInt());
        const auto saved = context->get_saved_variables();
        const at::AutoGradMode training(true);
        torch::autograd::variable_list inputs, wanted;
        std::vector<std::size_t> places;
        for (std::size_t i = 0; i < saved.size(); ++i) {
            const bool needed = saved[i].defined() && saved[i].requires_grad();
            at::Tensor tensor = saved[i];
            if (i < count) {
                if (tensor.defined()) tensor = tensor.detach().set_requires_grad(needed);
                inputs.push_back(tensor);
            }
            if (!needed) continue;
            wanted.push_back(tensor);
            places.push_back(i);
        }
        const Forward forward = again->forward;
        const at::Tensor output = again->layer(forward, inputs);
        const auto found = torch::autograd::grad({output}, wanted, {gradients[0]}, /*retain_graph=*/false, /*create_graph=*/false,
                                                 /*allow_unused=*/true);
        torch::autograd::variable_list result(saved.size() + 2);  // the forward context and the function have none
        for (std::size_t i = 0; i < places.size(); ++i) result[places[i]] = found[i];
        return result;
    }
};

}  // namespace

at::Tensor run_layer(const Forward& forward, const std::vector<at::Tensor>& inputs, const LayerFunction& layer) {
    if (forward.recompute.empty() || !at::GradMode::is_enabled()) return layer(forward, inputs);
    // As lists: of a vector autograd would not see the tensors.
    return Recompute::apply(at::TensorList(inputs), at::TensorList(forward.recompute), forward, layer);
}

}  // namespace permille
