// All that one training carries from update to update: the trained values, the optimiser's memory, averages, the best values so far, and
// the counts. A step (core/train/step.h) moves it, a checkpoint (core/train/checkpoint.h) keeps it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"
#include "core/models/seq2seq.h"
#include "core/peft/attach.h"
#include "core/train/optimiser.h"

namespace permille {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Factor of the peak learning rate at an update (1-based): linear warm-up, then the schedule over `total`. polynomial: (what is
// left)^power, as fairseq's polynomial_decay and the fine-tuning of mBART have it.
double schedule_factor(const std::string& schedule, std::int64_t update, std::int64_t warmup, std::int64_t total, double power = 1);

struct TrainingState {
    // The base and the attached values are borrowed.
    TrainingState(const Seq2Seq& base, Attached& attached, const TrainingSettings& settings, double learning_rate, std::uint64_t seed);

    const Seq2Seq& base;
    Attached& attached;
    TrainingSettings settings;
    double learning_rate;  // the peak
    std::uint64_t seed;
    std::unique_ptr<Optimiser> optimiser;
    std::vector<at::Tensor> average;  // by value; of the trained ones, undefined for others; empty: none
    std::vector<at::Tensor> best;     // by value; empty: none yet

    std::int64_t update = 0;       // done, skipped ones counted
    std::int64_t best_update = 0;  // of the best values
    std::int64_t validated = -1;   // the update of the last validation
    std::int64_t without_improvement = 0;
    std::int64_t skipped = 0;   // updates whose gradient was not a number
    std::int64_t tokens = 0;    // source and target, no padding
    double last_loss = 0;       // nats per target token, smoothed as trained
    double seconds = 0;         // of training proper
    double loss_scale = 65536;  // of float16 training; as last read
    std::optional<double> best_loss, best_bleu;

    // What updates leave on the device, float64 scalars, so that none of them waits for it; read() fetches them.
    struct Running {
        at::Tensor loss, contrast, norm;          // sums since restart_sums()
        at::Tensor skipped, in_row, longest_row;  // updates whose gradient was not a number
        at::Tensor last_loss, scale;              // scale: of the loss, float32, undefined but in float16
    } running;
    // Sums over the updates since restart_sums(): loss over labels, contrast and gradient norm over updates.
    struct Sums {
        double loss = 0, contrast = 0, norm = 0;
    };
    // Waits for the device. Counts skipped updates, which the log is told of. Throws Error(not_a_number) after eight of them in a row.
    Sums read(const EventSink& log);
    void restart_sums();

    double rate() const;  // of the present update
    // After an update: takes the values into the moving average.
    void take_average();
    // Puts the average in the values' place, and back.
    void exchange_average();
    void keep_best(double loss, std::optional<double> bleu);

    // Method, settings, seed and rate: what a checkpoint belongs to, beside its text.
    std::string identity(std::size_t train_pairs) const;
    // Names are "<what>.<name of the tensor>". Tensors are shared, not copied; the best values are apart.
    NamedTensors tensors() const;
    NamedTensors best_tensors() const;
    Json counts() const;
    // Throws Error(tensor) naming `where` and the tensor when one is missing or of another shape.
    void restore(const TensorMap& tensors, const TensorMap& best, const Json& counts, const std::string& where);
};

}  // namespace permille
