// Trains a method on a model folder: {"model", "pairs": file of [[source ids], [labels]] lines, "method", "settings", "batch_tokens",
// "updates" (of one measurement, a multiple of 10), "device", "dtype", "threads"}.
#include <ATen/Parallel.h>

#include "core/base/error.h"
#include "core/base/process.h"
#include "core/train/trainer.h"
#include "tests/bench/measure.h"
#include "tests/bench/on_device.h"

using namespace permille;

namespace {

std::vector<TokenPair> read_pairs(const std::string& file) {
    std::ifstream lines(file);
    std::vector<TokenPair> pairs;
    for (std::string line; std::getline(lines, line);) {
        const Json pair = parse_json(line, file);
        pairs.push_back({pair.at(0).get<std::vector<std::int32_t>>(), pair.at(1).get<std::vector<std::int32_t>>()});
    }
    return pairs;
}

int measure(const Json& request) {
    at::set_num_threads(request.at("threads").get<int>());
    const auto base = bench::open_base(request);
    const auto pairs = read_pairs(request.at("pairs").get<std::string>());
    const std::vector<TokenPair> none;
    Attached attached =
        attach_method(find_method_by_id(request.at("method").get<std::string>(), "method"), *base->network, request.at("settings"), 1);
    TrainingSettings settings;
    settings.updates = 1 << 30;
    settings.schedule = "constant";
    settings.batch_tokens = request.at("batch_tokens").get<std::int64_t>();
    settings.validate_every = 0;
    settings.checkpoint_every = 0;
    std::stop_source stop;
    std::int64_t left = 0;
    TrainerHooks hooks;
    hooks.sink = [&](const Event& event) {  // comes every ten updates
        if (figure_in(event, StepFigure::train_loss) && (left -= 10) <= 0) stop.request_stop();
    };
    Trainer trainer(*base->network, attached, pairs, none, settings, 1e-4, 1, "", hooks);
    std::int64_t tokens = 0;
    return bench::serve([&] {
        stop = std::stop_source();
        left = request.at("updates").get<std::int64_t>();
        const TrainingResult result = trainer.run(stop.get_token());
        const std::int64_t before = std::exchange(tokens, result.tokens);
        Json measured{{"units", result.tokens - before}, {"loss", result.last_train_loss}};
        bench::finish(measured, base->network->device());
        return measured;
    });
}

}  // namespace

int main(int, char** arguments) {
    prepare_process();
    try {
        return measure(parse_json(arguments[1] ? arguments[1] : "", "request"));
    } catch (const std::exception& error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
}
