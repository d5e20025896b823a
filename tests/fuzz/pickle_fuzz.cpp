// The input is one bare pickle, so that more of a round goes into its operations than through torch_file_fuzz.
#include <span>

#include "core/models/pickle.h"
#include "core/models/zip_directory.h"
#include "tests/fuzz/target.h"

using namespace permille;

std::vector<std::string> fuzz::seeds() {
    std::vector<std::string> list;
    for (const char* name : {"zip.bin", "zip_protocol4.bin"}) {
        const std::string bytes = get(PERMILLE_TESTS_DIR "/golden/torch_files/" + std::string(name));
        const auto directory = read_zip_directory(std::as_bytes(std::span(bytes.data(), bytes.size())), name);
        for (const auto& [entry, place] : directory)
            if (entry.ends_with("data.pkl")) list.push_back(bytes.substr(place.begin, place.size));
    }
    return list;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::tolerate_errors([&] { read_pickle(std::as_bytes(std::span(data, size)), 0, "input"); });
    return 0;
}
