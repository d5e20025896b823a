// The input is a pytorch_model.bin in any form: a zip archive, a row of pickles.
#include "core/models/torch_file.h"
#include "tests/fuzz/target.h"

using namespace permille;

std::vector<std::string> fuzz::seeds() {
    std::vector<std::string> list;
    for (const char* name : {"zip.bin", "zip_protocol4.bin", "legacy.bin"})
        list.push_back(get(PERMILLE_TESTS_DIR "/golden/torch_files/" + std::string(name)));
    return list;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto file = fuzz::folder() / "input.bin";
    fuzz::put(file, {reinterpret_cast<const char*>(data), size});
    fuzz::tolerate_errors([&] { fuzz::touch(read_torch_file(file)); });
    return 0;
}
