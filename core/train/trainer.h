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
#include "core/peft/attach.h"
#include "core/train/checkpoint.h"
#include "core/train/contrast.h"
#include "core/train/state.h"
#include "core/train/step.h"

namespace permille {

// The sha256 over the ids of a text, in their order.
std::string fingerprint_of(const std::vector<TokenPair>& pairs);

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
    EventSink sink;                               // every ten updates figures and progress, and what validations find
    std::function<std::optional<double>()> bleu;  // of the validation set with the current values; may be empty
    const Seq2Seq* teacher = nullptr;             // to distil from, with the same vocabulary; borrowed
    const Contrast* contrast = nullptr;           // wrong translations of the training pairs, when the settings ask for them; borrowed
    std::string text_fingerprint = {};            // fingerprint_of() the training pairs where it is known; else it is made when needed
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
    // checkpoint is kept, and is whole on the disk.
    TrainingResult run(std::stop_token stop);

    std::int64_t updates() const { return state_.update; }  // done so far, those before resume() counted

    // Mean negative log-likelihood per target token, not smoothed, in nats. NaN when stopped on the way.
    double valid_loss(const std::stop_token& stop = {}) const;

private:
    // The batches of an update. On a card their tensors are made and copied there while it computes the update before.
    struct Batches {
        std::vector<BatchPlan> plans;
        std::vector<TensorBatch> tensors;  // empty on the CPU, which has no time to spare
    };
    Batches next_batches();
    void update();
    void report(const TrainingState::Sums& sums) const;
    // False when stopped on the way: then nothing has changed.
    bool validate(const std::stop_token& stop);
    void save_checkpoint();
    CheckpointOwner owner() const;

    TrainingState state_;
    const std::vector<TokenPair>& train_;
    const std::vector<TokenPair>& valid_;
    TrainerHooks hooks_;
    BatchSequence batches_;
    std::optional<Batches> ahead_;  // given by the sequence, but not trained on yet
    std::filesystem::path checkpoint_;
    std::string text_;  // fingerprint of text and wrong translations; with a checkpoint only
    CheckpointWriter writer_;
    struct Window {  // since the last report
        double seconds = 0;
        std::int64_t labels = 0, tokens = 0, updates = 0;
    } window_;
};

}  // namespace permille
