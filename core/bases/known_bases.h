// The bases that can be chosen on this machine, wherever they live: with the program, in a folder, in the hub's cache. No torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/hub/hub.h"
#include "core/store/store.h"

namespace permille {

enum class BasePlace { bundled, folder, cache };

struct KnownBase {
    std::string name;  // as MODEL
    BasePlace place = BasePlace::folder;
    std::filesystem::path folder;
    std::string family;           // model_type
    std::int64_t parameters = 0;  // tied weights counted once; 0: not known
    std::int64_t languages = 0;   // 0: not known
    std::int64_t bytes = 0;       // on the disk
    std::string problem;          // why it cannot be used as it is; "" when it can
};

// By place, then by name; each folder once. Models of other kinds that lie in the cache are left out. `stored` are the bases of the
// database: those that are neither bundled nor in the cache are folders. Reads the descriptions and tokenizers, which takes a moment;
// returns what it has when stopped.
std::vector<KnownBase> known_bases(const std::vector<BaseRow>& stored, const HubSettings& hub, const std::stop_token& stop = {});

// A folder in Hugging Face layout as a row for the database; its path is its name. Throws Error(file, config, unsupported).
BaseRow describe_folder(const std::filesystem::path& folder);

}  // namespace permille
