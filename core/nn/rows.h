// A batch of sentences as packed rows: no work is done on padding. Linear maps, norms and the loss see [N, D] with N real tokens; only
// attention sees [B, L, D].
#pragma once

#include <ATen/core/Tensor.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace permille {

class Uploads;  // core/nn/device.h

struct Rows {
    std::int64_t sentences = 0;         // B
    std::int64_t longest = 0;           // L
    std::vector<std::int64_t> lengths;  // [B], each at least 1
    at::Tensor index;                   // [N] int64: place of each row in [B*L]; undefined when dense
    at::Tensor keep;                    // [B, L] bool, true = real token; undefined when dense
    at::Tensor starts;                  // [B + 1] int32: the first row of each sentence, and N
    bool dense() const { return !index.defined(); }
    std::int64_t count() const;  // N

    static Rows of(const std::vector<std::int64_t>& lengths, const at::Device& device);
    void add_to(Uploads& uploads);

    // A mask over these rows as keys, which every layer of a batch needs in the same form: `make` is called for the first of them. Copies
    // of the rows share what was made; they belong to the pass of one batch.
    struct Mask {
        std::int64_t queries = 0;  // the longest of the sentences that attend; 0: all their queries see the same
        std::int64_t before = 0;   // places of a prefix
        bool padding = false;      // hides padded keys
        at::ScalarType type = at::kFloat;
        std::int64_t step = 1;  // what the mask's rows take in memory is a whole number of these
        auto operator<=>(const Mask&) const = default;
    };
    const at::Tensor& mask(const Mask& which, const std::function<at::Tensor()>& make) const;

private:
    std::shared_ptr<std::map<Mask, at::Tensor>> masks_ = std::make_shared<std::map<Mask, at::Tensor>>();
};

// Tokens of a batch.
struct TokenRows {
    Rows rows;
    at::Tensor ids;        // [N] int64
    at::Tensor positions;  // [N] int64, 0 for the first token of each sentence

    static TokenRows of(const std::vector<std::vector<std::int64_t>>& sentences, const at::Device& device);
    void add_to(Uploads& uploads);
};

// A batch with virtual tokens around its sentences: of each first its `front`, then its tokens, then its `back`. Virtual ids are -1.
struct PromptedRows {
    TokenRows tokens;         // [N'] with the virtual ones
    at::Tensor order;         // [N'] int64: where each row lies in [N real rows; the virtual ones, sentence by sentence]
    at::Tensor virtual_rows;  // [N' - N] int64: places of the virtual tokens, sentence by sentence
    at::Tensor real_rows;     // [N] int64
    // front, back: of each sentence.
    static PromptedRows of(const TokenRows& tokens, const std::vector<std::int64_t>& front, const std::vector<std::int64_t>& back);
};

// [N, D] -> [B, L, D] with zeros at padding, and back. Differentiable.
at::Tensor pad(const at::Tensor& packed, const Rows& rows);
at::Tensor pack(const at::Tensor& padded, const Rows& rows);

}  // namespace permille
