#include "core/train/state.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {

namespace {

constexpr std::int64_t kMostSkipped = 8;  // in a row

}  // namespace

double schedule_factor(const std::string& schedule, std::int64_t update, std::int64_t warmup, std::int64_t total, double power) {
    const auto u = static_cast<double>(update), w = static_cast<double>(std::max<std::int64_t>(warmup, 1)), n = static_cast<double>(total);
    if (update < warmup) return u / w;
    if (schedule == "constant") return 1.0;
    if (schedule == "inverse_sqrt") return std::sqrt(w / std::max(u, w));
    const double past = n > w ? std::min(1.0, (u - w) / (n - w)) : 1.0;
    if (schedule == "cosine") return 0.5 * (1.0 + std::cos(std::numbers::pi * past));
    const double left = std::max(1.0 - past, 1.0 / n);  // the last update still moves
    return schedule == "polynomial" ? std::pow(left, power) : left;
}

TrainingState::TrainingState(const Seq2Seq& model, Attached& tuned, const TrainingSettings& given, double peak, std::uint64_t from)
    : base(model), attached(tuned), settings(given), learning_rate(peak), seed(from), optimiser(make_optimiser(tuned, given)) {
    std::set<std::string> names;  // by which checkpoints tell the tensors apart
    for (const TensorSpec& spec : attached.specs) PERMILLE_ASSERT(names.insert(spec.name).second);
    const auto options = at::TensorOptions(at::kDouble).device(base.device());
    for (at::Tensor* sum :
         {&running.loss, &running.contrast, &running.norm, &running.skipped, &running.in_row, &running.longest_row, &running.last_loss})
        *sum = at::zeros({}, options);
    if (base.compute() == at::kHalf) running.scale = at::full({}, loss_scale, options.dtype(at::kFloat));
    if (settings.average_decay > 0)
        for (std::size_t i = 0; i < attached.values.size(); ++i)
            average.push_back(attached.specs[i].role == TensorRole::trained ? attached.values[i].detach().clone() : at::Tensor());
}

TrainingState::Sums TrainingState::read(const EventSink& log) {
    const at::NoGradGuard guard;
    std::vector<at::Tensor> list = {running.loss,   running.contrast,    running.norm,     running.skipped,
                                    running.in_row, running.longest_row, running.last_loss};
    if (running.scale.defined()) list.push_back(running.scale.to(at::kDouble));
    const at::Tensor values = at::stack(list).to(at::kCPU);
    const double* value = values.const_data_ptr<double>();
    const auto skipped_now = static_cast<std::int64_t>(value[3]), in_row = static_cast<std::int64_t>(value[4]);
    if (update > 0) last_loss = value[6];
    if (running.scale.defined()) loss_scale = value[7];
    running.skipped.zero_();
    skipped += skipped_now;
    if (value[5] >= kMostSkipped)
        throw Error(ErrorKind::not_a_number, "update " + std::to_string(in_row >= kMostSkipped ? update - in_row + kMostSkipped : update),
                    "loss or gradient was not a number eight times in a row (loss " + std::to_string(last_loss) + ")",
                    "lower the learning rate (now " + std::to_string(learning_rate) + "), or use float32");
    if (skipped_now > 0)
        log_to(log, "up to update " + std::to_string(update) + ": the gradient was not a number in " + std::to_string(skipped_now) +
                        (skipped_now == 1 ? " update, which was skipped" : " updates, which were skipped"));
    return {value[0], value[1], value[2]};
}

void TrainingState::restart_sums() {
    const at::NoGradGuard guard;
    for (at::Tensor* sum : {&running.loss, &running.contrast, &running.norm}) sum->zero_();
}

double TrainingState::rate() const {
    return learning_rate * schedule_factor(settings.schedule, update, settings.warmup_updates, settings.updates, settings.schedule_power);
}

// The decay is lower at the beginning, (1 + t) / (10 + t), so that a short run's average is not mostly its start.
void TrainingState::take_average() {
    const auto t = static_cast<double>(update);
    const double decay = std::min(settings.average_decay, (1.0 + t) / (10.0 + t));
    for (std::size_t i = 0; i < average.size(); ++i)
        if (average[i].defined()) average[i].lerp_(attached.values[i].detach(), 1.0 - decay);
}

