#include "core/models/base_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/models/checkpoint.h"
#include "core/models/tied_tables.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMostPositionScalars = std::int64_t{1} << 27;

}  // namespace

ModelDescription describe_model(const fs::path& folder) {
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored))
        throw Error(ErrorKind::file, folder.string(), "is not a model folder",
                    "give a folder with config.json and model.safetensors, or a bundled base's name");
    const fs::path file = folder / "config.json";
    if (!fs::exists(file, ignored))
        throw Error(ErrorKind::file, folder.string(), "has no config.json", "give a folder in Hugging Face layout");
    ModelDescription description;
    description.config = read_model_json(file);
    description.architecture = find_family(description.config, file.string()).describe(description.config, file.string());
    const Architecture& a = description.architecture;
    // The table of fixed positions is made from config.json alone, so no weights bear these numbers out.
    if ((a.positions == Positions::m2m || a.positions == Positions::marian) && a.max_positions > kMostPositionScalars / a.d_model)
        throw Error(
            ErrorKind::config, file.string() + "/max_position_embeddings",
            std::to_string(a.max_positions) + " is far above what a model of width " + std::to_string(a.d_model) + " was ever trained for",
            "correct the value or fetch config.json again");
    description.layout = make_layout(a);
    return description;
}

namespace {

// The state of the files that a description is made from.
std::string state_of(const fs::path& folder, const Checkpoint& checkpoint) {
    std::string text;
    std::vector<fs::path> files = checkpoint.files;
    files.push_back(folder / "config.json");
    for (const fs::path& file : files)
        text += file.string() + " " + std::to_string(fs::file_size(file)) + " " +
                std::to_string(fs::last_write_time(file).time_since_epoch().count()) + "\n";
    return text;
}

}  // namespace

ModelDescription describe_stored(const fs::path& folder) {
    struct Seen {
        std::mutex mutex;
        std::map<std::string, ModelDescription> descriptions;
    };
    static Seen seen;  // copies of a large table take a second to compare, and a form asks at every letter
    ModelDescription description = describe_model(folder);
    try {
        const Checkpoint checkpoint = find_checkpoint(folder);
        const std::string state = state_of(folder, checkpoint);
        const std::lock_guard lock(seen.mutex);
        if (const auto found = seen.descriptions.find(state); found != seen.descriptions.end()) return found->second;
        TensorMap stored = read_checkpoint(checkpoint);
        ModelDescription settled = description;
        settled.note = settle_tables(settled.architecture, stored, folder.string());
        if (!settled.note.empty()) settled.layout = make_layout(settled.architecture);
        return seen.descriptions.emplace(state, std::move(settled)).first->second;
    } catch (const Error&) {
    } catch (const fs::filesystem_error&) {
    }
    return description;
}

std::vector<at::Tensor> load_weights(const fs::path& folder, const Family& family, ModelDescription& description, at::Tensor* logits_bias) {
    TensorMap stored = read_checkpoint(find_checkpoint(folder));
    description.note = settle_tables(description.architecture, stored, folder.string());
    if (!description.note.empty()) description.layout = make_layout(description.architecture);
    const Layout& layout = description.layout;
    std::vector<at::Tensor> weights(layout.parameters.size());
    const auto take = [&](const std::string& name) {
        const auto found = stored.find(name);
        if (found == stored.end()) return at::Tensor();
        at::Tensor tensor = found->second;
        stored.erase(found);
        return tensor;
    };
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const ParameterSpec& spec = layout.parameters[i];
        at::Tensor tensor = take(spec.name);
        for (const auto& alias : spec.aliases) {
            const at::Tensor other = take(alias);
            if (!tensor.defined()) tensor = other;
        }
        if (!tensor.defined())
            throw Error(ErrorKind::tensor, folder.string() + ", " + spec.name, "is missing in the weights", "the checkpoint is incomplete");
        if (tensor.sizes() != at::IntArrayRef(spec.shape)) {
            std::string expected, found;
            for (const auto size : spec.shape) expected += (expected.empty() ? "" : " x ") + std::to_string(size);
            for (const auto size : tensor.sizes()) found += (found.empty() ? "" : " x ") + std::to_string(size);
            throw Error(ErrorKind::tensor, folder.string() + ", " + spec.name, "has shape " + found + ", config.json asks for " + expected,
                        "config.json and weights do not belong together");
        }
        if (!tensor.is_floating_point())
            throw Error(ErrorKind::tensor, folder.string() + ", " + spec.name,
                        std::string("is of type ") + at::toString(tensor.scalar_type()), "weights must be float32, float16 or bfloat16");
        weights[i] = tensor;
    }
    at::Tensor bias = take("final_logits_bias");
    if (logits_bias && bias.defined()) {
        if (!bias.is_floating_point())
            throw Error(ErrorKind::tensor, folder.string() + ", final_logits_bias",
                        std::string("is of type ") + at::toString(bias.scalar_type()), "weights must be float32, float16 or bfloat16");
        *logits_bias = bias.reshape({-1}).to(at::kFloat);
    }
    for (const auto& name : family.ignored) take(name);
    if (!stored.empty()) {
        std::vector<std::string> names;
        for (const auto& [name, tensor] : stored) names.push_back(name);
        throw Error(ErrorKind::tensor, folder.string(),
                    "holds tensors that a " + family.model_type + " model does not have: " + list_some(names, 5),
                    "config.json and weights do not belong together");
    }
    return weights;
}

