#include "core/models/seq2seq.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/nn/batch_prefix.h"
#include "core/nn/batch_prompt.h"
#include "core/nn/matmul.h"
#include "core/nn/recompute.h"
#include "core/nn/vocabulary_loss.h"

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
    typed_ = weights_;
    for (std::size_t i = 0; i < typed_.size(); ++i)
        if (layout_.parameters[i].role == ParameterRole::bias) typed_[i] = typed_[i].to(compute_);
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
    forward.typed = &typed_;
    forward.attachment = attachment;
    forward.compute = compute_;
    return forward;
}

Forward Seq2Seq::inference(const std::vector<Share>& shares) const {
    PERMILLE_ASSERT(!shares.empty());
    if (shares.size() == 1) return inference(shares.front().attachment);
    Forward forward = inference();
    forward.mixture = std::make_shared<Mixture>(layout_, forward, shares);
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
    const auto look_up = [&](const Forward& own, const at::Tensor& rows) {
        const at::Tensor& table = own.parameter(stack.table);
        const std::int64_t untaught = layout_.pad_id < table.size(0) ? layout_.pad_id : -1;
        return at::embedding(table, rows, untaught).to(at::kFloat);
    };
    at::Tensor x = by_parameters(forward, stack.embedding_tokens, {stack.table}, look_up, ids);
    if (architecture_.scale_embedding) x = x * std::sqrt(static_cast<double>(architecture_.d_model));
    return forward.through(stack.embedding_tokens, x, {{}, {}, nullptr, positions, ids});
}

std::int64_t Seq2Seq::shift(const Forward& forward, const Stack& stack) const {
    const AttentionPrefix* prefix = forward.prefix(stack.layers.front().self_attn.site);
    return prefix && prefix->shifts_positions() ? prefix->length() : 0;
}

