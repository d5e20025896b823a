// Holds the estimates of `permille info --memory` against the peak of a process that does it: every method trains, and the base translates,
// each in a process of its own, on models made here. Prints a table; fails when an estimate is off by more than kMemoryFactor.
//     bench_memory                     all of it
//     bench_memory FOLDER TASK DTYPE   one measurement (TASK: translate or a method's id), as JSON
//     bench_memory FOLDER open DTYPE   what opening takes; then, for every line on standard input, what is held with every weight in use
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/process.h"
#include "core/decode/beam.h"
#include "core/jobs/budget.h"
#include "core/models/base_model.h"
#include "core/train/trainer.h"
#include "tests/bench/measure.h"

using namespace permille;
namespace fs = std::filesystem;

namespace {

struct Shape {
    std::string name;
    std::int64_t d_model, layers, ffn, heads, vocabulary;
};
// One where the layers weigh more, one where the vocabulary does.
const std::vector<Shape> kShapes = {{"deep", 512, 4, 2048, 8, 8000}, {"many-words", 256, 3, 1024, 4, 64000}};

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

std::vector<TokenPair> make_pairs(std::int64_t vocabulary) {
    std::vector<TokenPair> pairs(300);
    std::uint32_t state = 1;
    for (TokenPair& pair : pairs)
        for (auto* side : {&pair.source, &pair.labels})
            for (std::int64_t i = 0; i < kSentenceTokens; ++i) {
                state = state * 1664525u + 1013904223u;
                side->push_back(static_cast<std::int32_t>(4 + (state >> 8) % static_cast<std::uint32_t>(vocabulary - 4)));
            }
    return pairs;
}

Json measure(const std::string& folder, const std::string& task, const std::string& dtype) {
    at::set_num_threads(1);
    const auto base = load_base(folder, at::kCPU, parse_dtype(dtype, at::kCPU));
    const auto pairs = make_pairs(base->network->architecture().vocab_size);
    TrainingSettings training;
    DecodingSettings decoding;
    if (task == "translate") {
        SearchSettings search;
        search.beam_size = decoding.beam_size;
        search.max_length = kSentenceTokens * 3 / 2;  // random weights never end a sentence
        search.batch_tokens = decoding.batch_tokens;
        std::vector<std::vector<std::int64_t>> sources;
        for (std::size_t i = 0; i < 20; ++i) sources.emplace_back(pairs[i].source.begin(), pairs[i].source.end());
        beam_search(*base->network, nullptr, sources, search);
    } else {
        training.updates = 2;
        training.validate_every = 1;
        training.checkpoint_every = 0;
        Attached attached =
            attach_method(find_method_by_id(task, "method"), *base->network, find_method_by_id(task, "method").complete(Json::object()), 1);
        const std::vector<TokenPair> valid(pairs.begin(), pairs.begin() + 20);
        Trainer trainer(*base->network, attached, pairs, valid, training, 1e-4, 1, "", {});
        trainer.run({});
    }
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
    const std::string command = "'" + program + "' '" + folder + "' " + task + " " + dtype;
    FILE* child = popen(command.c_str(), "r");
    if (!child) throw Error(ErrorKind::internal, "bench_memory", "cannot start itself");
    std::string text(200, '\0');
    text.resize(fread(text.data(), 1, text.size(), child));
    if (pclose(child) != 0) throw Error(ErrorKind::internal, command, "failed");
    return parse_json(text, command);
}

int compare(const std::string& program) {
    std::string pattern = (fs::temp_directory_path() / "permille-memory-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw Error(ErrorKind::internal, pattern, "cannot be made");
    int failed = 0;
    for (const Shape& shape : kShapes) {
        const std::string folder = pattern + "/" + shape.name;
        make_model(folder, shape);
        for (const char* dtype : {"float32", "bfloat16"}) {
            DeviceSettings device;
            device.dtype = dtype;
            const MemoryNeeds needs = memory_needs(folder, {}, {}, device);
            auto tasks = needs.training_bytes;
            // What a method adds is float32 in any case, so one shows the rest.
            if (std::string(dtype) != "float32") std::erase_if(tasks, [](const auto& task) { return task.first != "lora"; });
            tasks.emplace_back("translate", needs.inference_bytes);
            for (const auto& [task, estimate] : tasks) {
                const auto peak = measured(program, folder, task, dtype).at("peak_bytes").get<std::int64_t>();
                const double ratio = static_cast<double>(estimate) / static_cast<double>(peak);
                const bool good = ratio <= kMemoryFactor && ratio >= 1 / kMemoryFactor;
                std::printf("%-12s %-9s %-12s estimate %6.0f MB, peak %6.0f MB, ratio %.2f%s\n", shape.name.c_str(), dtype, task.c_str(),
                            static_cast<double>(estimate) / 1e6, static_cast<double>(peak) / 1e6, ratio, good ? "" : "  TOO FAR");
                std::fflush(stdout);
                failed += !good;
            }
        }
    }
    fs::remove_all(pattern);
    return failed ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
    prepare_process();
    try {
        if (count != 4) return compare(fs::read_symlink("/proc/self/exe").string());
        if (std::string(arguments[2]) == "open") return measure_opening(arguments[1], arguments[3]);
        std::cout << measure(arguments[1], arguments[2], arguments[3]).dump() << std::endl;
        return 0;
    } catch (const std::exception& error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
}
