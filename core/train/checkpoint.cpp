#include "core/train/checkpoint.h"

#include <ATen/ATen.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <map>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/models/safetensors.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

fs::path best_file(const fs::path& file, std::int64_t update) {
    fs::path best = file;
    return best.replace_extension(".best." + std::to_string(update) + ".safetensors");
}

// Best values beside the checkpoint, but for those of one update.
void remove_best_but(const fs::path& file, std::int64_t update) {
    std::error_code code;
    const std::string stem = file.stem().string() + ".best.";
    const fs::path kept = best_file(file, update).filename();
    for (const fs::path& path : entries_in(file.has_parent_path() ? file.parent_path() : fs::path("."), code))
        if (path.filename().string().starts_with(stem) && path.filename() != kept) fs::remove(path, code);
}

NamedTensors copies_of(const NamedTensors& tensors) {
    NamedTensors copies;
    for (const auto& [name, tensor] : tensors) copies.emplace_back(name, tensor.detach().to(at::kCPU, tensor.scalar_type(), false, true));
    return copies;
}

// Version 1 named tensors "<what>.<place of the value>".
TensorMap named(const TensorMap& placed, const std::vector<TensorSpec>& specs, const std::string& where) {
    TensorMap tensors;
    for (const auto& [name, tensor] : placed) {
        const auto dot = name.find('.');
        std::size_t place = specs.size();
        try {
            if (dot != std::string::npos) place = std::stoul(name.substr(dot + 1));
        } catch (const std::exception&) {
        }
        if (place >= specs.size())
            throw Error(ErrorKind::tensor, where + ", " + name, "belongs to no tensor of this method", "remove the file");
        tensors[name.substr(0, dot + 1) + specs[place].name] = tensor;
    }
    return tensors;
}

}  // namespace

void CheckpointWriter::write(const TrainingState& state, const CheckpointOwner& owner, std::int64_t position) {
    finish();
    const bool new_best = !state.best.empty() && state.best_update != best_written_;
    Json counts = state.counts();
    counts["position"] = position;
    if (!state.best.empty()) counts["best_values"] = state.best_update;
    const std::map<std::string, std::string> metadata = {
        {"permille_checkpoint", "2"}, {"identity", owner.identity}, {"text", owner.text}, {"state", counts.dump()}};
    const std::int64_t best_update = state.best.empty() ? -1 : state.best_update;
    NamedTensors best = new_best ? copies_of(state.best_tensors()) : NamedTensors();
    // The copies are counted where this thread's tensors are (core/run/memory.h), and so must be their end.
    const auto counted = c10::ThreadLocalDebugInfo::current();
    thread_ = std::jthread([this, tensors = copies_of(state.tensors()), best = std::move(best), metadata, best_update, counted]() mutable {
        c10::ThreadLocalDebugInfo::_forceCurrentDebugInfo(counted);
        try {
            if (!best.empty()) write_safetensors(best_file(file_, best_update), best, {{"permille_best", std::to_string(best_update)}});
            write_safetensors(file_, tensors, metadata);
            remove_best_but(file_, best_update);
        } catch (...) {
            failure_ = std::current_exception();
        }
        tensors.clear();
        best.clear();
    });
    best_written_ = best_update;
}

void CheckpointWriter::finish() {
    if (thread_.joinable()) thread_.join();
    if (!failure_) return;
    best_written_ = -1;
    std::rethrow_exception(std::exchange(failure_, nullptr));
}

std::optional<std::int64_t> read_checkpoint(const fs::path& file, TrainingState& state, const CheckpointOwner& owner) {
    if (!fs::exists(file)) return std::nullopt;
    const std::string where = file.string();
    std::map<std::string, std::string> metadata;
    TensorMap tensors = read_safetensors(file, &metadata);
    if (metadata["identity"] != owner.identity || (metadata.count("text") && metadata["text"] != owner.text))
        throw Error(ErrorKind::file, where, "is the checkpoint of a run with other settings or data",
                    "start without --resume, or remove the file");
    const Json counts = parse_json(metadata["state"], where);
    TensorMap best;
    if (metadata["permille_checkpoint"] == "1") {
        tensors = named(tensors, state.attached.specs, where);
        for (const auto& spec : state.attached.specs) {
            if (const auto found = tensors.find("best." + spec.name); found != tensors.end()) best.insert(*found);
            // The first programs kept one count of steps for all values.
            if (counts.contains("adam_steps")) tensors["steps." + spec.name] = at::full({}, counts["adam_steps"].get<double>(), at::kFloat);
        }
    } else if (counts.contains("best_values")) {
        best = read_safetensors(best_file(file, counts["best_values"].get<std::int64_t>()));
    }
    try {
        state.restore(tensors, best, counts, where);
        return counts.at("position").get<std::int64_t>();
    } catch (const Json::exception& error) {
        throw Error(ErrorKind::file, where, "is damaged (a count is missing)", "remove the file");
    }
}

void remove_checkpoint(const fs::path& file) {
    std::error_code ignored;
    fs::remove(file, ignored);
    remove_best_but(file, -1);
}

}  // namespace permille
