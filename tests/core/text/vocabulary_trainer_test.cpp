#include "core/text/vocabulary_trainer.h"

#include <sstream>

#include "core/base/files.h"
#include "core/text/m2m100_tokenizer.h"
#include "core/text/sentence_pieces.h"
#include "core/text/tokenizers.h"
#include "tests/support/test.h"

using namespace permille;
using permille::test::golden;
using permille::test::require_error;
using permille::test::TemporaryFolder;

namespace {

std::vector<std::string> golden_lines() {
    std::istringstream in(read_text(golden("tokenizers/lines.txt")));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

}  // namespace

TEST_CASE("a trained vocabulary has the reference's pieces and is the same each time", "[text]") {
    TemporaryFolder folder;
    const auto lines = golden_lines();
    VocabularySettings settings;
    settings.pieces = 600;
    train_vocabulary(lines, settings, folder / "a.model");
    train_vocabulary(lines, settings, folder / "b.model");
    CHECK(sha256_of_file(folder / "a.model") == sha256_of_file(folder / "b.model"));

    const SentencePieces ours(folder / "a.model"), reference(golden("tokenizers/sentencepiece.bpe.model"));
    REQUIRE(ours.size() == 600);
    REQUIRE(reference.size() == 600);
    // The reference was trained by a newer sentencepiece, which takes pieces of equal frequency in another order.
    std::int64_t shared = 0;
    for (std::int64_t i = 0; i < ours.size(); ++i) shared += reference.id(ours.piece(i)) >= 0 ? 1 : 0;
    CHECK(shared >= 590);
    for (std::int64_t i = 0; i < 100; ++i) CHECK(ours.piece(i) == reference.piece(i));

    save_m2m100_tokenizer(folder / "model", folder / "a.model", {"de", "en", "ru"});
    const auto tokenizer = load_tokenizer(folder / "model");
    for (const auto& line : lines) {
        INFO(line);
        CHECK(tokenizer->decode(tokenizer->encode_source(line, tokenizer->language("en"))) == line);
    }
}

TEST_CASE("a vocabulary that cannot be trained says why", "[text]") {
    TemporaryFolder folder;
    VocabularySettings settings;
    require_error([&] { train_vocabulary({}, settings, folder / "a.model"); }, ErrorKind::config, {"no text"});
    require_error([&] { train_vocabulary({" ", "\t"}, settings, folder / "a.model"); }, ErrorKind::config, {"no text"});
    require_error([&] { train_vocabulary({"too little text"}, settings, folder / "a.model"); }, ErrorKind::config,
                  {"8000", "fewer pieces"});
    require_error([&] { train_vocabulary({"ab\xff"}, settings, folder / "a.model"); }, ErrorKind::file, {"UTF-8"});
    CHECK_FALSE(std::filesystem::exists(folder / "a.model"));
}