void TrainingState::exchange_average() {
    const at::NoGradGuard guard;
    for (std::size_t i = 0; i < average.size(); ++i) {
        if (!average[i].defined()) continue;
        const at::Tensor value = attached.values[i].detach().clone();
        attached.values[i].copy_(average[i]);
        average[i].copy_(value);
    }
}

void TrainingState::keep_best(double loss, std::optional<double> bleu) {
    const at::NoGradGuard guard;
    best_loss = loss;
    best_bleu = bleu;
    best_update = update;
    without_improvement = 0;
    best.clear();
    for (const at::Tensor& value : attached.values) best.push_back(value.detach().clone());
}

std::string TrainingState::identity(std::size_t train_pairs) const {
    return sha256(attached.method->info().id + attached.settings.dump() + settings.identity().dump() + std::to_string(seed) + "/" +
                  std::to_string(train_pairs) + "/" + std::to_string(learning_rate));
}

NamedTensors TrainingState::tensors() const {
    NamedTensors tensors;
    for (std::size_t i = 0; i < attached.values.size(); ++i) {
        tensors.emplace_back("value." + attached.specs[i].name, attached.values[i]);
        if (!average.empty() && average[i].defined()) tensors.emplace_back("average." + attached.specs[i].name, average[i]);
    }
    tensors.insert(tensors.end(), optimiser->state().begin(), optimiser->state().end());
    return tensors;
}

NamedTensors TrainingState::best_tensors() const {
    NamedTensors tensors;
    for (std::size_t i = 0; i < best.size(); ++i) tensors.emplace_back("best." + attached.specs[i].name, best[i]);
    return tensors;
}

Json TrainingState::counts() const {
    Json json = {{"update", update},
                 {"best_update", best_update},
                 {"without_improvement", without_improvement},
                 {"skipped", skipped},
                 {"validated", validated},
                 {"tokens", tokens},
                 {"last_loss", std::isfinite(last_loss) ? last_loss : 0.0},
                 {"seconds", seconds},
                 {"loss_scale", loss_scale}};
    if (best_loss && std::isfinite(*best_loss)) json["best_loss"] = *best_loss;
    if (best_bleu) json["best_bleu"] = *best_bleu;
    return json;
}

void TrainingState::restore(const TensorMap& tensors, const TensorMap& kept, const Json& counts, const std::string& where) {
    const at::NoGradGuard guard;
    const auto find = [&](const TensorMap& map, const std::string& name, const at::Tensor& like) {
        const auto found = map.find(name);
        if (found == map.end() || found->second.sizes() != like.sizes())
            throw Error(ErrorKind::tensor, where + ", " + name, "is missing or of another shape", "remove the file");
        return found->second;
    };
    for (std::size_t i = 0; i < attached.values.size(); ++i) {
        const std::string& name = attached.specs[i].name;
        attached.values[i].copy_(find(tensors, "value." + name, attached.values[i]));
        if (!average.empty() && average[i].defined()) average[i].copy_(find(tensors, "average." + name, average[i]));
    }
    optimiser->load(tensors, where);
    best.clear();
    if (!kept.empty())
        for (std::size_t i = 0; i < attached.values.size(); ++i)
            best.push_back(find(kept, "best." + attached.specs[i].name, attached.values[i]).to(attached.values[i].device(), false, true));
    update = counts.at("update").get<std::int64_t>();
    best_update = counts.at("best_update").get<std::int64_t>();
    without_improvement = counts.at("without_improvement").get<std::int64_t>();
    skipped = counts.at("skipped").get<std::int64_t>();
    validated = counts.value("validated", std::int64_t{-1});
    tokens = counts.at("tokens").get<std::int64_t>();
    last_loss = counts.at("last_loss").get<double>();
    seconds = counts.at("seconds").get<double>();
    loss_scale = counts.at("loss_scale").get<double>();
    running.last_loss.fill_(last_loss);
    if (running.scale.defined()) running.scale.fill_(loss_scale);
    if (counts.contains("best_loss")) best_loss = counts["best_loss"].get<double>();
    if (counts.contains("best_bleu")) best_bleu = counts["best_bleu"].get<double>();
    attached.refresh(base);
}

}  // namespace permille
