#include "core/text/sentence_pieces.h"

#include <sentencepiece_processor.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/text/character_map.h"

// Exported by the library, but declared only in a header that is not installed.
namespace sentencepiece::logging {
void SetMinLogLevel(int level);
}

namespace permille {

void silence_sentencepiece() { sentencepiece::logging::SetMinLogLevel(4); }

SentencePieces::SentencePieces(const std::filesystem::path& file) : SentencePieces(read_text(file), file.string()) {}

SentencePieces::SentencePieces(std::string_view serialized, const std::string& where)
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()), where_(where) {
    silence_sentencepiece();
    require_sound_character_maps(serialized, where);
    const auto status = processor_->LoadFromSerializedProto({serialized.data(), serialized.size()});
    if (serialized.empty() || !status.ok() || processor_->GetPieceSize() == 0)
        throw Error(ErrorKind::file, where,
                    serialized.empty() ? "is empty, expected a sentencepiece model" : "is not a sentencepiece model, or is damaged",
                    "copy or download the file again");
    size_ = processor_->GetPieceSize();
    unk_id_ = processor_->unk_id();
}

SentencePieces::~SentencePieces() = default;

const std::string& SentencePieces::piece(std::int64_t id) const {
    PERMILLE_ASSERT(id >= 0 && id < size_);
    return processor_->IdToPiece(static_cast<int>(id));
}

std::int64_t SentencePieces::id(const std::string& piece) const {
    const int found = processor_->PieceToId(piece);
    return found == unk_id_ && piece != processor_->IdToPiece(found) ? -1 : found;
}

bool SentencePieces::is_control(std::int64_t id) const { return processor_->IsControl(static_cast<int>(id)); }

std::vector<int> SentencePieces::encode(std::string_view text) const {
    std::vector<int> ids;
    const auto status = processor_->Encode({text.data(), text.size()}, &ids);
    if (!status.ok())
        throw Error(ErrorKind::file, where_, "cannot encode a text: " + status.ToString(), "check that the model file is complete");
    return ids;
}

std::vector<std::string> SentencePieces::encode_pieces(std::string_view text) const {
    std::vector<std::string> pieces;
    const auto status = processor_->Encode({text.data(), text.size()}, &pieces);
    if (!status.ok())
        throw Error(ErrorKind::file, where_, "cannot encode a text: " + status.ToString(), "check that the model file is complete");
    return pieces;
}

std::string SentencePieces::decode(const std::vector<std::string>& pieces) const {
    std::string text;
    const auto status = processor_->Decode(pieces, &text);
    if (!status.ok()) throw Error(ErrorKind::file, where_, "cannot decode: " + status.ToString(), "check that the model file is complete");
    return text;
}

}  // namespace permille
