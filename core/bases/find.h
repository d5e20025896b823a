// From the name of a model, as people write it, to its folder and what config.json says of it. Torch-free face.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/json.h"

namespace permille {

struct ModelInfo {
    std::string model_type;
    std::int64_t d_model = 0, encoder_layers = 0, decoder_layers = 0, encoder_heads = 0, decoder_heads = 0, encoder_ffn = 0,
                 decoder_ffn = 0;
    std::int64_t vocab_size = 0, parameters = 0;
    std::vector<std::string> languages;  // empty when the folder has no tokenizer files
    std::filesystem::path folder;
    std::string note;      // what one should know about the weights; usually empty
    Json to_json() const;  // as the page of the command line says
};

struct BundledBase {
    std::string name;
    std::filesystem::path folder;
};

// The folder of MODEL: a path, the name of a bundled base, or OWNER/NAME[@REVISION] on the hub, from the Hugging Face cache when it is
// whole there and downloaded otherwise (core/hub/hub.h). Throws Error(file) that lists where it looked, Error(network), and Stopped
// (core/decode/beam.h) when stopped.
std::filesystem::path find_model(const std::string& model, const EventSink& sink = {}, const std::stop_token& stop = {});
// The same for who reads config.json only: when the hub cannot be asked, what the cache has of the model will do.
std::filesystem::path find_description(const std::string& model, const EventSink& sink = {}, const std::stop_token& stop = {});
// Whether find_model() would ask the hub for it.
bool must_download(const std::string& model);
std::vector<BundledBase> bundled_bases();
// Works on a folder that holds only config.json.
ModelInfo model_info(const std::string& model, const EventSink& sink = {}, const std::stop_token& stop = {});

}  // namespace permille
