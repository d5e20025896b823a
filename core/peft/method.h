// A fine-tuning method: which tensors it trains on a given layout, how they start, and how they are wired to the sites. One method is one
// file and one line in methods.cpp; nothing else in the program names it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/method_info.h"
#include "core/nn/attachment.h"
#include "core/nn/layout.h"

namespace permille {

// How a tensor starts. zeros; constant: a; normal: mean a, std b; uniform: within [a, b); base: a copy of the base parameter; made: by a
// function.
struct Init {
    enum class Kind { zeros, constant, normal, uniform, base, made };
    // Of the base's tensors, by parameter index, and the seed of this tensor.
    using Maker = std::function<at::Tensor(const std::vector<at::Tensor>& weights, std::uint64_t seed)>;
    Kind kind = Kind::zeros;
    double a = 0, b = 0;
    Maker maker;
    static Init zeros() { return {}; }
    static Init ones() { return constant(1.0); }
    static Init constant(double value) { return {Kind::constant, value, 0, {}}; }
    static Init uniform(double low, double high) { return {Kind::uniform, low, high, {}}; }
    static Init normal(double std, double mean = 0) { return {Kind::normal, mean, std, {}}; }
    // PyTorch's default for linear layers: U(+-1/sqrt(fan_in)), which is Kaiming-uniform with a = sqrt(5).
    static Init kaiming(std::int64_t fan_in);
    static Init base_copy() { return {Kind::base, 0, 0, {}}; }
    static Init made(Maker maker) { return {Kind::made, 0, 0, std::move(maker)}; }
};

// trained: by gradient; constant: part of the adapter and fixed, from the start (a random projection) or once it was decided on the way (a
// mask); state: what the method remembers between updates, part of a checkpoint only; adjusted: part of the adapter, moved by
// after_update() and not by gradients.
enum class TensorRole { trained, constant, state, adjusted };

struct TensorSpec {
    std::string name;  // as in the adapter file
    std::vector<std::int64_t> shape;
    Init init;
    int base = -1;  // index of the base parameter that it replaces, or -1: added
    TensorRole role = TensorRole::trained;
    double rate = 1;                   // its learning rate is that of the run times this
    at::ScalarType type = at::kFloat;  // of a constant that is no float32: a mask's, an index's; the size of the file is counted from it
    std::int64_t count() const;
};

// A method's tensors in numbers.
struct Sizes {
    std::int64_t trainable = 0;   // T of every percentage
    std::int64_t stored = 0;      // scalars of the adapter file: what must be kept to translate later
    std::int64_t added = 0;       // of the trainable ones, those that the base does not have
    std::int64_t train_only = 0;  // of the trainable ones, those that the adapter file does not keep
    std::int64_t pruned = 0;      // weights of the base that are zero in the end: sparsity, no part of the other numbers
};

class Method {
public:
    virtual ~Method() = default;
    virtual const MethodInfo& info() const = 0;
    // The settings, checked and completed with defaults. Throws Error(config).
    virtual Json complete(const Json& settings) const = 0;
    // What there is, from arithmetic alone. Settings are complete. Throws Error(config) when no site matches.
    virtual std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const = 0;
    // Wires the values (in the order of tensors()) to their sites, after what is attached already.
    virtual void attach(Attachment& attachment, const Layout& layout, const Json& settings,
                        const std::vector<at::Tensor>& values) const = 0;
    // The largest value of the size knob that makes sense on this layout.
    virtual std::int64_t largest_size(const Layout& layout, const Json& settings) const { return (void)layout, (void)settings, 0; }

