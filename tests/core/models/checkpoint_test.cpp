#include "core/models/checkpoint.h"

#include <malloc.h>

#include <fstream>
#include <sstream>

#include "core/base/files.h"
#include "core/models/torch_file.h"
#include "tests/core/models/checkpoint_writer.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;
namespace fs = std::filesystem;

namespace {

// A folder with the golden model's config and the weights of tests/golden/torch_files/NAME.
void copy_model(const std::string& name, const fs::path& folder) {
    fs::copy(golden("torch_files/" + name), folder, fs::copy_options::recursive);
    fs::copy_file(golden("m2m100/config.json"), folder / "config.json");
}

// The line of /proc/self/maps with the mapping that holds the address.
std::string mapping_of(const void* address) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t begin = 0, end = 0;
        char dash = 0;
        std::istringstream(line) >> std::hex >> begin >> dash >> end;
        if (reinterpret_cast<std::uintptr_t>(address) >= begin && reinterpret_cast<std::uintptr_t>(address) < end) return line;
    }
    return "";
}

// A field of /proc/self/status in bytes.
std::int64_t status_bytes(const std::string& field) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1)) * 1024;
    return -1;
}

#ifdef __SANITIZE_ADDRESS__
constexpr bool kOwnAllocator = false;  // the sanitizer keeps freed memory for a while
#else
constexpr bool kOwnAllocator = true;
#endif

Architecture wide_architecture() {
    Architecture a = tiny_architecture(find_family({{"model_type", "m2m_100"}}, "test"));
    a.d_model = 256;
    a.encoder_ffn = a.decoder_ffn = 1024;
    a.encoder_layers = a.decoder_layers = 8;
    return a;
}

}  // namespace

TEST_CASE("a state dict is read as torch.load reads it, in every form", "[models]") {
    const std::string form = GENERATE("zip.bin", "zip_protocol4.bin", "legacy.bin");
    const TensorMap expected = read_safetensors(golden("torch_files/expected.safetensors"));
    const TensorMap read = read_torch_file(golden("torch_files/" + form));
    INFO(form);
    REQUIRE(read.size() == expected.size());
    for (const auto& [name, tensor] : expected) {
        INFO(name);
        REQUIRE(read.count(name) == 1);
        REQUIRE(read.at(name).scalar_type() == tensor.scalar_type());
        require_same(read.at(name), tensor, name);
    }
    CHECK(read.at("shared").data_ptr() == read.at("tied").data_ptr());
    CHECK(read.at("row").storage().data() == read.at("turned").storage().data());
    CHECK_FALSE(read.at("turned").is_contiguous());
}

TEST_CASE("tensors of a zip archive are the mapped file, shared between processes", "[models]") {
    const fs::path file = golden("torch_files/zip.bin");
    for (const auto& [name, tensor] : read_torch_file(file)) {
        if (tensor.numel() == 0) continue;
        const std::string mapping = mapping_of(tensor.const_data_ptr());
        INFO(name << ": " << mapping);
        CHECK(mapping.find(" r--s ") != std::string::npos);
        CHECK(mapping.find("zip.bin") != std::string::npos);
    }
}

TEST_CASE("a model is the same from every form of checkpoint", "[models]") {
    const TemporaryFolder folder;
    const std::string form = GENERATE("zip", "legacy");
    copy_model(form, folder / "m");
    const auto base = golden_model(), read = load_base(folder / "m", at::kCPU, at::kFloat);
    for (std::size_t i = 0; i < base->network->weights().size(); ++i)
        require_same(read->network->weights()[i], base->network->weights()[i], base->network->layout().parameters[i].name);
}

TEST_CASE("shards of float16 and bfloat16 become the type of the computation", "[models]") {
    const TemporaryFolder folder;
    copy_model("shards", folder / "m");
    const Checkpoint checkpoint = find_checkpoint(folder / "m");
    REQUIRE(checkpoint.files.size() == 2);
    const TensorMap stored = read_checkpoint(checkpoint);
    const auto base = golden_model(), read = load_base(folder / "m", at::kCPU, at::kFloat);
    const auto half = load_base(folder / "m", at::kCPU, at::kBFloat16);
    for (std::size_t i = 0; i < base->network->weights().size(); ++i) {
        const ParameterSpec& spec = base->network->layout().parameters[i];
        const at::Tensor& weight = read->network->weights()[i];
        REQUIRE(weight.scalar_type() == at::kFloat);
        require_same(weight, stored.at(spec.name).to(at::kFloat), spec.name);
        require_close(weight, base->network->weights()[i], 4e-3, spec.name);
        const bool matrix = spec.role == ParameterRole::matrix || spec.role == ParameterRole::embedding;
        REQUIRE(half->network->weights()[i].scalar_type() == (matrix ? at::kBFloat16 : at::kFloat));
    }
}

