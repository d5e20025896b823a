#include "core/base/files.h"
#include "core/nn/device.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;
namespace fs = std::filesystem;

namespace {

// A folder with the golden model's config and the given weights.
void write_folder(const fs::path& folder, const Json& config, const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
    make_folder(folder);
    write_json(folder / "config.json", config);
    write_safetensors(folder / "model.safetensors", tensors);
}

std::vector<std::pair<std::string, at::Tensor>> golden_tensors() {
    std::vector<std::pair<std::string, at::Tensor>> list;
    for (const auto& [name, tensor] : read_safetensors(golden("m2m100/model.safetensors"))) list.emplace_back(name, tensor);
    return list;
}

}  // namespace

TEST_CASE("a saved model is the model that is loaded again", "[models]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    save_model(folder / "copy", base->config, base->network->layout(), base->network->weights(), at::kFloat);
    const auto again = load_base(folder / "copy", at::kCPU, at::kFloat);
    for (std::size_t i = 0; i < base->network->weights().size(); ++i)
        require_same(again->network->weights()[i], base->network->weights()[i], base->network->layout().parameters[i].name);
    REQUIRE(again->network->architecture().encoder_heads == 3);
    REQUIRE(read_json(folder / "copy/generation_config.json")["decoder_start_token_id"] == 2);

    save_model(folder / "half", base->config, base->network->layout(), base->network->weights(), at::kHalf);
    const auto half = load_base(folder / "half", at::kCPU, at::kFloat);
    require_close(half->network->weights()[0], base->network->weights()[0], 1e-3);
    REQUIRE(half->network->weights()[0].scalar_type() == at::kFloat);
    REQUIRE(read_json(folder / "half/config.json")["dtype"] == "float16");
    REQUIRE(half->fingerprint != base->fingerprint);
}

TEST_CASE("a family's own config describes the same architecture", "[models]") {
    for (const Family& family : families()) {
        const Architecture a = tiny_architecture(family);
        const Architecture b = family.describe(family.config(a), "again");
        REQUIRE(family.config(a) == family.config(b));
        REQUIRE(make_layout(a).parameter_count() == make_layout(b).parameter_count());
    }
}

TEST_CASE("a base is opened once in a process", "[models]") {
    const auto first = golden_model();
    REQUIRE(golden_model() == first);
    REQUIRE(load_base(golden("m2m100") / ".", at::kCPU, at::kFloat) == first);
    REQUIRE(load_base(golden("m2m100"), at::kCPU, at::kBFloat16) != first);
}

TEST_CASE("a tied table is found under any of its names", "[models]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    const std::string name = GENERATE("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight");
    auto tensors = golden_tensors();
    for (auto& [key, tensor] : tensors)
        if (key == "model.shared.weight") key = name;
    write_folder(folder / "m", base->config, tensors);
    require_same(load_base(folder / "m", at::kCPU, at::kFloat)->network->weights()[0], base->network->weights()[0]);
}

TEST_CASE("shards are read together", "[models]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    const auto tensors = golden_tensors();
    const auto half = tensors.begin() + static_cast<std::ptrdiff_t>(tensors.size() / 2);
    write_safetensors(folder / "model-1.safetensors", {tensors.begin(), half});
    write_safetensors(folder / "model-2.safetensors", {half, tensors.end()});
    Json map = Json::object();
    for (auto i = tensors.begin(); i != tensors.end(); ++i) map[i->first] = i < half ? "model-1.safetensors" : "model-2.safetensors";
    write_json(folder / "config.json", base->config);
    write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
    require_same(load_base(folder.path(), at::kCPU, at::kFloat)->network->weights()[5], base->network->weights()[5]);

    map.begin().value() = "../model-1.safetensors";
    write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
    require_error([&] { load_base(folder.path(), at::kCPU, at::kFloat); }, ErrorKind::file, {"../model-1.safetensors"});
}

