// A table of model folders that are damaged or made to do harm. Each gives one clear error, soon and without much memory.
#include <chrono>
#include <fstream>
#include <functional>

#include "core/base/files.h"
#include "tests/core/models/checkpoint_writer.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;
namespace fs = std::filesystem;

namespace {

using Folder = const fs::path&;

struct Broken {
    std::string name;
    std::function<void(Folder)> make;  // changes a folder that holds the golden model's config.json
    ErrorKind kind;
    std::vector<std::string> words;
};

std::function<void(Folder)> bin(const std::string& bytes) {
    return [bytes](Folder folder) { write_text(folder / "pytorch_model.bin", bytes); };
}

std::function<void(Folder)> safetensors(const std::string& bytes) {
    return [bytes](Folder folder) { write_text(folder / "model.safetensors", bytes); };
}

std::function<void(Folder)> config(const std::string& field, const Json& value) {
    return [=](Folder folder) {
        Json changed = read_json(folder / "config.json");
        changed[field] = value;
        write_json(folder / "config.json", changed);
    };
}

std::function<void(Folder)> index(const Json& weight_map, const std::string& stem = "model.safetensors") {
    return [=](Folder folder) { write_json(folder / (stem + ".index.json"), {{"weight_map", weight_map}}); };
}

// The golden weights, changed.
std::function<void(Folder)> weights(const std::function<void(TensorMap&)>& change) {
    return [=](Folder folder) {
        TensorMap tensors = read_safetensors(golden("m2m100/model.safetensors"));
        change(tensors);
        write_safetensors(folder / "model.safetensors", {tensors.begin(), tensors.end()});
    };
}

std::string with_header(const std::string& header, std::size_t data, std::optional<std::uint64_t> told = {}) {
    return little(told.value_or(header.size()), 8) + header + std::string(data, 'x');
}

const std::string kWeight = "model.decoder.layers.1.encoder_attn.v_proj.weight";

std::vector<Broken> broken_safetensors() {
    const std::string whole = read_text(golden("m2m100/model.safetensors"));
    const auto entry = [](const std::string& rest) { return "{\"t\":{\"dtype\":\"F32\"," + rest + "}}"; };
    return {
        {"empty", safetensors(""), ErrorKind::file, {"model.safetensors", "0 bytes"}},
        {"truncated", safetensors(whole.substr(0, whole.size() / 2)), ErrorKind::file, {"model.safetensors", "outside"}},
        {"truncated header", safetensors(whole.substr(0, 100)), ErrorKind::file, {"model.safetensors", "header"}},
        {"header of 2^60 bytes", safetensors(with_header("{}", 0, std::uint64_t{1} << 60)), ErrorKind::file, {"1152921504606846976"}},
        {"offsets outside",
         safetensors(with_header(entry("\"shape\":[2],\"data_offsets\":[1000,1008]"), 16)),
         ErrorKind::file,
         {"tensor t", "outside"}},
        {"offsets overlap",
         safetensors(with_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                 "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
                                 12)),
         ErrorKind::file,
         {"overlap"}},
        {"absurd shape",
         safetensors(with_header(entry("\"shape\":[1152921504606846976,16],\"data_offsets\":[0,16]"), 16)),
         ErrorKind::file,
         {"shape"}},
        {"unknown type",
         safetensors(with_header("{\"t\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1)),
         ErrorKind::file,
         {"F4"}},
        {"header that only nests", safetensors(with_header(repeated("[", 15 << 20), 0)), ErrorKind::file, {"nests"}},
        {"header of nothing but zeros",
         safetensors(with_header("[" + repeated("0,", 7 << 20) + "0]", 0)),
         ErrorKind::file,
         {"not a JSON object"}},
        {"missing tensor", weights([](TensorMap& tensors) { tensors.erase(kWeight); }), ErrorKind::tensor, {kWeight, "missing"}},
        {"wrong shape",
         weights([](TensorMap& tensors) {
             tensors[kWeight] = at::zeros({30, 29});
         }),
         ErrorKind::tensor,
         {kWeight, "30 x 29", "30 x 30"}},
        {"wrong type",
         weights([](TensorMap& tensors) {
             tensors[kWeight] = at::zeros({30, 30}, at::kLong);
         }),
         ErrorKind::tensor,
         {kWeight, "Long"}},
        {"left over", weights([](TensorMap& tensors) { tensors["model.extra"] = at::zeros({2}); }), ErrorKind::tensor, {"model.extra"}},
    };
}

std::vector<Broken> broken_configs() {
    return {
        {"config of a million layers", config("decoder_layers", 1000000), ErrorKind::config, {"decoder_layers"}},
        {"config with d_model 2^40", config("d_model", std::int64_t{1} << 40), ErrorKind::config, {"d_model"}},
        {"config with d_model -1", config("d_model", -1), ErrorKind::config, {"d_model"}},
        {"config with heads 0", config("encoder_attention_heads", 0), ErrorKind::config, {"encoder_attention_heads"}},
        {"config with a table of positions beyond all memory",
         [](Folder folder) {
             config("d_model", 30000)(folder);
             config("max_position_embeddings", 1 << 20)(folder);
         },
         ErrorKind::config,
         {"max_position_embeddings"}},
        {"config that nests",
         [](Folder folder) { write_text(folder / "config.json", "{\"a\":" + repeated("[", 1 << 20)); },
         ErrorKind::file,
         {"nests"}},
        {"config of 20 MB",
         [](Folder folder) { write_text(folder / "config.json", std::string(20 << 20, ' ')); },
         ErrorKind::file,
         {"20971520 bytes"}},
        {"config that is cut",
         [](Folder folder) { write_text(folder / "config.json", "{\"d_model\": "); },
         ErrorKind::file,
         {"config.json", "line 1"}},
        {"config with a number above all numbers",
         [](Folder folder) { write_text(folder / "config.json", "{\"d_model\": 1e999}"); },
         ErrorKind::file,
         {"config.json", "too large"}},
        {"config that is a link to itself",
         [](Folder folder) {
             fs::remove(folder / "config.json");
             fs::create_symlink("config.json", folder / "config.json");
         },
         ErrorKind::file,
         {"config.json"}},
    };
}

std::vector<Broken> broken_indices() {
    const auto shard = [](Folder folder) { fs::copy_file(golden("m2m100/model.safetensors"), folder / "a.safetensors"); };
    const auto names = [](const std::string& file) {
        Json map = Json::object();
        for (const auto& [name, tensor] : read_safetensors(golden("m2m100/model.safetensors"))) map[name] = file;
        return map;
    };
    return {
        {"index that names itself",
         index({{"t", "model.safetensors.index.json"}}),
         ErrorKind::file,
         {"model.safetensors.index.json", "/weight_map/t"}},
        {"index of the parent folder", index({{"t", "../a.safetensors"}}), ErrorKind::file, {"../a.safetensors"}},
        {"index of an absolute path", index({{"t", "/etc/a.safetensors"}}), ErrorKind::file, {"/etc/a.safetensors"}},
        {"index of a subfolder", index({{"t", "b/a.safetensors"}}), ErrorKind::file, {"b/a.safetensors"}},
        {"index of an odd name", index({{"t", "a\n.safetensors"}}), ErrorKind::file, {"weight_map"}},
        {"index of pickles among safetensors", index({{"t", "pytorch_model.bin"}}), ErrorKind::file, {"pytorch_model.bin"}},
        {"index of numbers", index({{"t", 7}}), ErrorKind::file, {"/weight_map/t"}},
        {"index of nothing", index(Json::object()), ErrorKind::file, {"weight_map"}},
        {"index of a list", index(Json::array({1, 2})), ErrorKind::file, {"weight_map"}},
        {"missing shard",
         index({{"t", "a.safetensors"}, {"u", "b.safetensors"}}),
         ErrorKind::file,
         {"lacks 2 of 2", "a.safetensors", "b.safetensors"}},
        {"missing shard of pickles", index({{"t", "pytorch_model-1.bin"}}, "pytorch_model.bin"), ErrorKind::file, {"pytorch_model-1.bin"}},
        {"shard that is a link to itself",
         [](Folder folder) {
             fs::create_symlink("a.safetensors", folder / "a.safetensors");
             index({{"t", "a.safetensors"}})(folder);
         },
         ErrorKind::file,
         {"a.safetensors"}},
        {"tensor in two shards",
         [=](Folder folder) {
             shard(folder);
             fs::copy_file(folder / "a.safetensors", folder / "b.safetensors");
             Json map = names("a.safetensors");
             map[kWeight] = "b.safetensors";
             index(map)(folder);
         },
         ErrorKind::tensor,
         {"b.safetensors", "a.safetensors as well"}},
        {"tensor that its shard does not have",
         [=](Folder folder) {
             shard(folder);
             Json map = names("a.safetensors");
             map["model.none"] = "a.safetensors";
             index(map)(folder);
         },
         ErrorKind::tensor,
         {"model.none", "a.safetensors"}},
    };
}

std::vector<Broken> broken_archives() {
    const std::string whole = read_text(golden("torch_files/zip/pytorch_model.bin"));
    const std::string pickle = pickle::state_dict({{"t", pickle::tensor(pickle::storage("FloatStorage", "0", 4), 0, {4}, {1})}});
    const std::string four(16, '\0'), one = zip_archive({{"archive/data.pkl", pickle}});
    const auto parts = [&](const ZipPart& last) { return zip_archive({{"archive/data.pkl", pickle}, last}); };
    const std::size_t end = one.size() - 22, locator = end - 20, end64 = locator - 56;
    return {
        {"zip cut in the middle", bin(whole.substr(0, whole.size() / 2)), ErrorKind::file, {"pytorch_model.bin", "no directory"}},
        {"zip cut at the end", bin(whole.substr(0, whole.size() - 1)), ErrorKind::file, {"pytorch_model.bin"}},
        {"zip of four bytes", bin("PK\x03\x04"), ErrorKind::file, {"too few"}},
        {"zip with another name inside",
         bin(parts({.name = "archive/data/0", .content = four, .own_name = "archive/data/1"})),
         ErrorKind::file,
         {"another name"}},
        {"zip whose entry is smaller by its own header",
         bin(parts({.name = "archive/data/0", .content = four, .told = 8})),
         ErrorKind::file,
         {"16", "8"}},
        {"zip whose entry is larger than the file",
         bin(parts({.name = "archive/data/0", .content = four, .told = std::uint64_t{1} << 60})),
         ErrorKind::file,
         {"1152921504606846976 bytes"}},
        {"zip whose entry lies outside",
         bin(parts({.name = "archive/data/0", .content = four, .place = std::uint64_t{1} << 62})),
         ErrorKind::file,
         {"archive/data/0", "not where"}},
        {"zip whose entries overlap",
         bin(zip_archive(
             {{"archive/x", zip_archive({{"archive/y", ""}}).substr(0, 64)}, {.name = "archive/y", .content = "", .place = 64}})),
         ErrorKind::file,
         {"overlap"}},
        {"zip with an entry twice",
         bin(zip_archive({{"archive/data.pkl", pickle}, {"archive/data.pkl", pickle}})),
         ErrorKind::file,
         {"twice"}},
        {"zip that is compressed",
         bin(parts({.name = "archive/data/0", .content = four, .method = 8})),
         ErrorKind::unsupported,
         {"compressed"}},
        {"zip that is encrypted",
         bin(parts({.name = "archive/data/0", .content = four, .flags = 1})),
         ErrorKind::unsupported,
         {"encrypted"}},
        {"zip of 2^60 entries", bin(zip_archive({{"archive/data.pkl", pickle}}, std::uint64_t{1} << 60)), ErrorKind::file, {"entries"}},
        {"zip of one entry more", bin(zip_archive({{"archive/data.pkl", pickle}}, 2)), ErrorKind::file, {"entries"}},
        {"zip of one entry fewer",
         bin(zip_archive({{"archive/data.pkl", pickle}, {"archive/data/0", four}}, 1)),
         ErrorKind::file,
         {"longer"}},
        {"zip with its zip64 directory outside", bin(patched(one, locator + 8, ~std::uint64_t{0} - 50, 8)), ErrorKind::file, {"zip64"}},
        {"zip without its zip64 directory", bin(patched(one, locator, 0, 4)), ErrorKind::file, {"zip64"}},
        {"zip with its directory outside", bin(patched(one, end64 + 48, ~std::uint64_t{0} - 10, 8)), ErrorKind::file, {"outside"}},
        {"zip with a directory of 2^63 bytes", bin(patched(one, end64 + 40, std::uint64_t{1} << 63, 8)), ErrorKind::file, {"outside"}},
        {"zip in two parts", bin(patched(one, end + 4, 1, 2)), ErrorKind::unsupported, {"parts"}},
        {"zip of something else", bin(zip_archive({{"word/document.xml", "<x/>"}})), ErrorKind::unsupported, {"data.pkl"}},
        {"zip of a program",
         bin(zip_archive({{"archive/data.pkl", pickle}, {"archive/constants.pkl", pickle}})),
         ErrorKind::unsupported,
         {"TorchScript"}},
        {"zip of a big-endian machine", bin(parts({"archive/byteorder", "big"})), ErrorKind::unsupported, {"big-endian"}},
        {"zip without a storage", bin(one), ErrorKind::file, {"tensor t", "storage 0", "missing"}},
        {"zip with a short storage", bin(torch_archive(pickle, {std::string(15, 'x')})), ErrorKind::file, {"tensor t", "15 bytes", "16"}},
        {"zip with a cut pickle", bin(torch_archive(pickle.substr(0, 60), {four})), ErrorKind::file, {"no end"}},
    };
}

std::vector<Broken> broken_tensors() {
    using namespace pickle;
    const std::string four(16, '\0'), store = storage("FloatStorage", "0", 4);
    const auto one = [&](const std::string& value) { return bin(torch_archive(state_dict({{"t", value}}), {four})); };
    const auto shaped = [&](std::int64_t offset, const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& strides) {
        return one(tensor(store, offset, sizes, strides));
    };
    const std::int64_t huge = std::int64_t{1} << 62;
    const auto outside = [](const std::string& name, std::function<void(Folder)> make, const std::string& word) {
        return Broken{name, std::move(make), ErrorKind::tensor, {"tensor t", word}};
    };
    const auto damaged = [](const std::string& name, std::function<void(Folder)> make, const std::string& word) {
        return Broken{name, std::move(make), ErrorKind::file, {"pytorch_model.bin", word}};
    };
    const auto refused = [](const std::string& name, std::function<void(Folder)> make, const std::string& word) {
        return Broken{name, std::move(make), ErrorKind::unsupported, {"pytorch_model.bin", word}};
    };
    const std::string command = global("os", "system") + tuple({text("touch /tmp/permille-was-here")}) + "R";
    const std::string eval = global("builtins", "eval") + tuple({text("1+1")}) + "R";
    return {
        outside("offset outside", shaped(4, {1}, {1}), "outside"),
        outside("offset of 2^62", shaped(huge, {1}, {1}), "outside"),
        outside("stride outside", shaped(0, {2, 2}, {3, 1}), "outside"),
        outside("stride of 2^62", shaped(1, {3}, {huge}), "outside"),
        outside("size of 2^62", shaped(0, {huge}, {0}), "outside"),
        outside("sizes whose product wraps", shaped(0, {huge, 4, huge}, {0, 0, 0}), "outside"),
        outside("elements without end", shaped(0, {1 << 20, 1 << 20}, {0, 0}), "more elements"),
        damaged("negative size", shaped(0, {-4}, {1}), "size"),
        damaged("negative stride", shaped(3, {4}, {-1}), "size"),
        damaged("negative offset", shaped(-1, {4}, {1}), "shape"),
        damaged("sizes without strides", shaped(0, {2, 2}, {1}), "strides"),
        damaged("storage of -1", one(tensor(storage("FloatStorage", "0", -1), 0, {4}, {1})), "absurd"),
        damaged("storage of 2^62", one(tensor(storage("FloatStorage", "0", huge), 0, {4}, {1})), "absurd"),
        damaged("storage of 2^50", one(tensor(storage("DoubleStorage", "0", std::int64_t{1} << 50), 0, {4}, {1})), "16 bytes"),
        damaged("storage that is elsewhere", one(tensor(storage("FloatStorage", "../data.pkl", 4), 0, {4}, {1})), "missing"),
        damaged("storage of two types",
                bin(torch_archive(
                    state_dict({{"t", tensor(store, 0, {4}, {1})}, {"u", tensor(storage("IntStorage", "0", 4), 0, {4}, {1})}}), {four})),
                "two types"),
        damaged("tensor twice",
                bin(torch_archive(state_dict({{"t", tensor(store, 0, {4}, {1})}, {"t", tensor(store, 0, {4}, {1})}}), {four})), "twice"),
        refused("storage of an unknown type", one(tensor(storage("QUInt8Storage", "0", 4), 0, {4}, {1})), "torch.QUInt8Storage"),
        refused("a pickle that wants os.system", bin(torch_archive(kStart + command + ".", {})), "os.system"),
        refused("a pickle that wants eval inside", one(eval), "builtins.eval"),
        refused("an old file that wants os.system", bin(torch_row(kStart + command + ".", kStart + "].", "")), "os.system"),
        refused("a bare pickle", bin(state_dict({{"t", number(1)}})), "not a file that torch.save made"),
        refused("a list of tensors", bin(torch_archive(kStart + "](" + tensor(store, 0, {4}, {1}) + "e.", {four})),
                "dictionary of tensors"),
        refused("a training checkpoint", one(dictionary({{"lr", "N"}})), "entry t"),
        refused("names that are numbers", bin(torch_archive(kStart + "}(" + number(1) + tensor(store, 0, {4}, {1}) + "u.", {four})),
                "not text"),
        damaged("a pickle of marks without end", bin(torch_archive(kStart + repeated("(", 3 << 20), {})), "marks"),
        damaged("a pickle that nests without end", bin(torch_archive(kStart + repeated("]", 3 << 20) + repeated("a", 2 << 20), {})),
                "values"),
        damaged("a pickle of memos without end", bin(torch_archive(kStart + "N" + repeated("\x94", 3 << 20), {})), "remembers"),
        damaged("a pickle with a memo of 2^32", bin(torch_archive(kStart + "Nr\xff\xff\xff\xff.", {})), "remembers"),
        damaged("a pickle with a text of 2^63 bytes", bin(torch_archive(kStart + "\x8d" + little(std::uint64_t{1} << 63, 8) + "x", {})),
                "too early"),
        damaged("a pickle of 40 MB", bin(torch_archive(kStart + "X" + little(40 << 20, 4) + std::string(40 << 20, 'x') + ".", {})),
                "longer"),
    };
}

std::vector<Broken> broken_rows() {
    using namespace pickle;
    const std::string state = state_dict({{"t", tensor(storage("FloatStorage", "7", 4), 0, {4}, {1})}});
    const std::string keys = kStart + "](" + text("7") + "e.", four(16, '\0'), whole = torch_row(state, keys, little(4, 8) + four);
    return {
        {"old file cut in its storage", bin(whole.substr(0, whole.size() - 1)), ErrorKind::file, {"storage 7", "4 elements"}},
        {"old file cut before its storage", bin(torch_row(state, keys, "")), ErrorKind::file, {"ends before", "7"}},
        {"old file of 2^61 elements",
         bin(torch_row(state, keys, little(std::uint64_t{1} << 61, 8) + four)),
         ErrorKind::file,
         {"2305843009213693952"}},
        {"old file of other sizes", bin(torch_row(state, keys, little(2, 8) + four)), ErrorKind::file, {"2 elements", "expected 4"}},
        {"old file without its storages", bin(torch_row(state, kStart + "].", "")), ErrorKind::file, {"storage 7", "missing"}},
        {"old file with other storages",
         bin(torch_row(state, kStart + "](" + text("8") + "e.", little(4, 8) + four)),
         ErrorKind::file,
         {"no tensor"}},
        {"old file with a storage twice",
         bin(torch_row(state, kStart + "](" + text("7") + text("7") + "e.", little(4, 8) + four + little(0, 8))),
         ErrorKind::file,
         {"twice"}},
        {"old file without a list", bin(torch_row(state, kStart + "N.", "")), ErrorKind::file, {"does not list"}},
        {"old file cut in its head", bin(whole.substr(0, 20)), ErrorKind::file, {"too early"}},
        {"old file of a protocol to come", bin(patched(whole, 18, 1002, 2)), ErrorKind::unsupported, {"protocol"}},
        {"tar archive", bin(std::string(257, 'x') + "ustar" + std::string(1000, '\0')), ErrorKind::unsupported, {"tar archive"}},
        {"pointer of Git LFS", bin("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), ErrorKind::file, {"LFS"}},
        {"web page", bin("<!DOCTYPE html><html></html>"), ErrorKind::unsupported, {"torch.save"}},
        {"empty pickle file", bin(""), ErrorKind::unsupported, {"torch.save"}},
        {"no weights", [](Folder) {}, ErrorKind::file, {"model.safetensors", "pytorch_model.bin"}},
        {"weights that are a folder",
         [](Folder folder) { fs::create_directory(folder / "model.safetensors"); },
         ErrorKind::file,
         {"no weights"}},
    };
}

std::int64_t peak_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
    return 0;
}

void check_all(const std::vector<Broken>& table) {
    for (const Broken& broken : table) {
        const TemporaryFolder folder;
        fs::copy_file(golden("m2m100/config.json"), folder / "config.json");
        broken.make(folder.path());
        std::ofstream("/proc/self/clear_refs") << "5";
        const std::int64_t before = peak_bytes();
        const auto started = std::chrono::steady_clock::now();
        INFO("a folder with: " << broken.name);
        require_error([&] { load_base(folder.path(), at::kCPU, at::kFloat); }, broken.kind, broken.words);
        CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count() < 20);
        CHECK(peak_bytes() - before < std::int64_t{700} << 20);
    }
}

}  // namespace

TEST_CASE("every broken safetensors file is one clear error", "[models]") { check_all(broken_safetensors()); }
TEST_CASE("every broken config is one clear error", "[models]") { check_all(broken_configs()); }
TEST_CASE("every broken index of shards is one clear error", "[models]") { check_all(broken_indices()); }
TEST_CASE("every broken zip archive is one clear error", "[models]") { check_all(broken_archives()); }
TEST_CASE("every broken or harmful tensor of a pickle is one clear error", "[models]") { check_all(broken_tensors()); }
TEST_CASE("every broken file of the older form is one clear error", "[models]") { check_all(broken_rows()); }
