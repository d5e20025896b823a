#include "core/train/costs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/nn/device.h"
#include "core/nn/threads.h"
#include "core/train/batch_memory.h"
#include "core/train/speed.h"

namespace permille {

namespace {

// The program, libtorch, and what the allocator holds in any case.
constexpr double kProgramBytes = 170e6;
// Batches differ in shape, so that what one leaves in the heap does not fit the next: the heap is about so many times as large as what is
// in use at once. It goes on growing, ever more slowly, for some hundred updates.
constexpr double kHeapSlack = 2.0;
// Plain operators over the rows of one layer, forward: norms, residuals with dropout, biases, the reshaping around attention; and over the
// rows of the feed-forward network's middle, and over logits.
constexpr double kEncoderPasses = 14, kDecoderPasses = 24, kMiddlePasses = 3, kLogitPasses = 6;
// Of a trained value at each update: gradient norm, clipping, the optimiser.
constexpr double kAdamWPasses = 8, kAdafactorPasses = 16;

double count_of(std::int64_t value) { return static_cast<double>(value); }

// The estimates are for the CPU, where half the bytes are bfloat16.
// Estimates are of the CPU; float16, which it does not compute in, takes the room of bfloat16.
at::ScalarType compute_type(const DeviceSettings& device) {
    return device.dtype == "float16" ? at::kBFloat16 : parse_dtype(device.dtype, at::kCPU);
}

double type_bytes(const DeviceSettings& device) { return compute_type(device) == at::kFloat ? 4 : 2; }

bool is_matrix(const ParameterSpec& parameter) {
    return parameter.role == ParameterRole::matrix || parameter.role == ParameterRole::embedding;
}

// A stack of layers as its costs see it.
struct Stack {
    std::string_view name;
    double layers = 0, width = 0, middle = 0, heads = 0;
    bool decoder = false;
    double matrices = 0;        // scalars of all layers' projections
    double trained = 0;         // of them, those that train in place
    double added = 0;           // scalars of a method's own matrices that rows pass through
    double inputs = 0;          // widths of what those read
    double lowest = 0;          // the first layer whose values have gradients; `layers`: none
    double virtual_tokens = 0;  // around every sentence
    double prefix = 0;          // keys before those of every sentence, summed over the attentions
    double linears = 0;         // projections that something is attached to
    double rows = 0;            // of a batch

    bool holds(std::string_view path) const { return path.find(name) != std::string_view::npos; }
    // The layer that "decoder.3.ffn.fc1" or "model.decoder.layers.3.fc1.weight" lies in; what lies before the layers is -1.
    double layer_of(std::string_view path) const {
        std::string_view rest = path.substr(path.find(name) + name.size());
        if (rest.starts_with(".layers")) rest.remove_prefix(7);
        if (rest.starts_with(".") && rest.size() > 1 && rest[1] >= '0' && rest[1] <= '9') return std::stod(std::string(rest.substr(1)));
        return rest.starts_with(".norm") || rest.starts_with(".layer_norm") ? layers : -1;
    }
    // Layers that the backward pass goes through.
    double taught() const { return std::clamp(layers - std::max(lowest, 0.0), 0.0, layers); }
    double taught_share() const { return layers > 0 ? taught() / layers : 0; }
};

struct Stacks {
    Stack encoder, decoder;
};

Stacks stacks_of(const ModelDescription& base, const TrainingSettings& training) {
    const Architecture& a = base.architecture;
    Stacks stacks;
    stacks.encoder = {"encoder", count_of(a.encoder_layers), count_of(a.d_model), count_of(a.encoder_ffn), count_of(a.encoder_heads),
                      false};
    stacks.decoder = {"decoder", count_of(a.decoder_layers), count_of(a.d_model), count_of(a.decoder_ffn), count_of(a.decoder_heads), true};
    for (const ParameterSpec& parameter : base.layout.parameters)
        if (parameter.role == ParameterRole::matrix)
            (parameter.name.starts_with("model.encoder") ? stacks.encoder : stacks.decoder).matrices += count_of(parameter.count());
    for (Stack* stack : {&stacks.encoder, &stacks.decoder}) {
        stack->rows = count_of(training.batch_tokens) / 2;
        stack->lowest = stack->layers;
    }
    return stacks;
}

// What a method adds to the stacks: where it attaches is read off the sites, with tensors that have a shape and no values.
struct Attaching {
    double trained = 0, largest = 0, kept_bytes = 0, optimiser_bytes = 0, table = 0;

