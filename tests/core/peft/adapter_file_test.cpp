#include "core/peft/adapter_file.h"

#include <cstdlib>

#include "core/base/files.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;
namespace fs = std::filesystem;

namespace {

Attached lora(const BaseModel& base) { return attach_method(find_method_by_id("lora", ""), *base.network, {{"rank", 3}}, 4); }

void edit(const fs::path& file, const std::function<void(Json&)>& change) {
    Json json = read_json(file);
    change(json);
    write_json(file, json);
}

}  // namespace

TEST_CASE("an adapter file says what it is", "[peft]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    save_adapter(folder / "a", lora(*base), *base, {{"updates", 12}});
    const Json shown = describe_adapter(folder / "a");
    REQUIRE(shown["method"] == "lora");
    REQUIRE(shown["settings"]["rank"] == 3);
    REQUIRE(shown["training"]["updates"] == 12);
    REQUIRE(shown["base"]["fingerprint"] == base->fingerprint);
    REQUIRE(shown["peft_layout"] == true);
    REQUIRE(shown["parameters"] == shown["trainable"]);
    REQUIRE(shown["tensors"].size() == 2 * 2 * (3 + 2 * 2));  // A and B of q and v at 3 + 2 * 2 sites
    const Json peft = read_json(folder / "a/adapter_config.json");
    REQUIRE(peft["peft_type"] == "LORA");
    REQUIRE(peft["r"] == 3);
    REQUIRE(peft["lora_alpha"] == 3.0);
    save_adapter(folder / "b", attach_method(find_method_by_id("bottleneck", ""), *base->network, Json::object(), 1), *base, {});
    REQUIRE_FALSE(fs::exists(folder / "b/adapter_config.json"));
}

TEST_CASE("an adapter for another base is refused", "[peft]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    save_adapter(folder / "a", lora(*base), *base, {});
    auto weights = base->network->weights();
    weights[3] = weights[3] + 1;
    save_model(folder / "other", base->config, base->network->layout(), weights, at::kFloat);
    const auto other = load_base(folder / "other", at::kCPU, at::kFloat);
    require_error([&] { load_adapter(folder / "a", *other); }, ErrorKind::config,
                  {base->fingerprint.substr(0, 12), other->fingerprint.substr(0, 12), "other"});
}

TEST_CASE("damaged adapters are named", "[peft]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    const fs::path good = folder / "good", bad = folder / "bad";
    save_adapter(good, lora(*base), *base, {});
    const auto refused = [&](ErrorKind kind, const std::vector<std::string>& words, const std::function<void()>& damage) {
        fs::remove_all(bad);
        fs::copy(good, bad);
        damage();
        require_error([&] { load_adapter(bad, *base); }, kind, words);
    };
    const auto tensors = [&] {
        std::vector<std::pair<std::string, at::Tensor>> list;
        for (const auto& [name, tensor] : read_safetensors(good / "adapter_model.safetensors")) list.emplace_back(name, tensor);
        return list;
    };
    const std::string first = tensors()[0].first;
    require_error([&] { load_adapter(folder / "none", *base); }, ErrorKind::file, {"none"});
    refused(ErrorKind::file, {"permille.json"}, [&] {
        fs::remove(bad / "permille.json");
        fs::remove(bad / "adapter_config.json");
    });
    refused(ErrorKind::file, {"permille.json"}, [&] { write_text(bad / "permille.json", "{"); });
    refused(ErrorKind::file, {"permille.json/method"}, [&] { edit(bad / "permille.json", [](Json& json) { json.erase("method"); }); });
    refused(ErrorKind::unsupported, {"format", "2"}, [&] { edit(bad / "permille.json", [](Json& json) { json["format"] = 2; }); });
    refused(ErrorKind::config, {"lorra", "lora"}, [&] { edit(bad / "permille.json", [](Json& json) { json["method"] = "lorra"; }); });
    refused(ErrorKind::config, {"rank"}, [&] { edit(bad / "permille.json", [](Json& json) { json["settings"]["rank"] = -1; }); });
    refused(ErrorKind::config, {"range"}, [&] { edit(bad / "permille.json", [](Json& json) { json["settings"]["range"] = 1; }); });
    refused(ErrorKind::tensor, {"shape"}, [&] { edit(bad / "permille.json", [](Json& json) { json["settings"]["rank"] = 4; }); });
    refused(ErrorKind::tensor, {"missing"}, [&] { edit(bad / "permille.json", [](Json& json) { json["settings"]["targets"] = "all"; }); });
    refused(ErrorKind::config, {"base"}, [&] { edit(bad / "permille.json", [](Json& json) { json["base"]["fingerprint"] = ""; }); });
    refused(ErrorKind::file, {"permille.json/base"}, [&] { edit(bad / "permille.json", [](Json& json) { json["base"] = "mine"; }); });
    refused(ErrorKind::file, {"permille.json/base"},
            [&] { edit(bad / "permille.json", [](Json& json) { json["base"]["fingerprint"] = 7; }); });
    refused(ErrorKind::file, {"adapter_model.safetensors"}, [&] { fs::remove(bad / "adapter_model.safetensors"); });
    refused(ErrorKind::file, {"adapter_model.safetensors"}, [&] { write_text(bad / "adapter_model.safetensors", "short"); });
    refused(ErrorKind::tensor, {first, "missing"}, [&] {
        auto list = tensors();
        list.erase(list.begin());
        write_safetensors(bad / "adapter_model.safetensors", list);
    });
    refused(ErrorKind::tensor, {"stray"}, [&] {
        auto list = tensors();
        list.emplace_back("stray", at::zeros({1}));
        write_safetensors(bad / "adapter_model.safetensors", list);
    });
}