TEST_CASE("weights that do not fit are named", "[models]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    const std::string name = "model.decoder.layers.1.encoder_attn.v_proj.weight";
    const auto refused = [&](const std::vector<std::pair<std::string, at::Tensor>>& tensors, const std::vector<std::string>& words) {
        write_folder(folder / "m", base->config, tensors);
        require_error([&] { load_base(folder / "m", at::kCPU, at::kFloat); }, ErrorKind::tensor, words);
    };
    auto tensors = golden_tensors();
    std::erase_if(tensors, [&](const auto& pair) { return pair.first == name; });
    refused(tensors, {name, "missing"});
    auto wrong = tensors;
    wrong.emplace_back(name, at::zeros({30, 29}));
    refused(wrong, {name, "30 x 29", "30 x 30"});
    wrong.back().second = at::zeros({30, 30}, at::kLong);
    refused(wrong, {name, "float32"});
    wrong.back().second = at::zeros({30, 30});
    wrong.emplace_back("model.decoder.layers.2.fc1.weight", at::zeros({52, 30}));
    refused(wrong, {"model.decoder.layers.2.fc1.weight"});
    wrong.back() = {"model.encoder.embed_positions.weights", at::zeros({66, 30})};
    write_folder(folder / "m", base->config, wrong);
    REQUIRE(load_base(folder / "m", at::kCPU, at::kFloat));
}

TEST_CASE("a description that makes no sense is an error that names the field", "[models]") {
    const TemporaryFolder folder;
    const Json good = read_json(golden("m2m100/config.json"));
    const auto refused = [&](const std::string& field, const Json& value) {
        Json config = good;
        config[field] = value;
        make_folder(folder / "m");
        write_json(folder / "m/config.json", config);
        INFO(field << " = " << value.dump());
        require_error([&] { describe_model(folder / "m"); }, ErrorKind::config, {"config.json/" + field});
    };
    for (const char* field : {"d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_ffn_dim", "vocab_size",
                              "max_position_embeddings"})
        for (const Json& value : {Json(0), Json(-3), Json(1e300), Json("12"), Json(nullptr), Json(2.5), Json(std::uint64_t{1} << 63),
                                  Json(std::int64_t{1} << 40)})
            refused(field, value);
    refused("d_model", 31);  // not a multiple of the heads
    refused("d_model", 2);
    refused("pad_token_id", 89);
    refused("eos_token_id", -1);
    refused("decoder_start_token_id", 1 << 30);
    refused("dropout", 1.0);
    refused("dropout", -0.1);
    refused("scale_embedding", "yes");
    refused("activation_function", "tanh");
    refused("activation_function", 3);
    Json config = good;
    config["model_type"] = "t5";
    write_json(folder / "m/config.json", config);
    require_error([&] { describe_model(folder / "m"); }, ErrorKind::unsupported, {"t5", "m2m_100"});
    config.erase("model_type");
    write_json(folder / "m/config.json", config);
    require_error([&] { describe_model(folder / "m"); }, ErrorKind::config, {"model_type"});
    write_text(folder / "m/config.json", "[1, 2");
    require_error([&] { describe_model(folder / "m"); }, ErrorKind::file, {"config.json"});
}

TEST_CASE("folders that are no models say what is missing", "[models]") {
    const TemporaryFolder folder;
    require_error([&] { describe_model(folder / "none"); }, ErrorKind::file, {"none"});
    require_error([&] { describe_model(folder.path()); }, ErrorKind::file, {"config.json"});
    fs::copy_file(golden("m2m100/config.json"), folder / "config.json");
    require_error([&] { load_base(folder.path(), at::kCPU, at::kFloat); }, ErrorKind::file, {"model.safetensors"});
    write_text(folder / "pytorch_model.bin", "PK");
    require_error([&] { load_base(folder.path(), at::kCPU, at::kFloat); }, ErrorKind::unsupported, {"pytorch_model.bin"});
}

TEST_CASE("devices and types by name", "[models]") {
    REQUIRE(parse_device("cpu") == at::Device(at::kCPU));
    REQUIRE(parse_dtype("bfloat16", at::kCPU) == at::kBFloat16);
    require_error([] { parse_device("gpu"); }, ErrorKind::config, {"gpu"});
    require_error([] { parse_dtype("float16", at::kCPU); }, ErrorKind::config, {"float16"});
    require_error([] { parse_dtype("int8", at::kCPU); }, ErrorKind::config, {"int8"});
}
