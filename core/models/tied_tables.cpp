#include "core/models/tied_tables.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace permille {

namespace {

constexpr std::string_view kShared = "model.shared.weight";
constexpr std::string_view kEncoder = "model.encoder.embed_tokens.weight";
constexpr std::string_view kDecoder = "model.decoder.embed_tokens.weight";
constexpr std::string_view kProjection = "lm_head.weight";
constexpr std::int64_t kScalarsAtOnce = std::int64_t{1} << 22;

struct Copy {
    std::string_view name;
    at::Tensor tensor;
};

bool is_equal(const at::Tensor& a, const at::Tensor& b) {
    if (a.const_data_ptr() == b.const_data_ptr() && a.scalar_type() == b.scalar_type() && a.strides() == b.strides()) return true;
    if (a.dim() == 0) return at::equal(a.to(at::kFloat), b.to(at::kFloat));
    const std::int64_t rows = a.size(0), step = std::max<std::int64_t>(1, kScalarsAtOnce * rows / std::max<std::int64_t>(1, a.numel()));
    // In parts: different copies are told early, and copies of two types are not converted as a whole.
    for (std::int64_t row = 0; row < rows; row += step) {
        const std::int64_t count = std::min(step, rows - row);
        if (!at::equal(a.narrow(0, row, count).to(at::kFloat), b.narrow(0, row, count).to(at::kFloat))) return false;
    }
    return true;
}

}  // namespace

std::string settle_tables(Architecture& architecture, TensorMap& stored, const std::string& where) {
    std::vector<std::string_view> tied = {kDecoder};
    if (architecture.tied_projection) tied.insert(tied.begin(), kProjection);
    if (architecture.source_vocab_size) {
        std::reverse(tied.begin(), tied.end());  // nothing is shared: the projection follows the decoder's table
    } else {
        tied.insert(tied.begin(), kShared);
        tied.push_back(kEncoder);
    }
    std::vector<Copy> copies;
    for (const std::string_view name : tied)
        if (const auto found = stored.find(std::string(name)); found != stored.end()) copies.push_back({name, found->second});
    if (copies.size() < 2) return "";
    const Copy& first = copies.front();
    std::vector<std::string> different;
    for (const Copy& copy : copies) {
        if (copy.tensor.sizes() != first.tensor.sizes())
            throw Error(ErrorKind::tensor, where + ", " + std::string(copy.name),
                        "has another shape than " + std::string(first.name) + ", with which config.json ties it",
                        "config.json and weights do not belong together");
        if (!is_equal(copy.tensor, first.tensor)) different.emplace_back(copy.name);
    }
    if (different.empty()) return "";

    const auto taken = [&](std::string_view name) {
        const auto found = std::find_if(copies.begin(), copies.end(), [&](const Copy& copy) { return copy.name == name; });
        return found != copies.end() ? *found : first;
    };
    const Copy encoder = taken(kEncoder), decoder = taken(kDecoder), projection = taken(kProjection);
    for (const Copy& copy : copies) stored.erase(std::string(copy.name));
    const auto keep = [&](std::string_view name, const Copy& copy) { stored.emplace(std::string(name), copy.tensor); };
    std::string note = "config.json ties " + std::string(first.name) + " with " + list_some(different) + ", but their values differ: ";
    if (!architecture.source_vocab_size) {
        note += "the encoder reads " + std::string(encoder.name) + ", ";
        if (is_equal(encoder.tensor, decoder.tensor)) {
            keep(kShared, decoder);
        } else {
            architecture.source_vocab_size = architecture.vocab_size;
            keep(kEncoder, encoder);
            keep(kDecoder, decoder);
        }
    } else {
        keep(kDecoder, decoder);
    }
    note += "the decoder reads " + std::string(decoder.name);
    if (architecture.tied_projection) {
        note += ", the projection is " + std::string(projection.name);
        architecture.tied_projection = is_equal(projection.tensor, decoder.tensor);
        if (!architecture.tied_projection) keep(kProjection, projection);
    }
    return note;
}

}  // namespace permille
