#include "core/models/torch_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/models/mapped_tensor.h"
#include "core/models/pickle.h"
#include "core/models/zip_directory.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

using Kind = PickleValue::Kind;

struct StorageType {
    std::string_view name;
    at::ScalarType type;
};
constexpr StorageType kStorageTypes[] = {{"torch.FloatStorage", at::kFloat},       {"torch.HalfStorage", at::kHalf},
                                         {"torch.BFloat16Storage", at::kBFloat16}, {"torch.DoubleStorage", at::kDouble},
                                         {"torch.LongStorage", at::kLong},         {"torch.IntStorage", at::kInt},
                                         {"torch.ShortStorage", at::kShort},       {"torch.CharStorage", at::kChar},
                                         {"torch.ByteStorage", at::kByte},         {"torch.BoolStorage", at::kBool}};

constexpr std::size_t kMostDimensions = 64;
// The first pickle of the older form: 0x1950a86a20f9469cfc6c, little-endian.
constexpr std::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr std::int64_t kProtocol = 1001;

[[noreturn]] void damaged(const std::string& where, const std::string& what) {
    throw Error(ErrorKind::file, where, what, "the file is damaged or incomplete; fetch it again");
}

// What a persistent id says: ("storage", type, key, device, elements[, view]).
struct Storage {
    at::ScalarType type = at::kFloat;
    std::string key;
    std::uint64_t count = 0;
    std::uint64_t bytes() const { return count * c10::elementSize(type); }
};

Storage storage_of(const Pickle& pickle, const PickleValue& value, const std::string& where) {
    Storage storage;
    const std::string_view name = pickle.item(value, 1).text;
    for (const StorageType& known : kStorageTypes)
        if (known.name == name) storage.type = known.type;
    const PickleValue &key = pickle.item(value, 2), &count = pickle.item(value, 4);
    if (key.kind != Kind::text || key.text.empty() || key.text.size() > 200) damaged(where, "its storage has no name");
    if (count.kind != Kind::integer || count.number < 0 || count.number > (std::int64_t{1} << 50))
        damaged(where, "its storage has an absurd size");
    if (value.items.size() > 5 && pickle.item(value, 5).kind != Kind::none)
        throw Error(ErrorKind::unsupported, where, "its storage is part of another one", "load it with PyTorch and save it again");
    storage.key = key.text;
    storage.count = static_cast<std::uint64_t>(count.number);
    return storage;
}

std::vector<std::int64_t> sizes_of(const Pickle& pickle, const PickleValue& value, const std::string& where) {
    if (value.kind != Kind::tuple || value.items.size() > kMostDimensions) damaged(where, "its shape is not one");
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 0; i < value.items.size(); ++i) {
        const PickleValue& size = pickle.item(value, i);
        if (size.kind != Kind::integer || size.number < 0) damaged(where, "its shape holds something that is not a size");
        sizes.push_back(size.number);
    }
    return sizes;
}

// A view of the storage [elements] as the arguments (storage, offset, sizes, strides, ...) ask for, wholly within it.
at::Tensor view_of(const Pickle& pickle, const PickleValue& value, const at::Tensor& storage, const std::string& where) {
    const auto outside = [&] [[noreturn]] {
        throw Error(ErrorKind::tensor, where, "lies outside its storage", "the file is damaged; fetch it again");
    };
    const PickleValue& offset = pickle.item(value, 1);
    const auto sizes = sizes_of(pickle, pickle.item(value, 2), where), strides = sizes_of(pickle, pickle.item(value, 3), where);
    if (offset.kind != Kind::integer || offset.number < 0 || sizes.size() != strides.size())
        damaged(where, "its shape does not fit its strides");
    const auto total = static_cast<std::uint64_t>(storage.numel());
    std::uint64_t span = 1;
    bool empty = false;
    for (const auto size : sizes) {
        empty = empty || size == 0;
        const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1));
        if (factor > (std::uint64_t{1} << 50) / span) outside();
        span *= factor;
    }
    if (empty) return at::empty(sizes, storage.options());
    // A tensor that repeats elements (stride 0) could ask for any amount of memory once it is used.
    if (span > total) throw Error(ErrorKind::tensor, where, "has more elements than its storage", "the file is damaged; fetch it again");
    auto last = static_cast<std::uint64_t>(offset.number);
    if (last >= total) outside();
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        const auto steps = static_cast<std::uint64_t>(sizes[i] - 1), stride = static_cast<std::uint64_t>(strides[i]);
        if (steps != 0 && stride > (total - 1 - last) / steps) outside();
        last += steps * stride;
    }
    return storage.as_strided(sizes, strides, offset.number);
}

