// From a plan to a trained method: wrong translations to train against, the search of the learning rate, training that can be stopped and
// continued, the adapter folder. `permille train`, a study's run and pretraining are its callers. Sees torch.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>

#include "core/base/events.h"
#include "core/peft/attach.h"
#include "core/run/plan.h"
#include "core/train/trainer.h"

namespace permille {

struct TrainedRun {
    Attached attached;         // the best values, unless stopped
    double learning_rate = 0;  // as searched
    Json rate_search;          // the trials when the rate was searched (core/train/rate_search.h), else null
    TrainingResult result;
};

// Called when the method is attached, the rate is known and a checkpoint was read, before the first update; result.updates says where it
// begins.
using BeforeTraining = std::function<void(const TrainedRun&)>;

// `work` keeps what continues a run that was stopped: checkpoint and best values, wrong translations, tried rates. With `resume` it goes on
// from the checkpoint there. Stopped before the first update, it throws Stopped; later, the result says so.
TrainedRun train_plan(const RunPlan& plan, const std::filesystem::path& work, bool resume, const BeforeTraining& before,
                      const EventSink& sink, const std::stop_token& stop);

// Writes the trained method as an adapter folder; notes are added to what is said of every training.
void save_trained(const std::filesystem::path& folder, const RunPlan& plan, const TrainedRun& trained, const Json& notes);

}  // namespace permille