at::Tensor Seq2Seq::enter(const Forward& forward, const Stack& stack, at::Tensor x, const at::Tensor& counted) const {
    const auto shifted = [&](const Forward& own, const at::Tensor& places) {
        const std::int64_t before = shift(own, stack);
        return before > 0 ? places + before : places;
    };
    const auto look_up = [&](const Forward& own, const at::Tensor& places) {
        return at::embedding(own.parameter(stack.positions), places + architecture_.position_offset).to(at::kFloat);
    };
    const at::Tensor positions = by_attachment(forward, stack.embedding_out, shifted, counted);
    if (stack.positions >= 0) x = x + by_parameters(forward, stack.embedding_out, {stack.positions}, look_up, positions);
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

Encoded Seq2Seq::encode(const Forward& forward, const TokenRows& source) const {
    Encoded encoded;
    pass_source(forward, source);
    const BatchPrompt prompt(forward, encoder_.prompt, source);
    check_lengths(forward, encoder_, source.rows);
    at::Tensor x = prompt.among(embed_tokens(forward, encoder_, source.ids, source.positions));
    encoded.tokens = prompt.tokens();
    const Rows& rows = encoded.tokens.rows;
    if (!prompt.none()) pass_source(forward, encoded.tokens);
    x = enter(forward, encoder_, x, encoded.tokens.positions);
    for (std::size_t i = 0; i < encoder_.layers.size(); ++i) {
        const Layer& layer = encoder_.layers[i];
        if (i > 0) x = prompt.with_states(x, static_cast<std::int64_t>(i));
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
    pass_source(forward, encoded.tokens);
    pass_target(forward, target);
    const BatchPrompt prompt(forward, decoder_.prompt, target);
    check_lengths(forward, decoder_, target.rows);
    at::Tensor x = prompt.among(embed_tokens(forward, decoder_, target.ids, target.positions));
    const TokenRows& tokens = prompt.tokens();
    const Rows &rows = tokens.rows, &sources = encoded.tokens.rows;
    if (!prompt.none()) pass_target(forward, tokens);
    x = enter(forward, decoder_, x, tokens.positions);
    for (std::size_t i = 0; i < decoder_.layers.size(); ++i) {
        const Layer& layer = decoder_.layers[i];
        if (i > 0) x = prompt.with_states(x, static_cast<std::int64_t>(i));
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
    if (!prompt.none()) pass_target(forward, target);
    return prompt.real(x);
}

void Seq2Seq::check_lengths(const Forward& forward, const Stack& stack, const Rows& real) const {
    for (const auto& share : sentences_of(forward, real.sentences)) {
        const Prompt* prompt = share.forward->prompt(stack.prompt);
        const std::int64_t extra = shift(*share.forward, stack) + (prompt ? prompt->front() + prompt->back() : 0);
        const auto first = real.lengths.begin() + share.from;
        const std::int64_t longest = *std::max_element(first, first + share.count);
        if (extra > 0 && longest + extra > architecture_.max_positions)
            throw Error(ErrorKind::config, "prompt",
                        "a sentence of " + std::to_string(longest) + " tokens and a prompt of " + std::to_string(extra) +
                            " are more than the model's " + std::to_string(architecture_.max_positions) + " positions",
                        "use a shorter prompt, or leave out long sentences");
    }
}

at::Tensor Seq2Seq::output_weight(const Forward& forward) const {
    PERMILLE_ASSERT(!forward.mixture);
    return forward.typed_parameter(projection_);
}

at::Tensor Seq2Seq::logits(const Forward& forward, const at::Tensor& states) const {
    const auto product = [&](const Forward& own, const at::Tensor& rows) { return linear_map(rows, output_weight(own)).to(at::kFloat); };
    const at::Tensor scores = by_parameters(forward, decoder_.embedding_tokens, {projection_}, product, states.to(compute_));
    return logits_bias_.defined() ? scores + logits_bias_ : scores;
}

at::Tensor Seq2Seq::log_probabilities(const Forward& forward, const at::Tensor& states, const at::Tensor& labels) const {
    const auto of_labels = [&](const Forward& own, const at::Tensor& rows, const at::Tensor& taught) {
        return label_log_probabilities(rows, output_weight(own), logits_bias_, taught);
    };
    return by_attachment(forward, decoder_.embedding_tokens, of_labels, states, labels);
}

std::int64_t Seq2Seq::longest_target(const Forward& forward) const {
    const Prompt* prompt = forward.prompt(decoder_.prompt);
    const std::int64_t taken = (prompt ? prompt->front() : 0) + shift(forward, decoder_), left = architecture_.max_positions - taken;
    if (left < 2)
        throw Error(ErrorKind::config, "prompt",
                    "a prompt of " + std::to_string(taken) + " takes the model's " + std::to_string(architecture_.max_positions) +
                        " positions and leaves none for a translation",
                    "use a shorter prompt");
    return left;
}

DecoderCache Seq2Seq::start(const Forward& forward, const Encoded& encoded, std::int64_t beams, std::int64_t max_length) const {
    DecoderCache cache;
    const Rows& rows = encoded.tokens.rows;
    cache.beams = beams;
    cache.rows = rows.sentences * beams;
    cache.width = architecture_.d_model;
    const std::int64_t heads = architecture_.decoder_heads, head_dim = architecture_.d_model / heads;
    const at::Tensor memory = encoded.states.to(compute_);
    const auto options = memory.options();
    pass_source(forward, encoded.tokens);
    const auto shares = sentences_of(forward, rows.sentences);
    const auto front_of = [&](const Mixture::Stretch& share) {
        const Prompt* prompt = share.forward->prompt(decoder_.prompt);
        return prompt ? prompt->front() : 0;
    };
    for (const auto& share : shares) {
        cache.shares.push_back(share.count);
        cache.front = std::max(cache.front, front_of(share));
    }
    for (const auto& share : shares) {
        const std::int64_t missing = cache.front - front_of(share);
        if (missing == 0) continue;
        if (!cache.hidden.defined()) cache.hidden = at::zeros({rows.sentences, cache.front}, options.dtype(at::kBool));
        cache.hidden.narrow(0, share.from, share.count).narrow(1, 0, missing).fill_(true);
    }
    const auto split = [&](const at::Tensor& packed) {
        return pad(packed, rows).view({rows.sentences, rows.longest, heads, head_dim}).transpose(1, 2).contiguous();
    };
    for (const Layer& layer : decoder_.layers) {
        DecoderCache::Layer cached;
        const at::Tensor read = memory_of(forward, layer, encoded.states, memory);
        const BatchPrefix cross(forward, layer.cross_attn.site, rows.sentences), self(forward, layer.self_attn.site, rows.sentences);
        cached.cross_prefix = cross.length;
        cached.cross_keys = split(layer.cross_attn.k(forward, read));
        cached.cross_values = split(layer.cross_attn.v(forward, read));
        if (cross.length > 0) {
            cached.cross_keys = BatchPrefix::joined(cross.keys, cached.cross_keys);
            cached.cross_values = BatchPrefix::joined(cross.values, cached.cross_values);
        }
        cached.cross_mask = cross.mask(rows, options);
        cached.prefix = self.length;
        cached.hidden = self.hidden;
        cached.prefix_keys = self.keys;
        cached.prefix_values = self.values;
        for (at::Tensor* buffer : {&cached.self_keys, &cached.self_values, &cached.spare_keys, &cached.spare_values})
            *buffer = at::empty({(cached.prefix + cache.front + max_length) * cache.rows * cache.width}, options);
        cache.layers.push_back(std::move(cached));
    }
    return cache;
}

std::int64_t Seq2Seq::bytes_per_hypothesis(std::int64_t beams, std::int64_t source, std::int64_t max_length) const {
    constexpr std::int64_t kOwn = 4, kCross = 2,
                           kLogits = 3;  // keys and values, twice for their own; logits, log-softmax, changed by rules
    const auto type = static_cast<std::int64_t>(c10::elementSize(compute_));
    const std::int64_t places = kOwn * max_length + (kCross * source + beams - 1) / beams;  // the source's are of all its beams
    return architecture_.decoder_layers * places * architecture_.d_model * type + kLogits * architecture_.vocab_size * 4;
}

void Seq2Seq::pass_step(const Forward& forward, const DecoderCache& cache, const at::Tensor& ids) {
    forward.target_ids = ids;
    if (!forward.mixture) return;
    std::vector<std::int64_t> counts;
    for (const std::int64_t sentences : cache.shares) counts.push_back(sentences * cache.beams);
    forward.mixture->set_target(counts, ids);
}

void Seq2Seq::begin(const Forward& forward, DecoderCache& cache) const {
    const std::int64_t count = cache.rows, width = cache.width;
    for (DecoderCache::Layer& cached : cache.layers) {
        if (cached.prefix == 0) continue;
        const auto fill = [&](const at::Tensor& buffer, at::Tensor& prefix) {
            const at::Tensor places = buffer.narrow(0, 0, cached.prefix * count * width);
            places.view({cached.prefix, count / cache.beams, cache.beams, width}).copy_(prefix.transpose(0, 1).unsqueeze(2));
            prefix.reset();
        };
        fill(cached.self_keys, cached.prefix_keys);
        fill(cached.self_values, cached.prefix_values);
    }
    if (cache.front == 0) return;
    const auto options = at::TensorOptions(at::kLong).device(device());
    pass_step(forward, cache, at::full({count}, -1, options));
    const int site = decoder_.embedding_out;
    for (std::int64_t t = 0; t < cache.front; ++t) {
        // Shorter prompts end with the longest. What happens before their first token is seen by none.
        const auto place_of = [&](const Forward& own) {
            const Prompt* prompt = own.prompt(decoder_.prompt);
            return prompt ? t - (cache.front - prompt->front()) : -1;
        };
        const auto embedded = [&](const Forward& own, const at::Tensor& rows) {
            const std::int64_t place = place_of(own);
            if (place < 0) return rows;
            return own.prompt(decoder_.prompt)->embeddings(own)[place].unsqueeze(0).expand(rows.sizes()).contiguous();
        };
        const auto position = [&](const Forward& own, const at::Tensor& rows) {
            return at::full_like(rows, std::max<std::int64_t>(0, place_of(own)));
        };
        const at::Tensor x = by_attachment(forward, site, embedded, at::zeros({count, width}, options.dtype(at::kFloat)));
        const at::Tensor positions = by_attachment(forward, site, position, at::empty({count}, options));
        step_layers(forward, cache, enter(forward, decoder_, x, positions), [&](std::int64_t layer, const at::Tensor& given) {
            const auto replaced = [&](const Forward& own, const at::Tensor& rows) {
                const std::int64_t place = place_of(own);
                const at::Tensor states = place < 0 ? at::Tensor() : own.prompt(decoder_.prompt)->states(own, layer);
                return states.defined() ? states[place].unsqueeze(0).expand(rows.sizes()).contiguous() : rows;
            };
            return by_attachment(forward, site, replaced, given);
        });
    }
}

at::Tensor Seq2Seq::step(const Forward& forward, DecoderCache& cache, const at::Tensor& tokens) const {
    const std::int64_t count = tokens.size(0);
    PERMILLE_ASSERT(count == cache.rows);
    if (cache.length == 0) begin(forward, cache);
    pass_step(forward, cache, tokens);
    const auto position = [&](const Forward& own, const at::Tensor& places) {
        const Prompt* prompt = own.prompt(decoder_.prompt);
        const std::int64_t front = prompt ? prompt->front() : 0;
        PERMILLE_ASSERT(cache.length - cache.front + front + shift(own, decoder_) < architecture_.max_positions);
        return front > 0 ? places + front : places;
    };
    const at::Tensor places = at::full({count}, cache.length - cache.front, tokens.options());
    const at::Tensor positions = by_attachment(forward, decoder_.embedding_out, position, places);
    const at::Tensor embedded = embed_tokens(forward, decoder_, tokens, places);
    const at::Tensor x = step_layers(forward, cache, enter(forward, decoder_, embedded, positions));
    return architecture_.pre_norm ? decoder_.final_norm(forward, x) : x;
}

at::Tensor Seq2Seq::step_layers(const Forward& forward, DecoderCache& cache, at::Tensor x,
                                const std::function<at::Tensor(std::int64_t, const at::Tensor&)>& before) const {
    const std::int64_t count = x.size(0), beams = cache.beams, sentences = count / beams;
    const std::int64_t heads = architecture_.decoder_heads, width = architecture_.d_model, head_dim = width / heads;
    const auto attend = [&](const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& mask,
                            const at::Tensor& gate, std::int64_t gated) {
        const auto added = mask.defined() ? std::optional(mask) : std::nullopt;
        if (!gate.defined()) return at::scaled_dot_product_attention(query, keys, values, added);
        return plain_attention(forward, query, keys, values, added, gate.view({query.size(0), query.size(2)}), gated);
    };
    for (std::size_t i = 0; i < decoder_.layers.size(); ++i) {
        const Layer& layer = decoder_.layers[i];
        DecoderCache::Layer& cached = cache.layers[i];
        const std::int64_t place = cached.prefix + cache.length;
        if (before && i > 0) x = before(static_cast<std::int64_t>(i), x);
        x = residual(forward, x, layer.self_norm, layer.self_output, [&](const at::Tensor& h) {
            const at::Tensor input = h.to(compute_);
            const at::Tensor query = layer.self_attn.q(forward, input).view({count, heads, 1, head_dim});
            const auto grow = [&](const at::Tensor& buffer, const at::Tensor& added) {  // -> [R, H, place + 1, head_dim]
                buffer.narrow(0, place * count * width, count * width).copy_(added.view({count * width}));
                return buffer.narrow(0, 0, (place + 1) * count * width).view({place + 1, count, heads, head_dim}).permute({1, 2, 0, 3});
            };
            const at::Tensor keys = grow(cached.self_keys, layer.self_attn.k(forward, input));
            const at::Tensor values = grow(cached.self_values, layer.self_attn.v(forward, input));
            const at::Tensor gate = cached.prefix > 0 ? prefix_gate(forward, layer.self_attn.site, input) : at::Tensor();
            const at::Tensor context = attend(query, keys, values, cache.self_mask(cached, input.options()), gate, cached.prefix);
            return layer.self_attn.out(forward, context.reshape({count, width}));
        });
        x = residual(forward, x, layer.cross_norm, layer.cross_output, [&](const at::Tensor& h) {
            const at::Tensor query = layer.cross_attn.q(forward, h).view({sentences, beams, heads, head_dim}).transpose(1, 2);
            const at::Tensor gate = cached.cross_prefix > 0 ? prefix_gate(forward, layer.cross_attn.site, h.to(compute_)) : at::Tensor();
            const at::Tensor mask =
                cached.cross_mask.defined() ? cached.cross_mask.expand({sentences, 1, beams, cached.cross_keys.size(2)}) : at::Tensor();
            const at::Tensor context = attend(query, cached.cross_keys, cached.cross_values, mask, gate, cached.cross_prefix);
            return layer.cross_attn.out(forward, context.transpose(1, 2).reshape({count, width}));
        });
        x = residual(forward, x, layer.ffn_norm, layer.ffn_output, [&](const at::Tensor& h) { return layer.ffn(forward, h); });
        x = forward.through(layer.layer_output, x);
    }
    ++cache.length;
    return x;
}

}  // namespace permille
