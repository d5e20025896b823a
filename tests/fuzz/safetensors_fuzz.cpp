// The input is a safetensors file.
#include "tests/fuzz/target.h"

using namespace permille;

std::vector<std::string> fuzz::seeds() {
    const std::string golden = PERMILLE_TESTS_DIR "/golden/";
    return {get(golden + "torch_files/expected.safetensors"), get(golden + "m2m100/methods.safetensors").substr(0, 1 << 14)};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto file = fuzz::folder() / "input.safetensors";
    fuzz::put(file, {reinterpret_cast<const char*>(data), size});
    fuzz::tolerate_errors([&] {
        std::map<std::string, std::string> metadata;
        fuzz::touch(read_safetensors(file, &metadata));
    });
    return 0;
}
