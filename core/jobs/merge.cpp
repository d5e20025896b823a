#include "core/jobs/merge.h"

#include <ATen/ATen.h>

#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/base/whole_folder.h"
#include "core/bases/find.h"
#include "core/models/base_model.h"
#include "core/peft/adapter_file.h"
#include "core/peft/dead_neurons.h"
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
    std::error_code code;
    for (const fs::path& file : entries_in(from, code)) {
        const std::string name = file.filename().string(), kind = file.extension().string();
        const bool describes = kind == ".json" || kind == ".model" || kind == ".spm" || kind == ".txt";
        if (describes && fs::is_regular_file(file) && name != "config.json" && !name.ends_with(".index.json"))
            fs::copy_file(file, to / name, fs::copy_options::overwrite_existing);
    }
    if (code) throw file_error(from, "read", code.value());
}

}  // namespace

Json MergeReport::to_json() const {
    return Json{{"folder", folder},
                {"method", method},
                {"dtype", dtype},
                {"parameters", parameters},
                {"changed_tensors", changed_tensors},
                {"removed_neurons", {{"encoder", encoder_neurons}, {"decoder", decoder_neurons}}}};
}

MergeReport merge_adapter(const std::string& model, const fs::path& adapter, const fs::path& output, const std::string& dtype,
                          const EventSink& sink, const std::stop_token& stop) {
    const at::ScalarType stored = stored_type(dtype);
    const fs::path place = free_place(output);
    const auto base = load_base(find_model(model, sink, stop), at::kCPU, at::kFloat, stop);
    const Seq2Seq& network = *base->network;
    const Attached attached = load_adapter(adapter, *base);
    Merged merged = merge(attached, network);
    const RemovedNeurons removed = remove_dead_neurons(merged);
    const auto& [architecture, layout, weights] = merged;

    MergeReport report{place.string(), attached.method->info().id, dtype, layout.parameter_count(), 0, removed.encoder, removed.decoder};
    for (std::size_t i = 0; i < weights.size(); ++i) {
        throw_if_stopped(stop);
        const std::string& name = layout.parameters[i].name;
        const int before = network.layout().parameter(name);
        if (before < 0 || !at::equal(weights[i], network.weights()[static_cast<std::size_t>(before)])) ++report.changed_tensors;
        if (!at::isfinite(weights[i].to(stored)).all().item<bool>())
            throw Error(ErrorKind::unsupported, name, "has values that " + dtype + " cannot hold", "give --dtype float32 or bfloat16");
    }
    at::Tensor bias = network.logits_bias();
    if (!bias.defined() && network.architecture().logits_bias) bias = at::zeros({network.architecture().vocab_size});
    Json config = base->config;
    config.erase("torch_dtype");  // the older name of what save_model writes
    // Which tables are one, and how wide the blocks are, as it is now.
    const Json fresh = find_family(config, base->folder.string()).config(architecture);
    for (const char* name : {"tie_word_embeddings", "share_encoder_decoder_embeddings", "vocab_size", "decoder_vocab_size",
                             "encoder_ffn_dim", "decoder_ffn_dim"})
        if (fresh.contains(name) && (config.contains(name) || layout.parameters.size() != network.layout().parameters.size()))
            config[name] = fresh[name];
    if (layout.parameters.size() != network.layout().parameters.size())
        log_to(sink, "the embedding tables of encoder, decoder and projection are no longer one: " + place.string() +
                         " opens here and in transformers 5 or newer");

    make_whole_folder(place, [&](const fs::path& part) {
        save_model(part, config, layout, weights, stored, bias, stop);
        copy_descriptions(base->folder, part);
    });
    return report;
}

}  // namespace permille
