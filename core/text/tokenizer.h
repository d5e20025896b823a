// Text to the ids a model reads and back, with the special tokens and language codes that the model expects.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace permille {

// A language as a model knows it: its own code ("de", "de_DE", "deu_Latn") and the id of its token; -1: the model has no token for it.
struct ModelLanguage {
    std::string code;
    std::int64_t id = 0;
};

// How a decoder begins: its first token, and the one that a search makes it say after that.
struct DecoderStart {
    std::int64_t token = -1;
    std::optional<std::int64_t> forced;
};

// The ids with a meaning of their own; -1: the model has none.
struct SpecialIds {
    std::int64_t pad = -1, bos = -1, eos = -1, unk = -1, decoder_start = -1;
};

// Encodings equal those of the Hugging Face tokenizer of the same folder. All functions are const and may be called from several threads.
class Tokenizer {
public:
    // Limits of a sequence, special and language tokens counted. Longer ones lose the end of their text, never those tokens.
    static constexpr std::int64_t kModelLimit = 0;
    static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

    virtual ~Tokenizer();
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    // What the encoder reads. Throws Error(file) when the text is not UTF-8.
    std::vector<std::int64_t> encode_source(std::string_view text, const ModelLanguage& language, std::int64_t limit = kModelLimit) const;
    // The same for a translation into a language: Marian's multilingual models read the wanted language, and nothing about the text's own.
    std::vector<std::int64_t> encode_source(std::string_view text, const ModelLanguage& source, const ModelLanguage& target,
                                            std::int64_t limit = kModelLimit) const;
    // The labels of the decoder: without the start token, with the language and end-of-sentence tokens.
    std::vector<std::int64_t> encode_target(std::string_view text, const ModelLanguage& language, std::int64_t limit = kModelLimit) const;
    // Special and language tokens are left out, and so are ids that the model does not have.
    virtual std::string decode(std::span<const std::int64_t> ids) const = 0;

    // The ids of a source text alone, without special and language tokens around it.
    std::vector<std::int64_t> encode_text(std::string_view text) const;
    // The same as the pieces they stand for.
    std::vector<std::string> pieces(std::string_view text) const;
    // The piece or special token of an id; throws Error(usage) when there is none.
    virtual std::string piece(std::int64_t id) const = 0;

    const std::vector<ModelLanguage>& languages() const { return languages_; }
    // The model's own code or an unambiguous other form of it: "de" for de_DE or deu_Latn, "deu" or "de-DE" for de. Throws Error(config)
    // that lists the codes and names the nearest.
    const ModelLanguage& language(std::string_view code) const;
    std::int64_t language_id(std::string_view code) const { return language(code).id; }
    // The same for one side of a translation: some models read other languages than they write, or do not ask what they read.
    virtual const ModelLanguage& source_language(std::string_view code) const { return language(code); }
    virtual const ModelLanguage& target_language(std::string_view code) const { return language(code); }
    // Of a translation into a language.
    virtual DecoderStart decoder_start(const ModelLanguage& target) const { return {ids_.decoder_start, target.id}; }

    const SpecialIds& ids() const { return ids_; }
    // Tokens of a sequence at most.
    std::int64_t max_length() const { return max_length_; }
    // One more than the highest id. Models may have more rows.
    std::int64_t size() const { return size_; }

protected:
    // The tokens around a text.
    struct Frame {
        std::vector<std::int64_t> before, after;
    };

    Tokenizer() = default;
    virtual std::vector<std::int64_t> text_ids(std::string_view valid_text) const = 0;
    // Of the decoder's side, where it has pieces of its own.
    virtual std::vector<std::int64_t> target_text_ids(std::string_view valid_text) const { return text_ids(valid_text); }
    virtual Frame source_frame(const ModelLanguage& language) const = 0;
    virtual Frame translation_frame(std::string_view valid_text, const ModelLanguage& source, const ModelLanguage& target) const;
    virtual Frame target_frame(const ModelLanguage& language) const = 0;

    std::vector<ModelLanguage> languages_;
    SpecialIds ids_;
    std::int64_t max_length_ = 1024;
    std::int64_t size_ = 0;

private:
    std::vector<std::int64_t> framed(std::vector<std::int64_t> inner, Frame frame, std::int64_t limit) const;
};

}  // namespace permille
