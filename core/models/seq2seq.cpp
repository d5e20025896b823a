#include "core/models/seq2seq.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/nn/matmul.h"

namespace permille {

at::Tensor sinusoid_table(Positions kind, std::int64_t count, std::int64_t d_model, std::int64_t pad_id) {
    at::Tensor table = at::zeros({count, d_model}, at::kFloat);
    const std::int64_t half = d_model / 2,
                       sines = d_model - half;  // of an odd width M2M leaves the last column zero, Marian has a sine more
    auto* row = table.data_ptr<float>();
    for (std::int64_t t = 0; t < count; ++t, row += d_model) {
        for (std::int64_t i = 0; i < (kind == Positions::m2m ? half : sines); ++i) {
            if (kind == Positions::m2m) {
                // Row p = pad_id + 1 + t; frequency exp(-i ln(10000) / (half - 1)), halves concatenated; float32 as the reference computes
                // it.
                const float step = std::log(10000.0f) / static_cast<float>(half - 1);
                const float angle = static_cast<float>(pad_id + 1 + t) * std::exp(static_cast<float>(i) * -step);
                row[i] = std::sin(angle);
                row[half + i] = std::cos(angle);
            } else {
                const double angle =
                    static_cast<double>(t) / std::pow(10000.0, 2.0 * static_cast<double>(i) / static_cast<double>(d_model));
                row[i] = static_cast<float>(std::sin(angle));
                if (i < half) row[sines + i] = static_cast<float>(std::cos(angle));
            }
        }
    }
    return table;
}

Seq2Seq::Seq2Seq(Architecture architecture, std::vector<at::Tensor> weights, at::Tensor logits_bias, at::ScalarType compute)
    : architecture_(std::move(architecture)),
      layout_(make_layout(architecture_)),
      weights_(std::move(weights)),
      logits_bias_(std::move(logits_bias)),
      compute_(compute) {
    PERMILLE_ASSERT(weights_.size() == layout_.parameters.size());
    if (logits_bias_.defined() && logits_bias_.numel() != architecture_.vocab_size)
        throw Error(
            ErrorKind::tensor, "final_logits_bias",
            "has " + std::to_string(logits_bias_.numel()) + " values, the vocabulary has " + std::to_string(architecture_.vocab_size),
            "config.json and weights do not belong together");
    if (logits_bias_.defined() && !logits_bias_.any().item<bool>()) logits_bias_.reset();  // mBART's: zeros that cost an addition per step
    encoder_ = make_stack("encoder", architecture_.encoder_layers, architecture_.encoder_heads, false);
    decoder_ = make_stack("decoder", architecture_.decoder_layers, architecture_.decoder_heads, true);
    projection_ = architecture_.tied_projection ? decoder_.table : layout_.parameter("lm_head.weight");
    if (architecture_.positions != Positions::learned)
        sinusoids_ =
            sinusoid_table(architecture_.positions, architecture_.max_positions, architecture_.d_model, architecture_.pad_id).to(device());
}

Seq2Seq::Stack Seq2Seq::make_stack(const std::string& side, std::int64_t layers, std::int64_t heads, bool cross) const {
    const auto parameter = [&](const std::string& name) {
        const int index = layout_.parameter(name);
        PERMILLE_ASSERT(index >= 0);
        return index;
    };
    const auto norm = [&](const std::string& name) { return Norm{parameter(name + ".weight"), parameter(name + ".bias")}; };
    const auto linear = [&](const std::string& site) {
        const int index = layout_.site(site);
        PERMILLE_ASSERT(index >= 0);
        const Site& found = layout_.sites[static_cast<std::size_t>(index)];
        return Linear{index, found.weight, found.bias};
    };
    const auto attention = [&](const std::string& site) {
        return Attention{linear(site + ".q"), linear(site + ".k"), linear(site + ".v"), linear(site + ".out"), heads};
    };
    const std::string stem = "model." + side;
    Stack stack;
    stack.table = parameter(architecture_.source_vocab_size ? stem + ".embed_tokens.weight" : "model.shared.weight");
    if (architecture_.positions == Positions::learned) stack.positions = parameter(stem + ".embed_positions.weight");
    if (architecture_.embedding_norm) stack.embedding_norm = norm(stem + ".layernorm_embedding");
    if (architecture_.pre_norm) stack.final_norm = norm(stem + ".layer_norm");
    for (std::int64_t i = 0; i < layers; ++i) {
        const std::string name = stem + ".layers." + std::to_string(i), site = side + "." + std::to_string(i);
        Layer layer;
        layer.self_attn = attention(site + ".self_attn");
        layer.self_norm = norm(name + ".self_attn_layer_norm");
        layer.self_output = layout_.site(site + ".self_attn.output");
        if (cross) {
            layer.cross_attn = attention(site + ".cross_attn");
            layer.cross_norm = norm(name + ".encoder_attn_layer_norm");
            layer.cross_output = layout_.site(site + ".cross_attn.output");
        }
        layer.ffn = {linear(site + ".ffn.fc1"), linear(site + ".ffn.fc2"), architecture_.activation};
        layer.ffn_norm = norm(name + ".final_layer_norm");
        layer.ffn_output = layout_.site(site + ".ffn.output");
        layer.layer_output = layout_.site(site + ".output");
        stack.layers.push_back(std::move(layer));
    }
    return stack;
}

Forward Seq2Seq::inference(const Attachment* attachment) const {
    Forward forward;
    forward.weights = &weights_;
    forward.attachment = attachment;
    forward.compute = compute_;
    return forward;
}

Forward Seq2Seq::training(const Attachment& attachment, double dropout, std::uint64_t seed) const {
    Forward forward = inference(&attachment);
    forward.dropout = dropout < 0 ? architecture_.dropout : dropout;
    forward.attention_dropout = dropout < 0 ? architecture_.attention_dropout : std::min(dropout, architecture_.attention_dropout);
    forward.activation_dropout = dropout < 0 ? architecture_.activation_dropout : std::min(dropout, architecture_.activation_dropout);
    forward.streams = DropoutStreams(seed);
    return forward;
}

at::Tensor Seq2Seq::embed(const Forward& forward, const Stack& stack, const at::Tensor& ids, const at::Tensor& positions) const {
    const at::Tensor& table = forward.parameter(stack.table);
    // Looking pad up teaches its row nothing, as in the reference: a decoder of Marian's begins with it.
    const std::int64_t untaught = architecture_.pad_id < table.size(0) ? architecture_.pad_id : -1;
    at::Tensor x = at::embedding(table, ids, untaught).to(at::kFloat);
    if (architecture_.scale_embedding) x = x * std::sqrt(static_cast<double>(architecture_.d_model));
    if (stack.positions >= 0)
        x = x + at::embedding(forward.parameter(stack.positions), positions + architecture_.position_offset).to(at::kFloat);
    else x = x + sinusoids_.index_select(0, positions);
    if (architecture_.embedding_norm) x = stack.embedding_norm(forward, x);
    return dropout(x, forward.dropout, forward.streams);
}

template <class Block>
at::Tensor Seq2Seq::residual(const Forward& forward, const at::Tensor& x, const Norm& norm, int output_site, Block&& block) const {
    at::Tensor rows = block(architecture_.pre_norm ? norm(forward, x) : x);
    at::Tensor sum;
    if (const OutputModule* module = forward.output(output_site)) {
        rows = module->apply(forward, dropout(rows, forward.dropout, forward.streams));
        sum = x + rows;
    } else {
        sum = add_dropout(x, rows, forward.dropout, forward.streams);
    }
    return architecture_.pre_norm ? sum : norm(forward, sum);
}

at::Tensor Seq2Seq::encode(const Forward& forward, const TokenRows& source) const {
    at::Tensor x = embed(forward, encoder_, source.ids, source.positions);
    for (const Layer& layer : encoder_.layers) {
        x = residual(forward, x, layer.self_norm, layer.self_output,
                     [&](const at::Tensor& h) { return layer.self_attn(forward, h, source.rows, h, source.rows, false); });
        x = residual(forward, x, layer.ffn_norm, layer.ffn_output, [&](const at::Tensor& h) { return layer.ffn(forward, h); });
        if (const OutputModule* module = forward.output(layer.layer_output)) x = module->apply(forward, x);
    }
    return architecture_.pre_norm ? encoder_.final_norm(forward, x) : x;
}

at::Tensor Seq2Seq::decode(const Forward& forward, const TokenRows& source, const at::Tensor& encoded, const TokenRows& target) const {
    const at::Tensor memory = encoded.to(compute_);
    at::Tensor x = embed(forward, decoder_, target.ids, target.positions);
    for (const Layer& layer : decoder_.layers) {
        x = residual(forward, x, layer.self_norm, layer.self_output,
                     [&](const at::Tensor& h) { return layer.self_attn(forward, h, target.rows, h, target.rows, true); });
        x = residual(forward, x, layer.cross_norm, layer.cross_output,
                     [&](const at::Tensor& h) { return layer.cross_attn(forward, h, target.rows, memory, source.rows, false); });
        x = residual(forward, x, layer.ffn_norm, layer.ffn_output, [&](const at::Tensor& h) { return layer.ffn(forward, h); });
        if (const OutputModule* module = forward.output(layer.layer_output)) x = module->apply(forward, x);
    }
    return architecture_.pre_norm ? decoder_.final_norm(forward, x) : x;
}

at::Tensor Seq2Seq::output_weight(const Forward& forward) const { return forward.parameter(projection_).to(compute_); }

at::Tensor Seq2Seq::logits(const Forward& forward, const at::Tensor& states) const {
    at::Tensor scores = linear_map(states.to(compute_), output_weight(forward)).to(at::kFloat);
    if (logits_bias_.defined()) scores = scores + logits_bias_;
    return scores;
}

DecoderCache Seq2Seq::start(const Forward& forward, const TokenRows& source, const at::Tensor& encoded, std::int64_t beams,
                            std::int64_t max_length) const {
    DecoderCache cache;
    const Rows& rows = source.rows;
    cache.beams = beams;
    cache.rows = rows.sentences * beams;
    cache.width = architecture_.d_model;
    const std::int64_t heads = architecture_.decoder_heads, head_dim = architecture_.d_model / heads;
    const at::Tensor memory = encoded.to(compute_);
    const auto split = [&](const at::Tensor& packed) {
        return pad(packed, rows).view({rows.sentences, rows.longest, heads, head_dim}).transpose(1, 2).contiguous();
    };
    const auto options = memory.options();
    for (const Layer& layer : decoder_.layers) {
        DecoderCache::Layer cached;
        cached.cross_keys = split(layer.cross_attn.k(forward, memory));
        cached.cross_values = split(layer.cross_attn.v(forward, memory));
        for (at::Tensor* buffer : {&cached.self_keys, &cached.self_values, &cached.spare_keys, &cached.spare_values})
            *buffer = at::empty({max_length * cache.rows * cache.width}, options);
        cache.layers.push_back(std::move(cached));
    }
    if (!rows.dense()) {
        cache.cross_mask = at::zeros({rows.sentences, 1, 1, rows.longest}, options);
        cache.cross_mask.masked_fill_(rows.keep.logical_not().view({rows.sentences, 1, 1, rows.longest}),
                                      -std::numeric_limits<float>::infinity());
    }
    return cache;
}

void DecoderCache::select(const std::vector<std::int64_t>& order, const std::vector<std::int64_t>& sentences) {
    const auto kept = static_cast<std::int64_t>(order.size());
    const bool shrinks = kept != rows;
    if (!shrinks && std::is_sorted(order.begin(), order.end()) && order.back() == rows - 1 && order.front() == 0 &&
        std::adjacent_find(order.begin(), order.end()) == order.end())
        return;  // nothing moved
    const at::Device device = layers.front().self_keys.device();
    const at::Tensor index = at::tensor(order, at::kLong).to(device);
    const at::Tensor sentence_index = shrinks ? at::tensor(sentences, at::kLong).to(device) : at::Tensor();
    for (Layer& layer : layers) {
        const auto move = [&](at::Tensor& from, at::Tensor& to) {
            at::Tensor target = to.narrow(0, 0, length * kept * width).view({length, kept, width});
            at::index_select_out(target, from.narrow(0, 0, length * rows * width).view({length, rows, width}), 1, index);
            std::swap(from, to);
        };
        move(layer.self_keys, layer.spare_keys);
        move(layer.self_values, layer.spare_values);
        if (shrinks) {
            layer.cross_keys = layer.cross_keys.index_select(0, sentence_index);
            layer.cross_values = layer.cross_values.index_select(0, sentence_index);
        }
    }
    if (shrinks && cross_mask.defined()) cross_mask = cross_mask.index_select(0, sentence_index);
    rows = kept;
}

at::Tensor Seq2Seq::step(const Forward& forward, DecoderCache& cache, const at::Tensor& tokens) const {
    const std::int64_t count = tokens.size(0), beams = cache.beams, sentences = count / beams;
    const std::int64_t heads = architecture_.decoder_heads, width = architecture_.d_model, head_dim = width / heads;
    const std::int64_t place = cache.length;
    PERMILLE_ASSERT(place < architecture_.max_positions && count == cache.rows);
    at::Tensor x = embed(forward, decoder_, tokens, at::full({count}, place, tokens.options()));
    for (std::size_t i = 0; i < decoder_.layers.size(); ++i) {
        const Layer& layer = decoder_.layers[i];
        DecoderCache::Layer& cached = cache.layers[i];
        x = residual(forward, x, layer.self_norm, layer.self_output, [&](const at::Tensor& h) {
            const at::Tensor input = h.to(compute_);
            const at::Tensor query = layer.self_attn.q(forward, input).view({count, heads, 1, head_dim});
            const auto grow = [&](const at::Tensor& buffer, const at::Tensor& added) {  // -> [R, H, place + 1, head_dim]
                buffer.narrow(0, place * count * width, count * width).copy_(added.view({count * width}));
                return buffer.narrow(0, 0, (place + 1) * count * width).view({place + 1, count, heads, head_dim}).permute({1, 2, 0, 3});
            };
            const at::Tensor keys = grow(cached.self_keys, layer.self_attn.k(forward, input));
            const at::Tensor values = grow(cached.self_values, layer.self_attn.v(forward, input));
            const at::Tensor context = at::scaled_dot_product_attention(query, keys, values);
            return layer.self_attn.out(forward, context.reshape({count, width}));
        });
        x = residual(forward, x, layer.cross_norm, layer.cross_output, [&](const at::Tensor& h) {
            const at::Tensor query = layer.cross_attn.q(forward, h).view({sentences, beams, heads, head_dim}).transpose(1, 2);
            std::optional<at::Tensor> mask;
            if (cache.cross_mask.defined()) mask = cache.cross_mask.expand({sentences, 1, beams, cache.cross_mask.size(3)});
            const at::Tensor context = at::scaled_dot_product_attention(query, cached.cross_keys, cached.cross_values, mask);
            return layer.cross_attn.out(forward, context.transpose(1, 2).reshape({count, width}));
        });
        x = residual(forward, x, layer.ffn_norm, layer.ffn_output, [&](const at::Tensor& h) { return layer.ffn(forward, h); });
        if (const OutputModule* module = forward.output(layer.layer_output)) x = module->apply(forward, x);
    }
    ++cache.length;
    return architecture_.pre_norm ? decoder_.final_norm(forward, x) : x;
}

}  // namespace permille
