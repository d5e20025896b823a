// Whether the corpora of a study hold what its runs need.
#pragma once

#include <vector>

#include "core/store/store.h"
#include "core/study/study.h"

namespace permille {

// Every run translates the test split, and every method is chosen and judged on the validation split: a corpus in which one of them is
// empty would fail run by run. Throws Error(config) that names all such corpora of the study. Corpora that are not in `known` are passed
// over: that they are missing is somebody else's message.
void check_corpora(const Study& study, const std::vector<CorpusRow>& known);

}  // namespace permille