// The tensors of a state dict. `place_of` says where in the file a storage begins, after it has checked that all of it is there.
TensorMap tensors_of(const Pickle& pickle, const std::shared_ptr<const MappedFile>& map, const std::string& file,
                     const std::function<std::uint64_t(const Storage&, const std::string& where)>& place_of) {
    const PickleValue& root = pickle.at(pickle.root);
    const std::string wanted = "save the model's state_dict, as save_pretrained does";
    if (root.kind != Kind::dictionary) throw Error(ErrorKind::unsupported, file, "does not hold a dictionary of tensors", wanted);
    struct Opened {
        Storage storage;
        at::Tensor elements;
    };
    std::map<std::string, Opened> opened;
    TensorMap tensors;
    for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
        const PickleValue &key = pickle.item(root, i), &value = pickle.item(root, i + 1);
        if (key.kind != Kind::text || key.text.size() > 1000)
            throw Error(ErrorKind::unsupported, file, "has an entry whose name is not text", wanted);
        const std::string name(key.text), where = file + ", tensor " + name;
        if (value.kind != Kind::tensor)
            throw Error(ErrorKind::unsupported, file + ", entry " + name,
                        value.kind == Kind::dictionary ? "is a dictionary, not a tensor" : "is not a tensor", wanted);
        Storage storage = storage_of(pickle, pickle.item(value, 0), where);
        auto found = opened.find(storage.key);
        if (found == opened.end()) {
            const std::uint64_t begin = place_of(storage, where);
            const at::Tensor elements = mapped_tensor(map, begin, {static_cast<std::int64_t>(storage.count)}, storage.type);
            found = opened.emplace(storage.key, Opened{storage, elements}).first;
        } else if (found->second.storage.type != storage.type || found->second.storage.count != storage.count) {
            damaged(where, "its storage " + storage.key + " has two types or sizes");
        }
        if (!tensors.emplace(name, view_of(pickle, value, found->second.elements, where)).second) damaged(where, "is there twice");
    }
    return tensors;
}

// Since PyTorch 1.6: NAME/data.pkl, NAME/data/KEY for each storage, NAME/byteorder.
TensorMap read_archive(const std::shared_ptr<const MappedFile>& map, const std::string& file) {
    const auto bytes = map->bytes();
    const ZipDirectory entries = read_zip_directory(bytes, file);
    constexpr std::string_view kPickle = "/data.pkl";
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
        return entry.first.find('/') != std::string::npos && entry.first.find('/') + kPickle.size() == entry.first.size() &&
               entry.first.ends_with(kPickle);
    });
    if (found == entries.end())
        throw Error(ErrorKind::unsupported, file, "is a zip archive, but not one that torch.save made: it has no data.pkl");
    const std::string folder = found->first.substr(0, found->first.size() - kPickle.size());
    if (entries.count(folder + "/constants.pkl"))
        throw Error(ErrorKind::unsupported, file, "is a TorchScript program, not a checkpoint", "save the model's state_dict instead");
    if (const auto order = entries.find(folder + "/byteorder"); order != entries.end()) {
        const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + order->second.begin,
                                    std::min<std::uint64_t>(order->second.size, 20));
        if (text != "little")
            throw Error(ErrorKind::unsupported, file, "was saved on a big-endian machine", "load it with PyTorch and save it again");
    }
    const auto content = bytes.subspan(found->second.begin, found->second.size);
    const Pickle pickle = read_pickle(content, 0, file);
    return tensors_of(pickle, map, file, [&](const Storage& storage, const std::string& where) {
        const auto entry = entries.find(folder + "/data/" + storage.key);
        if (entry == entries.end()) damaged(where, "its storage " + storage.key + " is missing");
        if (entry->second.size != storage.bytes())
            damaged(where, "its storage " + storage.key + " has " + std::to_string(entry->second.size) + " bytes, expected " +
                               std::to_string(storage.bytes()));
        return entry->second.begin;
    });
}