    Attaching(const ModelDescription& base, const Method& method, const Json& settings, bool adafactor, Stacks& stacks) {
        const Layout& layout = base.layout;
        const std::vector<TensorSpec> specs = method.tensors(layout, settings);
        std::vector<at::Tensor> shapes;
        for (const TensorSpec& spec : specs)
            shapes.push_back(
                at::empty(spec.shape, at::TensorOptions(at::kMeta).dtype(spec.role == TensorRole::trained ? at::kFloat : spec.type)));
        Attachment attachment(layout);
        method.attach(attachment, layout, settings, shapes);
        bool rows_pass = false;
        for (std::size_t i = 0; i < layout.sites.size(); ++i) {
            const Site& site = layout.sites[i];
            const int index = static_cast<int>(i);
            Stack& stack = site.name.starts_with("encoder") ? stacks.encoder : stacks.decoder;
            const bool rows = !attachment.linears.at(index).empty() || !attachment.outputs.at(index).empty();
            rows_pass = rows_pass || rows;
            if (!attachment.linears.at(index).empty()) stack.linears += 1;
            for (const auto& module : attachment.feed_forwards.at(index)) {
                const Site& fc1 = layout.sites[static_cast<std::size_t>(layout.site(site.name + ".fc1"))];
                const double block = 2 * count_of(fc1.in) * count_of(fc1.out), more = module->blocks_per_row() - 1;
                stack.matrices += more * block;
                stack.trained += (1 + more) * block;
                stack.middle += more * count_of(fc1.out) / stack.layers;
            }
            for (const auto& prompt : attachment.prompts.at(index)) stack.virtual_tokens += count_of(prompt->front() + prompt->back());
            for (const auto& prefix : attachment.prefixes.at(index)) stack.prefix += count_of(prefix->length());
            if (rows || !attachment.prompts.at(index).empty() || !attachment.prefixes.at(index).empty() ||
                !attachment.feed_forwards.at(index).empty())
                stack.lowest = std::min(stack.lowest, stack.layer_of(site.name));
        }
        for (const TensorSpec& spec : specs) {
            const double count = count_of(spec.count());
            kept_bytes += count * 2 * static_cast<double>(c10::elementSize(spec.type));  // and the best so far
            if (spec.role != TensorRole::trained) {
                // A fixed matrix that every projection shares: without gradients of its own.
                if (spec.role == TensorRole::constant && spec.shape.size() == 2 && spec.type == at::kFloat)
                    for (Stack* stack : {&stacks.encoder, &stacks.decoder}) stack->added += count * stack->linears * 2 / 3;
                continue;
            }
            trained += count;
            largest = std::max(largest, count);
            const double last = spec.shape.empty() ? 1 : count_of(spec.shape.back());
            const double before = spec.shape.size() < 2 ? 1 : count_of(spec.shape[spec.shape.size() - 2]);
            optimiser_bytes += 4 * (!adafactor ? 2 * count : spec.shape.size() < 2 ? count : count / last + count / before);
            if (spec.base < 0) {
                // Rows pass through its matrices and vectors, but not through those that virtual tokens are made of. By its name it belongs
                // to one stack, or half to each.
                const bool makes_tokens = spec.name.find("prefix") != std::string::npos || spec.name.find("prompt") != std::string::npos;
                if (!rows_pass || makes_tokens || spec.shape.empty() || spec.shape.size() > 2) continue;
                const bool matrix = spec.shape.size() == 2;
                for (Stack* stack : {&stacks.encoder, &stacks.decoder}) {
                    const bool other = (stack->decoder ? stacks.encoder : stacks.decoder).holds(spec.name);
                    const double share = spec.name.find("encoder_attn") != std::string::npos ? stack->decoder
                                         : stack->holds(spec.name)                           ? 1
                                         : other                                             ? 0
                                                                                             : 0.5;
                    if (matrix) stack->added += share * count;
                    stack->inputs += share * last;
                }
                continue;
            }
            const ParameterSpec& parameter = layout.parameters[static_cast<std::size_t>(spec.base)];
            if (parameter.role == ParameterRole::embedding) table = std::max(table, count);
            const bool shared = !parameter.name.starts_with("model.encoder") && !parameter.name.starts_with("model.decoder");
            for (Stack* stack : {&stacks.encoder, &stacks.decoder}) {
                const bool own = parameter.name.starts_with("model." + std::string(stack->name));
                if (own) stack->lowest = std::min(stack->lowest, stack->layer_of(parameter.name.substr(6)));
                if (own && parameter.role == ParameterRole::matrix) stack->trained += count;
                if (shared && parameter.name != "lm_head.weight") stack->lowest = -1;
            }
        }
        // What the encoder's gradients come through.
        if (stacks.encoder.lowest < stacks.encoder.layers) stacks.decoder.lowest = std::min(stacks.decoder.lowest, 0.0);
        for (Stack* stack : {&stacks.encoder, &stacks.decoder}) stack->rows *= 1.0 + stack->virtual_tokens / count_of(kSentenceTokens);
    }
};

// Of one pass forward through a stack, for all its rows.
struct Work {
    double products = 0, passes = 0;
    Work operator*(double factor) const { return {products * factor, passes * factor}; }
    Work& operator+=(const Work& other) {
        products += other.products;
        passes += other.passes;
        return *this;
    }
};

Work forward_of(const Stack& stack) {
    const double length = count_of(kSentenceTokens) + stack.virtual_tokens, attentions = (stack.decoder ? 2 : 1) * stack.layers;
    const double keys = attentions * length + stack.prefix;
    const double passes = stack.layers * ((stack.decoder ? kDecoderPasses : kEncoderPasses) * stack.width + kMiddlePasses * stack.middle) +
                          keys * stack.heads;
    return {2 * stack.rows * (stack.matrices + 2 * keys * stack.width), stack.rows * passes};
}

Work training_work(const Stack& stack, bool again) {
    const Work forward = forward_of(stack);
    const double added = 2 * stack.rows * stack.added;
    Work work = forward * (1.0 + stack.taught_share() * (again ? 2 : 1));
    work.passes += forward.passes * stack.taught_share();  // backward an operator passes over what it read and over what comes in
    work.products += added * (again ? 4 : 3) + 2 * stack.rows * stack.trained;
    work.passes += 4 * stack.rows * stack.inputs;
    return work;
}

Work projection_work(const Architecture& a, double rows) {
    const double logits = rows * count_of(a.vocab_size);
    return {2 * logits * count_of(a.d_model), kLogitPasses * logits};
}

double update_seconds(const ModelDescription& base, const Stacks& stacks, const Attaching& attached, const TrainingSettings& training,
                      const DeviceSettings& device, bool adafactor, const ModelDescription* teacher) {
    Work work;
    for (const Stack* stack : {&stacks.encoder, &stacks.decoder}) work += training_work(*stack, training.gradient_checkpointing);
    const double target = count_of(training.batch_tokens) / 2;
    Work projection = projection_work(base.architecture, target);
    projection.products *= attached.table > 0 ? 3 : 2;  // with the gradients of the rows, and of the table
    work += projection;
    if (teacher) {
        const Stacks own = stacks_of(*teacher, training);
        for (const Stack* stack : {&own.encoder, &own.decoder}) work += forward_of(*stack);
        work += projection_work(teacher->architecture, target);
        work.passes += 2 * kLogitPasses * target * count_of(teacher->architecture.vocab_size);
    }
    work = work * count_of(training.accumulate);
    work.passes += attached.trained * ((adafactor ? kAdafactorPasses : kAdamWPasses) + (training.average_decay > 0 ? 2 : 0));
    const MachineSpeed speed = machine_speed(compute_type(device));
    const int threads = device.threads > 0 ? static_cast<int>(device.threads) : all_threads();
    return (work.products / speed.products + work.passes / speed.passes) / threads_speedup(threads);
}

double peak_bytes(const ModelDescription& base, const Method& method, const Json& settings, const Stacks& stacks, const Attaching& attached,
                  const TrainingSettings& training, const DeviceSettings& device, const ModelDescription* teacher) {
    const Architecture& a = base.architecture;
    const double target = count_of(training.batch_tokens) / 2;
    const auto batch_of = [&](std::int64_t tokens) {
        return target / count_of(tokens) * batch_bytes_per_sentence(a, method, settings, training, compute_type(device), tokens);
    };
    double batch = batch_of(kSentenceTokens);
    // Virtual tokens go with the sentences: a batch of short ones has more.
    if (stacks.encoder.virtual_tokens + stacks.decoder.virtual_tokens > 0) batch = std::max(batch, batch_of(kSentenceTokens / 2));
    // The loss holds some blocks of logits at a time; how large one may be, core/nn/vocabulary_loss.cpp says.
    const double block = std::min(target * count_of(a.vocab_size), attached.table > 0 ? 0x1p24 : 0x1p22);
    batch += (teacher ? 6 : 3) * block * 4;
    double lasting = kProgramBytes + count_of(weights_bytes(base.layout, device)) + attached.kept_bytes + attached.optimiser_bytes;
    lasting += attached.trained * 4 * (training.average_decay > 0 ? 2 : 1);  // gradient, average
    // The table's gradient comes in parts, from both ends of the model, before they are added; Adafactor's squares and the exchange of the
    // average need a tensor at a time.
    lasting += attached.table * 2 * 4 + attached.largest * 4;
    if (teacher) lasting += count_of(weights_bytes(teacher->layout, device));
    return lasting + batch * kHeapSlack;
}

}  // namespace

std::int64_t weights_bytes(const Layout& layout, const DeviceSettings& device) {
    double total = 0;
    for (const ParameterSpec& parameter : layout.parameters)
        total += count_of(parameter.count()) * (is_matrix(parameter) ? type_bytes(device) : 4);
    return static_cast<std::int64_t>(total);
}

TrainingCosts training_costs(const ModelDescription& base, const Method& method, const Json& settings, const TrainingSettings& training,
                             const DeviceSettings& device, const ModelDescription* teacher) {
    const bool adafactor = (training.optimiser == "default" ? method.info().default_optimiser : training.optimiser) == "adafactor";
    Stacks stacks = stacks_of(base, training);
    const Attaching attached(base, method, settings, adafactor, stacks);
    return {static_cast<std::int64_t>(peak_bytes(base, method, settings, stacks, attached, training, device, teacher)),
            1000 * update_seconds(base, stacks, attached, training, device, adafactor, teacher)};
}

// The caches of keys and values of a batch (both halves of the double buffer, all beams), and the scores of its rows.
std::int64_t translation_bytes(const ModelDescription& base, const DecodingSettings& decoding, const DeviceSettings& device) {
    const Architecture& a = base.architecture;
    const double d = count_of(a.d_model), layers = count_of(a.decoder_layers), source = count_of(kSentenceTokens);
    const double target = std::min(count_of(std::min(decoding.max_length, a.max_positions)), 1.5 * source);
    const double beams = count_of(decoding.beam_size);
    const double sentences = std::max(1.0, count_of(decoding.batch_tokens) / (source * beams)), rows = sentences * beams;
    const double own = 4 * rows * target * d * layers, cross = 2 * sentences * source * d * layers;
    const double scores = 2 * rows * count_of(a.vocab_size) * 4;
    return static_cast<std::int64_t>(kProgramBytes + count_of(weights_bytes(base.layout, device)) + (own + cross) * type_bytes(device) +
                                     scores);
}

}  // namespace permille
