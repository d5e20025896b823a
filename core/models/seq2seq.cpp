#include "core/models/seq2seq.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/recompute.h"

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
    const auto site_of = [&](const std::string& site) {
        const int index = layout_.site(site);
        PERMILLE_ASSERT(index >= 0);
        return index;
    };
    const auto norm = [&](const std::string& site) {
        const int index = site_of(site);
        const Site& found = layout_.sites[static_cast<std::size_t>(index)];
        return Norm{index, found.weight, found.bias};
    };
    const auto linear = [&](const std::string& site) {
        const int index = site_of(site);
        const Site& found = layout_.sites[static_cast<std::size_t>(index)];
        return Linear{index, found.weight, found.bias};
    };
    const auto attention = [&](const std::string& site) {
        return Attention{site_of(site), linear(site + ".q"), linear(site + ".k"), linear(site + ".v"), linear(site + ".out"), heads};
    };
    const std::string stem = "model." + side;
    Stack stack;
    stack.table = parameter(architecture_.source_vocab_size ? stem + ".embed_tokens.weight" : "model.shared.weight");
    if (architecture_.positions == Positions::learned) stack.positions = parameter(stem + ".embed_positions.weight");
    if (architecture_.embedding_norm) stack.embedding_norm = norm(side + ".embedding.norm");
    if (architecture_.pre_norm) stack.final_norm = norm(side + ".norm");
    stack.prompt = site_of(side + ".prompt");
    stack.embedding_tokens = site_of(side + ".embedding.tokens");
    stack.embedding_out = site_of(side + ".embedding.output");
    for (std::int64_t i = 0; i < layers; ++i) {
        const std::string site = side + "." + std::to_string(i);
        Layer layer;
        layer.self_attn = attention(site + ".self_attn");
        layer.self_norm = norm(site + ".self_attn.norm");
        layer.self_output = site_of(site + ".self_attn.output");
        if (cross) {
            layer.cross_attn = attention(site + ".cross_attn");
            layer.cross_norm = norm(site + ".cross_attn.norm");
            layer.cross_output = site_of(site + ".cross_attn.output");
            layer.memory = site_of(site + ".cross_attn.memory");
        }
        layer.ffn = {site_of(site + ".ffn"), linear(site + ".ffn.fc1"), linear(site + ".ffn.fc2"), architecture_.activation};
        layer.ffn_norm = norm(site + ".ffn.norm");
        layer.ffn_output = site_of(site + ".ffn.output");
        layer.layer_output = site_of(site + ".output");
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

at::Tensor Seq2Seq::embed_tokens(const Forward& forward, const Stack& stack, const at::Tensor& ids, const at::Tensor& positions) const {
    const at::Tensor& table = forward.parameter(stack.table);
    // Looking pad up teaches its row nothing, as in the reference: a decoder of Marian's begins with it.
    const std::int64_t untaught = architecture_.pad_id < table.size(0) ? architecture_.pad_id : -1;
    at::Tensor x = at::embedding(table, ids, untaught).to(at::kFloat);
    if (architecture_.scale_embedding) x = x * std::sqrt(static_cast<double>(architecture_.d_model));
    return forward.has_output(stack.embedding_tokens) ? forward.through(stack.embedding_tokens, x, {{}, {}, nullptr, positions, ids}) : x;
}

std::int64_t Seq2Seq::shift(const Forward& forward, const Stack& stack) const {
    const AttentionPrefix* prefix = forward.prefix(stack.layers.front().self_attn.site);
    return prefix && prefix->shifts_positions() ? prefix->length() : 0;
}

at::Tensor Seq2Seq::enter(const Forward& forward, const Stack& stack, at::Tensor x, const at::Tensor& counted) const {
    const std::int64_t before = shift(forward, stack);
    const at::Tensor positions = before > 0 ? counted + before : counted;
    if (stack.positions >= 0)
        x = x + at::embedding(forward.parameter(stack.positions), positions + architecture_.position_offset).to(at::kFloat);
    else x = x + sinusoids_.index_select(0, positions);
    if (architecture_.embedding_norm) x = stack.embedding_norm(forward, x);
    x = forward.through(stack.embedding_out, x);
    return dropout(x, forward.dropout, forward.streams);
}

template <class Block>
at::Tensor Seq2Seq::residual(const Forward& forward, const at::Tensor& x, const Norm& norm, int output_site, Block&& block) const {
    const at::Tensor input = architecture_.pre_norm ? norm(forward, x) : x;
    at::Tensor rows = block(input);
    at::Tensor sum;
    if (forward.has_output(output_site)) {
        rows = dropout(rows, forward.dropout, forward.streams);
        sum = x + forward.through(output_site, rows, {input, x, &norm, {}, {}});
    } else {
        sum = add_dropout(x, rows, forward.dropout, forward.streams);
    }
    return architecture_.pre_norm ? sum : norm(forward, sum);
}

namespace {

// Embeddings [N, D] of the real tokens with those of the prompt between them: [N', D].
at::Tensor with_prompt(const at::Tensor& real, const at::Tensor& prompt, const PromptedRows& rows) {
    const at::Tensor repeated = prompt.repeat({rows.tokens.rows.sentences, 1}).to(real.scalar_type());
    return at::cat({real, repeated}).index_select(0, rows.order);
}

// x with the virtual tokens' states replaced.
at::Tensor replaced(const at::Tensor& x, const at::Tensor& states, const PromptedRows& rows) {
    return x.index_copy(0, rows.virtual_rows, states.repeat({rows.tokens.rows.sentences, 1}).to(x.scalar_type()));
}

}  // namespace

Encoded Seq2Seq::encode(const Forward& forward, const TokenRows& source) const {
    Encoded encoded;
    at::Tensor x = embed_tokens(forward, encoder_, source.ids, source.positions);
    const Prompt* prompt = forward.prompt(encoder_.prompt);
    PromptedRows prompted;
    if (prompt) {
        prompted = PromptedRows::of(source, prompt->front(), prompt->back());
        check_length(prompted.tokens.rows.longest, prompt->front() + prompt->back());
        x = with_prompt(x, prompt->embeddings(forward), prompted);
    }
    encoded.tokens = prompt ? prompted.tokens : source;
    const Rows& rows = encoded.tokens.rows;
    forward.source_ids = encoded.tokens.ids;
    forward.source_rows = encoded.tokens.rows;
    x = enter(forward, encoder_, x, encoded.tokens.positions);
    for (std::size_t i = 0; i < encoder_.layers.size(); ++i) {
        const Layer& layer = encoder_.layers[i];
        if (prompt && i > 0)
            if (const at::Tensor states = prompt->states(forward, static_cast<std::int64_t>(i)); states.defined())
                x = replaced(x, states, prompted);
        x = run_layer(forward, {x}, [this, &layer, rows](const Forward& now, const std::vector<at::Tensor>& inputs) {
            at::Tensor y = residual(now, inputs[0], layer.self_norm, layer.self_output,
                                    [&](const at::Tensor& h) { return layer.self_attn(now, h, rows, h, rows, false); });
            y = residual(now, y, layer.ffn_norm, layer.ffn_output, [&](const at::Tensor& h) { return layer.ffn(now, h); });
            return now.through(layer.layer_output, y);
        });
    }
    encoded.states = architecture_.pre_norm ? encoder_.final_norm(forward, x) : x;
    return encoded;
}

at::Tensor Seq2Seq::memory_of(const Forward& forward, const Layer& layer, const at::Tensor& states, const at::Tensor& typed) const {
    return forward.has_output(layer.memory) ? forward.through(layer.memory, states).to(compute_) : typed;
}

at::Tensor Seq2Seq::decode(const Forward& forward, const Encoded& encoded, const TokenRows& target) const {
    const at::Tensor memory = encoded.states.to(compute_);
    at::Tensor x = embed_tokens(forward, decoder_, target.ids, target.positions);
    const Prompt* prompt = forward.prompt(decoder_.prompt);
    PromptedRows prompted;
    if (prompt) {
        prompted = PromptedRows::of(target, prompt->front(), 0);
        x = with_prompt(x, prompt->embeddings(forward), prompted);
    }
    const TokenRows& tokens = prompt ? prompted.tokens : target;
    const Rows &rows = tokens.rows, &sources = encoded.tokens.rows;
    const std::int64_t before = shift(forward, decoder_), extra = before + (prompt ? prompt->front() : 0);
    if (extra > 0) check_length(before + rows.longest, extra);
    forward.source_ids = encoded.tokens.ids;
    forward.source_rows = encoded.tokens.rows;
    forward.target_ids = tokens.ids;
    x = enter(forward, decoder_, x, tokens.positions);
    for (std::size_t i = 0; i < decoder_.layers.size(); ++i) {
        const Layer& layer = decoder_.layers[i];
        if (prompt && i > 0)
            if (const at::Tensor states = prompt->states(forward, static_cast<std::int64_t>(i)); states.defined())
                x = replaced(x, states, prompted);
        // A view of its own, so that the gradients of a layer's keys and values are added before those of other layers, here as when the
        // layer is computed again.
        std::vector<at::Tensor> inputs = {x, memory.view(memory.sizes())};
        if (forward.has_output(layer.memory)) inputs.push_back(encoded.states.view(encoded.states.sizes()));
        x = run_layer(forward, inputs, [this, &layer, rows, sources](const Forward& now, const std::vector<at::Tensor>& given) {
            at::Tensor y = residual(now, given[0], layer.self_norm, layer.self_output,
                                    [&](const at::Tensor& h) { return layer.self_attn(now, h, rows, h, rows, true); });
            y = residual(now, y, layer.cross_norm, layer.cross_output, [&](const at::Tensor& h) {
                return layer.cross_attn(now, h, rows, memory_of(now, layer, given.back(), given[1]), sources, false);
            });
            y = residual(now, y, layer.ffn_norm, layer.ffn_output, [&](const at::Tensor& h) { return layer.ffn(now, h); });
            return now.through(layer.layer_output, y);
        });
    }
    if (architecture_.pre_norm) x = decoder_.final_norm(forward, x);
    return prompt ? x.index_select(0, prompted.real_rows) : x;
}

void Seq2Seq::check_length(std::int64_t longest, std::int64_t extra) const {
    if (longest > architecture_.max_positions)
        throw Error(ErrorKind::config, "prompt",
                    "a sentence of " + std::to_string(longest - extra) + " tokens and a prompt of " + std::to_string(extra) +
                        " are more than the model's " + std::to_string(architecture_.max_positions) + " positions",
                    "use a shorter prompt, or leave out long sentences");
}

at::Tensor Seq2Seq::output_weight(const Forward& forward) const { return forward.parameter(projection_).to(compute_); }

at::Tensor Seq2Seq::logits(const Forward& forward, const at::Tensor& states) const {
    at::Tensor scores = linear_map(states.to(compute_), output_weight(forward)).to(at::kFloat);
    if (logits_bias_.defined()) scores = scores + logits_bias_;
    return scores;
}

std::int64_t Seq2Seq::longest_target(const Forward& forward) const {
    const Prompt* prompt = forward.prompt(decoder_.prompt);
    return architecture_.max_positions - (prompt ? prompt->front() : 0) - shift(forward, decoder_);
}

DecoderCache Seq2Seq::start(const Forward& forward, const Encoded& encoded, std::int64_t beams, std::int64_t max_length) const {
    DecoderCache cache;
    const Rows& rows = encoded.tokens.rows;
    cache.beams = beams;
    cache.rows = rows.sentences * beams;
    cache.width = architecture_.d_model;
    const std::int64_t heads = architecture_.decoder_heads, head_dim = architecture_.d_model / heads;
    const at::Tensor memory = encoded.states.to(compute_);
    forward.source_ids = encoded.tokens.ids;
    forward.source_rows = encoded.tokens.rows;
    const auto split = [&](const at::Tensor& packed) {
        return pad(packed, rows).view({rows.sentences, rows.longest, heads, head_dim}).transpose(1, 2).contiguous();
    };
    const auto options = memory.options();
    const Prompt* prompt = forward.prompt(decoder_.prompt);
    const std::int64_t positions = max_length + (prompt ? prompt->front() : 0);
    std::int64_t before = 0;  // keys of the longest cross-attention prefix
    for (const Layer& layer : decoder_.layers)
        if (const AttentionPrefix* prefix = forward.prefix(layer.cross_attn.site)) before = std::max(before, prefix->length());
    for (const Layer& layer : decoder_.layers) {
        DecoderCache::Layer cached;
        const at::Tensor read = memory_of(forward, layer, encoded.states, memory);
        cached.cross_keys = split(layer.cross_attn.k(forward, read));
        cached.cross_values = split(layer.cross_attn.v(forward, read));
        if (const AttentionPrefix* prefix = forward.prefix(layer.cross_attn.site)) {
            const auto [keys, values] = prefix->keys_values(forward);
            const auto joined = [&](const at::Tensor& first, const at::Tensor& rest) {
                return at::cat({first.view({1, -1, heads, head_dim}).transpose(1, 2).expand({rows.sentences, -1, -1, -1}), rest}, 2);
            };
            cached.cross_keys = joined(keys, cached.cross_keys);
            cached.cross_values = joined(values, cached.cross_values);
        }
        if (const AttentionPrefix* prefix = forward.prefix(layer.self_attn.site)) cached.prefix = prefix->length();
        for (at::Tensor* buffer : {&cached.self_keys, &cached.self_values, &cached.spare_keys, &cached.spare_values})
            *buffer = at::empty({(cached.prefix + positions) * cache.rows * cache.width}, options);
        cache.layers.push_back(std::move(cached));
    }
    if (!rows.dense()) {  // a layer with a shorter prefix, or none, takes the end of it
        const at::Tensor mask = at::zeros({rows.sentences, before + rows.longest}, options);
        mask.narrow(1, before, rows.longest).masked_fill_(rows.keep.logical_not(), -std::numeric_limits<float>::infinity());
        cache.cross_mask = mask.view({rows.sentences, 1, 1, before + rows.longest});
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
        const std::int64_t filled = layer.prefix + length;
        const auto move = [&](at::Tensor& from, at::Tensor& to) {
            at::Tensor target = to.narrow(0, 0, filled * kept * width).view({filled, kept, width});
            at::index_select_out(target, from.narrow(0, 0, filled * rows * width).view({filled, rows, width}), 1, index);
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

void Seq2Seq::begin(const Forward& forward, DecoderCache& cache) const {
    const std::int64_t count = cache.rows, width = cache.width;
    for (std::size_t i = 0; i < decoder_.layers.size(); ++i) {
        DecoderCache::Layer& cached = cache.layers[i];
        if (cached.prefix == 0) continue;
        const auto [keys, values] = forward.prefix(decoder_.layers[i].self_attn.site)->keys_values(forward);
        const auto fill = [&](const at::Tensor& buffer, const at::Tensor& rows) {
            buffer.narrow(0, 0, cached.prefix * count * width).view({cached.prefix, count, width}).copy_(rows.unsqueeze(1));
        };
        fill(cached.self_keys, keys);
        fill(cached.self_values, values);
    }
    const Prompt* prompt = forward.prompt(decoder_.prompt);
    if (!prompt) return;
    const at::Tensor embedded = prompt->embeddings(forward);
    forward.target_ids = at::full({count}, -1, at::TensorOptions(at::kLong).device(device()));
    for (std::int64_t t = 0; t < prompt->front(); ++t) {
        const auto of_all = [&](const at::Tensor& rows) { return rows[t].unsqueeze(0).expand({count, width}).contiguous(); };
        const at::Tensor position = at::full({count}, cache.length, at::TensorOptions(at::kLong).device(device()));
        step_layers(forward, cache, enter(forward, decoder_, of_all(embedded), position), [&](std::int64_t layer) {
            const at::Tensor states = prompt->states(forward, layer);
            return states.defined() ? of_all(states) : at::Tensor();
        });
    }
}

at::Tensor Seq2Seq::step(const Forward& forward, DecoderCache& cache, const at::Tensor& tokens) const {
    const std::int64_t count = tokens.size(0);
    PERMILLE_ASSERT(count == cache.rows);
    if (cache.length == 0) begin(forward, cache);
    PERMILLE_ASSERT(cache.length + shift(forward, decoder_) < architecture_.max_positions);
    forward.target_ids = tokens;
    const Prompt* prompt = forward.prompt(decoder_.prompt);
    const at::Tensor position = at::full({count}, cache.length, tokens.options());
    const at::Tensor embedded = embed_tokens(forward, decoder_, tokens, prompt ? position - prompt->front() : position);
    const at::Tensor x = step_layers(forward, cache, enter(forward, decoder_, embedded, position));
    return architecture_.pre_norm ? decoder_.final_norm(forward, x) : x;
}

at::Tensor Seq2Seq::step_layers(const Forward& forward, DecoderCache& cache, at::Tensor x,
                                const std::function<at::Tensor(std::int64_t)>& states) const {
    const std::int64_t count = x.size(0), beams = cache.beams, sentences = count / beams;
    const std::int64_t heads = architecture_.decoder_heads, width = architecture_.d_model, head_dim = width / heads;
    for (std::size_t i = 0; i < decoder_.layers.size(); ++i) {
        const Layer& layer = decoder_.layers[i];
        DecoderCache::Layer& cached = cache.layers[i];
        const std::int64_t place = cached.prefix + cache.length;
        if (states && i > 0)
            if (const at::Tensor given = states(static_cast<std::int64_t>(i)); given.defined()) x = given;
        x = residual(forward, x, layer.self_norm, layer.self_output, [&](const at::Tensor& h) {
            const at::Tensor input = h.to(compute_);
            const at::Tensor query = layer.self_attn.q(forward, input).view({count, heads, 1, head_dim});
            const auto grow = [&](const at::Tensor& buffer, const at::Tensor& added) {  // -> [R, H, place + 1, head_dim]
                buffer.narrow(0, place * count * width, count * width).copy_(added.view({count * width}));
                return buffer.narrow(0, 0, (place + 1) * count * width).view({place + 1, count, heads, head_dim}).permute({1, 2, 0, 3});
            };
            const at::Tensor keys = grow(cached.self_keys, layer.self_attn.k(forward, input));
            const at::Tensor values = grow(cached.self_values, layer.self_attn.v(forward, input));
            const AttentionPrefix* prefix = forward.prefix(layer.self_attn.site);
            const at::Tensor gate = prefix ? prefix->gate(forward, input) : at::Tensor();
            const at::Tensor context = gate.defined()
                                           ? plain_attention(forward, query, keys, values, {}, gate.view({count, 1}), cached.prefix)
                                           : at::scaled_dot_product_attention(query, keys, values);
            return layer.self_attn.out(forward, context.reshape({count, width}));
        });
        x = residual(forward, x, layer.cross_norm, layer.cross_output, [&](const at::Tensor& h) {
            const at::Tensor query = layer.cross_attn.q(forward, h).view({sentences, beams, heads, head_dim}).transpose(1, 2);
            std::optional<at::Tensor> mask;
            if (cache.cross_mask.defined()) {
                const std::int64_t keys = cached.cross_keys.size(2), all = cache.cross_mask.size(3);
                mask = cache.cross_mask.narrow(3, all - keys, keys).expand({sentences, 1, beams, keys});
            }
            const AttentionPrefix* prefix = forward.prefix(layer.cross_attn.site);
            const at::Tensor gate = prefix ? prefix->gate(forward, h.to(compute_)) : at::Tensor();
            const at::Tensor context = gate.defined()
                                           ? plain_attention(forward, query, cached.cross_keys, cached.cross_values, mask,
                                                             gate.view({sentences, beams}), prefix->length())
                                           : at::scaled_dot_product_attention(query, cached.cross_keys, cached.cross_values, mask);
            return layer.cross_attn.out(forward, context.transpose(1, 2).reshape({count, width}));
        });
        x = residual(forward, x, layer.ffn_norm, layer.ffn_output, [&](const at::Tensor& h) { return layer.ffn(forward, h); });
        x = forward.through(layer.layer_output, x);
    }
    ++cache.length;
    return x;
}

}  // namespace permille