TEST_CASE("weights already of the wanted type are the file's own pages, not a copy", "[models]") {
    const TemporaryFolder folder;
    const std::string form = GENERATE("safetensors", "zip");
    if (form == "zip") {
        copy_model(form, folder / "m");
    } else {
        fs::create_directory(folder / "m");
        for (const char* name : {"config.json", "model.safetensors"}) fs::copy_file(golden("m2m100") / name, folder / "m" / name);
    }
    const auto base = load_base(folder / "m", at::kCPU, at::kFloat);
    for (const at::Tensor& weight : base->network->weights())
        CHECK(mapping_of(weight.const_data_ptr()).find((folder / "m").string()) != std::string::npos);
}

TEST_CASE("loading costs the weights once", "[models]") {
    const TemporaryFolder folder;
    const Architecture architecture = wide_architecture();
    const Layout layout = make_layout(architecture);
    const Json config = find_family({{"model_type", "m2m_100"}}, "test").config(architecture);
    const std::int64_t bytes = layout.parameter_count() * 4;
    REQUIRE(bytes > 50'000'000);
    {
        const std::vector<at::Tensor> weights = random_weights(layout, 1);
        save_model(folder / "float32", config, layout, weights, at::kFloat);
        save_model(folder / "float16", config, layout, weights, at::kHalf);
    }
    const auto spent = [&](const std::string& name) {
        malloc_trim(0);                                 // else memory that was freed before is used again, unseen
        std::ofstream("/proc/self/clear_refs") << "5";  // the mark of the peak starts again
        const std::int64_t own = status_bytes("RssAnon"), all = status_bytes("VmRSS");
        const auto base = load_base(folder / name, at::kCPU, at::kFloat);
        double sum = 0;
        for (const at::Tensor& weight : base->network->weights()) sum += weight.flatten()[weight.numel() - 1].item<double>();
        INFO("checksum " << sum);
        return std::pair{status_bytes("RssAnon") - own, status_bytes("VmHWM") - all};
    };
    const auto [own32, peak32] = spent("float32");
    const auto [own16, peak16] = spent("float16");
    INFO("weights " << bytes << ", float32: own " << own32 << ", peak " << peak32 << "; float16: own " << own16 << ", peak " << peak16);
    if (kOwnAllocator) {
        CHECK(own32 < bytes / 10);      // nothing copied
        CHECK(peak16 < bytes * 6 / 5);  // the copy, and little of the file beside it
    }
    CHECK(own16 > bytes / 2);
}

TEST_CASE("safetensors come before pickles and whole files before shards", "[models]") {
    const TemporaryFolder folder;
    copy_model("shards", folder / "m");
    CHECK(find_checkpoint(folder / "m").index.filename() == "pytorch_model.bin.index.json");
    fs::copy_file(golden("torch_files/zip/pytorch_model.bin"), folder / "m/pytorch_model.bin");
    CHECK(find_checkpoint(folder / "m").files.front().filename() == "pytorch_model.bin");
    write_json(folder / "m/model.safetensors.index.json", {{"weight_map", {{"t", "a.safetensors"}}}});
    require_error([&] { find_checkpoint(folder / "m"); }, ErrorKind::file, {"lacks 1 of 1", "a.safetensors"});
    fs::copy_file(golden("m2m100/model.safetensors"), folder / "m/model.safetensors");
    CHECK(find_checkpoint(folder / "m").files == std::vector<fs::path>{folder / "m/model.safetensors"});
}

TEST_CASE("tensors that a model does not have are listed by name, from any form", "[models]") {
    const TemporaryFolder folder;
    fs::copy_file(golden("m2m100/config.json"), folder / "config.json");
    std::vector<std::pair<std::string, std::string>> items;
    std::vector<std::string> storages;
    for (const auto& [name, tensor] : read_safetensors(golden("m2m100/model.safetensors"))) {
        items.emplace_back(name, pickle::tensor(pickle::storage("FloatStorage", std::to_string(storages.size()), tensor.numel()), 0,
                                                tensor.sizes().vec(), tensor.strides().vec()));
        storages.emplace_back(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::size_t>(tensor.numel()) * 4);
    }
    write_text(folder / "pytorch_model.bin", torch_archive(pickle::state_dict(items), storages));
    REQUIRE(load_base(folder.path(), at::kCPU, at::kFloat));

    items.emplace_back("model.pooler.weight", items.front().second);
    write_text(folder / "pytorch_model.bin", torch_archive(pickle::state_dict(items), storages));
    ModelDescription description = describe_model(folder.path());
    const Family& family = find_family({{"model_type", "m2m_100"}}, "test");
    require_error([&] { load_weights(folder.path(), family, description, nullptr); }, ErrorKind::tensor, {"model.pooler.weight"});
    items.pop_back();
    const std::string lost = items[5].first;
    items.erase(items.begin() + 5);
    write_text(folder / "pytorch_model.bin", torch_archive(pickle::state_dict(items), storages));
    require_error([&] { load_weights(folder.path(), family, description, nullptr); }, ErrorKind::tensor, {lost, "missing"});
}
