// Holds the estimates of `permille info --memory` and `permille budget` against processes that do it: every method trains, so do some with
// settings that change what a training costs, and the base translates, each in a process of its own, on models made here. Prints a table;
// fails when an estimate of memory is off by more than kMemoryFactor. The estimate of CPU time is shown beside what it took, no more: a
// busy machine is no fault.
//     bench_memory                     all of it
//     bench_memory FOLDER TASK DTYPE   one measurement, as JSON; TASK: translate, or a method's id and settings of the training:
//                                      "full optimiser=adafactor"
//     bench_memory FOLDER open DTYPE   what opening takes; then, for every line on standard input, what is held with every weight in use
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numbers>
#include <sstream>

#include "core/base/error.h"
#include "core/base/process.h"
#include "core/decode/beam.h"
#include "core/models/base_model.h"
#include "core/nn/device.h"
#include "core/study/budgets.h"
#include "core/train/costs.h"
#include "core/train/trainer.h"
#include "tests/bench/measure.h"

using namespace permille;
namespace fs = std::filesystem;

namespace {

// The heap of Debian 13's C library holds up to a fifth less for the same work than that of Debian 12's, by which the estimates were made.
constexpr double kMemoryFactor = 1.6;
constexpr std::int64_t kUpdates = 8;

struct Shape {
    std::string name;
    std::int64_t d_model, layers, ffn, heads, vocabulary;
    std::vector<std::string> tasks;  // beside translating
};

// All methods on one where a method's share shows; settings on one where the layers weigh more, and on one where the vocabulary does.
std::vector<Shape> shapes() {
    std::vector<std::string> all;
    for (const auto& method : methods()) all.push_back(method->info().id);
    return {{"wide", 384, 2, 1536, 6, 8000, all},
            {"deep",
             384,
             4,
             1536,
             6,
             8000,
             {"lora", "lora gradient_checkpointing=true", "lora average_decay=0.99", "lora accumulate=3", "lora teacher=itself", "full",
              "full optimiser=adafactor", "full gradient_checkpointing=true", "full average_decay=0.99"}},
            {"many-words", 256, 3, 1024, 4, 64000, {"lora", "full", "full optimiser=adafactor"}}};
}

Json config_of(const Shape& shape) {
    return {{"model_type", "m2m_100"},
            {"d_model", shape.d_model},
            {"encoder_layers", shape.layers},
            {"decoder_layers", shape.layers},
            {"encoder_attention_heads", shape.heads},
            {"decoder_attention_heads", shape.heads},
            {"encoder_ffn_dim", shape.ffn},
            {"decoder_ffn_dim", shape.ffn},
            {"vocab_size", shape.vocabulary},
            {"max_position_embeddings", 256},
            {"scale_embedding", true}};
}

void make_model(const fs::path& folder, const Shape& shape) {
    const Json config = config_of(shape);
    fs::create_directories(folder);
    write_json(folder / "config.json", config);
    const Layout layout = describe_model(folder).layout;
    at::manual_seed(1);
    std::vector<at::Tensor> weights;
    for (const ParameterSpec& spec : layout.parameters)
        weights.push_back(spec.role == ParameterRole::norm_weight ? at::ones(spec.shape) : at::randn(spec.shape) * 0.03);
    save_model(folder, config, layout, weights, at::kFloat);
}

// Sentences of kSentenceTokens tokens on average and with a long tail, as in text, or all of that length.
std::vector<TokenPair> make_pairs(std::int64_t vocabulary, bool varied) {
    std::vector<TokenPair> pairs(static_cast<std::size_t>(1200));
    SeededRandom random(1);
    for (TokenPair& pair : pairs) {
        const double normal = std::sqrt(-2 * std::log(1 - random.unit())) * std::cos(2 * std::numbers::pi * random.unit());
        const double length = varied ? std::clamp(0.85 * kSentenceTokens * std::exp(0.6 * normal), 3.0, 120.0) : kSentenceTokens;
        for (auto* side : {&pair.source, &pair.labels}) {
            side->resize(static_cast<std::size_t>(length * (varied ? 0.9 + 0.2 * random.unit() : 1.0)));
            for (std::int32_t& id : *side) id = static_cast<std::int32_t>(4 + random.below(static_cast<std::uint64_t>(vocabulary - 4)));
        }
    }
    return pairs;
}

// A task: the method, and the settings of the training.
std::pair<std::string, TrainingSettings> parse_task(const std::string& task) {
    std::istringstream words(task);
    std::string method, word;
    words >> method;
    Json given = Json::object();
    while (words >> word) {
        const std::string name = word.substr(0, word.find('=')), value = word.substr(word.find('=') + 1);
        const bool text = value.find_first_not_of("0123456789.") != std::string::npos && value != "true";
        given[name] = text ? Json(value) : parse_json(value, task);
    }
    TrainingSettings training = TrainingSettings::fields().parse(given, task);
    training.updates = kUpdates;
    training.validate_every = 0;
    training.checkpoint_every = 0;
    return {method, training};
}

Json measure_training(const BaseModel& base, const std::string& task) {
    const auto [id, training] = parse_task(task);
    const auto pairs = make_pairs(base.network->architecture().vocab_size, true);
    const Method& method = find_method_by_id(id, "method");
    Attached attached = attach_method(method, *base.network, method.complete(Json::object()), 1);
    const std::vector<TokenPair> valid(pairs.begin(), pairs.begin() + 20);
    TrainerHooks hooks;
    if (!training.teacher.empty()) hooks.teacher = base.network.get();
    Trainer trainer(*base.network, attached, pairs, valid, training, 1e-4, 1, "", hooks);
    const double cpu = bench::cpu_seconds(), wall = bench::wall_seconds();
    const TrainingResult result = trainer.run({});
    // Of training proper, as its share of the time on the wall.
    const double used = (bench::cpu_seconds() - cpu) * result.seconds / (bench::wall_seconds() - wall);
    return {{"peak_bytes", bench::peak_bytes()}, {"cpu_seconds_per_1000_updates", 1000 * used / static_cast<double>(result.updates)}};
}

Json measure(const std::string& folder, const std::string& task, const std::string& dtype) {
    at::set_num_threads(1);
    const auto base = load_base(folder, at::kCPU, parse_dtype(dtype, at::kCPU));
    if (task != "translate") return measure_training(*base, task);
    const DecodingSettings decoding;
    SearchSettings search;
    search.beam_size = decoding.beam_size;
    search.max_length = kSentenceTokens * 3 / 2;  // random weights never end a sentence
    search.batch_tokens = decoding.batch_tokens;
    const auto pairs = make_pairs(base->network->architecture().vocab_size, false);
    std::vector<std::vector<std::int64_t>> sources;
    for (std::size_t i = 0; i < 20; ++i) sources.emplace_back(pairs[i].source.begin(), pairs[i].source.end());
    beam_search(*base->network, nullptr, sources, search);
    return {{"peak_bytes", bench::peak_bytes()}};
}

int measure_opening(const std::string& folder, const std::string& dtype) {
    at::set_num_threads(1);
    const double start = bench::wall_seconds();
    const auto base = load_base(folder, at::kCPU, parse_dtype(dtype, at::kCPU));
    Json opened = bench::memory_now();
    opened["wall_seconds"] = bench::wall_seconds() - start;
    const auto use = [&] {
        double sum = 0;
        for (const at::Tensor& weight : base->network->weights()) sum += weight.sum().item<double>();
        Json now = bench::memory_now();
        now["sum"] = sum;
        return now;
    };
    return bench::serve(use, opened);
}

Json measured(const std::string& program, const std::string& folder, const std::string& task, const std::string& dtype) {
    const std::string command = "'" + program + "' '" + folder + "' '" + task + "' " + dtype;
    FILE* child = popen(command.c_str(), "r");
    if (!child) throw Error(ErrorKind::internal, "bench_memory", "cannot start itself");
    std::string text(400, '\0');
    text.resize(fread(text.data(), 1, text.size(), child));
    if (pclose(child) != 0) throw Error(ErrorKind::internal, command, "failed");
    return parse_json(text, command);
}

// Prints the two figures and gives their ratio.
double compare(const char* what, const char* unit, double estimate, double found) {
    std::printf("  %s %5.0f of %5.0f %s, ratio %.2f", what, estimate, found, unit, estimate / found);
    return estimate / found;
}

// Whether the estimate of one task's memory holds.
bool hold(const std::string& program, const std::string& folder, const Shape& shape, const std::string& task, const std::string& dtype) {
    DeviceSettings device;
    device.dtype = dtype;
    device.threads = 1;
    const ModelDescription base = describe_model(folder);
    const Json found = measured(program, folder, task, dtype);
    std::printf("%-10s %-8s %-32s", shape.name.c_str(), dtype.c_str(), task.c_str());
    const double peak = found.at("peak_bytes").get<double>() / 1e6;
    double ratio = 0;
    if (task == "translate") {
        ratio = compare("memory", "MB", static_cast<double>(memory_needs(folder, {}, {}, device).inference_bytes) / 1e6, peak);
    } else {
        const auto [id, training] = parse_task(task);
        const Method& method = find_method_by_id(id, "method");
        const TrainingCosts costs =
            training_costs(base, method, method.complete(Json::object()), training, device, training.teacher.empty() ? nullptr : &base);
        ratio = compare("memory", "MB", static_cast<double>(costs.peak_memory_bytes) / 1e6, peak);
        compare("time", "s", costs.seconds_per_1000_updates, found.at("cpu_seconds_per_1000_updates").get<double>());
    }
    const bool good = ratio <= kMemoryFactor && ratio >= 1 / kMemoryFactor;
    std::printf("%s\n", good ? "" : "  MEMORY TOO FAR");
    std::fflush(stdout);
    return good;
}

int compare_all(const std::string& program) {
    std::string pattern = (fs::temp_directory_path() / "permille-memory-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw Error(ErrorKind::internal, pattern, "cannot be made");
    int failed = 0;
    for (const Shape& shape : shapes()) {
        const std::string folder = pattern + "/" + shape.name;
        make_model(folder, shape);
        for (const std::string& task : shape.tasks) failed += !hold(program, folder, shape, task, "float32");
        failed += !hold(program, folder, shape, "translate", "float32");
        // What a method adds is float32 in any case, so one shows the rest.
        for (const char* task : {"lora", "translate"}) failed += !hold(program, folder, shape, task, "bfloat16");
    }
    fs::remove_all(pattern);
    return failed ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
    prepare_process();
    try {
        if (count != 4) return compare_all(fs::read_symlink("/proc/self/exe").string());
        if (std::string(arguments[2]) == "open") return measure_opening(arguments[1], arguments[3]);
        std::cout << measure(arguments[1], arguments[2], arguments[3]).dump() << std::endl;
        return 0;
    } catch (const std::exception& error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
}
