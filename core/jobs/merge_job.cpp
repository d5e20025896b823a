#include "core/jobs/merge_job.h"

#include <ATen/ATen.h>

#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/jobs/model_job.h"
#include "core/models/base_model.h"
#include "core/peft/adapter_file.h"
#include "core/peft/merge.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

at::ScalarType stored_type(const std::string& dtype) {
    if (dtype == "float32") return at::kFloat;
    if (dtype == "bfloat16") return at::kBFloat16;
    if (dtype == "float16") return at::kHalf;
    throw Error(ErrorKind::config, "dtype", "'" + dtype + "' is not a type", "give float32, bfloat16 or float16");
}

// Tokenizer files, generation settings and the like: what lies beside the weights and says something about the model.
void copy_descriptions(const fs::path& from, const fs::path& to) {
    for (const auto& entry : fs::directory_iterator(from)) {
        const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
        const bool describes = kind == ".json" || kind == ".model" || kind == ".spm" || kind == ".txt";
        if (describes && entry.is_regular_file() && name != "config.json" && !name.ends_with(".index.json"))
            fs::copy_file(entry.path(), to / name, fs::copy_options::overwrite_existing);
    }
}

}  // namespace

Json MergeReport::to_json() const {
    return Json{{"folder", folder}, {"method", method}, {"dtype", dtype}, {"parameters", parameters}, {"changed_tensors", changed_tensors}};
}

MergeReport merge_adapter(const std::string& model, const fs::path& adapter, const fs::path& output, const std::string& dtype,
                          const EventSink& sink, const std::stop_token& stop) {
    const at::ScalarType stored = stored_type(dtype);
    fs::path place = output.lexically_normal();
    if (!place.has_filename()) place = place.parent_path();
    std::error_code ignored;
    if (place.empty() || fs::exists(fs::symlink_status(place, ignored)))
        throw Error(ErrorKind::file, output.string(), "exists already", "name a folder that does not exist yet");
    const auto base = load_base(find_model(model, sink, stop), at::kCPU, at::kFloat);
    const Seq2Seq& network = *base->network;
    const Attached attached = load_adapter(adapter, *base);
    const std::vector<at::Tensor> weights = merged_weights(attached, network);

    MergeReport report{place.string(), attached.method->info().id, dtype, network.layout().parameter_count(), 0};
    for (std::size_t i = 0; i < weights.size(); ++i) {
        if (!at::equal(weights[i], network.weights()[i])) ++report.changed_tensors;
        if (!at::isfinite(weights[i].to(stored)).all().item<bool>())
            throw Error(ErrorKind::unsupported, network.layout().parameters[i].name, "has values that " + dtype + " cannot hold",
                        "give --dtype float32 or bfloat16");
    }
    at::Tensor bias = network.logits_bias();
    if (!bias.defined() && network.architecture().logits_bias) bias = at::zeros({network.architecture().vocab_size});
    Json config = base->config;
    config.erase("torch_dtype");  // the older name of what save_model writes

    fs::path part = place;
    part += ".part";
    try {
        fs::remove_all(part);
        save_model(part, config, network.layout(), weights, stored, bias);
        copy_descriptions(base->folder, part);
        fs::rename(part, place);
    } catch (const fs::filesystem_error& error) {
        fs::remove_all(part, ignored);
        throw Error(ErrorKind::file, error.path1().string(), error.code().message(), "see that the disk has room and may be written to");
    } catch (...) {
        fs::remove_all(part, ignored);
        throw;
    }
    return report;
}

}  // namespace permille
