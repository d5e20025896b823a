#include "core/bases/known_bases.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/bases/find.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

std::int64_t bytes_in(const fs::path& folder) {
    std::int64_t bytes = 0;
    std::error_code ignored;
    for (const fs::path& file : entries_in(folder, ignored)) {
        std::error_code code;
        const auto size = fs::file_size(file, code);
        if (!code) bytes += static_cast<std::int64_t>(size);
    }
    return bytes;
}

// False when the folder holds a model of another kind.
bool describe(KnownBase& base) {
    try {
        const ModelInfo info = model_info(base.folder.string());
        base.family = info.model_type;
        base.parameters = info.parameters;
        base.languages = static_cast<std::int64_t>(info.languages.size());
        if (!is_whole(base.folder))
            base.problem = base.place == BasePlace::cache ? "only a part of it is downloaded" : "lacks weights or tokenizer files";
    } catch (const Error& error) {
        base.problem = error.found() + (error.fix().empty() ? "" : "; " + error.fix());
        return error.kind() != ErrorKind::unsupported;
    }
    return true;
}

}  // namespace

std::vector<KnownBase> known_bases(const std::vector<BaseRow>& stored, const HubSettings& hub, const std::stop_token& stop) {
    std::vector<KnownBase> bases;
    std::set<fs::path> seen;
    const auto is_new = [&](const fs::path& folder) {
        std::error_code code;
        const fs::path real = fs::weakly_canonical(folder, code);
        return seen.insert(code ? folder : real).second;
    };
    for (const auto& bundled : bundled_bases()) {
        if (stop.stop_requested() || !is_new(bundled.folder)) continue;
        KnownBase base{bundled.name, BasePlace::bundled, bundled.folder};
        base.bytes = bytes_in(base.folder);
        describe(base);
        bases.push_back(std::move(base));
    }
    const auto cached = cached_models(hub);
    for (const auto& model : cached) {
        if (stop.stop_requested() || !is_new(model.folder)) continue;
        KnownBase base{model.name, BasePlace::cache, model.folder};
        base.bytes = model.bytes;
        if (describe(base)) bases.push_back(std::move(base));
    }
    for (const auto& row : stored) {
        if (stop.stop_requested() || !is_new(row.path)) continue;
        // The path is where it was when it was last used: what came with the program or lies in the cache may have moved since.
        if (std::any_of(bases.begin(), bases.end(), [&](const KnownBase& base) { return base.name == row.name; })) continue;
        KnownBase base{row.name, BasePlace::folder, row.path, row.family, row.parameters, static_cast<std::int64_t>(row.languages.size())};
        std::error_code ignored;
        if (fs::is_directory(row.path, ignored)) {
            base.bytes = bytes_in(base.folder);
            describe(base);
        } else {
            base.problem = "the folder is gone";
        }
        bases.push_back(std::move(base));
    }
    std::stable_sort(bases.begin(), bases.end(),
                     [](const KnownBase& a, const KnownBase& b) { return a.place != b.place ? a.place < b.place : a.name < b.name; });
    return bases;
}

BaseRow describe_folder(const fs::path& folder) {
    std::error_code ignored;
    const fs::path whole = fs::absolute(folder).lexically_normal();
    if (!fs::exists(whole / "config.json", ignored))
        throw Error(ErrorKind::file, whole.string(), "holds no config.json", "choose a model folder in Hugging Face layout");
    const ModelInfo info = model_info(whole.string());
    return {whole.string(), whole.string(), info.model_type, {}, info.parameters, info.languages};
}

}  // namespace permille
