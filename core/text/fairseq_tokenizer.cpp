#include "core/text/fairseq_tokenizer.h"

#include "core/base/error.h"
#include "core/text/tokenizer_json.h"

namespace permille {

namespace {

constexpr const char* kPieces = "sentencepiece.bpe.model";
constexpr const char* kTokenizerJson = "tokenizer.json";

}  // namespace

FairseqPieces FairseqPieces::load(const TokenizerFiles& files) {
    if (files.has(kPieces)) {
        FairseqPieces loaded{std::make_unique<SentencePieces>(files.file(kPieces)), files.added_tokens()};
        if (loaded.added.empty() && files.has(kTokenizerJson) && files.extra_tokens().empty())
            loaded.added = read_added_tokens(files.file(kTokenizerJson));
        return loaded;
    }
    if (files.has(kTokenizerJson)) {
        auto whole = read_tokenizer_json(files.file(kTokenizerJson));
        return {std::make_unique<SentencePieces>(whole.sentencepiece_model, files.file(kTokenizerJson).string()),
                std::move(whole.added_tokens)};
    }
    throw Error(ErrorKind::file, files.folder.string(), "holds no tokenizer", std::string("expected ") + kPieces + " or " + kTokenizerJson);
}

FairseqTokenizer::FairseqTokenizer(const TokenizerFiles& files, std::unique_ptr<SentencePieces> pieces) : pieces_(std::move(pieces)) {
    ids_ = {kPad, kBos, kEos, kUnk, files.decoder_start(kEos)};
    max_length_ = files.max_length();
    size_ = end_of_pieces();
    added_.add("<s>", kBos);
    added_.add("<pad>", kPad);
    added_.add("</s>", kEos);
    added_.add("<unk>", kUnk);
}

std::string FairseqTokenizer::piece(std::int64_t id) const {
    if (const auto* token = added_.token(id)) return *token;
    if (const auto* text = text_piece(id)) return *text;
    throw Error(ErrorKind::usage, "id " + std::to_string(id), "the vocabulary has no such id",
                "ids go from 0 to " + std::to_string(size_ - 1));
}

const std::string* FairseqTokenizer::text_piece(std::int64_t id) const {
    if (id < kFirstPiece || id >= end_of_pieces() || added_.contains(id)) return nullptr;
    return &pieces_->piece(id - kOffset);
}

std::vector<std::int64_t> FairseqTokenizer::text_ids(std::string_view text) const {
    std::vector<std::int64_t> ids;
    for (const auto& part : added_.split(text, mask_id_)) {
        if (part.id >= 0) {
            ids.push_back(part.id);
            continue;
        }
        for (const int id : pieces_->encode(part.text)) ids.push_back(id == pieces_->unk_id() ? kUnk : id + kOffset);
        finish_part(part.text, ids);
    }
    return ids;
}

Tokenizer::Frame FairseqTokenizer::frame(const ModelLanguage& language) const {
    if (language_last_) return {{}, {kEos, language.id}};
    return {{language.id}, {kEos}};
}

}  // namespace permille
