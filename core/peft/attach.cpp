#include "core/peft/attach.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "core/base/error.h"

namespace permille {

std::int64_t Attached::trainable() const {
    std::int64_t total = 0;
    for (const auto& spec : specs)
        if (spec.role == TensorRole::trained) total += spec.count();
    return total;
}

std::int64_t Attached::added() const {
    std::int64_t total = 0;
    for (const auto& spec : specs)
        if (spec.base < 0 && spec.role == TensorRole::trained) total += spec.count();
    return total;
}

void Attached::refresh(const Seq2Seq& base) {
    const at::NoGradGuard guard;
    method->attach_copies(*attachment, base.layout(), settings, values, base.weights());
}

void Attached::set_values(const std::vector<at::Tensor>& tensors) {
    const at::NoGradGuard guard;
    PERMILLE_ASSERT(tensors.size() == values.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i].copy_(tensors[i]);
}

namespace {

std::uint64_t name_hash(const std::string& name) {  // FNV-1a
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3ULL;
    return hash;
}

at::Tensor initial(const TensorSpec& spec, const Seq2Seq& base, std::uint64_t seed) {
    if (spec.init.kind == Init::Kind::base)
        return base.weights()[static_cast<std::size_t>(spec.base)].to(at::kFloat, false, /*copy=*/true).contiguous();
    const std::uint64_t own_seed = DropoutStreams::mix(seed ^ name_hash(spec.name));
    if (spec.init.kind == Init::Kind::made) {
        at::Tensor value = spec.init.maker(base.weights(), own_seed);
        PERMILLE_ASSERT(value.sizes() == at::IntArrayRef(spec.shape));
        return value.to(base.device(), value.is_floating_point() ? at::kFloat : value.scalar_type(), false, /*copy=*/true).contiguous();
    }
    at::Tensor value = at::zeros(spec.shape, at::kFloat);
    auto generator = at::detail::createCPUGenerator(own_seed);
    switch (spec.init.kind) {
        case Init::Kind::constant: value.fill_(spec.init.a); break;
        case Init::Kind::normal: value.normal_(spec.init.a, spec.init.b, generator); break;
        case Init::Kind::uniform: value.uniform_(spec.init.a, spec.init.b, generator); break;
        default: break;
    }
    return value.to(base.device());
}

}  // namespace

Attached attach_values(const Method& method, const Seq2Seq& base, const Json& settings, std::vector<at::Tensor> values) {
    Attached attached;
    attached.method = &method;
    attached.settings = method.complete(settings);
    attached.specs = method.tensors(base.layout(), attached.settings);
    PERMILLE_ASSERT(values.size() == attached.specs.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        PERMILLE_ASSERT(values[i].sizes() == at::IntArrayRef(attached.specs[i].shape));
        const bool trained = attached.specs[i].role == TensorRole::trained;
        values[i] = values[i].detach().to(base.device(), trained ? at::kFloat : values[i].scalar_type());
        if (trained) values[i].set_requires_grad(true);
    }
    attached.attachment = std::make_unique<Attachment>(base.layout());
    method.attach(*attached.attachment, base.layout(), attached.settings, values);
    attached.values = std::move(values);
    attached.refresh(base);
    return attached;
}

Attached stored_form(const Attached& attached, const Seq2Seq& base) {
    const at::NoGradGuard guard;
    const Json settings = attached.method->trained_settings(base.layout(), attached.settings, attached.values);
    std::vector<at::Tensor> values = attached.method->stored_values(base.layout(), attached.settings, attached.values);
    for (at::Tensor& value : values) value = value.detach().clone();
    return attach_values(*attached.method, base, settings, std::move(values));
}

Attached attach_method(const Method& method, const Seq2Seq& base, const Json& settings, std::uint64_t seed) {
    const Json complete = method.complete(settings);
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : method.tensors(base.layout(), complete)) values.push_back(initial(spec, base, seed));
    return attach_values(method, base, complete, std::move(values));
}

}  // namespace permille
