// The input takes the place of one tokenizer file of a model folder, which its first letter tells; the others are good. What loads encodes
// and decodes a line.
#include <map>

#include "core/text/tokenizer_json.h"
#include "core/text/tokenizers.h"
#include "tests/fuzz/target.h"

using namespace permille;
namespace fs = std::filesystem;

namespace {

struct Place {
    const char* model;  // folder of tests/golden
    const char* file;
};
// tokenizer.json is read where there is no sentencepiece.bpe.model.
const std::map<char, Place> kPlaces = {{'B', {"tokenizers", "sentencepiece.bpe.model"}},
                                       {'U', {"mbart50", "sentencepiece.bpe.model"}},
                                       {'S', {"marian", "source.spm"}},
                                       {'J', {"tokenizers", "tokenizer.json"}},
                                       {'V', {"marian", "vocab.json"}},
                                       {'C', {"mbart25", "tokenizer_config.json"}}};
constexpr const char* kFiles[] = {
    "config.json", "tokenizer_config.json", "sentencepiece.bpe.model", "tokenizer.json", "source.spm", "target.spm",
    "vocab.json",  "target_vocab.json"};

constexpr const char* kSmallJson = R"({"added_tokens": [{"id": 0, "content": "<s>"}, {"id": 3, "content": "<unk>"},
 {"id": 12, "content": "eng_Latn"}, {"id": 13, "content": "<mask>"}], "normalizer": {"type": "Precompiled"}, "model": {"type": "BPE",
 "vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "\u2581": 4, "a": 5, "s": 6, "H": 7, "u": 8, "\u2581H": 9, "au": 10, "\u2581Hau": 11},
 "merges": [["\u2581", "H"], "a u", ["\u2581H", "au"]]}})";

// The good files of a place, in a folder of its own. Where the input goes stands none.
const fs::path& folder_of(char letter) {
    static std::map<char, fs::path> folders;
    fs::path& folder = folders[letter];
    if (!folder.empty()) return folder;
    const Place& place = kPlaces.at(letter);
    folder = fuzz::folder() / std::string(1, letter);
    fs::create_directories(folder);
    for (const std::string name : kFiles) {
        if (letter == 'J' && name == "sentencepiece.bpe.model") continue;
        if (const fs::path good = fs::path(PERMILLE_TESTS_DIR "/golden") / place.model / name; fs::exists(good))
            fs::copy_file(good, folder / name);
    }
    if (!fs::exists(folder / "config.json")) fuzz::put(folder / "config.json", R"({"model_type": "m2m_100"})");
    return folder;
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
    std::vector<std::string> list;
    for (const auto& [letter, place] : kPlaces)
        list.push_back(letter + get(fs::path(PERMILLE_TESTS_DIR "/golden") / place.model / place.file));
    // Small ones, of which more rounds are made: a whole model is a quarter of a megabyte of character map.
    const std::string json = kSmallJson;
    put(folder() / "tokenizer.json", json);
    const std::string model = read_tokenizer_json(folder() / "tokenizer.json").sentencepiece_model;
    list.push_back("J" + json);
    for (const char letter : {'B', 'U', 'S'}) list.push_back(letter + model);
    return list;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || !kPlaces.contains(static_cast<char>(data[0]))) return 0;
    const char letter = static_cast<char>(data[0]);
    const fs::path& folder = folder_of(letter);
    fuzz::put(folder / kPlaces.at(letter).file, {reinterpret_cast<const char*>(data) + 1, size - 1});
    fuzz::tolerate_errors([&] {
        const auto tokenizer = load_tokenizer(folder);
        const ModelLanguage language = tokenizer->languages().empty() ? ModelLanguage{} : tokenizer->languages().front();
        for (const char* line :
             {"Das Haus ist gro\xc3\x9f. \xef\xac\x81n \xe2\x91\xa0\xe3\x8e\x8f", "\xe0\xa4\x95\xe0\xa5\x8d 1 <unk> </s>  "})
            fuzz::tolerate_errors([&] {
                const auto ids = tokenizer->encode_source(line, language);
                tokenizer->decode(ids);
                for (const auto id : ids)
                    if (id >= 0) fuzz::tolerate_errors([&] { tokenizer->piece(id); });
            });
    });
    return 0;
}
