#include "core/models/decoder_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "core/nn/device.h"

namespace permille {

at::Tensor DecoderCache::self_mask(const Layer& layer, const at::TensorOptions& options) const {
    if (!layer.hidden.defined() && !hidden.defined()) return {};
    const std::int64_t places = layer.prefix + length + 1, passed = std::min(length, front);  // the present place is always seen
    const at::Tensor added = at::zeros({rows / beams, places}, options);
    constexpr double kHidden = -std::numeric_limits<double>::infinity();
    if (layer.hidden.defined()) added.narrow(1, 0, layer.prefix).masked_fill_(layer.hidden, kHidden);
    if (hidden.defined()) added.narrow(1, layer.prefix, passed).masked_fill_(hidden.narrow(1, 0, passed), kHidden);
    return added.repeat_interleave(beams, 0).view({rows, 1, 1, places});
}

void DecoderCache::select(const std::vector<std::int64_t>& order, const std::vector<std::int64_t>& sentences) {
    const auto kept = static_cast<std::int64_t>(order.size());
    const bool shrinks = kept != rows;
    if (!shrinks && std::is_sorted(order.begin(), order.end()) && order.back() == rows - 1 && order.front() == 0 &&
        std::adjacent_find(order.begin(), order.end()) == order.end())
        return;  // nothing moved
    const at::Device device = layers.front().self_keys.device();
    at::Tensor index = at::tensor(order, at::kLong), sentence_index = shrinks ? at::tensor(sentences, at::kLong) : at::Tensor();
    Uploads uploads;
    uploads.add(index);
    uploads.add(sentence_index);
    uploads.send(device);
    const auto leave = [&](at::Tensor& of_sentences) {
        if (of_sentences.defined()) of_sentences = of_sentences.index_select(0, sentence_index);
    };
    at::Tensor shared_mask, left_mask;  // of the layers before: mostly it is one for all
    for (Layer& layer : layers) {
        const std::int64_t filled = layer.prefix + length;
        const auto move = [&](at::Tensor& from, at::Tensor& to) {
            at::Tensor target = to.narrow(0, 0, filled * kept * width).view({filled, kept, width});
            at::index_select_out(target, from.narrow(0, 0, filled * rows * width).view({filled, rows, width}), 1, index);
            std::swap(from, to);
        };
        move(layer.self_keys, layer.spare_keys);
        move(layer.self_values, layer.spare_values);
        if (!shrinks) continue;
        for (at::Tensor* tensor : {&layer.hidden, &layer.cross_keys, &layer.cross_values}) leave(*tensor);
        if (!layer.cross_mask.defined()) continue;
        if (!layer.cross_mask.is_same(shared_mask)) {
            shared_mask = layer.cross_mask;
            left_mask = shared_mask.index_select(0, sentence_index);
        }
        layer.cross_mask = left_mask;
    }
    rows = kept;
    if (!shrinks) return;
    leave(hidden);
    std::vector<std::int64_t> left(shares.size());
    std::size_t share = 0;
    std::int64_t end = shares.front();  // of the share, in sentences
    for (const std::int64_t sentence : sentences) {
        while (sentence >= end) end += shares.at(++share);
        ++left[share];
    }
    shares = left;
}

}  // namespace permille
