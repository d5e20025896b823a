// `permille moefy`: the feed-forward blocks of a model as mixtures of experts (MoEfication, core/peft/moefication.h), and what that costs
// and saves beside the dense model. Torch-free face.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"

namespace permille {

struct MoefySettings {
    std::int64_t experts = 32;
    std::string split = "clusters", router = "mlp";
    std::string stacks = "both", layers = "all";
    std::int64_t tokens = 20000;        // of each stack that the experts are found and the router is trained on
    std::int64_t epochs = 30;           // of the router
    std::int64_t test_sentences = 200;  // the first of the test text
    std::int64_t rounds = 3;            // in which dense and converted model translate it in turns
    std::int64_t seed = 1;
    static const Fields<MoefySettings>& fields();
};

struct MoefyRequest {
    std::string base;
    std::optional<std::filesystem::path> adapter;  // merged first
    std::filesystem::path texts, test_texts;       // TSV files (source, target) or corpus folders
    std::string source_language, target_language;
    std::vector<std::int64_t> active;  // experts that work for each token; all are measured, the first is kept
    MoefySettings settings;
    Json decoding = Json::object();  // of DecodingSettings, over what the model's own file says
    DeviceSettings device;
    std::filesystem::path output;  // must not exist
};

struct MoefyMeasure {
    std::string model;  // dense, experts
    std::int64_t active = 0;
    double ffn_flops = 1;  // of all feed-forward blocks, router counted, beside the dense model's
    double captured = 1;   // share of the activation of held-out tokens that the chosen experts hold, mean over the blocks
    double bleu = 0;
    double seconds_per_sentence = 0, cpu_seconds_per_sentence = 0;  // medians of the rounds; the second counts all threads
    double speed = 1;                                               // beside the dense model
    Json to_json() const;
};

struct MoefyReport {
    std::string folder, device, signature;
    Json settings;
    std::int64_t blocks = 0, tokens = 0, sentences = 0;  // tokens: that were there
    std::int64_t router_parameters = 0;
    std::vector<MoefyMeasure> rows;  // the dense model first
    bool stopped = false;            // by request; a folder that was written already stays
    Json to_json() const;
};

// Writes `output`, an adapter folder for the base, whole or not at all, then measures. Throws Error(unsupported) for a feed-forward block
// without ReLU and for an adapter that cannot be merged, Error(config) when the numbers do not go together, Error(file).
MoefyReport moefy(const MoefyRequest& request, const EventSink& sink = {}, const std::stop_token& stop = {});

}  // namespace permille