TEST_CASE("folders of Hugging Face PEFT are opened with the same logits", "[peft][golden]") {
    const auto base = golden_model();
    const TensorBatch batch = batch_of(*base->network, golden_pairs());
    const std::map<std::string, std::pair<std::string, Json>> expected = {
        {"adalora", {"adalora", {{"rank", 4}, {"target_rank", 2}, {"targets", "qv"}}}},
        {"dora", {"dora", {{"rank", 3}, {"alpha", 8.0}, {"targets", "k,fc2"}}}},
        {"ia3", {"ia3", {{"targets", "k,v,fc2"}}}},
        {"ia3_bart", {"ia3", {{"targets", "qv"}}}},
        {"layernorm", {"layernorm", {{"variant", "gains_and_biases"}, {"stacks", "both"}}}},
        {"lora", {"lora", {{"rank", 4}, {"alpha", 16.0}, {"targets", "qv"}, {"rank_stabilised", false}}}},
        {"lora_embeddings", {"lora", {{"rank", 3}, {"targets", "embeddings,fc1"}}}},
        {"lora_path", {"lora", {{"rank", 2}, {"targets", "encoder.1.ffn.fc2,cross_attn.out"}}}},
        {"lora_pattern", {"lora", {{"rank", 2}, {"targets", "cross_attn.k,cross_attn.v,decoder.*.ffn.fc1"}}}},
        {"rslora", {"lora", {{"rank", 4}, {"targets", "all"}, {"rank_stabilised", true}}}},
        {"vera", {"vera", {{"rank", 6}, {"targets", "v,fc2"}}}}};
    for (const auto& [name, want] : expected) {
        INFO("folder " << name);
        const fs::path folder = golden("m2m100/peft/" + name);
        std::string log;
        const Attached attached = load_adapter(folder, *base, [&](const Event& event) { log += std::get<LogLine>(event).text; });
        REQUIRE(attached.method->info().id == want.first);
        for (const auto& [key, value] : want.second.items()) CHECK(attached.settings[key] == value);
        REQUIRE(log.find("not known") != std::string::npos);
        const at::NoGradGuard guard;
        const at::Tensor logits = read_safetensors(folder / "logits.safetensors").at("logits");
        const at::Tensor got = logits_of(*base->network, base->network->inference(attached.attachment.get()), batch);
        require_close(got.narrow(0, 0, logits.size(0)), logits, 5e-5);
        REQUIRE(describe_adapter(folder)["peft"]["peft_type"].is_string());

        const TemporaryFolder again;  // and kept as our own, with the fingerprint
        save_adapter(again / "own", attached, *base, {});
        require_same(logits_of(*base->network, base->network->inference(load_adapter(again / "own", *base).attachment.get()), batch), got);
    }
}

