#include "core/bases/find.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/hub/hub.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

fs::path bundled_folder(const std::string& name) {
    for (const auto& base : bundled_bases())
        if (base.name == name) return base.folder;
    return {};
}

// With `description_will_do` a hub that cannot be asked is no failure as long as the cache has the model's config.json.
fs::path find_folder(const std::string& model, const EventSink& sink, const std::stop_token& stop, bool description_will_do) {
    if (fs::is_directory(model)) return model;
    if (fs::path bundled = bundled_folder(model); !bundled.empty()) return bundled;
    const HubSettings hub = HubSettings::from_environment();
    const auto name = hub_name(model);
    const bool has_owner = name && name->repository.find('/') != std::string::npos;
    if (name) {
        const fs::path cached = cached_snapshot(*name, hub);
        if (!cached.empty() && (hub.offline || !has_owner || is_whole(cached))) return cached;
        if (has_owner) {
            try {
                fs::path downloaded = download_model(*name, hub, sink, stop);
                if (downloaded.empty()) throw Stopped{};
                return downloaded;
            } catch (const Error& error) {
                if (!description_will_do || error.kind() != ErrorKind::network || cached.empty() || !fs::exists(cached / "config.json"))
                    throw;
                log_to(sink, std::string(error.what()) + "; this is what the cache says");
                return cached;
            }
        }
    }
    std::vector<std::string> names;
    for (const auto& base : bundled_bases()) names.push_back(base.name);
    throw Error(ErrorKind::file, model,
                "is neither a model folder, nor a bundled base, nor a model in the Hugging Face cache (" + hub.cache.string() + ")",
                (names.empty() ? "give a folder with config.json and model.safetensors" : "bundled are " + list_some(names)) +
                    "; a model on the hub is named OWNER/NAME");
}

}  // namespace

std::vector<BundledBase> bundled_bases() {
    std::vector<BundledBase> list;
    const fs::path folder = resources_folder() / "bases";
    std::error_code ignored;
    for (const fs::path& base : entries_in(folder, ignored))
        if (fs::exists(base / "config.json", ignored)) list.push_back({base.filename().string(), base});
    return list;
}

fs::path find_model(const std::string& model, const EventSink& sink, const std::stop_token& stop) {
    return find_folder(model, sink, stop, false);
}

fs::path find_description(const std::string& model, const EventSink& sink, const std::stop_token& stop) {
    return find_folder(model, sink, stop, true);
}

bool must_download(const std::string& model) {
    if (fs::is_directory(model) || !bundled_folder(model).empty()) return false;
    const auto name = hub_name(model);
    if (!name || name->repository.find('/') == std::string::npos) return false;
    const HubSettings hub = HubSettings::from_environment();
    return !hub.offline && !is_whole(cached_snapshot(*name, hub));
}

}  // namespace permille
