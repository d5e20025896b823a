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
    refused(ErrorKind::file, {"permille.json"}, [&] { fs::remove(bad / "permille.json"); });
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

// For tests/golden/make/check_peft_export.py, which opens the folders with PEFT.
TEST_CASE("adapters and their logits for PEFT to open", "[.export]") {
    const char* folder = std::getenv("PERMILLE_EXPORT");
    if (!folder) return;  // a filter that only leaves tests out runs hidden ones too
    const auto base = golden_model();
    const TensorBatch batch = batch_of(*base->network, golden_pairs());
    const std::vector<std::pair<const char*, Json>> cases = {
        {"lora", Json{{"rank", 4}}},
        {"lora", Json{{"rank", 4}, {"alpha", 16}, {"targets", "all"}}},
        {"lora", Json{{"rank", 2}, {"alpha", 8}, {"targets", "attention"}, {"stacks", "decoder"}, {"rank_stabilised", true}}},
        {"layernorm", Json::object()},
        {"layernorm", Json{{"stacks", "encoder"}}}};
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const Attached attached = attach_method(find_method_by_id(cases[i].first, ""), *base->network, cases[i].second, 3);
        const at::NoGradGuard guard;
        at::manual_seed(static_cast<std::uint64_t>(i));
        for (const at::Tensor& value : attached.values) value.detach().add_(at::randn(value.sizes()) * 0.1);
        const fs::path place = fs::path(folder) / (std::to_string(i) + "-" + cases[i].first);
        save_adapter(place, attached, *base, {});
        write_safetensors(place / "logits.safetensors",
                          {{"logits", logits_of(*base->network, base->network->inference(attached.attachment.get()), batch)}});
    }
}