TEST_CASE("prompts and prefixes of PEFT are opened with the same logits on every family", "[peft][golden]") {
    const std::vector<std::pair<std::string, Json>> expected = {
        {"m2m100/prompt", {{"prompt_length", 4}, {"embedding_space", "stack"}}},
        {"m2m100/prompt_one", {{"prompt_length", 4}}},
        {"m2m100/prefix", {{"prefix_length", 3}, {"peft_form", true}}},
        {"m2m100/prefix_projected", {{"prefix_length", 3}, {"reparametrised", false}}},
        {"marian/prompt", {{"prompt_length", 4}, {"embedding_space", "table"}}},
        {"marian/prompt_one", {{"prompt_length", 4}, {"embedding_space", "table"}}},
        {"marian/prefix", {{"prefix_length", 3}, {"peft_form", true}}},
        {"marian_separate/prompt", {{"prompt_length", 4}, {"embedding_space", "table"}}},
        {"mbart50/prompt", {{"prompt_length", 4}, {"embedding_space", "stack"}}},
        {"mbart50/prefix", {{"prefix_length", 3}}}};
    for (const auto& [name, want] : expected) {
        INFO(name);
        const std::string model = name.substr(0, name.find('/'));
        const auto base = golden_model(model);
        const TensorBatch batch = batch_of(*base->network, golden_pairs(model));
        const fs::path folder = golden(model + "/peft/" + name.substr(name.find('/') + 1));
        const Attached attached = load_adapter(folder, *base);
        REQUIRE(attached.method->info().id == name.substr(name.find('/') + 1, 6));
        for (const auto& [key, value] : want.items()) CHECK(attached.settings[key] == value);
        const at::NoGradGuard guard;
        const auto logits = [&](const Attached& adapter) {
            return logits_of(*base->network, base->network->inference(adapter.attachment.get()), batch);
        };
        const at::Tensor wanted = read_safetensors(folder / "logits.safetensors").at("logits");
        require_close(logits(attached).narrow(0, 0, wanted.size(0)), wanted, 5e-5);
        const at::Tensor plain = logits_of(*base->network, base->network->inference(), batch);
        REQUIRE((plain.narrow(0, 0, wanted.size(0)) - wanted).abs().max().item<double>() > 1e-2);

        const TemporaryFolder again;  // our own folder is one that PEFT opens, too
        save_adapter(again / "own", attached, *base, {});
        REQUIRE(read_json(again / "own" / "adapter_config.json")["peft_type"] == read_json(folder / "adapter_config.json")["peft_type"]);
        require_same(logits(load_adapter(again / "own", *base)), logits(attached));
        fs::remove(again / "own" / "permille.json");
        require_same(logits(load_adapter(again / "own", *base)), logits(attached));
    }
}

TEST_CASE("what no method serves of a PEFT folder is refused by name", "[peft]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    const fs::path bad = folder / "bad";
    const auto refused = [&](const char* from, ErrorKind kind, const std::vector<std::string>& words,
                             const std::function<void(Json&)>& change) {
        fs::remove_all(bad);
        fs::copy(golden(std::string("m2m100/peft/") + from), bad);
        edit(bad / "adapter_config.json", change);
        require_error([&] { load_adapter(bad, *base); }, kind, words);
    };
    const auto set = [](const char* key, const Json& value) { return [key, value](Json& config) { config[key] = value; }; };
    const ErrorKind unsupported = ErrorKind::unsupported;
    refused("lora", unsupported, {"rank_pattern", "q_proj"}, set("rank_pattern", {{"q_proj", 3}}));
    refused("lora", unsupported, {"alpha_pattern"}, set("alpha_pattern", {{"q_proj", 3}}));
    refused("lora", unsupported, {"modules_to_save", "lm_head"}, set("modules_to_save", {"lm_head"}));
    refused("lora", unsupported, {"bias", "all"}, set("bias", "all"));
    refused("lora", unsupported, {"layers_to_transform"}, set("layers_to_transform", {0}));
    refused("lora", unsupported, {"init_lora_weights", "pissa"}, set("init_lora_weights", "pissa"));
    refused("lora", unsupported, {"something_new"}, set("something_new", 3));
    refused("lora", unsupported, {"target_modules", "lm_head"}, set("target_modules", {"q_proj", "v_proj", "lm_head"}));
    refused("lora", unsupported, {"target_modules"}, set("target_modules", nullptr));
    refused("lora", unsupported, {"target_modules", "(q_proj"}, set("target_modules", "(q_proj"));
    refused("lora", unsupported, {"peft_type", "LOHA"}, set("peft_type", "LOHA"));
    refused("lora", ErrorKind::file, {"peft_type"}, [](Json& config) { config.erase("peft_type"); });
    refused("lora", ErrorKind::tensor, {"shape"}, set("r", 3));
    refused("lora", ErrorKind::config, {"rank"}, set("r", "many"));
    refused("lora", ErrorKind::tensor, {"k_proj", "missing"}, set("target_modules", {"q_proj", "v_proj", "k_proj"}));
    refused("lora", ErrorKind::tensor, {"v_proj", "not a tensor"}, set("target_modules", {"q_proj"}));
    refused("dora", ErrorKind::tensor, {"magnitude"}, set("use_dora", false));
    refused("ia3", unsupported, {"feedforward_modules"}, set("feedforward_modules", {"k_proj"}));
    refused("vera", unsupported, {"save_projection"}, set("save_projection", false));
    refused("adalora", unsupported, {"rank_pattern"}, set("rank_pattern", {{"model.encoder", 3}}));
    refused("layernorm", unsupported, {"target_modules"}, set("target_modules", {"final_layer_norm"}));
    refused("prefix", unsupported, {"num_transformer_submodules", "1"}, set("num_transformer_submodules", 1));
    refused("prefix", ErrorKind::tensor, {"shape"}, set("num_virtual_tokens", 2));
    refused("prompt", ErrorKind::tensor, {"shape"}, set("num_virtual_tokens", 3));
    refused("prompt", unsupported, {"num_virtual_tokens"}, set("num_virtual_tokens", "four"));
    fs::remove_all(bad);
    fs::copy(golden("m2m100/peft/lora"), bad);
    fs::remove(bad / "adapter_model.safetensors");
    require_error([&] { load_adapter(bad, *base); }, ErrorKind::file, {"adapter_model.safetensors"});
}

