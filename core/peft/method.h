// A fine-tuning method: which tensors it trains on a given layout, how they start, and how they are wired to the sites. One method is one
// file and one line in methods.cpp; nothing else in the program names it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/method_info.h"
#include "core/nn/attachment.h"
#include "core/nn/layout.h"

namespace permille {

// How a trained tensor starts. zeros; constant: a; normal: mean a, std b; uniform: within [a, b); base: a copy of the base parameter.
struct Init {
    enum class Kind { zeros, constant, normal, uniform, base };
    Kind kind = Kind::zeros;
    double a = 0, b = 0;
    static Init zeros() { return {}; }
    static Init ones() { return {Kind::constant, 1.0, 0}; }
    static Init uniform(double low, double high) { return {Kind::uniform, low, high}; }
    static Init normal(double std) { return {Kind::normal, 0, std}; }
    // PyTorch's default for linear layers: U(+-1/sqrt(fan_in)), which is Kaiming-uniform with a = sqrt(5).
    static Init kaiming(std::int64_t fan_in);
    static Init base_copy() { return {Kind::base, 0, 0}; }
};

struct TensorSpec {
    std::string name;  // as in the adapter file
    std::vector<std::int64_t> shape;
    Init init;
    int base = -1;  // index of the base parameter that it replaces, or -1: added
    std::int64_t count() const;
};

class Method {
public:
    virtual ~Method() = default;
    virtual const MethodInfo& info() const = 0;
    // The settings, checked and completed with defaults. Throws Error(config).
    virtual Json complete(const Json& settings) const = 0;
    // What is trained, from arithmetic alone. Settings are complete. Throws Error(config) when no site matches.
    virtual std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const = 0;
    // Wires the values (in the order of tensors()) to their sites. The attachment is empty before.
    virtual void attach(Attachment& attachment, const Layout& layout, const Json& settings,
                        const std::vector<at::Tensor>& values) const = 0;
    // The largest value of the size knob that makes sense on this layout.
    virtual std::int64_t largest_size(const Layout& layout, const Json& settings) const {
        (void)layout, (void)settings;
        return 0;
    }
    // adapter_config.json of Hugging Face PEFT, or null when PEFT does not have the method.
    virtual Json peft_config(const Layout& layout, const Json& settings) const {
        (void)layout, (void)settings;
        return nullptr;
    }
};

// methods.cpp: the table, in alphabetical order of ids.
const std::vector<std::unique_ptr<Method>>& methods();
const Method& find_method_by_id(const std::string& id, const std::string& where);

// A method whose settings are a struct with a field list.
template <class Config>
class MethodWith : public Method {
public:
    const MethodInfo& info() const override { return info_; }
    Json complete(const Json& settings) const override { return fields().to_json(fields().parse(settings, info_.id)); }

protected:
    explicit MethodWith(MethodInfo info) : info_(std::move(info)) {}
    static const Fields<Config>& fields() { return Config::fields(); }
    Config config(const Json& settings) const { return fields().parse(settings, info_.id); }
    MethodInfo info_;
};

// Which stacks of the model a method uses: both, encoder or decoder.
bool in_scope(const std::string& name, const std::string& stacks);

// A method that trains existing parameters: one spec per chosen one.
std::vector<TensorSpec> replace_parameters(const Layout& layout, const std::function<bool(const ParameterSpec&)>& chosen,
                                           const std::string& method);
void attach_replacements(Attachment& attachment, const std::vector<TensorSpec>& specs, const std::vector<at::Tensor>& values);

}  // namespace permille
