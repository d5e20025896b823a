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
    for (const TensorSpec& spec : found.tensors(layout, found.complete(settings)))
        if (spec.role == TensorRole::trained) total += spec.count();
    return total;
}

std::int64_t smallest_size(const Method& method) {
    for (const Field& knob : method.info().knobs)
        if (knob.name == method.info().size_knob) return static_cast<std::int64_t>(knob.min.value_or(1));
    return 1;
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
        {"bottleneck", {{"bottleneck_dim", 64}, {"encoder_output", true}}, 4831488, 9662976},
        {"pfeiffer", {{"bottleneck_dim", 64}}, 3171840, 6343680},
        {"houlsby", {{"bottleneck_dim", 64}}, 6343680, 12687360},
        {"houlsby", {{"bottleneck_dim", 64}, {"cross_attention", true}}, 7929600, 15859200},
        {"houlsby", {{"bottleneck_dim", 64}, {"train_layernorm", true}}, 6470656, 12937216},
        {"parallel", {{"bottleneck_dim", 512}}, 25202688, 50405376},
        {"parallel", {{"bottleneck_dim", 512}, {"learned_scale", true}}, 25202712, 50405424},
        {"language_adapters", {{"bottleneck_dim", 512}}, 25728512, 50931200},
        {"compacter", {{"middle_blocks", 8}}, 152128, 304192},
        {"compacter", {{"middle_blocks", 8}, {"variant", "compacter++"}}, 76096, 152128},
        {"loretta_adp", {{"train_layernorm", false}}, 132864, 265728},
        {"loretta_adp", Json::object(), 259840, 515584},
        {"loretta_rep", {{"train_layernorm", false}}, 92160, 184320},
        {"loretta_rep", Json::object(), 219136, 434176},
        {"adalink", {{"rank", 64}}, 262144, 262144},
        {"adalink", {{"rank", 64}, {"bias", true}, {"stacks", "encoder"}}, 132160, 132160},
        {"lora", {{"rank", 8}, {"targets", "qv"}}, 1179648, 2359296},
        {"lora", {{"rank", 8}, {"targets", "all"}}, 4325376, 11796480},
        {"lora", {{"rank", 8}, {"targets", "ffn"}}, 1966080, 7077888},
        {"lora", {{"rank", 8}, {"targets", "attention"}}, 2359296, 4718592},
        {"lora", {{"rank", 8}, {"targets", "cross_attn"}}, 786432, 1572864},
        {"lora", {{"rank", 8}, {"targets", "embeddings"}}, 2066176, 2066176},
        {"dora", {{"rank", 8}}, 1253376, 2506752},
        {"adalora", {{"rank", 12}}, 1770336, 3540672},
        {"ia3", Json::object(), 172032, 540672},
        {"ia3", {{"targets", "all"}, {"sides", "both"}}, 540672, 1474560},
        {"ssf", Json::object(), 671744, 1728512},
        {"vera", {{"rank", 256}}, 92160, 184320},
        {"context_lora", {{"rank", 8}}, 2359296, 4718592},
        {"context_lora", {{"rank", 8}, {"domains", ""}}, 1179648, 2359296},
        {"context_ia3", Json::object(), 344064, 1081344},
        {"context_bitfit", Json::object(), 540672, 1474560},
        {"dsee", {{"rank", 16}, {"entries", 64}}, 2363904, 4727808},
        {"experts", Json::object(), 134316032, 268599296},
        {"experts", {{"layers", "all"}}, 805896192, 3223191552},
        {"experts", {{"experts", 2}, {"layers", "last 1"}, {"stacks", "decoder"}}, 16789504, 33574912},
        {"prefix", {{"prefix_length", 30}}, 2211840, 4423680},
        {"prefix", {{"prefix_length", 30}, {"reparametrised", true}, {"hidden_dim", 512}}, 39489024, 77311488},
        {"unipelt", Json::object(), 5224068, 10448136},
        {"unipelt", {{"reparametrised", true}}, 43914372, 86223624},
        {"mam", Json::object(), 86810976, 171069792},
        {"mam", {{"prefix.reparametrised", false}}, 27414528, 54829056},
        {"layer_prefix", {{"prefix_length", 20}}, 491520, 983040},
        {"layer_prefix", {{"prefix_length", 20}, {"reparametrised", true}, {"hidden_dim", 512}}, 23593984, 49288192},
        {"prompt", {{"prompt_length", 100}}, 102400, 102400},
        {"prompt", {{"prompt_length", 100}, {"side", "both"}}, 204800, 204800},
        {"dept", {{"prompt_length", 40}, {"rank", 45}, {"source_length", 256}}, 98560, 98560},
        {"cross_attention", Json::object(), 50380800, 100761600},
        {"cross_attention", {{"norm", true}}, 50405376, 100810752},
        {"cross_attention", {{"layers", "last 1"}}, 4198400, 4198400},
        {"parameters", {{"unfreeze", "bias$"}}, 333824, 862208},
    };
    const Layout small = m2m100(12, 4096), large = m2m100(24, 8192);
    for (const Row& row : rows) {
        INFO(row.method << " " << row.settings.dump());
        CHECK(trained(small, row.method, row.settings) == row.small);
        CHECK(trained(large, row.method, row.settings) == row.large);
    }
}

