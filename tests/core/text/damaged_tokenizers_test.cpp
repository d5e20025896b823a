// Tokenizer files as a hostile or broken download brings them: one clear error, never a crash. Text that the loaded ones encode is in the
// other tests.
#include <cstring>
#include <functional>

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/text/character_map.h"
#include "core/text/sentence_pieces.h"
#include "core/text/tokenizer_json.h"
#include "core/text/tokenizers.h"
#include "tests/support/test.h"

using namespace permille;
using permille::test::golden;
using permille::test::require_error;
using permille::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kTrieBytes = 179200;  // of the character map nmt_nfkc, which all golden models have

std::string good_model() { return read_text(golden("mbart50/sentencepiece.bpe.model")); }

// Where the trie begins in the model, behind its own length.
std::size_t trie_of(const std::string& model) {
    const std::uint32_t length = kTrieBytes;
    const std::string_view bytes(reinterpret_cast<const char*>(&length), sizeof length);
    const std::size_t found = model.find(bytes);
    REQUIRE(found != std::string::npos);
    return found + sizeof length;
}

std::uint32_t word_at(const std::string& bytes, std::size_t place) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + place, sizeof value);
    return value;
}
void put_word(std::string& bytes, std::size_t place, std::uint32_t value) { std::memcpy(bytes.data() + place, &value, sizeof value); }

void refused(const std::string& model, const std::string& what) {
    INFO(what);
    require_error([&] { SentencePieces(model, "the.model"); }, ErrorKind::file, {"the.model", "damaged"});
}

void refused_file(const std::string& model, const std::string& name, const Json& content, const std::vector<std::string>& words) {
    const TemporaryFolder folder;
    for (const auto& entry : fs::directory_iterator(golden(model)))
        if (entry.path().extension() != ".safetensors" && entry.is_regular_file())
            fs::copy_file(entry, folder / entry.path().filename().string());
    write_json(folder / name, content);
    require_error([&] { load_tokenizer(folder.path()); }, ErrorKind::file, words);
}

}  // namespace

TEST_CASE("a character map that would lead out of itself is refused", "[text]") {
    const std::string good = good_model();
    const std::size_t trie = trie_of(good), units = kTrieBytes / 4;
    CHECK(SentencePieces(good, "good").encode("ﬁn").size() > 1);

    std::string bad = good;
    put_word(bad, trie, 0x3ffff << 10);
    refused(bad, "a root that leads outside");
    bad = good;
    put_word(bad, trie, 0x80000000 | 0x3ffff << 10);
    refused(bad, "a root that says it is a replacement and leads outside");
    // The first unit at which a match may end, and the place of its replacement.
    std::size_t end = 1;
    while (end < units && (word_at(good, trie + 4 * end) >> 31 != 0 || (word_at(good, trie + 4 * end) & 0x100) == 0)) ++end;
    REQUIRE(end < units);
    const std::uint32_t unit = word_at(good, trie + 4 * end);
    const std::size_t value = end ^ ((unit >> 10) << ((unit & 0x200) >> 6));
    REQUIRE(value < units);
    bad = good;
    put_word(bad, trie + 4 * end, unit | 0x7fc00000);
    refused(bad, "a unit that leads outside");
    bad = good;
    put_word(bad, trie + 4 * value, 0x80000000 | 0x7fffff00);
    refused(bad, "a replacement outside");
    bad = good;
    put_word(bad, trie - 4, 0xfffffffc);
    refused(bad, "a trie of 4 GB");
    put_word(bad, trie - 4, kTrieBytes + 2);
    refused(bad, "a trie of half a unit");
    put_word(bad, trie - 4, 0);
    refused(bad, "no trie");
    bad = good;
    std::fill(bad.begin() + static_cast<std::ptrdiff_t>(trie + kTrieBytes),
              bad.begin() + static_cast<std::ptrdiff_t>(trie + kTrieBytes + 4000), 'x');
    refused(bad, "replacements without an end");
}

TEST_CASE("a sentencepiece model that is cut or holds what its format has not is refused", "[text]") {
    const std::string good = good_model();
    for (const std::size_t length : {std::size_t{1}, std::size_t{7}, good.size() / 2, good.size() - 1})
        refused(good.substr(0, length), "cut");
    refused(good + std::string("\x1b\x1c"), "a group");
    refused(good + std::string(11, '\xff'), "a number without end");
    refused(good + std::string("\x02\x01x"), "a field without number");
    CHECK_NOTHROW(require_sound_character_maps("", "nothing"));
}

TEST_CASE("ids that no vocabulary has are refused", "[text]") {
    Json vocabulary = read_json(golden("marian/vocab.json"));
    for (const Json& id : {Json(9223372036854775807), Json(18446744073709551615U), Json(1 << 24), Json(-1)}) {
        vocabulary["house"] = id;
        refused_file("marian", "vocab.json", vocabulary, {"vocab.json", "house", "16777215"});
    }
    Json settings = read_json(golden("mbart50/tokenizer_config.json"));
    settings["added_tokens_decoder"] = {{"999999999", {{"content", "<mask>"}}}};
    refused_file("mbart50", "tokenizer_config.json", settings, {"/added_tokens_decoder/999999999"});
}

TEST_CASE("a tokenizer.json with absurd ids is refused before it costs memory", "[text]") {
    const TemporaryFolder folder;
    const Json good = {
        {"added_tokens", {{{"id", 0}, {"content", "<s>"}}}},
        {"model",
         {{"type", "BPE"}, {"vocab", {{"<s>", 0}, {"<pad>", 1}, {"</s>", 2}, {"<unk>", 3}, {"a", 4}}}, {"merges", Json::array()}}}};
    write_json(folder / "tokenizer.json", good);
    CHECK(SentencePieces(read_tokenizer_json(folder / "tokenizer.json").sentencepiece_model, "made").size() == 4);
    for (const Json& id : {Json(9'999'999), Json(7), Json(-1)}) {
        Json bad = good;
        bad["model"]["vocab"]["b"] = id;
        write_json(folder / "tokenizer.json", bad);
        require_error([&] { read_tokenizer_json(folder / "tokenizer.json"); }, ErrorKind::file, {"/model/vocab/b"});
    }
    for (const Json& id : {Json(9223372036854775807), Json(-1)}) {
        Json bad = good;
        bad["added_tokens"][0]["id"] = id;
        write_json(folder / "tokenizer.json", bad);
        require_error([&] { read_tokenizer_json(folder / "tokenizer.json"); }, ErrorKind::file, {"/added_tokens", "16777215"});
    }
}
