// What can be asked of a model without training it: scores and translations; token ids are in text_codec.h. Torch-free face for the command
// line and the window.
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
#include "core/bases/find.h"
#include "core/decode/translation.h"

namespace permille {

struct ScoredPair {
    double log_probability = 0;  // natural, every target label counted (language code and end of sentence included)
    std::int64_t tokens = 0;
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
