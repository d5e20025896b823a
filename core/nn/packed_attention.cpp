#include "core/nn/packed_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/error.h"
#include "core/nn/card_attention.h"
#include "core/nn/vector_clones.h"

namespace permille {

namespace {

// Sixteen numbers at a time: one register with AVX-512, two with AVX2. Rows of scratch memory are whole groups of them.
constexpr std::int64_t kGroup = 16;
using Numbers [[gnu::vector_size(64)]] = float;
using Integers [[gnu::vector_size(64)]] = std::int32_t;

constexpr std::int64_t grouped(std::int64_t count) { return (count + kGroup - 1) / kGroup * kGroup; }

[[gnu::always_inline]] inline void load(const float* from, Numbers& to) { std::memcpy(&to, from, sizeof to); }
[[gnu::always_inline]] inline void store(float* to, const Numbers& from) { std::memcpy(to, &from, sizeof from); }

[[gnu::always_inline]] inline float number(float x) { return x; }
[[gnu::always_inline]] inline float number(std::uint16_t x) {
    const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

[[gnu::always_inline]] inline void put(float& to, float x) { to = x; }
[[gnu::always_inline]] inline void put(std::uint16_t& to, float x) {  // to the nearest, halves to even
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    to = static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

// Rows of a head, [length, D] with `stride` -> [length, width] in groups with zeros behind.
template <class T>
[[gnu::always_inline]] inline void read_rows(const T* from, std::int64_t stride, std::int64_t length, std::int64_t width, float factor,
                                             float* to) {
    const std::int64_t pitch = grouped(width);
    for (std::int64_t i = 0; i < length; ++i, from += stride, to += pitch) {
        for (std::int64_t d = 0; d < width; ++d) to[d] = number(from[d]) * factor;
        for (std::int64_t d = width; d < pitch; ++d) to[d] = 0;
    }
}

template <class T>
[[gnu::always_inline]] inline void write_rows(const float* from, std::int64_t length, std::int64_t width, float factor, T* to,
                                              std::int64_t stride) {
    for (std::int64_t i = 0; i < length; ++i, from += grouped(width), to += stride)
        for (std::int64_t d = 0; d < width; ++d) put(to[d], from[d] * factor);
}

// [length, width] -> [width, length], both in groups.
[[gnu::always_inline]] inline void turn(const float* from, std::int64_t length, std::int64_t width, float* to) {
    const std::int64_t pitch = grouped(width), turned = grouped(length);
    for (std::int64_t d = 0; d < width; ++d) {
        for (std::int64_t i = 0; i < length; ++i) to[d * turned + i] = from[i * pitch + d];
        for (std::int64_t i = length; i < turned; ++i) to[d * turned + i] = 0;
    }
}

// Some rows of a product: c[m, :] = sum over k of a(m, k) b[k, :], a(m, k) = a[m * a_row + k * a_column].
template <int kRows>
[[gnu::always_inline]] inline void product_rows(const float* a, std::int64_t a_row, std::int64_t a_column, const float* b,
                                                std::int64_t b_pitch, float* c, std::int64_t c_pitch, std::int64_t columns,
                                                std::int64_t inner) {
    for (std::int64_t n = 0; n < columns; n += kGroup) {
        Numbers sums[kRows];
        for (int m = 0; m < kRows; ++m) sums[m] = Numbers{};
        for (std::int64_t k = 0; k < inner; ++k) {
            Numbers row;
            load(b + k * b_pitch + n, row);
            for (int m = 0; m < kRows; ++m) sums[m] += a[m * a_row + k * a_column] * row;
        }
        for (int m = 0; m < kRows; ++m) store(c + m * c_pitch + n, sums[m]);
    }
}

[[gnu::always_inline]] inline void product(const float* a, std::int64_t a_row, std::int64_t a_column, const float* b, std::int64_t b_pitch,
                                           float* c, std::int64_t c_pitch, std::int64_t rows, std::int64_t columns, std::int64_t inner) {
    constexpr int kAtOnce = 6;
    std::int64_t m = 0;
    for (; m + kAtOnce <= rows; m += kAtOnce)
        product_rows<kAtOnce>(a + m * a_row, a_row, a_column, b, b_pitch, c + m * c_pitch, c_pitch, columns, inner);
    for (; m + 2 <= rows; m += 2) product_rows<2>(a + m * a_row, a_row, a_column, b, b_pitch, c + m * c_pitch, c_pitch, columns, inner);
    for (; m < rows; ++m) product_rows<1>(a + m * a_row, a_row, a_column, b, b_pitch, c + m * c_pitch, c_pitch, columns, inner);
}

// e^x for x <= 0, to float32's accuracy: 2^n times a polynomial in the rest (Cephes' expf).
[[gnu::always_inline]] inline void exponential(Numbers& x) {
    constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    const Numbers low = Numbers{} - 87.0f;
    x = x > low ? x : low;
    const Numbers shifted = x * 1.44269504f + kMagic, whole = shifted - kMagic;
    const Numbers r = x - whole * 0.693359375f - whole * -2.12194440e-4f;
    const Numbers series =
        ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r + 1.6666665459e-1f) * r +
        5.0000001201e-1f;
    const Integers power = (reinterpret_cast<Integers>(shifted) - 0x4b400000 + 127) << 23;
    x = (series * r * r + r + 1.0f) * reinterpret_cast<Numbers>(power);
}

// One head of one sentence.
struct Head {
    std::int64_t queries, keys, width, stride;  // stride: D
    bool causal;
    float scale;
    std::int64_t seen(std::int64_t i) const { return causal ? i + 1 : keys; }
};

// Scores -> e^(score - subtracted), zero where a query does not see a key.
[[gnu::always_inline]] inline void exponentials(float* row, std::int64_t seen, std::int64_t pitch, float subtracted) {
    for (std::int64_t j = 0; j < pitch; j += kGroup) {
        Numbers x;
        load(row + j, x);
        x -= subtracted;
        exponential(x);
        store(row + j, x);
    }
    for (std::int64_t j = seen; j < pitch; ++j) row[j] = 0;
}

// log_sums [queries]: of the exponentials of each query's scores, for the backward pass.
template <class T>
[[gnu::always_inline]] inline void head_forward(const Head& h, const T* q, const T* k, const T* v, T* out, float* log_sums,
                                                float* scratch) {
    const std::int64_t wide = grouped(h.width), pitch = grouped(h.keys);
    float *queries = scratch, *rows = queries + h.queries * wide, *keys = rows + h.keys * wide, *scores = keys + h.width * pitch;
    read_rows(q, h.stride, h.queries, h.width, h.scale, queries);
    read_rows(k, h.stride, h.keys, h.width, 1.0f, rows);
    turn(rows, h.keys, h.width, keys);
    read_rows(v, h.stride, h.keys, h.width, 1.0f, rows);
    product(queries, wide, 1, keys, pitch, scores, pitch, h.queries, pitch, h.width);
    for (std::int64_t i = 0; i < h.queries; ++i) {
        float* row = scores + i * pitch;
        for (std::int64_t j = h.seen(i); j < pitch; ++j) row[j] = row[0];
        Numbers x, most, sums{};
        load(row, most);
        for (std::int64_t j = kGroup; j < pitch; j += kGroup) {
            load(row + j, x);
            most = x > most ? x : most;
        }
        float largest = most[0], sum = 0;
        for (int j = 1; j < kGroup; ++j) largest = most[j] > largest ? most[j] : largest;
        exponentials(row, h.seen(i), pitch, largest);
        for (std::int64_t j = 0; j < pitch; j += kGroup) {
            load(row + j, x);
            sums += x;
        }
        for (int j = 0; j < kGroup; ++j) sum += sums[j];
        const float share = 1.0f / sum;
        for (std::int64_t j = 0; j < pitch; ++j) row[j] *= share;
        log_sums[i] = largest + std::log(sum);
    }
    product(scores, pitch, 1, rows, wide, queries, wide, h.queries, wide, h.keys);
    write_rows(queries, h.queries, h.width, 1.0f, out, h.stride);
}

// With P the weights and dO the gradient of the output: dV = P^T dO; dS = P (dO V^T - sum over the keys of P dO V^T); dQ = dS K, dK = dS^T
// Q. That sum of a query is its dO . O. What is null is not wanted.
template <class T>
[[gnu::always_inline]] inline void head_backward(const Head& h, const T* q, const T* k, const T* v, const T* gradient,
                                                 const float* log_sums, T* to_q, T* to_k, T* to_v, float* scratch) {
    const std::int64_t wide = grouped(h.width), pitch = grouped(h.keys);
    float *queries = scratch, *keys = queries + h.queries * wide, *turned = keys + h.keys * wide, *down = turned + h.width * pitch,
          *weights = down + h.queries * wide, *slopes = weights + h.queries * pitch, *result = slopes + h.queries * pitch;
    read_rows(q, h.stride, h.queries, h.width, h.scale, queries);
    read_rows(gradient, h.stride, h.queries, h.width, 1.0f, down);
    read_rows(v, h.stride, h.keys, h.width, 1.0f, keys);
    turn(keys, h.keys, h.width, turned);
    if (to_q || to_k) product(down, wide, 1, turned, pitch, slopes, pitch, h.queries, pitch, h.width);
    read_rows(k, h.stride, h.keys, h.width, 1.0f, keys);
    turn(keys, h.keys, h.width, turned);
    product(queries, wide, 1, turned, pitch, weights, pitch, h.queries, pitch, h.width);
    for (std::int64_t i = 0; i < h.queries; ++i) {
        float *weight = weights + i * pitch, *slope = slopes + i * pitch;
        exponentials(weight, h.seen(i), pitch, log_sums[i]);
        if (!to_q && !to_k) continue;
        Numbers x, y, sums{};
        for (std::int64_t j = 0; j < pitch; j += kGroup) {
            load(weight + j, x);
            load(slope + j, y);
            sums += x * y;
        }
        float own = 0;
        for (int j = 0; j < kGroup; ++j) own += sums[j];
        for (std::int64_t j = 0; j < pitch; ++j) slope[j] = weight[j] * (slope[j] - own);
    }
    if (to_v) {
        product(weights, 1, pitch, down, wide, result, wide, h.keys, wide, h.queries);
        write_rows(result, h.keys, h.width, 1.0f, to_v, h.stride);
    }
    if (to_k) {  // the queries carry the scale
        product(slopes, 1, pitch, queries, wide, result, wide, h.keys, wide, h.queries);
        write_rows(result, h.keys, h.width, 1.0f, to_k, h.stride);
    }
    if (to_q) {
        product(slopes, pitch, 1, keys, wide, result, wide, h.queries, wide, h.keys);
        write_rows(result, h.queries, h.width, h.scale, to_q, h.stride);
    }
}

using Half = std::uint16_t;  // a bfloat16's bits

PERMILLE_VECTOR void forward_float(const Head& h, const float* q, const float* k, const float* v, float* out, float* log_sums,
                                   float* scratch) {
    head_forward(h, q, k, v, out, log_sums, scratch);
}

PERMILLE_VECTOR void forward_half(const Head& h, const Half* q, const Half* k, const Half* v, Half* out, float* log_sums, float* scratch) {
    head_forward(h, q, k, v, out, log_sums, scratch);
}

PERMILLE_VECTOR void backward_float(const Head& h, const float* q, const float* k, const float* v, const float* gradient,
                                    const float* log_sums, float* to_q, float* to_k, float* to_v, float* scratch) {
    head_backward(h, q, k, v, gradient, log_sums, to_q, to_k, to_v, scratch);
}

PERMILLE_VECTOR void backward_half(const Head& h, const Half* q, const Half* k, const Half* v, const Half* gradient, const float* log_sums,
                                   Half* to_q, Half* to_k, Half* to_v, float* scratch) {
    head_backward(h, q, k, v, gradient, log_sums, to_q, to_k, to_v, scratch);
}

// What all heads of a batch have in common.
struct Batch {
    std::vector<std::int64_t> lengths, memory_lengths, starts, memory_starts;
    std::int64_t heads, stride, longest = 0, longest_memory = 0;
    bool causal;

    Batch(std::vector<std::int64_t> own, std::vector<std::int64_t> memory, std::int64_t heads_, std::int64_t stride_, bool causal_)
        : lengths(std::move(own)), memory_lengths(std::move(memory)), heads(heads_), stride(stride_), causal(causal_) {
        std::int64_t start = 0, memory_start = 0;
        for (std::size_t b = 0; b < lengths.size(); ++b) {
            starts.push_back(start);
            memory_starts.push_back(memory_start);
            start += lengths[b];
            memory_start += memory_lengths[b];
            longest = std::max(longest, lengths[b]);
            longest_memory = std::max(longest_memory, memory_lengths[b]);
        }
    }

    // visit(head, offset of the queries, offset of the keys, offset of the log sums [H, N], scratch) for every sentence and head.
    template <class Visit>
    void for_heads(std::int64_t rows, Visit&& visit) const {
        const std::int64_t width = stride / heads, wide = grouped(width), longer = std::max(longest, longest_memory);
        const std::int64_t scratch = 4 * grouped(longer) * wide + wide * grouped(longest_memory) + 2 * longest * grouped(longest_memory);
        const auto count = static_cast<std::int64_t>(lengths.size());
        at::parallel_for(0, count * heads, 1, [&](std::int64_t begin, std::int64_t end) {
            const at::Tensor own = at::empty({scratch}, at::kFloat);
            for (std::int64_t i = begin; i < end; ++i) {
                const auto b = static_cast<std::size_t>(i / heads);
                const std::int64_t head = i % heads;
                const Head h{lengths[b], memory_lengths[b], width, stride, causal, 1.0f / std::sqrt(static_cast<float>(width))};
                visit(h, starts[b] * stride + head * width, memory_starts[b] * stride + head * width, head * rows + starts[b],
                      own.data_ptr<float>());
            }
        });
    }
};

const Half* bits_of(const at::Tensor& tensor) { return static_cast<const Half*>(tensor.const_data_ptr()); }
Half* bits_to(const at::Tensor& tensor) { return tensor.defined() ? static_cast<Half*>(tensor.mutable_data_ptr()) : nullptr; }
float* floats_to(const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<float>() : nullptr; }

template <class T>
T* at_offset(T* start, std::int64_t offset) {
    return start ? start + offset : nullptr;
}

struct PackedAttention : torch::autograd::Function<PackedAttention> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& queries, const at::Tensor& keys,
                              const at::Tensor& values, const std::vector<std::int64_t>& lengths,
                              const std::vector<std::int64_t>& memory_lengths, std::int64_t heads, bool causal) {
        const Batch batch(lengths, memory_lengths, heads, queries.size(1), causal);
        const at::Tensor q = queries.contiguous(), k = keys.contiguous(), v = values.contiguous();
        const at::Tensor out = at::empty_like(q), log_sums = at::empty({heads, q.size(0)}, q.options().dtype(at::kFloat));
        batch.for_heads(q.size(0), [&](const Head& h, std::int64_t own, std::int64_t memory, std::int64_t log, float* scratch) {
            float* logs = log_sums.data_ptr<float>() + log;
            if (q.scalar_type() == at::kFloat)
                forward_float(h, q.const_data_ptr<float>() + own, k.const_data_ptr<float>() + memory, v.const_data_ptr<float>() + memory,
                              floats_to(out) + own, logs, scratch);
            else forward_half(h, bits_of(q) + own, bits_of(k) + memory, bits_of(v) + memory, bits_to(out) + own, logs, scratch);
        });
        context->save_for_backward({q, k, v, log_sums});
        context->saved_data["lengths"] = lengths;
        context->saved_data["memory_lengths"] = memory_lengths;
        context->saved_data["heads"] = heads;
        context->saved_data["causal"] = causal;
        return out;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &log_sums = saved[3];
        const Batch batch(context->saved_data["lengths"].toIntVector(), context->saved_data["memory_lengths"].toIntVector(),
                          context->saved_data["heads"].toInt(), q.size(1), context->saved_data["causal"].toBool());
        const at::Tensor down = gradients[0].contiguous();
        const auto wanted = [&](std::size_t i, const at::Tensor& like) {
            return context->needs_input_grad(i) ? at::empty_like(like) : at::Tensor();
        };
        const at::Tensor to_q = wanted(0, q), to_k = wanted(1, k), to_v = wanted(2, v);
        batch.for_heads(q.size(0), [&](const Head& h, std::int64_t own, std::int64_t memory, std::int64_t log, float* scratch) {
            const float* logs = log_sums.const_data_ptr<float>() + log;
            if (q.scalar_type() == at::kFloat)
                backward_float(h, q.const_data_ptr<float>() + own, k.const_data_ptr<float>() + memory, v.const_data_ptr<float>() + memory,
                               down.const_data_ptr<float>() + own, logs, at_offset(floats_to(to_q), own),
                               at_offset(floats_to(to_k), memory), at_offset(floats_to(to_v), memory), scratch);
            else
                backward_half(h, bits_of(q) + own, bits_of(k) + memory, bits_of(v) + memory, bits_of(down) + own, logs,
                              at_offset(bits_to(to_q), own), at_offset(bits_to(to_k), memory), at_offset(bits_to(to_v), memory), scratch);
        });
        return {to_q, to_k, to_v, {}, {}, {}, {}};
    }
};

}  // namespace

bool fits_packed_attention(const at::Tensor& queries, const Rows& rows, const Rows& memory_rows, std::int64_t heads, double dropout) {
    if (!queries.device().is_cpu()) return fits_card_attention(queries, heads);
    constexpr std::int64_t kLongest = 256;
    const bool typed = queries.scalar_type() == at::kFloat || queries.scalar_type() == at::kBFloat16;
    return typed && dropout <= 0 && rows.longest <= kLongest && memory_rows.longest <= kLongest;
}

at::Tensor packed_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const Rows& rows,
                            const Rows& memory_rows, std::int64_t heads, bool causal, double dropout, DropoutStreams& streams) {
    if (!queries.device().is_cpu()) return card_attention(queries, keys, values, rows, memory_rows, heads, causal, dropout, streams);
    PERMILLE_ASSERT(dropout <= 0);
    return PackedAttention::apply(queries, keys, values, rows.lengths, memory_rows.lengths, heads, causal);
}

}  // namespace permille
