// Models from a hub: found in the cache of Hugging Face's own client, or downloaded into it in the layout that this client writes and
// reads: models--OWNER--NAME/{blobs/ETAG, refs/REVISION, snapshots/COMMIT/FILE -> ../../blobs/ETAG}. No torch.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"

namespace permille {

// What the environment says, as Hugging Face's client reads it.
struct HubSettings {
    std::string endpoint = "https://huggingface.co";  // HF_ENDPOINT
    std::filesystem::path cache;                      // HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub
    std::string token = {};                     // HF_TOKEN, or the file HF_TOKEN_PATH, HF_HOME/token; "" with HF_HUB_DISABLE_IMPLICIT_TOKEN
    bool offline = false;                       // HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE
    bool symlinks = true;                       // HF_HUB_DISABLE_SYMLINKS
    std::chrono::milliseconds silence{10'000};  // HF_HUB_DOWNLOAD_TIMEOUT (s): nothing heard for so long is a broken connection
    std::chrono::milliseconds first_wait{1'000};  // before the second try; doubled for each further one
    int tries = 5;                                // in a row without progress
    static HubSettings from_environment();
};

// "owner/name@revision", "name"; the revision is a branch, a tag or a commit.
struct HubName {
    std::string repository, revision = "main";
    std::string text() const { return revision == "main" ? repository : repository + "@" + revision; }
};

// Empty when the text cannot be the name of a model on a hub.
std::optional<HubName> hub_name(const std::string& text);

// The snapshot folder of this revision in the cache, whole or not; an empty path when there is none.
std::filesystem::path cached_snapshot(const HubName& name, const HubSettings& settings);

// Whether a model folder holds config.json, all weights and a tokenizer.
bool is_whole(const std::filesystem::path& folder);

// Downloads what the folder of a model needs and returns its snapshot: config.json, generation_config.json, the tokenizer's files, and the
// weights (safetensors, or their shards by the index; pytorch_model.bin only when there are none). What the cache has is kept, what was
// begun is continued. Length and checksum (SHA-256 of large files, git's SHA-1 of others) are checked before a file gets its name. Returns
// an empty path when stopped. Throws Error(network) when the hub cannot be reached, refuses or sends something else; Error(file) for what
// is wrong on this side.
std::filesystem::path download_model(const HubName& name, const HubSettings& settings, const EventSink& sink = {},
                                     const std::stop_token& stop = {});

struct CachedModel {
    std::string name;                  // as MODEL: "owner/name", with @revision when the main branch is not there
    std::filesystem::path folder;      // the snapshot
    std::filesystem::path repository;  // the folder of the whole entry
    std::int64_t bytes = 0;            // all revisions on the disk
};

// Every model of the cache that has a config.json, by name.
std::vector<CachedModel> cached_models(const HubSettings& settings);

// Deletes the entry with all its revisions. Throws Error(file).
void remove_cached_model(const HubName& name, const HubSettings& settings);

// models--owner--name
std::string repository_folder(const std::string& repository);

}  // namespace permille
