// What the methods that put virtual tokens before or behind a sentence have in common.
#pragma once

#include "core/peft/method.h"

namespace permille {

// A start [count, D] out of embeddings of the first 5,000 tokens of the stack's table, special ones left out, drawn by the seed (Lester et
// al. 2021, arXiv 2104.08691, section 3.2). scaled: as they enter the stack, otherwise as they lie in the table.
Init rows_of_vocabulary(const Layout& layout, const std::string& stack, std::int64_t count, bool scaled);

// The width D of the tokens of a stack, "encoder"; throws Error(config) in the name of the method when the model has no such stack.
std::int64_t width_of(const Layout& layout, const std::string& stack, const std::string& method);

// Trained embeddings [front + back, D] around every sentence, as they enter the stack.
class VirtualTokens : public Prompt {
public:
    VirtualTokens(at::Tensor embeddings, std::int64_t front) : embeddings_(std::move(embeddings)), front_(front) {}
    std::int64_t front() const override { return front_; }
    std::int64_t back() const override { return embeddings_.size(0) - front_; }
    at::Tensor embeddings(const Forward&) const override { return embeddings_; }

private:
    at::Tensor embeddings_;
    std::int64_t front_;
};

}  // namespace permille
