// What can be asked of a model without training it: facts, token ids, scores, translations. Torch-free face for the command line and the
// window.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"

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
// whole there and downloaded otherwise (core/jobs/hub.h). Throws Error(file) that lists where it looked, Error(network), and Stopped
// (core/decode/beam.h) when stopped.
std::filesystem::path find_model(const std::string& model, const EventSink& sink = {}, const std::stop_token& stop = {});
// Whether find_model() would ask the hub for it.
bool must_download(const std::string& model);
std::vector<BundledBase> bundled_bases();
// Works on a folder that holds only config.json.
ModelInfo model_info(const std::string& model, const EventSink& sink = {}, const std::stop_token& stop = {});

struct ScoredPair {
    double log_probability = 0;  // natural, every target label counted (language code and end of sentence included)
    std::int64_t tokens = 0;
};

struct Translation {
    std::string text;
    std::vector<std::int64_t> ids;          // the whole generated sequence, start token included
    double score = 0;                       // log-probability / length^penalty
    std::vector<Translation> alternatives;  // with n_best > 1: the n best, this one first
};

// A tokenizer alone: quick to load.
class TextCodec {
public:
    explicit TextCodec(const std::string& model, const EventSink& sink = {});
    ~TextCodec();
    std::vector<std::int64_t> encode(const std::string& line, const std::string& language, bool target) const;
    std::string decode(const std::vector<std::int64_t>& ids) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// One line or pair with one of a session's adapters, both by their places.
struct AdapterTask {
    std::size_t line = 0, adapter = 0;
};

// A base in memory with any number of adapters, which may be used side by side in one batch: the base's work is then done once for all of
// them, and the results are those of one by one. The base is shared with every other job in the process that uses the same one.
class ModelSession {
public:
    // An adapter that is not named is the base alone.
    ModelSession(const std::string& model, const std::vector<std::optional<std::filesystem::path>>& adapters, const DeviceSettings& device,
                 const EventSink& sink = {});
    ModelSession(const std::string& model, const std::optional<std::filesystem::path>& adapter, const DeviceSettings& device,
                 const EventSink& sink = {});
    ~ModelSession();

    // With the first adapter, in the order of the input. Translation stops early (returning what is done) when asked to.
    std::vector<Translation> translate(const std::vector<std::string>& lines, const std::string& source_language,
                                       const std::string& target_language, const DecodingSettings& settings, std::int64_t n_best = 1,
                                       const EventSink& sink = {}, std::stop_token stop = {}) const;
    // One translation per task, in the order of the tasks.
    std::vector<Translation> translate(const std::vector<std::string>& lines, const std::vector<AdapterTask>& tasks,
                                       const std::string& source_language, const std::string& target_language,
                                       const DecodingSettings& settings, std::int64_t n_best = 1, const EventSink& sink = {},
                                       std::stop_token stop = {}) const;
    std::vector<ScoredPair> score(const std::vector<std::pair<std::string, std::string>>& pairs, const std::vector<AdapterTask>& tasks,
                                  const std::string& source_language, const std::string& target_language,
                                  std::int64_t batch_tokens = 4000) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// What an adapter folder holds, for `permille adapter show`.
Json adapter_info(const std::filesystem::path& folder);

// What this machine offers: program, devices, memory, libraries with versions, data folder, bundled bases; `missing` lists what is not
// there.
Json doctor_report();

}  // namespace permille
