// The input is a model's config.json; 'I' in front of it makes it an index of shards instead.
#include <algorithm>

#include "core/base/files.h"
#include "core/models/base_model.h"
#include "core/models/checkpoint.h"
#include "tests/fuzz/target.h"

using namespace permille;

std::vector<std::string> fuzz::seeds() {
    const std::string golden = PERMILLE_TESTS_DIR "/golden/";
    std::vector<std::string> list = {"I" + get(golden + "torch_files/shards/pytorch_model.bin.index.json").substr(0, 600),
                                     R"(I{"metadata": {"total_size": 8}, "weight_map": {"t": "a.safetensors", "u": "b.safetensors"}})"};
    for (const auto& entry : std::filesystem::directory_iterator(golden))
        if (std::filesystem::exists(entry.path() / "config.json")) list.push_back(get(entry.path() / "config.json"));
    std::sort(list.begin(), list.end());
    return list;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (text.starts_with("I")) {
        const auto shards = fuzz::folder() / "shards";
        make_folder(shards);
        fuzz::put(shards / "model.safetensors.index.json", text.substr(1));
        fuzz::tolerate_errors([&] { read_checkpoint(find_checkpoint(shards)); });
    } else {
        fuzz::put(fuzz::folder() / "config.json", text);
        fuzz::tolerate_errors([&] { describe_model(fuzz::folder()); });
    }
    return 0;
}
