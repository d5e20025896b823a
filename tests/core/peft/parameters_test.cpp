// Parameters of the base that are trained themselves: by patterns, and cross-attention.
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const Layout& layout() {
    static const Layout made = make_layout(tiny_architecture(families()[0]));
    return made;
}

std::set<std::string> trained(const char* id, const Json& settings) {
    const Method& method = find_method_by_id(id, "");
    std::set<std::string> names;
    for (const TensorSpec& spec : method.tensors(layout(), method.complete(settings))) {
        REQUIRE(spec.base >= 0);
        REQUIRE(layout().parameters[static_cast<std::size_t>(spec.base)].name == spec.name);
        names.insert(spec.name);
    }
    return names;
}

}  // namespace

TEST_CASE("patterns choose parameters by name, and freezing wins", "[peft]") {
    const auto all = trained("parameters", {{"unfreeze", "decoder.*fc[12]"}});
    REQUIRE(all.size() == 3 * 2 * 2);
    REQUIRE(all.contains("model.decoder.layers.2.fc1.weight"));
    const auto some = trained("parameters", {{"unfreeze", "decoder.*fc[12]"}, {"freeze", "bias$|layers\\.1\\."}});
    REQUIRE(some == std::set<std::string>{"model.decoder.layers.0.fc1.weight", "model.decoder.layers.0.fc2.weight",
                                          "model.decoder.layers.2.fc1.weight", "model.decoder.layers.2.fc2.weight"});
    REQUIRE(trained("parameters", {{"unfreeze", "."}}) == trained("full", Json::object()));
    REQUIRE(trained("parameters", Json::object()) == trained("bitfit", Json::object()));
}

TEST_CASE("a tied table is found under each of its names, once", "[peft]") {
    const std::set<std::string> table = {"model.shared.weight"};
    for (const char* pattern : {"shared", "lm_head", "encoder\\.embed_tokens", "embed_tokens|lm_head"})
        REQUIRE(trained("parameters", {{"unfreeze", pattern}}) == table);
    REQUIRE_FALSE(trained("parameters", {{"unfreeze", "."}, {"freeze", "lm_head"}}).contains("model.shared.weight"));
}

TEST_CASE("a pattern that is none, or finds nothing, is named", "[peft]") {
    const Method& method = find_method_by_id("parameters", "");
    for (const char* wrong : {"(", "[a", "a{2", "*"}) {
        require_error(
            [&] {
                method.complete({{"unfreeze", wrong}});
            },
            ErrorKind::config, {"parameters/unfreeze", wrong, "regular expression"});
        require_error([&] { method.complete({{"freeze", wrong}}); }, ErrorKind::config, {"parameters/freeze", wrong});
    }
    for (const Json& nothing : {Json{{"unfreeze", "fc3"}}, Json{{"unfreeze", ""}}, Json{{"unfreeze", "fc1"}, {"freeze", "fc"}}})
        require_error([&] { method.tensors(layout(), method.complete(nothing)); }, ErrorKind::config, {"parameters", "matches"});
}

TEST_CASE("cross-attention tuning takes the decoder's attention over the source", "[peft]") {
    const auto plain = trained("cross_attention", Json::object());
    REQUIRE(plain.size() == 3 * 4 * 2);
    for (const std::string& name : plain) REQUIRE(name.find(".encoder_attn.") != std::string::npos);
    const auto with_norm = trained("cross_attention", {{"norm", true}, {"layers", "last 1"}});
    REQUIRE(with_norm.size() == 4 * 2 + 2);
    REQUIRE(with_norm.contains("model.decoder.layers.2.encoder_attn_layer_norm.bias"));
    auto with_table = plain;
    with_table.insert("model.shared.weight");
    REQUIRE(trained("cross_attention", {{"embeddings", true}}) == with_table);
}
