#include "core/peft/adapterhub.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/models/torch_file.h"

namespace permille {

// Of the library that the layout was checked with. A file without a version counts as an older one, whose "gelu" meant the
// approximation by tanh.
constexpr const char* kVersion = "adapters.1.3.0";

double reduction_factor(std::int64_t width, std::int64_t middle) {
    const bool divides = width % middle == 0;
    return static_cast<double>(width) / (static_cast<double>(middle) + (divides ? 0.0 : 0.5));
}

namespace {

// What its configuration has, with its own defaults.
Json full_config(const Json& chosen) {
    Json config = {{"adapter_residual_before_ln", false},
                   {"cross_adapter", false},
                   {"dropout", 0.0},
                   {"factorized_phm_W", true},
                   {"factorized_phm_rule", false},
                   {"hypercomplex_nonlinearity", "glorot-uniform"},
                   {"init_weights", "bert"},
                   {"inv_adapter", nullptr},
                   {"inv_adapter_reduction_factor", nullptr},
                   {"is_parallel", false},
                   {"learn_phm", true},
                   {"ln_after", false},
                   {"ln_before", false},
                   {"mh_adapter", false},
                   {"original_ln_after", true},
                   {"original_ln_before", false},
                   {"output_adapter", true},
                   {"phm_bias", true},
                   {"phm_c_init", "normal"},
                   {"phm_dim", 4},
                   {"phm_init_range", 0.0001},
                   {"phm_layer", false},
                   {"phm_rank", 1},
                   {"residual_before_ln", true},
                   {"scaling", 1.0},
                   {"shared_W_phm", false},
                   {"shared_phm_rule", true},
                   {"stochastic_depth", 0.0},
                   {"use_gating", false}};
    config.update(chosen);
    return config;
}

// Layers without a tensor, counted through encoder and decoder.
Json left_out(const Architecture& a, const std::vector<TensorSpec>& specs) {
    Json list = Json::array();
    for (std::int64_t i = 0; i < a.encoder_layers + a.decoder_layers; ++i) {
        const bool decoder = i >= a.encoder_layers;
        const std::string stem =
            (decoder ? "decoder" : "encoder") + std::string(".layers.") + std::to_string(decoder ? i - a.encoder_layers : i) + ".";
        bool found = false;
        for (const TensorSpec& spec : specs) found = found || spec.name.rfind(stem, 0) == 0;
        if (!found) list.push_back(i);
    }
    return list;
}

std::string replaced(std::string text, const std::string& part, const std::string& other) {
    const auto at = text.find(part);
    return at == std::string::npos ? text : text.replace(at, part.size(), other);
}

// The names that AdapterHub keeps one of our tensors under: two for a norm, which it holds in two places.
std::vector<std::string> names_there(const std::string& ours, const std::string& name) {
    const std::string own = ".adapters." + name + ".";
    const auto moved = [&](const std::string& part, const std::string& other) {
        return "model." + replaced(ours, part, "output_adapters" + own + other);
    };
    if (ours.find(".adapter.layer_norm.") != std::string::npos)
        return {moved("adapter.layer_norm.", "adapter_down.0."), moved("adapter.layer_norm.", "adapter_norm_before.")};
    if (ours.find(".adapter.down_proj.") != std::string::npos) return {moved("adapter.down_proj.", "adapter_down.1.")};
    if (ours.find(".adapter.up_proj.") != std::string::npos) return {moved("adapter.up_proj.", "adapter_up.")};
    std::string there = replaced(ours, "_adapters.", "_adapters" + own);  // output_adapters, attention_adapters, ...
    if (ours.find("invertible_adapters.") != std::string::npos)
        there = replaced(ours, "invertible_adapters.", "invertible_adapters." + name + ".");
    return {"model." + replaced(there, "shared.", "shared_parameters." + name + ".")};
}

}  // namespace

void save_adapterhub(const std::filesystem::path& folder, const Attached& attached, const BaseModel& base, const std::string& name) {
    const Architecture& architecture = base.network->architecture();
    const MethodInfo& info = attached.method->info();
    if (architecture.model_type != "mbart")
        throw Error(ErrorKind::unsupported, base.folder.string(), "AdapterHub has no models of type " + architecture.model_type,
                    "of the families here it has mBART");
    const Json chosen = attached.method->adapterhub_config(base.network->layout(), attached.settings);
    if (chosen.is_null())
        throw Error(ErrorKind::unsupported, info.id, "AdapterHub does not have it with these settings",
                    "keep the folder that 'permille train' wrote");
    Json config = full_config(chosen);
    config["leave_out"] = left_out(architecture, attached.specs);
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (std::size_t i = 0; i < attached.values.size(); ++i)
        for (std::string& there : names_there(attached.specs[i].name, name))
            tensors.emplace_back(std::move(there), attached.values[i].detach());
    make_folder(folder);
    write_safetensors(folder / "adapter.safetensors", tensors, {{"format", "pt"}});
    write_json(folder / "adapter_config.json", {{"config", config},
                                                {"hidden_size", architecture.d_model},
                                                {"model_class", "MBartForConditionalGeneration"},
                                                {"model_name", base.folder.filename().string()},
                                                {"model_type", architecture.model_type},
                                                {"name", name},
                                                {"version", kVersion}});
}

bool is_adapterhub_folder(const std::filesystem::path& folder) {
    if (std::filesystem::exists(folder / "permille.json") || !std::filesystem::exists(folder / "adapter_config.json")) return false;
    const Json config = read_json(folder / "adapter_config.json");
    return config.is_object() && config.contains("config") && !config.contains("peft_type");
}

TensorMap read_adapterhub_tensors(const std::filesystem::path& folder) {
    const std::filesystem::path safe = folder / "adapter.safetensors";
    return std::filesystem::exists(safe) ? read_safetensors(safe) : read_torch_file(folder / "pytorch_adapter.bin");
}

namespace {

std::string config_place(const std::filesystem::path& folder) { return (folder / "adapter_config.json").string() + "/config"; }

// The settings that a method would need to be what the configuration says, by the names that its knobs have; null where it cannot have
// them.
Json settings_of(const Method& method, const Json& config, std::int64_t middle, const std::string& stacks) {
    const bool attention = config.at("mh_adapter").get<bool>(), ffn = config.at("output_adapter").get<bool>();
    const Json& scaling = config.at("scaling");
    const std::int64_t division = std::max<std::int64_t>(1, config.at("phm_dim").get<std::int64_t>());
    const std::string activation = config.at("non_linearity").get<std::string>();
    const Json meanings = {{"bottleneck_dim", middle},
                           {"middle_blocks", std::max<std::int64_t>(1, middle / division)},
                           {"division", division},
                           {"rank", config.at("phm_rank")},
                           {"variant", attention ? "compacter" : "compacter++"},
                           {"cross_attention", config.at("cross_adapter")},
                           {"activation", activation == "silu" ? "swish" : activation},
                           {"places", attention && ffn ? "both"
                                      : attention      ? "attention"
                                                       : "ffn"},
                           {"input", "stream"},
                           {"learned_scale", scaling == "learned"},
                           {"scale", scaling.is_number() ? scaling : Json(1.0)},
                           {"stacks", stacks}};
    Json settings = Json::object();
    for (const Field& knob : method.info().knobs)
        if (meanings.contains(knob.name)) settings[knob.name] = meanings.at(knob.name);
    try {
        return method.complete(settings);
    } catch (const Error&) {  // a value that the method's knob does not have: it is another method's
        return nullptr;
    }
}

// Whether both configurations compute the same; how tensors start, and where there are none, is not asked.
bool same_network(Json given, Json made) {
    const bool factorised = given.at("phm_layer").get<bool>();
    for (Json* config : {&given, &made}) {
        for (const char* start :
             {"init_weights", "init_weights_seed", "phm_c_init", "phm_init_range", "hypercomplex_nonlinearity", "learn_phm", "leave_out",
              "reduction_factor", "adapter_residual_before_ln", "architecture", "dropout", "stochastic_depth"})
            config->erase(start);
        if (config->at("inv_adapter").is_null()) config->erase("inv_adapter_reduction_factor");
        if (config->at("non_linearity") == "silu") (*config)["non_linearity"] = "swish";
        if (factorised) continue;
        for (const char* of_products :
             {"phm_dim", "phm_rank", "phm_bias", "factorized_phm_W", "factorized_phm_rule", "shared_W_phm", "shared_phm_rule"})
            config->erase(of_products);
    }
    return given == made;
}

// both, encoder or decoder, from the numbers of the layers without adapters.
std::string stacks_of(const Json& left_out, const Architecture& a, const std::string& where) {
    std::set<std::int64_t> out;
    for (const Json& layer : left_out) out.insert(layer.get<std::int64_t>());
    std::set<std::int64_t> encoder, decoder;
    for (std::int64_t i = 0; i < a.encoder_layers; ++i) encoder.insert(i);
    for (std::int64_t i = 0; i < a.decoder_layers; ++i) decoder.insert(a.encoder_layers + i);
    if (out.empty()) return "both";
    if (out == decoder) return "encoder";
    if (out == encoder) return "decoder";
    throw Error(ErrorKind::unsupported, where + "/leave_out", "leaves out some layers of a stack",
                "only a whole stack can be left out here");
}

}  // namespace

namespace {

// The values in the order of the method's tensors; all that is stored must be used.
std::vector<at::Tensor> take_values(TensorMap stored, const std::vector<TensorSpec>& specs, const std::string& name,
                                    const std::string& where) {
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : specs) {
        at::Tensor value;
        for (const std::string& there : names_there(spec.name, name)) {
            const auto found = stored.find(there);
            if (found == stored.end()) throw Error(ErrorKind::tensor, where + ", " + there, "is missing", "the adapter is incomplete");
            if (found->second.sizes() != at::IntArrayRef(spec.shape))
                throw Error(ErrorKind::tensor, where + ", " + there, "has another shape than base and configuration ask for",
                            "use the base that it was trained on");
            value = found->second.to(at::kFloat, false, /*copy=*/true);
            stored.erase(found);
        }
        values.push_back(std::move(value));
    }
    if (!stored.empty())
        throw Error(ErrorKind::tensor, where + ", " + stored.begin()->first, "is not a tensor of this adapter", "the adapter is damaged");
    return values;
}

}  // namespace

