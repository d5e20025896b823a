// Pickles and zip archives put together byte by byte, whole or wrong on purpose: what no library would write.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace permille::test {

// The lowest `bytes` bytes of a number, little-endian.
inline std::string little(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i) text += i < sizeof value ? static_cast<char>(value >> (8 * i) & 255) : '\0';
    return text;
}

// The bytes with a number written over them.
inline std::string patched(std::string bytes, std::size_t place, std::uint64_t value, std::size_t length) {
    return bytes.replace(place, length, little(value, length));
}

inline std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    all.reserve(text.size() * times);
    for (std::size_t i = 0; i < times; ++i) all += text;
    return all;
}

namespace pickle {

inline const std::string kStart = "\x80\x02";

inline std::string text(const std::string& value) { return "X" + little(value.size(), 4) + value; }
inline std::string number(std::int64_t value) {
    if (value == static_cast<std::int32_t>(value)) return "J" + little(static_cast<std::uint64_t>(value), 4);
    return "\x8a\x08" + little(static_cast<std::uint64_t>(value), 8);
}
inline std::string global(const std::string& module, const std::string& name) { return "c" + module + "\n" + name + "\n"; }
inline std::string tuple(const std::vector<std::string>& items) {
    std::string all = "(";
    for (const auto& item : items) all += item;
    return all + "t";
}
inline std::string numbers(const std::vector<std::int64_t>& values) {
    std::vector<std::string> items;
    for (const auto value : values) items.push_back(number(value));
    return tuple(items);
}
inline std::string storage(const std::string& type, const std::string& key, std::int64_t count) {
    return tuple({text("storage"), global("torch", type), text(key), text("cpu"), number(count)}) + "Q";
}
inline std::string tensor(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& sizes,
                          const std::vector<std::int64_t>& strides) {
    return global("torch._utils", "_rebuild_tensor_v2") +
           tuple({storage, number(offset), numbers(sizes), numbers(strides), "\x89", global("collections", "OrderedDict") + ")R"}) + "R";
}
inline std::string dictionary(const std::vector<std::pair<std::string, std::string>>& items) {
    std::string all = "}(";
    for (const auto& [name, value] : items) all += text(name) + value;
    return all + "u";
}
inline std::string state_dict(const std::vector<std::pair<std::string, std::string>>& items) { return kStart + dictionary(items) + "."; }

}  // namespace pickle

struct ZipPart {
    std::string name, content;
    std::uint16_t method = 0, flags = 0;
    std::optional<std::uint64_t> told = {};    // size by the directory
    std::optional<std::uint64_t> place = {};   // of its own header, by the directory
    std::optional<std::string> own_name = {};  // in its own header
};

inline std::string zip_archive(const std::vector<ZipPart>& parts, std::optional<std::uint64_t> told_count = {}) {
    std::string bytes, directory;
    for (const ZipPart& part : parts) {
        const std::uint64_t place = part.place.value_or(bytes.size()), size = part.content.size(), told = part.told.value_or(size);
        const std::string own_name = part.own_name.value_or(part.name);
        bytes += little(0x04034b50, 4) + little(20, 2) + little(part.flags, 2) + little(part.method, 2) + little(0, 8) + little(size, 4) +
                 little(size, 4);
        std::size_t filler = (64 - (bytes.size() + 4 + own_name.size()) % 64) % 64;
        if (filler < 4) filler += 64;
        bytes += little(own_name.size(), 2) + little(filler, 2) + own_name + "FB" + little(filler - 4, 2) + std::string(filler - 4, 'Z') +
                 part.content;
        const bool large = told >= 0xffffffff || place >= 0xffffffff;
        directory += little(0x02014b50, 4) + little(20, 2) + little(20, 2) + little(part.flags, 2) + little(part.method, 2) + little(0, 8);
        directory += large ? little(~std::uint64_t{0}, 8) : little(told, 4) + little(told, 4);
        directory +=
            little(part.name.size(), 2) + little(large ? 28 : 0, 2) + little(0, 10) + (large ? little(0xffffffff, 4) : little(place, 4));
        directory += part.name;
        if (large) directory += little(1, 2) + little(24, 2) + little(told, 8) + little(told, 8) + little(place, 8);
    }
    const std::uint64_t begin = bytes.size(), count = told_count.value_or(parts.size());
    bytes += directory;
    const std::uint64_t end64 = bytes.size();
    bytes += little(0x06064b50, 4) + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8) + little(count, 8) + little(count, 8);
    bytes += little(directory.size(), 8) + little(begin, 8);
    bytes += little(0x07064b50, 4) + little(0, 4) + little(end64, 8) + little(1, 4);
    bytes += little(0x06054b50, 4) + little(0, 4) + little(0xffff, 2) + little(0xffff, 2) + little(0xffffffff, 4) + little(0xffffffff, 4) +
             little(0, 2);
    return bytes;
}

// As torch.save since 1.6; storages are named 0, 1, ...
inline std::string torch_archive(const std::string& pickle, const std::vector<std::string>& storages) {
    std::vector<ZipPart> parts = {{"archive/data.pkl", pickle}, {"archive/byteorder", "little"}};
    for (std::size_t i = 0; i < storages.size(); ++i) parts.push_back({"archive/data/" + std::to_string(i), storages[i]});
    parts.push_back({"archive/version", "3\n"});
    return zip_archive(parts);
}

// As torch.save before 1.6: `keys` is a pickled list, `storages` what follows it.
inline std::string torch_row(const std::string& pickle, const std::string& keys, const std::string& storages) {
    const std::string magic = std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    const std::string machine = pickle::state_dict({{"protocol_version", pickle::number(1001)}, {"little_endian", "\x88"}});
    return magic + "\x80\x02M\xe9\x03." + machine + pickle + keys + storages;
}

}  // namespace permille::test