// For tests/golden/make/check_peft_export.py, which opens the folders with PEFT.
TEST_CASE("adapters and their logits for PEFT to open", "[.export]") {
    const char* folder = std::getenv("PERMILLE_EXPORT");
    if (!folder) return;  // a filter that only leaves tests out runs hidden ones too
    struct Case {
        const char* method;
        Json settings;
        const char* model = "m2m100";
    };
    const Json prefix = {{"prefix_length", 4}, {"encoder_self", false}, {"cross", false}, {"peft_form", true}};
    const std::vector<Case> cases = {
        {"lora", Json{{"rank", 4}}},
        {"lora", Json{{"rank", 4}, {"alpha", 16}, {"targets", "all"}}},
        {"lora", Json{{"rank", 2}, {"alpha", 8}, {"targets", "attention"}, {"stacks", "decoder"}, {"rank_stabilised", true}}},
        {"layernorm", Json::object()},
        {"layernorm", Json{{"stacks", "encoder"}}},
        {"lora", Json{{"rank", 3}, {"targets", "embeddings,cross_attn,decoder.1.ffn.fc2"}}},
        {"dora", Json{{"rank", 3}, {"alpha", 6}, {"targets", "q,fc1"}}},
        {"ia3", Json::object()},
        {"ia3", Json{{"targets", "attention"}, {"layers", "last 1"}}},
        {"vera", Json{{"rank", 7}, {"targets", "all"}}},
        {"adalora", Json{{"rank", 4}, {"alpha", 8}}},
        {"adalora", Json{{"rank", 3}, {"ranks", "3,0,1,2,3,1,1,0,2,2,1,3,2,1"}}},
        {"prefix", prefix},
        {"prefix", Json{{"prefix_length", 3}, {"encoder_self", false}, {"cross", false}, {"peft_form", true}, {"reparametrised", true}}},
        {"prompt", Json{{"prompt_length", 6}}},
        {"prompt", Json{{"prompt_length", 1}, {"initialisation", "normal"}}},
        {"lora", Json{{"rank", 4}}, "marian"},
        {"prefix", prefix, "marian"},
        {"prefix", prefix, "mbart50"},
        {"prompt", Json{{"prompt_length", 6}, {"embedding_space", "table"}}, "marian"},
        {"prompt", Json{{"prompt_length", 2}, {"embedding_space", "table"}}, "marian_separate"},
        {"prompt", Json{{"prompt_length", 5}}, "mbart50"}};
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const auto base = golden_model(cases[i].model);
        const TensorBatch batch = batch_of(*base->network, golden_pairs(cases[i].model));
        const Attached attached = attach_method(find_method_by_id(cases[i].method, ""), *base->network, cases[i].settings, 3);
        const at::NoGradGuard guard;
        at::manual_seed(static_cast<std::uint64_t>(i));
        for (const at::Tensor& value : attached.values) value.detach().add_(at::randn(value.sizes()) * 0.1);
        const fs::path place = fs::path(folder) / (std::to_string(i) + "-" + cases[i].method);
        save_adapter(place, attached, *base, {});
        write_safetensors(place / "logits.safetensors",
                          {{"logits", logits_of(*base->network, base->network->inference(attached.attachment.get()), batch)}});
    }
}