namespace {

std::string fingerprint_of(const fs::path& folder, const std::stop_token& stop) {
    std::string text;
    for (const auto& file : find_checkpoint(folder).files) text += file.filename().string() + " " + sha256_of_file(file, stop) + "\n";
    return sha256(text);
}

}  // namespace

std::shared_ptr<BaseModel> make_base(const ModelDescription& description, std::vector<at::Tensor> weights, at::Tensor logits_bias,
                                     at::Device device, at::ScalarType compute, const std::stop_token& stop) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
        throw_if_stopped(stop);
        const ParameterRole role = description.layout.parameters[i].role;
        const bool matrix = role == ParameterRole::matrix || role == ParameterRole::embedding;
        // Already as wanted: the mapped file itself. Otherwise a copy, and the file's pages are given back with the tensor.
        weights[i] = weights[i].to(device, matrix ? compute : at::kFloat).contiguous();
    }
    if (logits_bias.defined()) logits_bias = logits_bias.to(device);
    auto model = std::make_shared<BaseModel>();
    model->config = description.config;
    model->note = description.note;
    model->network = std::make_unique<const Seq2Seq>(description.architecture, std::move(weights),
                                                     description.architecture.logits_bias ? logits_bias : at::Tensor(), compute);
    return model;
}

std::shared_ptr<const BaseModel> load_base(const fs::path& folder, at::Device device, at::ScalarType compute, const std::stop_token& stop) {
    struct Cache {
        std::mutex mutex;
        std::map<std::string, std::weak_ptr<const BaseModel>> models;
    };
    static Cache cache;  // the one shared place: a base is opened once in a process and lives while somebody holds it
    const std::lock_guard lock(cache.mutex);
    std::error_code unresolved;
    const fs::path canonical = fs::weakly_canonical(folder, unresolved);
    const std::string key = (unresolved ? folder : canonical).string() + "|" + device.str() + "|" + at::toString(compute);
    if (auto model = cache.models[key].lock()) return model;

    ModelDescription description = describe_model(folder);
    const Family& family = find_family(description.config, folder.string());
    at::Tensor logits_bias;
    std::vector<at::Tensor> weights = load_weights(folder, family, description, &logits_bias);
    try {
        auto model = make_base(description, std::move(weights), logits_bias, device, compute, stop);
        model->folder = folder;
        model->fingerprint = fingerprint_of(folder, stop);
        cache.models[key] = model;
        return model;
    } catch (const c10::Error& error) {
        const bool full = dynamic_cast<const c10::OutOfMemoryError*>(&error) ||
                          std::string_view(error.what_without_backtrace()).find("can't allocate memory") != std::string_view::npos;
        if (!full) throw Error(ErrorKind::internal, folder.string(), error.what_without_backtrace());
        throw Error(ErrorKind::device_memory, folder.string(), "does not fit into the memory of " + device.str(),
                    "use --dtype bfloat16, another device or a smaller model; see 'permille info MODEL --memory'");
    }
}

void save_model(const fs::path& folder, const Json& config, const Layout& layout, const std::vector<at::Tensor>& weights,
                at::ScalarType stored, const at::Tensor& logits_bias, const std::stop_token& stop) {
    make_folder(folder);
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        throw_if_stopped(stop);
        tensors.emplace_back(layout.parameters[i].name, weights[i].detach().to(at::kCPU, stored).contiguous());
    }
    // Where config.json cannot say that the stacks have tables of their own, transformers keeps one for both besides, which nothing reads.
    const int decoder = layout.parameter("model.decoder.embed_tokens.weight");
    if (decoder >= 0 && config.value("share_encoder_decoder_embeddings", true))
        tensors.emplace_back("model.shared.weight", tensors[static_cast<std::size_t>(decoder)].second);
    if (logits_bias.defined())
        tensors.emplace_back("final_logits_bias", logits_bias.detach().to(at::kCPU, stored).view({1, -1}).contiguous());
    write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}}, stop);
    Json written = config;
    written["dtype"] = stored == at::kHalf ? "float16" : stored == at::kBFloat16 ? "bfloat16" : "float32";
    write_json(folder / "config.json", written);
    Json generation = {{"max_length", 200}, {"num_beams", 5}, {"early_stopping", true}};
    for (const char* name : {"bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id",
                             "forced_eos_token_id", "bad_words_ids", "max_length", "num_beams", "early_stopping"})
        if (config.contains(name) && !config[name].is_null()) generation[name] = config[name];
    write_json(folder / "generation_config.json", generation);
}

}  // namespace permille