// Before: pickles of a magic number, the protocol, facts about the machine, the state dict and the keys of its storages; then the storages
// in the order of the keys, each behind its number of elements.
TensorMap read_row_of_pickles(const std::shared_ptr<const MappedFile>& map, const std::string& file) {
    const auto bytes = map->bytes();
    const std::string foreign = "is not a file that torch.save made";
    const Pickle magic = read_pickle(bytes, 0, file);
    if (magic.at(magic.root).kind != Kind::bytes || magic.at(magic.root).text != kMagic) throw Error(ErrorKind::unsupported, file, foreign);
    const Pickle protocol = read_pickle(bytes, magic.end, file);
    if (protocol.at(protocol.root).kind != Kind::integer || protocol.at(protocol.root).number != kProtocol)
        throw Error(ErrorKind::unsupported, file, "is of a protocol that is not known");
    const Pickle machine = read_pickle(bytes, protocol.end, file);
    const PickleValue& facts = machine.at(machine.root);
    for (std::size_t i = 0; facts.kind == Kind::dictionary && i + 1 < facts.items.size(); i += 2)
        if (machine.item(facts, i).text == "little_endian" && machine.item(facts, i + 1).number == 0)
            throw Error(ErrorKind::unsupported, file, "was saved on a big-endian machine", "load it with PyTorch and save it again");
    const Pickle pickle = read_pickle(bytes, machine.end, file);
    const Pickle listed = read_pickle(bytes, pickle.end, file);
    const PickleValue& keys = listed.at(listed.root);
    if (keys.kind != Kind::list) damaged(file, "does not list its storages");

    // How many bytes a storage has is known from the tensors alone, so the state dict is looked through first.
    std::map<std::string, std::uint64_t> sizes;
    for (const PickleValue& value : pickle.values)
        if (value.kind == Kind::storage) {
            const Storage storage = storage_of(pickle, value, file);
            sizes.emplace(storage.key, c10::elementSize(storage.type));
        }
    struct Place {
        std::uint64_t begin = 0, count = 0;
    };
    std::map<std::string, Place> places;
    std::uint64_t place = listed.end;
    for (std::size_t i = 0; i < keys.items.size(); ++i) {
        const std::string key(listed.item(keys, i).text);
        const auto size = sizes.find(key);
        if (size == sizes.end()) damaged(file, "lists a storage that no tensor has");
        std::uint64_t count = 0;
        if (bytes.size() - place < sizeof count) damaged(file, "ends before its storage " + key);
        std::memcpy(&count, bytes.data() + place, sizeof count);
        place += sizeof count;
        if (count > (bytes.size() - place) / size->second)
            damaged(file, "its storage " + key + " has " + std::to_string(count) + " elements, more than the file");
        if (!places.emplace(key, Place{place, count}).second) damaged(file, "lists its storage " + key + " twice");
        place += count * size->second;
    }
    return tensors_of(pickle, map, file, [&](const Storage& storage, const std::string& where) {
        const auto found = places.find(storage.key);
        if (found == places.end()) damaged(where, "its storage " + storage.key + " is missing");
        if (found->second.count != storage.count || sizes.at(storage.key) != c10::elementSize(storage.type))
            damaged(where, "its storage " + storage.key + " has " + std::to_string(found->second.count) + " elements, expected " +
                               std::to_string(storage.count));
        return found->second.begin;
    });
}

bool is_tar(std::span<const std::byte> bytes) {
    constexpr std::string_view kTar = "ustar";
    return bytes.size() >= 512 && std::memcmp(bytes.data() + 257, kTar.data(), kTar.size()) == 0;
}

}  // namespace

TensorMap read_torch_file(const fs::path& file) {
    const auto map = std::make_shared<const MappedFile>(file);
    const auto bytes = map->bytes();
    const std::string where = file.string();
    if (is_zip(bytes)) return read_archive(map, where);
    if (is_tar(bytes))
        throw Error(ErrorKind::unsupported, where, "is a tar archive, as PyTorch wrote them before 0.1.10",
                    "load it with PyTorch and save it again");
    if (bytes.size() < 2 || static_cast<unsigned char>(bytes[0]) != 0x80) {
        const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 40));
        if (start.starts_with("version https://git-lfs"))
            throw Error(ErrorKind::file, where, "is a Git LFS pointer, not the weights", "fetch them with 'git lfs pull'");
        throw Error(ErrorKind::unsupported, where, "is not a file that torch.save made");
    }
    return read_row_of_pickles(map, where);
}

}  // namespace permille
