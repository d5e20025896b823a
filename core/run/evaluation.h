// The test set of a run, translated and scored. Sees torch.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"
#include "core/data/corpus.h"
#include "core/run/open_model.h"
#include "core/store/store.h"

namespace permille {

struct Attachment;

struct EvaluatedText {
    Evaluation evaluation;
    std::vector<Hypothesis> hypotheses;
};

// With every metric that the settings and the study's habit ask for, each with its interval and what it counts per sentence. Throws Stopped
// when asked to stop.
EvaluatedText evaluate_test(const RunSpec& spec, const OpenModel& model, const Attachment* attachment, const Corpus& corpus,
                            const EventSink& sink, const std::stop_token& stop);

}  // namespace permille
