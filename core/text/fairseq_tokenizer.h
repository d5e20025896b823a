// What the tokenizers of models that fairseq trained have in common (mBART, NLLB): one sentencepiece model, whose ids are moved to make
// room for fairseq's four special tokens, and after the pieces the languages and <mask>.
#pragma once

#include <memory>

#include "core/text/sentence_pieces.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_files.h"

namespace permille {

// The pieces of a folder, from sentencepiece.bpe.model or tokenizer.json, and the special tokens saved beside them.
struct FairseqPieces {
    // Throws Error(file) when the folder has neither file, or a damaged one.
    static FairseqPieces load(const TokenizerFiles& files);
    std::unique_ptr<SentencePieces> pieces;
    std::vector<std::pair<std::int64_t, std::string>> added;
};

class FairseqTokenizer : public Tokenizer {
public:
    std::string piece(std::int64_t id) const override;

protected:
    static constexpr std::int64_t kBos = 0, kPad = 1, kEos = 2, kUnk = 3, kFirstPiece = 4;

    FairseqTokenizer(const TokenizerFiles& files, std::unique_ptr<SentencePieces> pieces);

    std::vector<std::int64_t> text_ids(std::string_view text) const override;
    // Ids that a text between special tokens gets beside those of its pieces.
    virtual void finish_part(std::string_view part, std::vector<std::int64_t>& ids) const { (void)part, (void)ids; }
    Frame source_frame(const ModelLanguage& language) const override { return frame(language); }
    Frame target_frame(const ModelLanguage& language) const override { return frame(language); }

    // One more than the id of the last piece.
    std::int64_t end_of_pieces() const { return pieces_->size() + kOffset; }
    std::int64_t id_of_piece(const std::string& piece) const { return pieces_->id(piece) < 0 ? kUnk : pieces_->id(piece) + kOffset; }
    // Null for ids that are not pieces: special tokens, languages, ids that the model does not have.
    const std::string* text_piece(std::int64_t id) const;

    std::unique_ptr<SentencePieces> pieces_;
    AddedTokens added_;
    std::int64_t mask_id_ = -1;
    bool language_last_ = false;  // the language follows the text instead of preceding it

private:
    // sentencepiece has <unk>, <s> and </s>; fairseq puts <s>, <pad>, </s> and <unk> in their place.
    static constexpr std::int64_t kOffset = 1;
    Frame frame(const ModelLanguage& language) const;
};

}  // namespace permille
