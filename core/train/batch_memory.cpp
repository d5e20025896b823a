#include "core/train/batch_memory.h"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/models/seq2seq.h"
#include "core/nn/backward.h"
#include "core/nn/threads.h"
#include "core/peft/attach.h"

namespace permille {

namespace {

constexpr std::int64_t kNarrow = 32;  // at least
constexpr std::int64_t kVocabulary = 64, kSentences = 4;

// libtorch tells it of every block of memory that a tensor takes and gives back.
class Counter : public c10::MemoryReportingInfoBase {
public:
    void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device) override {
        held_ += size;
        peak_ = std::max(peak_, held_);
    }
    bool memoryProfilingEnabled() const override { return true; }
    void start() { peak_ = start_ = held_; }
    std::int64_t peak() const { return peak_ - start_; }

private:
    std::int64_t held_ = 0, peak_ = 0, start_ = 0;
};

Architecture narrowed(Architecture a, std::int64_t width, std::int64_t tokens) {
    const auto part = [&](std::int64_t size) { return std::max<std::int64_t>(1, size * width / a.d_model); };
    a.encoder_ffn = part(a.encoder_ffn);
    a.decoder_ffn = part(a.decoder_ffn);
    a.d_model = width;
    a.max_positions = 4 * (a.max_positions + tokens);  // room for virtual tokens
    a.vocab_size = kVocabulary;
    if (a.source_vocab_size) a.source_vocab_size = kVocabulary;
    a.pad_id = 1;
    a.bos_id = 0;
    a.eos_id = a.decoder_start_id = 2;
    return a;
}

std::int64_t peak_of(const Architecture& a, const Method& method, const Json& settings, const TrainingSettings& training,
                     at::ScalarType compute, std::int64_t tokens) {
    const auto counter = std::make_shared<Counter>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
    std::vector<at::Tensor> weights;
    for (const ParameterSpec& parameter : make_layout(a).parameters) {
        const bool matrix = parameter.role == ParameterRole::matrix || parameter.role == ParameterRole::embedding;
        weights.push_back(at::zeros(parameter.shape, matrix ? compute : at::kFloat));
    }
    const Seq2Seq network(a, std::move(weights), {}, compute);
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : method.tensors(network.layout(), settings)) values.push_back(at::zeros(spec.shape, spec.type));
    const Attached attached = attach_values(method, network, settings, std::move(values));
    const std::vector<std::vector<std::int64_t>> sentences(kSentences, std::vector<std::int64_t>(static_cast<std::size_t>(tokens), 5));
    const TokenRows rows = TokenRows::of(sentences, at::kCPU);
    Forward forward = network.training(*attached.attachment, training.dropout, 1);
    std::int64_t waiting = 0;  // layers that are computed again name all trained values, whose gradients wait for the last of them
    for (const at::Tensor& value : attached.values) {
        if (!value.requires_grad()) continue;
        at::Tensor own = value;
        own.mutable_grad() = at::zeros_like(value);  // so that what follows is the batch's own
        if (!training.gradient_checkpointing) continue;
        forward.recompute.push_back(value);
        waiting += static_cast<std::int64_t>(value.nbytes());
    }
    counter->start();
    const at::Tensor states = network.decode(forward, network.encode(forward, rows), rows);
    if (states.requires_grad()) backward(states.sum());
    return std::max<std::int64_t>(0, counter->peak() - waiting);
}

}  // namespace

double batch_bytes_per_sentence(const Architecture& architecture, const Method& method, const Json& settings,
                                const TrainingSettings& training, c10::ScalarType compute, std::int64_t tokens) {
    const OneThread guard;  // too small to be divided: several would only wait for each other
    const std::int64_t heads = std::lcm(architecture.encoder_heads, architecture.decoder_heads);
    const std::int64_t whole = std::lcm(heads, 4);  // methods divide widths, too
    const std::int64_t width = (kNarrow + whole - 1) / whole * whole;
    const auto peak = [&](std::int64_t at) {
        const Architecture a = narrowed(architecture, at, tokens);
        try {
            return static_cast<double>(peak_of(a, method, settings, training, compute, tokens));
        } catch (const Error&) {  // sizes that do not divide a narrow width: the method with its own sizes tells nearly the same
            return static_cast<double>(peak_of(a, method, method.complete(Json::object()), training, compute, tokens));
        }
    };
    const double first = peak(width), slope = (peak(2 * width) - first) / static_cast<double>(width);
    return (first + slope * static_cast<double>(architecture.d_model - width)) / static_cast<double>(kSentences);
}

}  // namespace permille
