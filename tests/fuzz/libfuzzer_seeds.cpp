// With libFuzzer: fills the first folder that is given, when it is empty, with the target's own seeds.
#include "tests/fuzz/target.h"

using namespace permille;
namespace fs = std::filesystem;

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    for (int i = 1; i < *count; ++i) {
        const fs::path corpus = (*arguments)[i];
        if (!fs::is_directory(corpus)) continue;
        int number = 0;
        if (fs::is_empty(corpus))
            for (const auto& bytes : fuzz::seeds()) fuzz::put(corpus / ("seed-" + std::to_string(++number)), bytes);
        break;
    }
    return 0;
}
