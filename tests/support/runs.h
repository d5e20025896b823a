// Runs for tests of what is kept and recognised.
#pragma once

#include <string>

#include "core/base/spec.h"
#include "core/store/store.h"

namespace permille::test {

inline RunSpec some_run(const std::string& method = "lora") {
    RunSpec spec;
    spec.study = "first-look";
    spec.base = "permille-small";
    spec.corpus = "it-en";
    spec.source_language = "it";
    spec.target_language = "en";
    spec.method = method;
    return spec;
}

// The run, added and taken.
inline Claim claimed(Store& store, const RunSpec& spec) { return store.claim(store.add_run(spec)).value(); }

}  // namespace permille::test
