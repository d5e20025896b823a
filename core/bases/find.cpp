#include "core/bases/find.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/hub/hub.h"
#include "core/models/base_model.h"
#include "core/text/tokenizers.h"

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
    for (const auto& entry : fs::directory_iterator(folder, ignored))
        if (fs::exists(entry.path() / "config.json")) list.push_back({entry.path().filename().string(), entry.path()});
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return list;
}

fs::path find_model(const std::string& model, const EventSink& sink, const std::stop_token& stop) {
    return find_folder(model, sink, stop, false);
}

bool must_download(const std::string& model) {
    if (fs::is_directory(model) || !bundled_folder(model).empty()) return false;
    const auto name = hub_name(model);
    if (!name || name->repository.find('/') == std::string::npos) return false;
    const HubSettings hub = HubSettings::from_environment();
    return !hub.offline && !is_whole(cached_snapshot(*name, hub));
}

ModelInfo model_info(const std::string& model, const EventSink& sink, const std::stop_token& stop) {
    const fs::path folder = find_folder(model, sink, stop, true);
    const ModelDescription description = describe_stored(folder);
    const Architecture& a = description.architecture;
    ModelInfo info{a.model_type,
                   a.d_model,
                   a.encoder_layers,
                   a.decoder_layers,
                   a.encoder_heads,
                   a.decoder_heads,
                   a.encoder_ffn,
                   a.decoder_ffn,
                   a.vocab_size,
                   description.layout.parameter_count(),
                   {},
                   folder,
                   description.note};
    if (fs::exists(folder / "sentencepiece.bpe.model") || fs::exists(folder / "tokenizer_config.json")) {
        const auto tokenizer = load_tokenizer(folder);
        for (const auto& language : tokenizer->languages()) info.languages.push_back(language.code);
    }
    return info;
}

Json ModelInfo::to_json() const {
    return Json{{"model_type", model_type},
                {"d_model", d_model},
                {"encoder_layers", encoder_layers},
                {"decoder_layers", decoder_layers},
                {"encoder_heads", encoder_heads},
                {"decoder_heads", decoder_heads},
                {"encoder_ffn", encoder_ffn},
                {"decoder_ffn", decoder_ffn},
                {"vocab_size", vocab_size},
                {"parameters", parameters},
                {"languages", languages},
                {"folder", folder.string()},
                {"note", note}};
}

}  // namespace permille
