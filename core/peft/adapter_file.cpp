#include "core/peft/adapter_file.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/models/torch_file.h"
#include "core/peft/adapterhub.h"
#include "core/peft/moefication.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};

}  // namespace

std::int64_t adapter_file_size(const Method& method, const Layout& layout, const Json& settings) {
    std::vector<TensorShape> tensors;
    for (const TensorSpec& spec : method.tensors(layout, method.stored_settings(settings)))
        if (spec.role != TensorRole::state) tensors.push_back({spec.name, spec.shape, spec.type});
    return safetensors_size(tensors, kMetadata);
}

void save_adapter(const fs::path& folder, const Attached& trained, const BaseModel& base, const Json& notes) {
    make_folder(folder);
    const Attached attached = stored_form(trained, *base.network);
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (std::size_t i = 0; i < attached.values.size(); ++i)
        if (attached.specs[i].role != TensorRole::state) tensors.emplace_back(attached.specs[i].name, attached.values[i]);
    write_safetensors(folder / "adapter_model.safetensors", tensors, kMetadata);
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
    if (const std::int64_t pruned = attached.method->pruned(base.network->layout(), attached.settings); pruned > 0)
        own["sparsity"] = {
            {"pruned_weights", pruned},
            {"percent_base", 100.0 * static_cast<double>(pruned) / static_cast<double>(base.network->layout().parameter_count())}};
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

namespace {

// A folder that Hugging Face PEFT wrote.
bool is_peft_folder(const fs::path& folder) { return !fs::exists(folder / "permille.json") && fs::exists(folder / "adapter_config.json"); }

Json read_peft_config(const fs::path& folder) {
    Json config = read_json(folder / "adapter_config.json");
    if (!config.is_object() || !config.contains("peft_type") || !config["peft_type"].is_string())
        throw Error(ErrorKind::file, (folder / "adapter_config.json").string(), "has no text 'peft_type'", "the adapter is damaged");
    return config;
}

TensorMap read_tensors(const fs::path& folder) {
    const fs::path file = folder / "adapter_model.safetensors", older = folder / "adapter_model.bin";
    return !fs::exists(file) && fs::exists(older) && is_peft_folder(folder) ? read_torch_file(older) : read_safetensors(file);
}

// The values in the order of the method's tensors; all that is stored must be used.
std::vector<at::Tensor> take_values(TensorMap stored, const std::vector<TensorSpec>& specs, const std::string& where,
                                    const std::string& method) {
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : specs) {
        if (spec.role == TensorRole::state) {
            values.push_back(at::zeros(spec.shape));
            continue;
        }
        const auto found = stored.find(spec.name);
        if (found == stored.end()) throw Error(ErrorKind::tensor, where + ", " + spec.name, "is missing", "the adapter is incomplete");
        if (found->second.sizes() != at::IntArrayRef(spec.shape))
            throw Error(ErrorKind::tensor, where + ", " + spec.name, "has another shape than its settings ask for",
                        "the adapter is damaged");
        const bool real = found->second.is_floating_point();
        values.push_back(found->second.to(real ? at::kFloat : found->second.scalar_type(), false, true));
        stored.erase(found);
    }
    if (!stored.empty())
        throw Error(ErrorKind::tensor, where + ", " + stored.begin()->first, "is not a tensor of " + method, "the adapter is damaged");
    return values;
}

Attached load_peft(const fs::path& folder, const BaseModel& base, const EventSink& sink) {
    const Json config = read_peft_config(folder);
    const Layout& layout = base.network->layout();
    for (const auto& method : methods()) {
        const Json given = method->from_peft(layout, config);
        if (given.is_null()) continue;
        const Json settings = method->complete(given);
        TensorMap stored = read_tensors(folder);
        // PEFT keeps the frozen embeddings beside an adapter at them.
        for (auto tensor = stored.begin(); tensor != stored.end();)
            tensor = tensor->first.find(".base_layer.") != std::string::npos ? stored.erase(tensor) : std::next(tensor);
        // Of virtual tokens it keeps rows for both stacks unless told otherwise, and reads those of the first.
        const Json tokens = config.value("num_virtual_tokens", Json());
        if (const auto rows = stored.find("prompt_embeddings"); rows != stored.end() && rows->second.dim() == 2 &&
                                                                tokens.is_number_integer() && tokens.get<std::int64_t>() > 0 &&
                                                                rows->second.size(0) == 2 * tokens.get<std::int64_t>())
            rows->second = rows->second.narrow(0, 0, tokens.get<std::int64_t>());
        Attached attached =
            attach_values(*method, *base.network, settings,
                          take_values(std::move(stored), method->tensors(layout, settings), folder.string(), method->info().id));
        const Json base_name = config.value("base_model_name_or_path", Json());
        log_to(sink, folder.string() + ": an adapter of Hugging Face PEFT (" + config["peft_type"].get<std::string>() + ") for the base " +
                         (base_name.is_string() ? base_name.get<std::string>() : "it does not name") +
                         "; its shapes fit this one, whether it was trained on it is not known");
        return attached;
    }
    throw Error(ErrorKind::unsupported, (folder / "adapter_config.json/peft_type").string(),
                "'" + config["peft_type"].get<std::string>() + "' is not a method that can be read from PEFT");
}

}  // namespace

Attached load_adapter(const fs::path& folder, const BaseModel& base, const EventSink& sink) {
    if (is_adapterhub_folder(folder)) return load_adapterhub(folder, base, sink);
    if (is_peft_folder(folder)) return load_peft(folder, base, sink);
    const Json own = read_own(folder);
    const std::string where = (folder / "permille.json").string();
    const Method& method =
        find_stored_method(own["method"].is_string() ? own["method"].get<std::string>() : own["method"].dump(), where + "/method");
    const std::string expected = own["base"]["fingerprint"].get<std::string>();
    if (expected != base.fingerprint)
        throw Error(ErrorKind::config, folder.string(),
                    "was trained on the base '" + own["base"]["name"].get<std::string>() + "' (" + expected.substr(0, 12) +
                        "), this one is '" + base.folder.filename().string() + "' (" + base.fingerprint.substr(0, 12) + ")",
                    "use the base that it was trained on");
    const Json settings = method.complete(own["settings"]);
    const std::string file = (folder / "adapter_model.safetensors").string();
    return attach_values(method, *base.network, settings,
                         take_values(read_tensors(folder), method.tensors(base.network->layout(), settings), file, method.info().id));
}

Json describe_adapter(const fs::path& folder) {
    const bool hub = is_adapterhub_folder(folder);
    Json own = hub                      ? Json{{"adapterhub", read_json(folder / "adapter_config.json")}}
               : is_peft_folder(folder) ? Json{{"peft", read_peft_config(folder)}}
                                        : read_own(folder);
    const TensorMap stored = hub ? read_adapterhub_tensors(folder) : read_tensors(folder);
    Json tensors = Json::array();
    std::int64_t count = 0;
    for (const auto& [name, tensor] : stored) {
        tensors.push_back({{"name", name}, {"shape", tensor.sizes().vec()}, {"dtype", at::toString(tensor.scalar_type())}});
        count += tensor.numel();
    }
    own["parameters"] = count;
    own["peft_layout"] = !hub && fs::exists(folder / "adapter_config.json");
    own["tensors"] = tensors;
    return own;
}

}  // namespace permille
