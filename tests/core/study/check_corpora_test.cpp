#include "core/study/check_corpora.h"

#include "tests/support/test.h"

namespace permille::test {
namespace {

Study study_of(const std::vector<std::string>& corpora) {
    Study study;
    study.name = "refused";
    study.bases = {"base"};
    for (const auto& corpus : corpora) study.pairs.push_back({corpus});
    study.methods = {{"lora"}};
    return study;
}

CorpusRow corpus(const std::string& name, std::int64_t train, std::int64_t valid, std::int64_t test) {
    return {name, "it", "en", "/corpora/" + name, "f", train, valid, test};
}

}  // namespace

TEST_CASE("a study on corpora with an empty split is refused with one message that names them all", "[study]") {
    const std::vector<CorpusRow> known = {corpus("good", 1000, 20, 20), corpus("no-test", 90, 10, 0), corpus("bare", 100, 0, 0)};
    require_error(
        [&] {
            check_corpora(study_of({"good", "no-test", "bare", "bare"}), known);
        },
        ErrorKind::config, {"pairs/no-test", "no-test has no test sentences", "bare has no validation and no test sentences", "import"});
    check_corpora(study_of({"good", "not known"}), known);
}

TEST_CASE("a study that only evaluates needs no more than test sentences", "[study]") {
    const std::vector<CorpusRow> known = {corpus("held-out", 0, 0, 50)};
    Study study = study_of({"held-out"});
    require_error([&] { check_corpora(study, known); }, ErrorKind::config, {"no training and no validation sentences"});
    study.methods.clear();
    check_corpora(study, known);
}

}  // namespace permille::test
