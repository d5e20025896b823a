#include "core/models/checkpoint.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/models/torch_file.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr std::uintmax_t kLargestJson = std::uintmax_t{16} << 20;

// Unlike std::filesystem's own it does not throw where the system says no, as for a link to itself.
bool is_file(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

bool is_named(const std::string& name, const std::string& ending) { return name.size() > ending.size() && name.ends_with(ending); }

// A name like "model-00001-of-00002.safetensors": no folder in it, and not an index, so that no file leads out of the folder or to itself.
bool is_shard_name(const std::string& name, const std::string& ending) {
    return is_named(name, ending) && name.size() < 256 && std::all_of(name.begin(), name.end(), [](char letter) {
               return letter > ' ' && letter <= '~' && letter != '/' && letter != '\\';
           });
}

Checkpoint read_index(const fs::path& index, const std::string& ending) {
    const Json json = read_model_json(index);
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object() || json["weight_map"].empty())
        throw Error(ErrorKind::file, index.string(), "has no weight_map", "fetch it again");
    Checkpoint checkpoint;
    checkpoint.index = index;
    std::set<std::string> shards;
    for (const auto& [name, value] : json["weight_map"].items()) {
        const std::string where = index.string() + "/weight_map/" + name;
        if (!value.is_string()) throw Error(ErrorKind::file, where, "is not the name of a file", "fetch it again");
        const auto shard = value.get<std::string>();
        if (!is_shard_name(shard, ending)) {
            std::string shown = shard.substr(0, 200);
            std::replace_if(
                shown.begin(), shown.end(), [](char letter) { return letter < ' ' || letter > '~'; }, '?');
            throw Error(ErrorKind::file, where, "'" + shown + "' is not a " + ending + " file within the folder", "fetch the index again");
        }
        if (!checkpoint.shard_of.emplace(name, shard).second)
            throw Error(ErrorKind::file, where, "is there twice", "fetch the index again");
        shards.insert(shard);
    }
    std::vector<std::string> missing;
    for (const auto& shard : shards) {
        checkpoint.files.push_back(index.parent_path() / shard);
        if (!is_file(checkpoint.files.back())) missing.push_back(shard);
    }
    if (!missing.empty())
        throw Error(ErrorKind::file, index.parent_path().string(),
                    "lacks " + std::to_string(missing.size()) + " of " + std::to_string(shards.size()) +
                        " parts of its weights: " + list_some(missing, 5),
                    "fetch them beside the others");
    return checkpoint;
}

}  // namespace

Json read_model_json(const fs::path& file) {
    std::error_code ignored;
    if (const auto size = fs::file_size(file, ignored); !ignored && size > kLargestJson)
        throw Error(ErrorKind::file, file.string(), "has " + std::to_string(size) + " bytes, far more than such a file needs",
                    "fetch it again");
    return read_json(file);
}

Checkpoint find_checkpoint(const fs::path& folder) {
    for (const auto& [stem, ending] : {std::pair<std::string, std::string>{"model", ".safetensors"}, {"pytorch_model", ".bin"}}) {
        const fs::path whole = folder / (stem + ending), index = folder / (stem + ending + ".index.json");
        if (is_file(whole)) return {{whole}, {}, {}};
        if (is_file(index)) return read_index(index, ending);
    }
    throw Error(ErrorKind::file, folder.string(), "has no weights: neither model.safetensors nor pytorch_model.bin",
                "fetch the model again");
}

TensorMap read_checkpoint(const Checkpoint& checkpoint) {
    TensorMap tensors;
    std::map<std::string, std::string> found_in;
    for (const fs::path& file : checkpoint.files) {
        TensorMap part = file.extension() == ".bin" ? read_torch_file(file) : read_safetensors(file);
        for (auto& [name, tensor] : part) {
            const auto [known, fresh] = found_in.emplace(name, file.filename().string());
            if (!fresh)
                throw Error(ErrorKind::tensor, file.string() + ", " + name, "is in " + known->second + " as well", "fetch the model again");
            tensors.emplace(name, std::move(tensor));
        }
    }
    for (const auto& [name, shard] : checkpoint.shard_of) {
        const auto found = found_in.find(name);
        if (found == found_in.end() || found->second != shard)
            throw Error(ErrorKind::tensor, checkpoint.index.string() + ", " + name, "is not in " + shard + ", where it should be",
                        "index and weights do not belong together; fetch the model again");
    }
    return tensors;
}

}  // namespace permille
