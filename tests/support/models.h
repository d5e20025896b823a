// Models small enough for tests: the golden ones of tests/golden/make/{models,families}.py, and random ones of every family.
#pragma once

#include <memory>
#include <vector>

#include "core/models/base_model.h"
#include "core/peft/attach.h"
#include "core/train/trainer.h"
#include "tests/support/tensors.h"

namespace permille::test {

inline std::shared_ptr<const BaseModel> golden_model(const std::string& name = "m2m100") {
    return load_base(golden(name), at::kCPU, at::kFloat);
}

// M2M-100's, opened once for all test cases of a file.
inline const BaseModel& golden_base() {
    static const auto base = golden_model();
    return *base;
}

// One of each family, and of each way to lay one out.
inline const std::vector<std::string>& golden_models() {
    static const std::vector<std::string> names = {"m2m100", "marian", "marian_separate", "mbart25", "mbart50"};
    return names;
}

// Splits packed ids [N] into sentences.
inline std::vector<std::vector<std::int64_t>> sentences(const at::Tensor& ids, const Json& lengths) {
    std::vector<std::vector<std::int64_t>> list;
    const auto* id = ids.const_data_ptr<std::int64_t>();
    for (const auto& length : lengths) {
        list.emplace_back(id, id + length.get<std::int64_t>());
        id += length.get<std::int64_t>();
    }
    return list;
}

// The pairs of a golden model's forward.json.
inline std::vector<TokenPair> golden_pairs(const std::string& name = "m2m100") {
    const TensorMap tensors = read_safetensors(golden(name + "/forward.safetensors"));
    const Json golden_file = read_json(golden(name + "/forward.json"));
    const auto sources = sentences(tensors.at("source_ids"), golden_file["source_lengths"]);
    const auto labels = sentences(tensors.at("labels"), golden_file["target_lengths"]);
    std::vector<TokenPair> pairs(sources.size());
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        pairs[i].source.assign(sources[i].begin(), sources[i].end());
        pairs[i].labels.assign(labels[i].begin(), labels[i].end());
    }
    return pairs;
}

// All pairs as one batch in their order.
inline TensorBatch batch_of(const Seq2Seq& model, const std::vector<TokenPair>& pairs) {
    BatchPlan plan;
    for (std::size_t i = 0; i < pairs.size(); ++i) plan.push_back(static_cast<std::uint32_t>(i));
    return collate(pairs, plan, model.architecture(), model.device());
}

inline at::Tensor states_of(const Seq2Seq& model, const Forward& forward, const TensorBatch& batch) {
    return model.decode(forward, model.encode(forward, batch.source), batch.target);
}

inline at::Tensor logits_of(const Seq2Seq& model, const Forward& forward, const TensorBatch& batch) {
    return model.logits(forward, states_of(model, forward, batch));
}

// A published-looking description that a family turns into an architecture: 2 + 3 layers, D 16. Ids from 4 on are text, 2 ends it.
inline Architecture tiny_architecture(const Family& family) {
    Architecture a;
    a.model_type = family.model_type;
    a.d_model = 16;
    a.encoder_layers = 2;
    a.decoder_layers = 3;
    a.encoder_heads = 2;
    a.decoder_heads = 4;
    a.encoder_ffn = 20;
    a.decoder_ffn = 24;
    a.vocab_size = 50;
    a.max_positions = 40;
    a.activation = Activation::gelu;
    return family.describe(family.config(a), "test");
}

// The same with what else the family can express: a table of its own for the encoder, a projection of its own.
inline std::vector<Architecture> tiny_architectures(const Family& family) {
    std::vector<Architecture> list = {tiny_architecture(family)};
    for (const bool own_table : {false, true})
        for (const bool own_projection : {false, true}) {
            Architecture a = list.front();
            if (own_table) a.source_vocab_size = 55;
            a.tied_projection = !own_projection;
            const Architecture described = family.describe(family.config(a), "test");
            const bool expressed = described.source_vocab_size == a.source_vocab_size && described.tied_projection == a.tied_projection;
            if ((own_table || own_projection) && expressed) list.push_back(described);
        }
    return list;
}

inline std::vector<at::Tensor> random_weights(const Layout& layout, std::uint64_t seed) {
    SeededRandom random(seed);
    std::vector<at::Tensor> weights;
    for (const ParameterSpec& spec : layout.parameters) {
        at::Tensor weight = at::empty(spec.shape, at::kFloat);
        const double middle = spec.role == ParameterRole::norm_weight ? 1.0 : 0.0;
        const double spread = spec.role == ParameterRole::matrix || spec.role == ParameterRole::embedding ? 0.4 : 0.2;
        for (std::int64_t i = 0; i < weight.numel(); ++i)
            weight.data_ptr<float>()[i] = static_cast<float>(middle + spread * (2 * random.unit() - 1));
        weights.push_back(weight);
    }
    return weights;
}

inline std::unique_ptr<Seq2Seq> tiny_model(const Architecture& architecture, std::uint64_t seed = 1) {
    at::Tensor bias;
    if (architecture.logits_bias) {
        SeededRandom random(seed + 1);
        bias = at::empty({architecture.vocab_size}, at::kFloat);
        for (std::int64_t i = 0; i < bias.numel(); ++i) bias.data_ptr<float>()[i] = static_cast<float>(random.unit() - 0.5);
    }
    return std::make_unique<Seq2Seq>(architecture, random_weights(make_layout(architecture), seed), bias, at::kFloat);
}
inline std::unique_ptr<Seq2Seq> tiny_model(const Family& family, std::uint64_t seed = 1) {
    return tiny_model(tiny_architecture(family), seed);
}

inline std::vector<TokenPair> random_pairs(std::size_t count, std::int64_t vocabulary, std::uint64_t seed, std::uint64_t longest = 9) {
    SeededRandom random(seed);
    std::vector<TokenPair> pairs(count);
    for (TokenPair& pair : pairs) {
        for (auto* side : {&pair.source, &pair.labels}) {
            const std::uint64_t length = 1 + random.below(longest);
            for (std::uint64_t i = 0; i < length; ++i)
                side->push_back(static_cast<std::int32_t>(4 + random.below(static_cast<std::uint64_t>(vocabulary) - 4)));
            side->push_back(2);
        }
    }
    return pairs;
}

}  // namespace permille::test
