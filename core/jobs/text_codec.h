// Text to token ids and back, with a model's tokenizer alone. Needs no libtorch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/events.h"

namespace permille {

// MODEL as find_model() in core/bases/find.h knows it; throws what that throws, and Error(file) for a tokenizer that cannot be read.
class TextCodec {
public:
    explicit TextCodec(const std::string& model, const EventSink& sink = {});
    ~TextCodec();
    std::vector<std::int64_t> encode(const std::string& line, const std::string& language, bool target) const;
    std::string decode(const std::vector<std::int64_t>& ids) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace permille
