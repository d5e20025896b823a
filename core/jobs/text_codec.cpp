#include "core/jobs/text_codec.h"

#include "core/bases/find.h"
#include "core/text/tokenizers.h"

namespace permille {

struct TextCodec::State {
    std::unique_ptr<Tokenizer> tokenizer;
};

TextCodec::TextCodec(const std::string& model, const EventSink& sink) : state_(std::make_unique<State>()) {
    state_->tokenizer = load_tokenizer(find_model(model, sink));
}
TextCodec::~TextCodec() = default;

std::vector<std::int64_t> TextCodec::encode(const std::string& line, const std::string& language, bool target) const {
    const ModelLanguage& found = state_->tokenizer->language(language);
    return target ? state_->tokenizer->encode_target(line, found) : state_->tokenizer->encode_source(line, found);
}

std::string TextCodec::decode(const std::vector<std::int64_t>& ids) const { return state_->tokenizer->decode(ids); }

}  // namespace permille