TEST_CASE("sized methods grow with their knob, each step by the same number or, with the rank of tensors, by the same number more",
          "[contract]") {
    const Layout layout = m2m100(12, 4096);
    for (const auto& method : methods()) {
        const std::string knob = method->info().size_knob;
        if (knob.empty()) continue;
        INFO("method " << method->info().id);
        const auto at_size = [&](std::int64_t size) { return trained(layout, method->info().id, {{knob, size}}); };
        const auto step = [&](std::int64_t size) { return at_size(size + 1) - at_size(size); };
        const std::int64_t smallest = smallest_size(*method), early = step(smallest), late = step(8);
        REQUIRE(early > 0);
        if (knob == "tensor_rank") REQUIRE(late - step(7) == step(smallest + 1) - early);
        else REQUIRE(late == early);
        const std::int64_t largest = method->largest_size(layout, method->complete(Json::object()));
        REQUIRE(at_size(largest) > at_size(largest - 1));
        REQUIRE(at_size(largest) < layout.parameter_count());
    }
}

TEST_CASE("pruned weights are counted apart from trained ones", "[contract]") {
    const Layout small = m2m100(12, 4096), large = m2m100(24, 8192);
    const Method& dsee = find_method_by_id("dsee", "");
    const auto check = [&](const Json& settings, std::int64_t at_small, std::int64_t at_large) {
        INFO(settings.dump());
        for (const auto& [layout, pruned] : {std::pair(&small, at_small), std::pair(&large, at_large)}) {
            const Sizes found = sizes(dsee, *layout, dsee.complete(settings)), plain = sizes(dsee, *layout, dsee.complete(Json::object()));
            CHECK(found.pruned == pruned);
            CHECK(found.trainable == plain.trainable);
            CHECK(plain.pruned == 0);
        }
    };
    // Matrices of 4 D^2 at each attention and 2 D F at each feed-forward block; a head has 4 D 64 of them, a neuron 2 D.
    check({{"prune", 0.25}}, 352321536 / 4, 1107296256 / 4);
    check({{"heads", 3}}, 36 * 3 * 262144, 72 * 3 * 262144);
    check({{"neurons", 100}}, 24 * 100 * 2048, 48 * 100 * 2048);
    check({{"heads", 4}, {"prune", 0.5}}, 37748736 + (352321536 - 37748736) / 2, 75497472 + (1107296256 - 75497472) / 2);
    check({{"prune", 0.5}, {"prune_by", "update"}}, 72 * 1048576 / 2, 144 * 1048576 / 2);
}

TEST_CASE("the network of a prefix is trained but not stored", "[contract]") {
    const Layout small = m2m100(12, 4096), large = m2m100(24, 8192);
    const auto check = [](const char* id, const Json& settings, const Layout& layout, std::int64_t trainable, std::int64_t stored) {
        const Method& method = find_method_by_id(id, "");
        const Sizes found = sizes(method, layout, method.complete(settings));
        INFO(id);
        CHECK(found.trainable == trainable);
        CHECK(found.added == trainable);
        CHECK(found.stored == stored);
        CHECK(found.train_only == trainable - stored);
    };
    const Json prefix = {{"prefix_length", 30}, {"reparametrised", true}}, states = {{"prefix_length", 20}, {"reparametrised", true}};
    check("prefix", prefix, small, 39489024, 2211840);
    check("prefix", prefix, large, 77311488, 4423680);
    check("layer_prefix", states, small, 23593984, 491520);
    check("layer_prefix", states, large, 49288192, 983040);
    check("mam", Json::object(), small, 86810976, 27414528);
    check("unipelt", {{"reparametrised", true}}, small, 43914372, 5224068);
}
