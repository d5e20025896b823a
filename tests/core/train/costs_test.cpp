// What the estimates must say of one training beside another; how near they are to a process that does it, tests/bench/memory.cpp measures.
#include "core/train/costs.h"

#include <cstdlib>

#include "core/base/files.h"
#include "core/train/optimiser.h"
#include "core/train/speed.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// M2M-100's shape, in a size at which the parts of the costs are apart.
ModelDescription description() {
    ModelDescription base;
    base.config = {{"model_type", "m2m_100"},      {"d_model", 512},
                   {"encoder_layers", 6},          {"decoder_layers", 6},
                   {"encoder_attention_heads", 8}, {"decoder_attention_heads", 8},
                   {"encoder_ffn_dim", 2048},      {"decoder_ffn_dim", 2048},
                   {"vocab_size", 32000},          {"max_position_embeddings", 1024}};
    base.architecture = find_family(base.config, "test").describe(base.config, "test");
    base.layout = make_layout(base.architecture);
    return base;
}

struct Costs {
    ModelDescription base = description();
    TrainingCosts of(const std::string& method, const Json& settings = Json::object(), const Json& training = Json::object(),
                     const Json& device = {{"threads", 1}}, const ModelDescription* teacher = nullptr) const {
        const Method& found = find_method_by_id(method, "");
        return training_costs(base, found, found.complete(settings), TrainingSettings::fields().parse(training, ""),
                              DeviceSettings::fields().parse(device, ""), teacher);
    }
    std::int64_t memory(const std::string& method, const Json& training) const {
        return of(method, Json::object(), training).peak_memory_bytes;
    }
};

}  // namespace

TEST_CASE("the estimate of memory counts what the optimiser remembers", "[train]") {
    const Costs costs;
    const std::int64_t size = costs.base.layout.parameter_count();
    const auto full = [&](const Json& training) { return costs.memory("full", training); };
    const std::int64_t adamw = full({{"optimiser", "adamw"}}), adafactor = full({{"optimiser", "adafactor"}});
    // Two moments of every value, against a sum over rows and one over columns of every matrix.
    CHECK(adamw - adafactor > size * 4 * 2 * 99 / 100);
    CHECK(adamw - adafactor < size * 4 * 2);
    CHECK(full({{"average_decay", 0.999}}) - full(Json::object()) == size * 4);
    // A method's own optimiser is the default.
    CHECK(costs.memory("prompt", Json::object()) == costs.memory("prompt", {{"optimiser", "adafactor"}}));
    CHECK(costs.memory("lora", Json::object()) == costs.memory("lora", {{"optimiser", "adamw"}}));
}

TEST_CASE("the bytes of an optimiser's state are those that it allocates", "[train]") {
    const auto base = golden_model();
    ModelDescription described{base->config, base->network->architecture(), base->network->layout(), ""};
    Costs costs;
    costs.base = described;
    for (const char* id : {"full", "lora", "bottleneck", "prefix"}) {
        INFO(id);
        const Attached attached = attach_method(find_method_by_id(id, ""), *base->network, Json::object(), 1);
        const auto state = [&](const char* name) {
            TrainingSettings settings;
            settings.optimiser = name;
            std::int64_t bytes = 0;
            const auto optimiser = make_optimiser(attached, settings);
            for (const auto& [key, tensor] : optimiser->state())
                if (!key.starts_with("steps.")) bytes += tensor.numel() * 4;
            return bytes;
        };
        const std::int64_t difference = costs.memory(id, {{"optimiser", "adamw"}}) - costs.memory(id, {{"optimiser", "adafactor"}});
        CHECK(std::llabs(difference - (state("adamw") - state("adafactor"))) <= 1);
    }
}

TEST_CASE("the estimate of memory knows checkpointing, batches and a teacher", "[train]") {
    const Costs costs;
    const std::int64_t plain = costs.memory("lora", Json::object());
    CHECK(costs.memory("lora", {{"gradient_checkpointing", true}}) < plain);
    CHECK(costs.memory("lora", {{"batch_tokens", 4000}}) > plain);
    CHECK(costs.memory("lora", {{"accumulate", 8}}) == plain);  // one batch after the other
    const ModelDescription teacher = description();
    const TrainingCosts taught = costs.of("lora", Json::object(), Json::object(), {{"threads", 1}}, &teacher);
    CHECK(taught.peak_memory_bytes - plain >= teacher.layout.parameter_count() * 4);
    CHECK(taught.seconds_per_1000_updates > costs.of("lora").seconds_per_1000_updates);
}

