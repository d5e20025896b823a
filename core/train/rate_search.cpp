#include "core/train/rate_search.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {

Json RateSearch::to_json() const {
    Json list = Json::array();
    for (const RateTrial& trial : trials)
        list.push_back(
            {{"learning_rate", trial.learning_rate}, {"valid_loss", trial.valid_loss ? Json(*trial.valid_loss) : Json(nullptr)}});
    return list;
}

namespace {

// With two significant digits, so that people can type the rate that was chosen.
double rounded(double rate) {
    char text[16];
    std::snprintf(text, sizeof text, "%.1e", rate);
    return std::strtod(text, nullptr);
}

}  // namespace

std::vector<double> rates_around(double middle, std::int64_t count) {
    std::vector<double> rates;
    for (std::int64_t i = 0; i < count; ++i) {
        const auto steps = i - (count - 1) / 2;
        rates.push_back(steps == 0 ? middle : rounded(middle * std::pow(10.0, 0.5 * static_cast<double>(steps))));
    }
    return rates;
}

namespace {

// What the trials depend on: another question's record is not used.
std::string question_of(const Attached& attached, const std::vector<TokenPair>& train, const std::vector<TokenPair>& valid,
                        const TrainingSettings& settings, std::uint64_t seed) {
    std::string text = attached.method->info().id + attached.settings.dump() + settings.identity().dump() + std::to_string(seed);
    for (const auto* pairs : {&train, &valid})
        for (const TokenPair& pair : *pairs)
            for (const auto* side : {&pair.source, &pair.labels}) {
                text += '/';
                text.append(reinterpret_cast<const char*>(side->data()), side->size() * sizeof(std::int32_t));
            }
    return sha256(text);
}

}  // namespace

RateSearch search_rate(const Seq2Seq& base, const std::function<Attached()>& start, const std::vector<TokenPair>& train,
                       const std::vector<TokenPair>& valid, const TrainingSettings& settings, double middle, std::uint64_t seed,
                       const std::filesystem::path& record, const TrainerHooks& hooks, const std::stop_token& stop) {
    if (valid.empty())
        throw Error(ErrorKind::config, "tune_lr", "there is no validation text to choose a learning rate by",
                    "give some, or a learning rate");
    TrainingSettings trial_settings = settings;
    trial_settings.updates = settings.tune_lr_updates;
    trial_settings.warmup_updates = settings.warmup_updates * settings.tune_lr_updates / std::max<std::int64_t>(1, settings.updates);
    trial_settings.validate_every = trial_settings.checkpoint_every = trial_settings.patience = 0;
    trial_settings.select_by = "loss";
    TrainerHooks quiet;
    quiet.teacher = hooks.teacher;
    quiet.contrast = hooks.contrast;

    const std::string question = question_of(start(), train, valid, trial_settings, seed);
    std::vector<RateTrial> known;
    if (!record.empty() && std::filesystem::exists(record)) {
        const Json json = read_json(record);
        if (json.value("question", "") == question)
            for (const Json& trial : json.value("trials", Json::array()))
                known.push_back({trial.value("learning_rate", 0.0), trial.contains("valid_loss") && trial["valid_loss"].is_number()
                                                                        ? std::optional(trial["valid_loss"].get<double>())
                                                                        : std::nullopt});
    }
    RateSearch search;
    const auto rates = rates_around(middle, settings.tune_lr);
    for (const double rate : rates) {
        RateTrial trial{rate, std::nullopt};
        const auto found = std::find_if(known.begin(), known.end(), [&](const RateTrial& other) { return other.learning_rate == rate; });
        if (found != known.end()) {
            trial = *found;
        } else {
            if (hooks.sink)
                hooks.sink(Progress{"trying learning rates", static_cast<std::int64_t>(search.trials.size()),
                                    static_cast<std::int64_t>(rates.size())});
            Attached attached = start();
            try {
                const TrainingResult result =
                    Trainer(base, attached, train, valid, trial_settings, rate, seed, std::filesystem::path(), quiet).run(stop);
                if (result.stopped) return search;
                if (result.best_loss && std::isfinite(*result.best_loss)) trial.valid_loss = result.best_loss;
            } catch (const Error& error) {
                if (error.kind() != ErrorKind::not_a_number) throw;
            }
        }
        search.trials.push_back(trial);
        log_to(hooks.sink, "learning rate " + Json(rate).dump() + ": " +
                               (trial.valid_loss ? "validation loss " + std::to_string(*trial.valid_loss) : std::string("diverged")));
        if (!record.empty()) write_json(record, {{"question", question}, {"trials", search.to_json()}});
    }
    const RateTrial* best = nullptr;
    for (const RateTrial& trial : search.trials)
        if (trial.valid_loss && (!best || *trial.valid_loss < *best->valid_loss)) best = &trial;
    if (!best)
        throw Error(ErrorKind::not_a_number, "tune_lr",
                    "training diverged at every learning rate from " + Json(rates.front()).dump() + " to " + Json(rates.back()).dump(),
                    "give a lower learning rate");
    search.learning_rate = best->learning_rate;
    return search;
}

}  // namespace permille
