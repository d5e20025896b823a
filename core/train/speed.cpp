#include "core/train/speed.h"

#include <ATen/ATen.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <map>
#include <mutex>
#include <string>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/nn/threads.h"

namespace permille {

namespace {

// The shapes of a batch of a thousand tokens, a middling model's width and its feed-forward network's.
constexpr std::int64_t kRows = 1000, kWidth = 512, kMiddle = 1024;
constexpr int kTimes = 20;

std::string processor() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
    return "unknown";
}

double thread_seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The shortest of several times, the first not counted.
template <class Work>
double shortest(Work&& work) {
    work();
    double best = 1e9;
    for (int i = 0; i < kTimes; ++i) {
        const double started = thread_seconds();
        work();
        best = std::min(best, thread_seconds() - started);
    }
    return std::max(best, 1e-9);
}

MachineSpeed measured(at::ScalarType compute) {
    const c10::InferenceMode no_gradients;
    const OneThread one_thread;
    MachineSpeed speed;
    const auto options = at::TensorOptions(compute);
    const at::Tensor x = at::ones({kRows, kWidth}, options), weight = at::ones({kMiddle, kWidth}, options);
    speed.products = 2.0 * kRows * kWidth * kMiddle / shortest([&] { at::linear(x, weight); });
    const at::Tensor rows = at::ones({kRows, kWidth});
    speed.passes = 2.0 * kRows * kWidth / shortest([&] { at::layer_norm(rows + rows, {kWidth}); });
    return speed;
}

}  // namespace

MachineSpeed machine_speed(c10::ScalarType compute, const std::filesystem::path& file) {
    const std::string type = c10::toString(compute);
    const Json machine = {{"processor", processor()}, {"torch", TORCH_VERSION}};
    Json kept;
    try {
        kept = read_json(file);
    } catch (const Error&) {  // not there, or not ours: it only saves measuring again
    }
    if (!kept.is_object() || kept.value("machine", Json()) != machine || !kept.value("types", Json()).is_object())
        kept = {{"machine", machine}, {"types", Json::object()}};
    const Json own = kept["types"].value(type, Json());
    const auto number = [&](const char* name) {
        return own.is_object() && own.contains(name) && own[name].is_number() ? own[name].get<double>() : 0.0;
    };
    MachineSpeed speed{number("products_per_second"), number("passes_per_second")};
    if (speed.products > 0 && speed.passes > 0) return speed;
    speed = measured(compute);
    kept["types"][type] = {{"products_per_second", speed.products}, {"passes_per_second", speed.passes}};
    try {
        make_folder(file.parent_path());
        write_json(file, kept);
    } catch (const Error&) {  // the next process measures again
    }
    return speed;
}

MachineSpeed machine_speed(c10::ScalarType compute) {
    static std::mutex mutex;
    static std::map<c10::ScalarType, MachineSpeed> known;
    const std::lock_guard lock(mutex);
    const auto found = known.find(compute);
    return found != known.end() ? found->second : known[compute] = machine_speed(compute, data_home() / "speed.json");
}

double threads_speedup(int threads) {
    constexpr double kAlone = 0.1;
    return 1.0 / (kAlone + (1.0 - kAlone) / static_cast<double>(std::max(1, threads)));
}

}  // namespace permille
