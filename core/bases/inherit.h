// `permille inherit`: a model that starts from another one, with more, fewer or repeated layers, more pieces and more languages; the
// initialisation half of knowledge inheritance (CPM-2, Zhang et al. 2021, arXiv 2106.10715; the other half is distillation,
// TrainingSettings
// ::teacher). The details of initialisation are ours. Torch-free face.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "core/base/events.h"
#include "core/base/json.h"

namespace permille {

struct InheritRequest {
    std::string base;
    // Which of the base's layers each layer starts as: "0,2-4", or how many, "6", taken evenly, the first and the last among them; "": all.
    std::string encoder_layers, decoder_layers;
    std::string like;  // a model with as many layers as the new one gets; its widths must be the base's; "": none
    std::vector<std::pair<std::string, std::string>> languages;  // code, and the language that it starts as or ""
    std::vector<std::filesystem::path> texts;                    // one sentence a line
    std::int64_t pieces = 2000;    // of a vocabulary trained on the texts; those of them that the base lacks are added
    std::int64_t seed = 1;         // of rows that nothing is known about
    std::filesystem::path output;  // must not exist
};

struct InheritReport {
    std::string folder;
    std::vector<std::int64_t> encoder_layers, decoder_layers;  // of the base
    std::int64_t parameters = 0, vocab_size = 0;
    std::int64_t added_pieces = 0;
    std::int64_t random_rows = 0;                                       // of the added ones
    std::vector<std::pair<std::string, std::int64_t>> added_languages;  // code, id
    bool stopped = false;                                               // by request; nothing was written
    Json to_json() const;
};

// Layer i of `to` starts as layer round(i (from - 1) / (to - 1)) of `from`.
std::vector<std::int64_t> spread_layers(std::int64_t from, std::int64_t to);
// As InheritRequest says; throws Error(config) naming `where`.
std::vector<std::int64_t> parse_layers(const std::string& text, std::int64_t count, const std::string& where);

// Writes a folder in Hugging Face layout, whole or not at all: weights in the base's type, config.json, generation_config.json and the
// tokenizer's files. Throws Error(config) when widths differ, for layers that the base lacks and languages that it has, Error(unsupported)
// when its vocabulary cannot be extended, Error(file).
InheritReport inherit(const InheritRequest& request, const EventSink& sink = {}, const std::stop_token& stop = {});

}  // namespace permille
