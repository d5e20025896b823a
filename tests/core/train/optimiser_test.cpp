#include "core/train/optimiser.h"

#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// Values that belong to no method, so that an optimiser can be given any gradients.
Attached loose_values(const Json& shapes, const TensorMap& tensors) {
    Attached attached;
    attached.method = &find_method_by_id("lora", "");
    for (const auto& [name, shape] : shapes.items()) {
        attached.specs.push_back({name, shape.get<std::vector<std::int64_t>>(), Init::zeros()});
        attached.values.push_back(tensors.at("start." + name).clone().set_requires_grad(true));
    }
    return attached;
}

}  // namespace

TEST_CASE("optimisers step as the reference does", "[train]") {
    const Json golden_file = read_json(golden("optimisers.json"));
    const TensorMap tensors = read_safetensors(golden("optimisers.safetensors"));
    TrainingSettings settings;
    settings.optimiser = GENERATE(as<std::string>{}, "adafactor", "adamw");
    settings.weight_decay = GENERATE(0.0, 0.1);
    Attached attached = loose_values(golden_file["shapes"], tensors);
    const auto optimiser = make_optimiser(attached, settings);
    const at::NoGradGuard guard;
    for (std::size_t step = 0; step < golden_file["rates"].size(); ++step) {
        for (std::size_t i = 0; i < attached.values.size(); ++i)
            attached.values[i].mutable_grad() = tensors.at("gradient." + std::to_string(step) + "." + attached.specs[i].name).clone();
        optimiser->step(golden_file["rates"][step].get<double>());
        for (std::size_t i = 0; i < attached.values.size(); ++i) {
            const std::string name =
                settings.optimiser + (settings.weight_decay > 0 ? ".0.1." : ".0.0.") + std::to_string(step) + "." + attached.specs[i].name;
            require_close(attached.values[i], tensors.at(name), 2e-6, name);
        }
    }
}

TEST_CASE("an optimiser's state continues in another one, each value with its own count", "[train]") {
    const Json golden_file = read_json(golden("optimisers.json"));
    const TensorMap tensors = read_safetensors(golden("optimisers.safetensors"));
    TrainingSettings settings;
    settings.optimiser = GENERATE(as<std::string>{}, "adafactor", "adamw");
    const auto step = [&](Attached& attached, Optimiser& optimiser, std::size_t number) {
        const at::NoGradGuard guard;
        for (std::size_t i = 0; i < attached.values.size(); ++i) {
            const bool reached = i != 1 || number % 2 == 0;  // one value is not reached by every batch
            attached.values[i].mutable_grad() =
                reached ? tensors.at("gradient." + std::to_string(number) + "." + attached.specs[i].name).clone() : at::Tensor();
        }
        optimiser.step(0.01);
    };
    Attached whole = loose_values(golden_file["shapes"], tensors), part = loose_values(golden_file["shapes"], tensors);
    const auto straight = make_optimiser(whole, settings);
    auto stopped = make_optimiser(part, settings);
    for (std::size_t number = 0; number < 5; ++number) {
        step(whole, *straight, number);
        TensorMap state;
        for (const auto& [name, tensor] : stopped->state()) state[name] = tensor.clone();
        stopped = make_optimiser(part, settings);
        stopped->load(state, "state");
        step(part, *stopped, number);
        for (std::size_t i = 0; i < whole.values.size(); ++i) require_same(part.values[i], whole.values[i]);
    }
    require_error([&] { stopped->load({}, "the.checkpoint"); }, ErrorKind::tensor, {"the.checkpoint", "missing"});
}

TEST_CASE("a step may divide all gradients, and may be called off", "[train]") {
    const Json golden_file = read_json(golden("optimisers.json"));
    const TensorMap tensors = read_safetensors(golden("optimisers.safetensors"));
    TrainingSettings settings;
    settings.optimiser = GENERATE(as<std::string>{}, "adafactor", "adamw");
    settings.weight_decay = 0.1;
    Attached plain = loose_values(golden_file["shapes"], tensors), divided = loose_values(golden_file["shapes"], tensors);
    const auto straight = make_optimiser(plain, settings), other = make_optimiser(divided, settings);
    const at::NoGradGuard guard;
    for (std::size_t number = 0; number < 4; ++number) {
        const auto give = [&](Attached& attached, double factor) {
            for (std::size_t i = 0; i < attached.values.size(); ++i)
                attached.values[i].mutable_grad() =
                    tensors.at("gradient." + std::to_string(number) + "." + attached.specs[i].name) * factor;
        };
        give(divided, std::numeric_limits<double>::quiet_NaN());
        other->step(0.01, at::scalar_tensor(4.0), at::scalar_tensor(1.0));
        for (std::size_t i = 0; i < plain.values.size(); ++i) require_same(divided.values[i], plain.values[i]);
        give(plain, 1);
        give(divided, 4);
        straight->step(0.01);
        other->step(0.01, at::scalar_tensor(4.0), at::scalar_tensor(0.0));
        for (std::size_t i = 0; i < plain.values.size(); ++i) {
            require_same(divided.values[i], plain.values[i]);
            require_same(divided.values[i].grad(), plain.values[i].grad());
        }
        for (std::size_t i = 0; i < straight->state().size(); ++i)
            require_same(other->state()[i].second, straight->state()[i].second, straight->state()[i].first);
    }
}

TEST_CASE("Adafactor remembers rows and columns of a matrix only", "[train]") {
    const auto model = tiny_model(families()[0]);
    const Attached attached = attach_method(find_method_by_id("full", ""), *model, Json::object(), 1);
    TrainingSettings settings;
    const auto held = [&](const char* optimiser) {
        settings.optimiser = optimiser;
        std::int64_t count = 0;
        const auto made = make_optimiser(attached, settings);
        for (const auto& [name, tensor] : made->state()) count += tensor.numel();
        return count;
    };
    REQUIRE(held("adamw") >= 2 * attached.trainable());
    REQUIRE(held("adafactor") < attached.trainable() / 2);
}

TEST_CASE("without a choice the method's own optimiser is taken", "[train]") {
    const auto model = tiny_model(families()[0]);
    for (const auto& method : methods()) {
        INFO(method->info().id);
        const std::string& own = method->info().default_optimiser;
        REQUIRE((own == "adamw" || own == "adafactor"));
        const Json settings = method->info().size_knob.empty() ? Json::object() : Json{{method->info().size_knob, 3}};
        const Attached attached = attach_method(*method, *model, settings, 1);
        TrainingSettings named;
        named.optimiser = own;
        const auto chosen = make_optimiser(attached, TrainingSettings{}), same = make_optimiser(attached, named);
        REQUIRE(chosen->state().size() == same->state().size());
        for (std::size_t i = 0; i < same->state().size(); ++i) REQUIRE(chosen->state()[i].first == same->state()[i].first);
    }
}