Attached load_adapterhub(const std::filesystem::path& folder, const BaseModel& base, const EventSink& sink) {
    const Layout& layout = base.network->layout();
    const Architecture& architecture = base.network->architecture();
    const std::string where = config_place(folder);
    const Json file = read_json(folder / "adapter_config.json");
    try {
        if (file.at("model_type") != architecture.model_type)
            throw Error(ErrorKind::config, folder.string(), "is for models of type " + file["model_type"].dump(),
                        "use the base that it was trained on");
        const Json config = full_config(file.at("config"));
        const std::string name = file.at("name").get<std::string>();
        if (!file.contains("version") && config.value("non_linearity", Json()) == "gelu")
            throw Error(ErrorKind::unsupported, where + "/non_linearity", "is the approximate gelu of a file without a version",
                        "load and save it with a newer AdapterHub");
        if (!config.contains("reduction_factor") || !config["reduction_factor"].is_number() || !config["non_linearity"].is_string())
            throw Error(ErrorKind::unsupported, where, "is not that of an adapter of one width",
                        "bottleneck adapters, Compacter and language adapters can be read");
        const double middle = std::floor(static_cast<double>(architecture.d_model) / config["reduction_factor"].get<double>());
        const auto width = static_cast<std::int64_t>(std::isfinite(middle) ? std::clamp(middle, 1.0, 0x1p20) : 1.0);
        const std::string stacks = stacks_of(config.value("leave_out", Json::array()), architecture, where);
        for (const auto& method : methods()) {
            const Json settings = settings_of(*method, config, width, stacks);
            const Json made = settings.is_null() ? Json() : method->adapterhub_config(layout, settings);
            if (made.is_null() || !same_network(config, full_config(made))) continue;
            log_to(sink, folder.string() + ": an adapter of AdapterHub, read as " + method->info().id +
                             "; its shapes fit this base, whether it was trained on it is not known");
            return attach_values(*method, *base.network, settings,
                                 take_values(read_adapterhub_tensors(folder), method->tensors(layout, settings), name, folder.string()));
        }
        throw Error(ErrorKind::unsupported, where, "describes a network that no method here computes",
                    "bottleneck adapters, Compacter and language adapters with AdapterHub's own settings can be read");
    } catch (const Json::exception& error) {
        throw Error(ErrorKind::file, where, std::string("is damaged: ") + error.what(), "write the adapter again");
    }
}

}  // namespace permille
