#include "core/study/check_corpora.h"

#include <algorithm>

#include "core/base/error.h"

namespace permille {

namespace {

std::string joined(const std::vector<std::string>& parts, const char* between) {
    std::string text;
    for (const auto& part : parts) text += (text.empty() ? "" : between) + part;
    return text;
}

}  // namespace

void check_corpora(const Study& study, const std::vector<CorpusRow>& known) {
    const bool trains = !study.methods.empty();
    std::vector<std::string> names, complaints;
    for (const StudyPair& pair : study.pairs) {
        const auto corpus = std::find_if(known.begin(), known.end(), [&](const CorpusRow& row) { return row.name == pair.corpus; });
        if (corpus == known.end() || std::find(names.begin(), names.end(), pair.corpus) != names.end()) continue;
        std::vector<std::string> empty;
        if (trains && corpus->train_sentences == 0) empty.push_back("training");
        if (trains && corpus->valid_sentences == 0) empty.push_back("validation");
        if (corpus->test_sentences == 0) empty.push_back("test");
        if (empty.empty()) continue;
        names.push_back(pair.corpus);
        complaints.push_back(pair.corpus + " has no " + joined(empty, " and no ") + " sentences");
    }
    if (complaints.empty()) return;
    throw Error(ErrorKind::config, "pairs/" + names.front(), joined(complaints, "; "),
                "import it again with more text, with a larger --held-out-percent, or with your own --valid and --test files");
}

}  // namespace permille
