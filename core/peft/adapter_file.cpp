#include "core/peft/adapter_file.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {
namespace fs = std::filesystem;

void save_adapter(const fs::path& folder, const Attached& trained, const BaseModel& base, const Json& notes) {
    make_folder(folder);
    const Attached attached = stored_form(trained, *base.network);
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (std::size_t i = 0; i < attached.values.size(); ++i)
        if (attached.specs[i].role != TensorRole::state) tensors.emplace_back(attached.specs[i].name, attached.values[i]);
    write_safetensors(folder / "adapter_model.safetensors", tensors, {{"format", "pt"}});
    Json peft = attached.method->peft_config(base.network->layout(), attached.settings);
    if (!peft.is_null()) {
        peft["task_type"] = "SEQ_2_SEQ_LM";
        peft["base_model_name_or_path"] = base.folder.string();
        peft["inference_mode"] = true;
        write_json(folder / "adapter_config.json", peft);
    }
    Json own = {{"format", 1},
                {"method", attached.method->info().id},
                {"settings", attached.settings},
                {"base",
                 {{"name", base.folder.filename().string()},
                  {"model_type", base.network->architecture().model_type},
                  {"fingerprint", base.fingerprint}}},
                {"trainable", trained.trainable()},
                {"training", notes}};
    write_json(folder / "permille.json", own);  // last: a folder without it is not an adapter
}

namespace {

Json read_own(const fs::path& folder) {
    if (!fs::is_directory(folder))
        throw Error(ErrorKind::file, folder.string(), "is not an adapter folder", "give the folder that 'permille train --out' made");
    if (!fs::exists(folder / "permille.json"))
        throw Error(ErrorKind::file, folder.string(), "has no permille.json", "give the folder that 'permille train --out' made");
    Json own = read_json(folder / "permille.json");
    const std::string where = (folder / "permille.json").string();
    for (const char* key : {"format", "method", "settings", "base"})
        if (!own.is_object() || !own.contains(key)) throw Error(ErrorKind::file, where + "/" + key, "missing", "the adapter is damaged");
    if (!own["format"].is_number_integer() || own["format"].get<int>() != 1)
        throw Error(ErrorKind::unsupported, where + "/format", own["format"].dump() + " is newer than this program reads (1)",
                    "update Permille");
    for (const char* key : {"name", "fingerprint"})
        if (!own["base"].is_object() || !own["base"].contains(key) || !own["base"][key].is_string())
            throw Error(ErrorKind::file, where + "/base", std::string("has no text '") + key + "'", "the adapter is damaged");
    return own;
}

}  // namespace

Attached load_adapter(const fs::path& folder, const BaseModel& base) {
    const Json own = read_own(folder);
    const std::string where = (folder / "permille.json").string();
    const Method& method =
        find_method_by_id(own["method"].is_string() ? own["method"].get<std::string>() : own["method"].dump(), where + "/method");
    const std::string expected = own["base"]["fingerprint"].get<std::string>();
    if (expected != base.fingerprint)
        throw Error(ErrorKind::config, folder.string(),
                    "was trained on the base '" + own["base"]["name"].get<std::string>() + "' (" + expected.substr(0, 12) +
                        "), this one is '" + base.folder.filename().string() + "' (" + base.fingerprint.substr(0, 12) + ")",
                    "use the base that it was trained on");
    const Json settings = method.complete(own["settings"]);
    const fs::path file = folder / "adapter_model.safetensors";
    TensorMap stored = read_safetensors(file);
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : method.tensors(base.network->layout(), settings)) {
        if (spec.role == TensorRole::state) {
            values.push_back(at::zeros(spec.shape));
            continue;
        }
        const auto found = stored.find(spec.name);
        if (found == stored.end())
            throw Error(ErrorKind::tensor, file.string() + ", " + spec.name, "is missing", "the adapter is incomplete");
        if (found->second.sizes() != at::IntArrayRef(spec.shape))
            throw Error(ErrorKind::tensor, file.string() + ", " + spec.name, "has another shape than its settings ask for",
                        "the adapter is damaged");
        const bool real = found->second.is_floating_point();
        values.push_back(found->second.to(real ? at::kFloat : found->second.scalar_type(), false, true));
        stored.erase(found);
    }
    if (!stored.empty())
        throw Error(ErrorKind::tensor, file.string() + ", " + stored.begin()->first, "is not a tensor of " + method.info().id,
                    "the adapter is damaged");
    return attach_values(method, *base.network, settings, std::move(values));
}

Json describe_adapter(const fs::path& folder) {
    Json own = read_own(folder);
    const TensorMap stored = read_safetensors(folder / "adapter_model.safetensors");
    Json tensors = Json::array();
    std::int64_t count = 0;
    for (const auto& [name, tensor] : stored) {
        tensors.push_back({{"name", name}, {"shape", tensor.sizes().vec()}, {"dtype", at::toString(tensor.scalar_type())}});
        count += tensor.numel();
    }
    own["parameters"] = count;
    own["peft_layout"] = fs::exists(folder / "adapter_config.json");
    own["tensors"] = tensors;
    return own;
}

}  // namespace permille