TEST_CASE("the costs follow where a method attaches", "[train]") {
    const Costs costs;
    const auto cheaper = [&](const TrainingCosts& less, const TrainingCosts& more) {
        CHECK(less.peak_memory_bytes < more.peak_memory_bytes);
        CHECK(less.seconds_per_1000_updates < more.seconds_per_1000_updates);
    };
    cheaper(costs.of("lora", {{"layers", "last 2"}, {"stacks", "decoder"}}), costs.of("lora", {{"stacks", "decoder"}}));
    cheaper(costs.of("lora", {{"stacks", "decoder"}}), costs.of("lora"));
    cheaper(costs.of("lora", {{"rank", 8}}), costs.of("lora", {{"rank", 64}}));
    cheaper(costs.of("lora"), costs.of("lora", {{"targets", "all"}}));
    cheaper(costs.of("lora"), costs.of("full"));
    cheaper(costs.of("bitfit", {{"stacks", "decoder"}}), costs.of("bitfit"));
    cheaper(costs.of("prompt", {{"prompt_length", 10}}), costs.of("prompt", {{"prompt_length", 100}}));
    cheaper(costs.of("lora"), costs.of("lora+bottleneck"));
}

TEST_CASE("the estimate of time follows the settings of the updates", "[train]") {
    const Costs costs;
    const auto seconds = [&](const Json& training, const Json& device) {
        return costs.of("lora", Json::object(), training, device).seconds_per_1000_updates;
    };
    const Json one = {{"threads", 1}};
    const double plain = seconds(Json::object(), one);
    CHECK(plain > 0);
    CHECK(seconds(Json::object(), one) == plain);  // measured once
    const double four = seconds({{"accumulate", 4}}, one);
    CHECK(four > 3.9 * plain);
    CHECK(four <= 4 * plain);
    CHECK_THAT(seconds({{"batch_tokens", 4000}}, one), Catch::Matchers::WithinAbs(2 * plain, 0.1 * plain));
    const double again = seconds({{"gradient_checkpointing", true}}, one);
    CHECK(again > plain * 1.15);
    CHECK(again < plain * 1.6);
    const double two = seconds(Json::object(), {{"threads", 2}});
    CHECK(two < plain);
    CHECK(two > plain / 2);
}

TEST_CASE("every method has costs, and none of them is nothing", "[train]") {
    const Costs costs;
    for (const auto& method : methods()) {
        INFO(method->info().id);
        const TrainingCosts found = costs.of(method->info().id);
        CHECK(found.peak_memory_bytes > costs.base.layout.parameter_count() * 4);
        CHECK(found.seconds_per_1000_updates > 0);
    }
}

TEST_CASE("the machine's speed is measured once, kept, and measured anew where the file does not fit", "[train]") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder / "home" / "speed.json";
    const MachineSpeed speed = machine_speed(at::kFloat, file);
    CHECK(speed.products > 1e8);
    CHECK(speed.passes > 1e6);
    Json kept = read_json(file);
    CHECK(kept["types"]["Float"]["products_per_second"] == speed.products);
    // What is kept is what is said, other types beside it.
    kept["types"]["Float"] = {{"products_per_second", 5e9}, {"passes_per_second", 7e8}};
    write_json(file, kept);
    CHECK(machine_speed(at::kFloat, file).products == 5e9);
    CHECK(machine_speed(at::kFloat, file).passes == 7e8);
    CHECK(machine_speed(at::kBFloat16, file).products > 1e8);
    CHECK(read_json(file)["types"]["Float"]["products_per_second"] == 5e9);
    kept["machine"]["processor"] = "another";
    write_json(file, kept);
    CHECK(machine_speed(at::kFloat, file).products != 5e9);
    CHECK(read_json(file)["machine"]["processor"] != "another");
    for (const char* damaged : {"", "[1]", R"({"machine": 3})", "{"}) {
        write_text(file, damaged);
        CHECK(machine_speed(at::kFloat, file).products > 1e8);
        CHECK(read_json(file).contains("types"));
    }
    CHECK(machine_speed(at::kFloat, file / "below a file").products > 1e8);

    CHECK(threads_speedup(1) == 1);
    CHECK(threads_speedup(2) < 2);
    CHECK(threads_speedup(4) > threads_speedup(2));
}
