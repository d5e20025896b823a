// A base model on disk and in memory: opened once per (folder, device, type) in a process, shared by everything that uses it, never
// changed.
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>

#include "core/base/json.h"
#include "core/models/family.h"
#include "core/models/safetensors.h"
#include "core/models/seq2seq.h"

namespace permille {

struct BaseModel {
    std::filesystem::path folder;
    Json config;
    std::string fingerprint;  // sha256 over the names, sizes and contents of its weights
    std::string note;         // what its user should know about the weights; usually empty
    std::unique_ptr<const Seq2Seq> network;
};

// The description alone, from FOLDER/config.json.
struct ModelDescription {
    Json config;
    Architecture architecture;
    Layout layout;
    std::string note;  // see BaseModel
};
ModelDescription describe_model(const std::filesystem::path& folder);
// What load_base() would make of the folder: where the weights are there and hold tables that config.json ties but that differ, the
// description is that of what is stored, and so are counts made on it. Weights that are missing or damaged are left to loading. Looked at
// once as long as the files stay as they are. For any thread.
ModelDescription describe_stored(const std::filesystem::path& folder);

// Tensors by parameter index of the layout, tied ones under any of their names; leftovers and missing or mis-shaped tensors are errors by
// name. Where tables that config.json ties are stored with different values, the description becomes that of what is stored
// (tied_tables.h).
std::vector<at::Tensor> load_weights(const std::filesystem::path& folder, const Family& family, ModelDescription& description,
                                     at::Tensor* logits_bias);

// Throws Error(file, tensor, config, device_memory), and Stopped when asked to stop.
std::shared_ptr<const BaseModel> load_base(const std::filesystem::path& folder, at::Device device, at::ScalarType compute,
                                           const std::stop_token& stop = {});

// The same of weights in memory, by parameter index of the layout, and of no folder: neither that nor the fingerprint is filled in.
std::shared_ptr<BaseModel> make_base(const ModelDescription& description, std::vector<at::Tensor> weights, at::Tensor logits_bias,
                                     at::Device device, at::ScalarType compute, const std::stop_token& stop = {});

// config.json, generation_config.json and model.safetensors, as transformers' save_pretrained lays them out; tokenizer files are the
// caller's. logits_bias [V]: where the family has one. Throws Stopped when asked to stop, before config.json is there.
void save_model(const std::filesystem::path& folder, const Json& config, const Layout& layout, const std::vector<at::Tensor>& weights,
                at::ScalarType stored, const at::Tensor& logits_bias = {}, const std::stop_token& stop = {});

}  // namespace permille
