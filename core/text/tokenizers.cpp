#include "core/text/tokenizers.h"

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/text/m2m100_tokenizer.h"
#include "core/text/marian_tokenizer.h"
#include "core/text/mbart_tokenizer.h"
#include "core/text/nllb_tokenizer.h"
#include "core/text/tokenizer_files.h"

namespace permille {

namespace {

struct Family {
    const char* tokenizer_class;     // as tokenizer_config.json says it
    const char* model_type;          // as config.json says it
    std::vector<const char*> files;  // any of these tells the family when tokenizer_config.json does not
    std::unique_ptr<Tokenizer> (*load)(const TokenizerFiles&);
};

// In alphabetical order. Of two families with the same model_type the first whose files are there is taken.
const std::vector<Family>& families() {
    static const std::vector<Family> table{
        {"M2M100Tokenizer", "m2m_100", {"vocab.json"}, load_m2m100_tokenizer},
        {"MarianTokenizer", "marian", {"source.spm"}, load_marian_tokenizer},
        {"MBart50Tokenizer", "mbart", {"sentencepiece.bpe.model", "tokenizer.json"}, load_mbart_tokenizer},
        {"MBartTokenizer", "mbart", {"sentencepiece.bpe.model", "tokenizer.json"}, load_mbart_tokenizer},
        {"NllbTokenizer", "m2m_100", {"sentencepiece.bpe.model", "tokenizer.json"}, load_nllb_tokenizer},
    };
    return table;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_folder) {
    const TokenizerFiles files(model_folder);
    for (const auto& family : families())
        if (files.tokenizer_class == family.tokenizer_class) return family.load(files);
    // A class of its own encodes in its own way, whatever the model. These two are said by folders that name none.
    const bool unnamed =
        files.tokenizer_class.empty() || files.tokenizer_class == "PreTrainedTokenizer" || files.tokenizer_class == "TokenizersBackend";
    bool known_type = false;
    std::vector<std::string> wanted;
    for (const auto& family : families()) {
        if (!unnamed || (!files.model_type.empty() && files.model_type != family.model_type)) continue;
        known_type = true;
        for (const auto* name : family.files) {
            if (files.has(name)) return family.load(files);
            wanted.emplace_back(name);
        }
    }
    if (known_type) throw Error(ErrorKind::file, model_folder.string(), "holds no tokenizer", "expected one of " + list_some(wanted));
    std::vector<std::string> types;
    for (const auto& family : families()) types.push_back(std::string(family.tokenizer_class) + " (" + family.model_type + ")");
    throw Error(ErrorKind::unsupported, model_folder.string(),
                "no tokenizer for model_type '" + files.model_type + "', tokenizer_class '" + files.tokenizer_class + "'",
                "known are " + list_some(types));
}

void copy_tokenizer(const std::filesystem::path& model_folder, const std::filesystem::path& target_folder) {
    for (const auto* name : {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json",
                             "sentencepiece.bpe.model", "vocab.json", "source.spm", "target.spm", "target_vocab.json"})
        if (std::filesystem::is_regular_file(model_folder / name)) write_text(target_folder / name, read_text(model_folder / name));
}

}  // namespace permille
