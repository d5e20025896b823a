// What each method trains on published models, from their config.json alone.
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

Layout m2m100(std::int64_t layers, std::int64_t ffn) {
    const Json config = {{"model_type", "m2m_100"},       {"d_model", 1024},
                         {"encoder_layers", layers},      {"decoder_layers", layers},
                         {"encoder_attention_heads", 16}, {"decoder_attention_heads", 16},
                         {"encoder_ffn_dim", ffn},        {"decoder_ffn_dim", ffn},
                         {"vocab_size", 128112},          {"max_position_embeddings", 1024}};
    return make_layout(find_family(config, "test").describe(config, "test"));
}

std::int64_t trained(const Layout& layout, const std::string& method, const Json& settings) {
    const Method& found = find_method_by_id(method, "");
    std::int64_t total = 0;
    for (const TensorSpec& spec : found.tensors(layout, found.complete(settings))) total += spec.count();
    return total;
}

}  // namespace

TEST_CASE("trained parameters on M2M-100 418M and 1.2B", "[contract]") {
    struct Row {
        const char* method;
        Json settings;
        std::int64_t small, large;
    };
    const std::vector<Row> rows = {
        {"full", Json::object(), 483905536, 1239470080},
        {"bitfit", Json::object(), 333824, 862208},
        {"bitfit", {{"norm_biases", false}}, 270336, 737280},
        {"layernorm", {{"variant", "gains"}}, 63488, 124928},
        {"layernorm", {{"variant", "gains_and_biases"}}, 126976, 249856},
        {"layernorm", {{"variant", "gains_and_all_biases"}}, 397312, 987136},
        {"bottleneck", {{"bottleneck_dim", 1}}, 122904, 245808},
        {"bottleneck", {{"bottleneck_dim", 64}}, 3220992, 6441984},
        {"bottleneck", {{"bottleneck_dim", 64}, {"stacks", "encoder"}}, 1610496, 3220992},
        {"bottleneck", {{"bottleneck_dim", 128}}, 6368256, 12736512},
        {"bottleneck", {{"bottleneck_dim", 1024}}, 50429952, 100859904},
        {"bottleneck", {{"bottleneck_dim", 4096}}, 201498624, 402997248},
        {"lora", {{"rank", 8}, {"targets", "qv"}}, 1179648, 2359296},
        {"lora", {{"rank", 8}, {"targets", "all"}}, 4325376, 11796480},
    };
    const Layout small = m2m100(12, 4096), large = m2m100(24, 8192);
    for (const Row& row : rows) {
        INFO(row.method << " " << row.settings.dump());
        CHECK(trained(small, row.method, row.settings) == row.small);
        CHECK(trained(large, row.method, row.settings) == row.large);
    }
}

TEST_CASE("sized methods grow with their knob, each step by the same number", "[contract]") {
    const Layout layout = m2m100(12, 4096);
    for (const auto& method : methods()) {
        const std::string knob = method->info().size_knob;
        if (knob.empty()) continue;
        INFO("method " << method->info().id);
        const auto at_size = [&](std::int64_t size) { return trained(layout, method->info().id, {{knob, size}}); };
        REQUIRE(at_size(2) > at_size(1));
        REQUIRE(at_size(9) - at_size(8) == at_size(2) - at_size(1));
        const std::int64_t largest = method->largest_size(layout, method->complete(Json::object()));
        REQUIRE(at_size(largest) > at_size(largest - 1));
        REQUIRE(at_size(largest) < layout.parameter_count());
    }
}
