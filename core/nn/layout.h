// What a model is made of, as plain data: its parameters and its sites, the named places where a method may attach. Made from config.json
// alone, so budgets are counted without loading weights. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace permille {

enum class Activation { relu, gelu, swish };  // gelu: the exact, erf form

enum class ParameterRole { embedding, position, matrix, bias, norm_weight, norm_bias };

struct ParameterSpec {
    std::string name;  // as on disk, "model.encoder.layers.0.fc1.weight"
    std::vector<std::int64_t> shape;
    ParameterRole role = ParameterRole::matrix;
    std::vector<std::string> aliases;  // other names that a checkpoint may store the same (tied) tensor under
    std::int64_t count() const {
        std::int64_t product = 1;
        for (const auto size : shape) product *= size;
        return product;
    }
};

// linear: a projection y = x W^T + b, "decoder.3.cross_attn.v"
// output: rows of width D that flow out of a block, "encoder.0.ffn.output" (before the residual addition) or "encoder.0.output" (after the
// layer) norm: rows that flow out of a norm, "encoder.0.ffn.norm", "encoder.embedding.norm", "encoder.norm" (the last of a pre-norm stack)
// embedding: "encoder.embedding.tokens" (scaled token embeddings) and "encoder.embedding.output" (with positions and norm, before dropout)
// memory: the encoder's rows as one cross-attention reads them, "decoder.3.cross_attn.memory"
// attention: "decoder.3.cross_attn"; feed_forward: "encoder.0.ffn"; prompt: the input of a stack, "encoder.prompt"
enum class SiteKind { linear, output, norm, embedding, memory, attention, feed_forward, prompt };

struct Site {
    std::string name;
    SiteKind kind = SiteKind::linear;
    std::int64_t in = 0, out = 0;  // widths
    int weight = -1, bias = -1;    // linear and norm: indices into Layout::parameters
    std::int64_t heads = 0;        // attention
    bool of_source = false;        // the rows that pass are the encoder's
};

struct Layout {
    std::vector<ParameterSpec> parameters;
    std::vector<Site> sites;
    std::int64_t positions = 0;       // tokens that a sentence may have
    double embedding_scale = 1;       // that token embeddings are multiplied by
    bool scale_within_lookup = true;  // in transformers: by its embedding layer, so that what goes in beside it is scaled already
    std::int64_t pad_id = -1;         // looking it up teaches a table nothing, as in transformers; a decoder of Marian's begins with it

    // Scalars of the base model, each tied tensor counted once; fixed sinusoids and the logits bias are not parameters.
    std::int64_t parameter_count() const {
        std::int64_t total = 0;
        for (const auto& parameter : parameters) total += parameter.count();
        return total;
    }
    // Index of the parameter with this name (not an alias), or -1.
    int parameter(const std::string& name) const {
        for (std::size_t i = 0; i < parameters.size(); ++i)
            if (parameters[i].name == name) return static_cast<int>(i);
        return -1;
    }
    int site(const std::string& name) const {
        for (std::size_t i = 0; i < sites.size(); ++i)
            if (sites[i].name == name) return static_cast<int>(i);
        return -1;
    }
};

}  // namespace permille
