#include "core/nn/rows.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/nn/device.h"

namespace permille {

namespace {

at::Tensor scatter_rows(const at::Tensor& packed, const at::Tensor& index, std::int64_t places) {
    at::Tensor padded = at::zeros({places, packed.size(1)}, packed.options());
    return padded.index_copy_(0, index, packed);
}

struct PadRows : torch::autograd::Function<PadRows> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& packed, const at::Tensor& index,
                              std::int64_t places) {
        context->save_for_backward({index});
        return scatter_rows(packed, index, places);
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        return {gradients[0].index_select(0, context->get_saved_variables()[0]), {}, {}};
    }
};

struct PackRows : torch::autograd::Function<PackRows> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& padded, const at::Tensor& index) {
        context->save_for_backward({index});
        context->saved_data["places"] = padded.size(0);
        return padded.index_select(0, index);
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        return {scatter_rows(gradients[0], context->get_saved_variables()[0], context->saved_data["places"].toInt()), {}};
    }
};

}  // namespace

std::int64_t Rows::count() const { return std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}); }

namespace {

// Rows on the host; what places them is undefined when they are dense.
Rows rows_of(const std::vector<std::int64_t>& lengths) {
    PERMILLE_ASSERT(!lengths.empty());
    Rows rows;
    rows.sentences = static_cast<std::int64_t>(lengths.size());
    rows.longest = *std::max_element(lengths.begin(), lengths.end());
    rows.lengths = lengths;
    rows.starts = at::zeros({rows.sentences + 1}, at::kInt);
    auto* start = rows.starts.data_ptr<std::int32_t>();
    for (const std::int64_t length : lengths) {
        PERMILLE_ASSERT(length > 0);
        start[1] = start[0] + static_cast<std::int32_t>(length);
        ++start;
    }
    const std::int64_t count = rows.count();
    if (count == rows.sentences * rows.longest) return rows;
    rows.index = at::empty({count}, at::kLong);
    rows.keep = at::zeros({rows.sentences, rows.longest}, at::kBool);
    auto* places = rows.index.data_ptr<std::int64_t>();
    auto* real = rows.keep.data_ptr<bool>();
    for (std::int64_t b = 0; b < rows.sentences; ++b)
        for (std::int64_t t = 0; t < lengths[static_cast<std::size_t>(b)]; ++t) {
            *places++ = b * rows.longest + t;
            real[b * rows.longest + t] = true;
        }
    return rows;
}

}  // namespace

Rows Rows::of(const std::vector<std::int64_t>& lengths, const at::Device& device) {
    Rows rows = rows_of(lengths);
    Uploads uploads;
    rows.add_to(uploads);
    uploads.send(device);
    return rows;
}

void Rows::add_to(Uploads& uploads) {
    for (at::Tensor* tensor : {&index, &keep, &starts}) uploads.add(*tensor);
}

const at::Tensor& Rows::mask(const Mask& which, const std::function<at::Tensor()>& make) const {
    at::Tensor& mask = (*masks_)[which];
    if (!mask.defined()) mask = make();
    return mask;
}

TokenRows TokenRows::of(const std::vector<std::vector<std::int64_t>>& sentences, const at::Device& device) {
    std::vector<std::int64_t> lengths;
    lengths.reserve(sentences.size());
    for (const auto& sentence : sentences) lengths.push_back(static_cast<std::int64_t>(sentence.size()));
    TokenRows tokens;
    tokens.rows = rows_of(lengths);
    const std::int64_t count = tokens.rows.count();
    tokens.ids = at::empty({count}, at::kLong);
    tokens.positions = at::empty({count}, at::kLong);
    auto* id = tokens.ids.data_ptr<std::int64_t>();
    auto* position = tokens.positions.data_ptr<std::int64_t>();
    for (const auto& sentence : sentences) {
        id = std::copy(sentence.begin(), sentence.end(), id);
        std::iota(position, position + sentence.size(), std::int64_t{0});
        position += sentence.size();
    }
    Uploads uploads;
    tokens.add_to(uploads);
    uploads.send(device);
    return tokens;
}

void TokenRows::add_to(Uploads& uploads) {
    rows.add_to(uploads);
    for (at::Tensor* tensor : {&ids, &positions}) uploads.add(*tensor);
}

PromptedRows PromptedRows::of(const TokenRows& tokens, const std::vector<std::int64_t>& front, const std::vector<std::int64_t>& back) {
    const at::Device device = tokens.ids.device();
    const std::int64_t real = tokens.rows.count();
    std::vector<std::int64_t> lengths = tokens.rows.lengths, order, positions, virtual_rows, real_rows;
    std::int64_t first = 0, made = 0;  // rows of the sentences before
    for (std::size_t b = 0; b < lengths.size(); ++b) {
        const std::int64_t length = lengths[b], extra = front[b] + back[b];
        for (std::int64_t t = 0; t < length + extra; ++t) {
            const bool is_real = t >= front[b] && t < front[b] + length;
            (is_real ? real_rows : virtual_rows).push_back(static_cast<std::int64_t>(order.size()));
            order.push_back(is_real ? first + t - front[b] : real + made + (t < front[b] ? t : t - length));
            positions.push_back(t);
        }
        first += length;
        made += extra;
        lengths[b] += extra;
    }
    const auto host = [](const std::vector<std::int64_t>& list) { return at::tensor(list, at::kLong); };
    PromptedRows result;
    result.order = host(order);
    result.virtual_rows = host(virtual_rows);
    result.real_rows = host(real_rows);
    result.tokens.rows = rows_of(lengths);
    result.tokens.positions = host(positions);
    Uploads uploads;
    result.tokens.add_to(uploads);
    for (at::Tensor* tensor : {&result.order, &result.virtual_rows, &result.real_rows}) uploads.add(*tensor);
    uploads.send(device);
    result.tokens.ids = at::full({real + made}, -1, tokens.ids.options()).index_copy_(0, result.real_rows, tokens.ids);
    return result;
}

at::Tensor pad(const at::Tensor& packed, const Rows& rows) {
    const std::int64_t width = packed.size(1);
    if (rows.dense()) return packed.view({rows.sentences, rows.longest, width});
    return PadRows::apply(packed, rows.index, rows.sentences * rows.longest).view({rows.sentences, rows.longest, width});
}

at::Tensor pack(const at::Tensor& padded, const Rows& rows) {
    const at::Tensor flat = padded.reshape({rows.sentences * rows.longest, padded.size(-1)});
    return rows.dense() ? flat : PackRows::apply(flat, rows.index);
}

}  // namespace permille