    // The settings of the adapter that is kept, which translates the same with fewer tensors (a prefix without the network that made it),
    // and its values from the trained ones.
    virtual Json stored_settings(const Json& settings) const { return settings; }
    virtual std::vector<at::Tensor> stored_values(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const {
        return (void)layout, (void)settings, values;
    }

    // stored_settings() when they depend on what was trained: which ranks are left.
    virtual Json trained_settings(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const {
        return (void)layout, (void)values, stored_settings(settings);
    }

    // Added to the loss of every update; undefined: nothing.
    virtual at::Tensor penalty(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const {
        return (void)layout, (void)settings, (void)values, at::Tensor();
    }
    // After the optimiser's step, without gradient mode; values still hold their gradients. update counts from 1; weights are the base's.
    // Returns whether attach_copies() has to be called again.
    virtual bool after_update(const Layout& layout, const Json& settings, const std::vector<at::Tensor>& weights,
                              const std::vector<at::Tensor>& values, std::int64_t update, std::int64_t total) const {
        return (void)layout, (void)settings, (void)weights, (void)values, (void)update, (void)total, false;
    }
    // The first update whose values may be chosen as the best ones.
    virtual std::int64_t first_choice(const Json& settings, std::int64_t total) const { return (void)settings, (void)total, 0; }
    // Copies of the base's parameters that follow from constants (pruned matrices), after attach().
    virtual void attach_copies(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values,
                               const std::vector<at::Tensor>& weights) const {
        (void)attachment, (void)layout, (void)settings, (void)values, (void)weights;
    }
    // Weights of the base that it sets to zero in the end, from arithmetic alone.
    virtual std::int64_t pruned(const Layout& layout, const Json& settings) const { return (void)layout, (void)settings, 0; }

    // adapter_config.json of Hugging Face PEFT, or null when PEFT does not have the method with these settings.
    virtual Json peft_config(const Layout& layout, const Json& settings) const { return (void)layout, (void)settings, nullptr; }
    // What sets the method apart in an adapter_config.json of AdapterHub (core/peft/adapterhub.h), or null when it does not have the method
    // with these settings.
    virtual Json adapterhub_config(const Layout& layout, const Json& settings) const { return (void)layout, (void)settings, nullptr; }
    // The settings that an adapter_config.json of PEFT means, or null when it is another method's. Throws Error(unsupported) naming a field
    // that is this method's but not served.
    virtual Json from_peft(const Layout& layout, const Json& config) const { return (void)layout, (void)config, nullptr; }
};

Sizes sizes(const Method& method, const Layout& layout, const Json& settings);

// methods.cpp: the table, in alphabetical order of ids.
const std::vector<std::unique_ptr<Method>>& methods();
// By id, or several joined by '+', "lora+layernorm", which are trained together (composite.cpp). Throws Error(config) naming what is near.
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

// Where in the model a method goes; a method's settings that take part derive from it and list its fields with add_scope.
struct Scope {
    std::string stacks = "both";  // both, encoder, decoder
    std::string layers = "all";   // all, "last 2", "first 2", "0,2-3": of each stack; places outside of layers count only with all
    // Of a parameter's or a site's name.
    bool holds(const std::string& name, const Layout& layout) const;
};

template <class Config>
Fields<Config> add_scope(Fields<Config> fields) {
    fields.add("stacks", static_cast<std::string Config::*>(&Scope::stacks), "which stacks are trained",
               {.choices = {"both", "encoder", "decoder"}});
    fields.add("layers", static_cast<std::string Config::*>(&Scope::layers),
               "which layers of each stack: all, 'last 2', 'first 2', or numbers from 0 such as '0,2-3'");
    return fields;
}

// "encoder.layers.3.fc1" for the linear site "encoder.3.ffn.fc1": the module's path in a checkpoint without "model." and ".weight".
std::string module_of(const Layout& layout, const Site& site);

// A method that trains existing parameters: one spec per chosen one.
std::vector<TensorSpec> replace_parameters(const Layout& layout, const std::function<bool(const ParameterSpec&)>& chosen,
                                           const std::string& method);
void attach_replacements(Attachment& attachment, const std::vector<TensorSpec>& specs, const std::vector<at::Tensor>& values);

}  // namespace permille
