// Training of what a method attached to a base. One Trainer is one run; it stops at any update, keeps resumable checkpoints and continues
// from them bit for bit (same machine, same number of threads).
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"
#include "core/data/batches.h"
#include "core/models/seq2seq.h"
#include "core/nn/vocabulary_loss.h"
#include "core/peft/attach.h"
#include "core/train/contrast.h"
#include "core/train/optimiser.h"

namespace permille {

// Factor of the peak learning rate at an update (1-based): linear warm-up, then the schedule over `total`. polynomial: (what is
// left)^power, as fairseq's polynomial_decay and the fine-tuning of mBART have it.
double schedule_factor(const std::string& schedule, std::int64_t update, std::int64_t warmup, std::int64_t total, double power = 1);

// Packed tensors of a batch: encoder input, decoder input (labels shifted right behind the token that the architecture starts from) and
// labels.
struct TensorBatch {
    TokenRows source, target;
    at::Tensor labels;        // [M] int64
    std::int64_t tokens = 0;  // labels
};
TensorBatch collate(const std::vector<TokenPair>& pairs, const BatchPlan& plan, const Architecture& architecture, const at::Device& device);

struct TrainingResult {
    std::int64_t updates = 0;
    std::int64_t best_update = 0;  // of the values that are kept; 0: the start
    std::optional<double> best_loss, best_bleu;
    double last_train_loss = 0;  // nats per target token, smoothed as trained
    double seconds = 0;          // of training proper, all stretches
    std::int64_t tokens = 0;     // source and target tokens trained on, no padding
    bool stopped = false;
    std::int64_t skipped_updates = 0;  // not-a-number gradients
};

struct TrainerHooks {
    EventSink sink;  // metrics: train_loss, contrast_loss, learning_rate, gradient_norm, tokens_per_second, valid_loss, valid_bleu
    std::function<std::optional<double>()> bleu;  // of the validation set with the current values; may be empty
    const Seq2Seq* teacher = nullptr;             // to distil from, with the same vocabulary; borrowed
    const Contrast* contrast = nullptr;           // wrong translations of the training pairs, when the settings ask for them; borrowed
};

class Trainer {
public:
    // The pairs and the attached values are borrowed. checkpoint: file for resumable state, empty for none.
    Trainer(const Seq2Seq& base, Attached& attached, const std::vector<TokenPair>& train, const std::vector<TokenPair>& valid,
            const TrainingSettings& settings, double learning_rate, std::uint64_t seed, std::filesystem::path checkpoint,
            TrainerHooks hooks, EpochSampler sampler = {});

    // Continues from the checkpoint when it exists and belongs to this run; returns whether it did. Throws Error(file) for another run's.
    bool resume();
    // Trains to the end, the early stop or the stop request. On return the attached values are the best ones (unless stopped). The
    // checkpoint is kept.
    TrainingResult run(std::stop_token stop);

    // Mean negative log-likelihood per target token, not smoothed, in nats.
    double valid_loss() const;

private:
    struct UpdateSums {
        at::Tensor loss, contrast;  // float64 scalars on the device
        std::int64_t labels = 0, tokens = 0;
    };
    UpdateSums forward_backward(const std::vector<BatchPlan>& batches, std::int64_t update, std::int64_t pieces);
    void update();
    // Reads what the updates since the last time left on the device; until then none of them waits for it. Throws Error(not_a_number).
    void read_window();
    void report();
    double rate() const;  // of the current update
    Distillation taught(const TensorBatch& batch, std::int64_t update) const;
    void average();
    void exchange_average();
    void validate();
    void save_checkpoint() const;
    std::string identity() const;
    std::string text_hash() const;

    const Seq2Seq& base_;
    Attached& attached_;
    const std::vector<TokenPair>& train_;
    const std::vector<TokenPair>& valid_;
    TrainingSettings settings_;
    double learning_rate_;
    std::uint64_t seed_;
    std::filesystem::path checkpoint_;
    TrainerHooks hooks_;
    BatchSequence batches_;
    std::string text_hash_;  // with a checkpoint only

    std::unique_ptr<Optimiser> optimiser_;
    std::vector<at::Tensor> average_, best_values_;  // average_: of the trained values, undefined for others; empty: none
    std::int64_t update_ = 0, best_update_ = 0, without_improvement_ = 0, skipped_ = 0, tokens_ = 0, validated_ = -1;
    std::optional<double> best_loss_, best_bleu_;
    double last_loss_ = 0, seconds_ = 0, loss_scale_ = 65536;
    // Float64 scalars on the device.
    struct Running {
        at::Tensor loss, contrast, norm;          // sums since the last report
        at::Tensor skipped, in_row, longest_row;  // updates whose gradient was not a number
        at::Tensor last_loss, scale;              // scale: of the loss, in float16
    } running_;
    struct Window {  // since the last report
        double loss = 0, contrast = 0, seconds = 0, norm = 0;
        std::int64_t labels = 0, tokens = 0, updates = 0;
    } window_;
};

}  // namespace permille
