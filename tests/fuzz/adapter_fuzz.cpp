// The input takes the place of one file of an adapter folder: 'P' and permille.json, or 'T' and adapter_model.safetensors. The other one is
// good.
#include "core/peft/adapter_file.h"
#include "core/peft/attach.h"
#include "tests/fuzz/target.h"

using namespace permille;

namespace {

const BaseModel& base() {
    static const auto model = load_base(PERMILLE_TESTS_DIR "/golden/m2m100", at::kCPU, at::kFloat);
    return *model;
}

std::filesystem::path good_adapter(const std::string& id) {
    const auto folder = fuzz::folder() / id;
    const Method& method = find_method_by_id(id, "method");
    save_adapter(folder, attach_method(method, *base().network, method.complete(Json::object()), 1), base(), {{"note", "as trained"}});
    return folder;
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
    std::vector<std::string> list;
    for (const auto& method : methods()) list.push_back("P" + get(good_adapter(method->info().id) / "permille.json"));
    list.push_back("T" + get(good_adapter("lora") / "adapter_model.safetensors"));
    return list;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto folder = good_adapter("lora");
    static const std::string json = fuzz::get(folder / "permille.json"), tensors = fuzz::get(folder / "adapter_model.safetensors");
    if (size == 0) return 0;
    const std::string_view given(reinterpret_cast<const char*>(data) + 1, size - 1);
    fuzz::put(folder / "permille.json", data[0] == 'T' ? std::string_view(json) : given);
    fuzz::put(folder / "adapter_model.safetensors", data[0] == 'T' ? given : std::string_view(tensors));
    fuzz::tolerate_errors([&] { load_adapter(folder, base()); });
    fuzz::tolerate_errors([&] { describe_adapter(folder); });
    return 0;
}
