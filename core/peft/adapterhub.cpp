#include "core/peft/adapterhub.h"

#include <ATen/core/Tensor.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/models/safetensors.h"

namespace permille {

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
                                                {"name", name}});
}

}  // namespace permille
