// What a training leaves on the disk so that it can be continued bit for bit:
//
//     checkpoint.safetensors              values, averages, the optimiser's memory, counts, and the update of the best values
//     checkpoint.best.<update>.safetensors  the best values so far; written only when they changed
//
// Written in the background from a copy, best values first, so that whatever moment the process dies at there is one whole checkpoint.
#pragma once

#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "core/train/state.h"

namespace permille {

// What a checkpoint belongs to; it is not taken for another's.
struct CheckpointOwner {
    std::string identity;  // TrainingState::identity()
    std::string text;      // fingerprint of the training text
};

class CheckpointWriter {
public:
    explicit CheckpointWriter(std::filesystem::path file) : file_(std::move(file)) {}
    ~CheckpointWriter() = default;  // waits for what is being written

    // Copies the state, and writes it once the one before is written. position: of the sequence of batches. Throws the Error of the one
    // before when that failed.
    void write(const TrainingState& state, const CheckpointOwner& owner, std::int64_t position);
    // Waits until all is on the disk. Throws Error(file) when it could not be written.
    void finish();

private:
    std::filesystem::path file_;
    std::int64_t best_written_ = -1;  // the update of the best values on the disk
    std::exception_ptr failure_;      // of the thread; read after it was joined
    std::jthread thread_;
};

// Brings the state to where the checkpoint has it; returns the position in the sequence of batches, or nothing when there is no file.
// Checkpoints of version 1, which named tensors by their place and had the best values with them, are read as well. Throws Error(file) for
// another run's.
std::optional<std::int64_t> read_checkpoint(const std::filesystem::path& file, TrainingState& state, const CheckpointOwner& owner);

// The checkpoint and its best values, if they are there.
void remove_checkpoint(const std::filesystem::path& file);

}  // namespace permille
