#include "core/text/tokenizer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/text/model_languages.h"
#include "core/text/utf8.h"

namespace permille {

Tokenizer::~Tokenizer() = default;

std::vector<std::int64_t> Tokenizer::encode_source(std::string_view text, const ModelLanguage& language, std::int64_t limit) const {
    return framed(encode_text(text), source_frame(language), limit);
}

std::vector<std::int64_t> Tokenizer::encode_source(std::string_view text, const ModelLanguage& source, const ModelLanguage& target,
                                                   std::int64_t limit) const {
    auto ids = encode_text(text);
    return framed(std::move(ids), translation_frame(text, source, target), limit);
}

std::vector<std::int64_t> Tokenizer::encode_target(std::string_view text, const ModelLanguage& language, std::int64_t limit) const {
    require_utf8(text);
    return framed(target_text_ids(text), target_frame(language), limit);
}

Tokenizer::Frame Tokenizer::translation_frame(std::string_view, const ModelLanguage& source, const ModelLanguage&) const {
    return source_frame(source);
}

std::vector<std::int64_t> Tokenizer::encode_text(std::string_view text) const {
    require_utf8(text);
    return text_ids(text);
}

std::vector<std::string> Tokenizer::pieces(std::string_view text) const {
    std::vector<std::string> list;
    for (const auto id : encode_text(text)) list.push_back(piece(id));
    return list;
}

const ModelLanguage& Tokenizer::language(std::string_view code) const { return find_language(languages_, code); }

std::vector<std::int64_t> Tokenizer::framed(std::vector<std::int64_t> inner, Frame frame, std::int64_t limit) const {
    if (limit == kModelLimit) limit = max_length_;
    const auto around = static_cast<std::int64_t>(frame.before.size() + frame.after.size());
    const auto room = static_cast<std::size_t>(std::max<std::int64_t>(0, limit - around));
    if (inner.size() > room) inner.resize(room);
    auto& ids = frame.before;
    ids.reserve(ids.size() + inner.size() + frame.after.size());
    ids.insert(ids.end(), inner.begin(), inner.end());
    ids.insert(ids.end(), frame.after.begin(), frame.after.end());
    return std::move(ids);
}

}  // namespace permille
