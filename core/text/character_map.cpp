#include "core/text/character_map.h"

#include <cstdint>
#include <cstring>
#include <functional>

#include "core/base/error.h"

namespace permille {

namespace {

// Field numbers of sentencepiece_model.proto.
constexpr std::uint32_t kNormalizer = 3, kDenormalizer = 5, kCharacterMap = 2;
constexpr std::size_t kMostReplacement = 1000;  // bytes; the longest of Unicode's own has 33

[[noreturn]] void damaged(const std::string& where) {
    throw Error(ErrorKind::file, where, "is not a sentencepiece model, or is damaged", "copy or download the file again");
}

// The fields of a message of the protocol buffer format. What the library might read in another way than we do is refused.
class Message {
public:
    Message(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

    // Calls `use` with every field that has a length.
    void each(const std::function<void(std::uint32_t field, std::string_view content)>& use) {
        while (!bytes_.empty()) {
            const std::uint64_t tag = varint();
            if (tag >> 3 == 0 || tag > 0xffffffff) damaged(where_);
            switch (tag & 7) {
                case 0: varint(); break;
                case 1: take(8); break;
                case 2: use(static_cast<std::uint32_t>(tag >> 3), take(varint())); break;
                case 5: take(4); break;
                default: damaged(where_);
            }
        }
    }

private:
    std::string_view take(std::uint64_t count) {
        if (count > bytes_.size()) damaged(where_);
        const std::string_view taken = bytes_.substr(0, count);
        bytes_.remove_prefix(count);
        return taken;
    }
    std::uint64_t varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = static_cast<unsigned char>(take(1)[0]);
            value |= static_cast<std::uint64_t>(byte & 127) << shift;
            if (byte < 128) return value;
        }
        damaged(where_);
    }

    std::string_view bytes_;
    const std::string& where_;
};

std::uint32_t word(std::string_view bytes, std::size_t index) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + index * sizeof value, sizeof value);
    return value;
}

// The trie's size in bytes, its units, the replacements. A unit leads to the units at its own place ^ offset ^ the next byte, and the one
// at place ^ offset holds where a replacement begins if the unit says that a match may end here.
bool is_sound(std::string_view map) {
    if (map.size() < sizeof(std::uint32_t)) return false;
    const std::uint64_t size = word(map, 0);
    map.remove_prefix(sizeof(std::uint32_t));
    if (size % sizeof(std::uint32_t) != 0 || size == 0 || size >= map.size() || map.back() != '\0') return false;
    const std::string_view trie = map.substr(0, size), replacements = map.substr(size);
    const std::uint64_t units = size / sizeof(std::uint32_t);
    for (std::uint64_t place = 0; place < units; ++place) {
        const std::uint32_t unit = word(trie, place);
        if (unit >> 31 != 0 && place != 0) continue;  // holds the begin of a replacement; no byte leads on from it
        const std::uint64_t next = place ^ ((unit >> 10) << ((unit & 0x200) >> 6));
        if ((next | 0xff) >= units) return false;
        if ((unit & 0x100) == 0) continue;
        const std::uint64_t begin = word(trie, next) & 0x7fffffff;
        if (begin >= replacements.size() || replacements.find('\0', begin) - begin > kMostReplacement) return false;
    }
    return true;
}

}  // namespace

void require_sound_character_maps(std::string_view sentencepiece_model, const std::string& where) {
    Message(sentencepiece_model, where).each([&](std::uint32_t field, std::string_view content) {
        if (field != kNormalizer && field != kDenormalizer) return;
        Message(content, where).each([&](std::uint32_t inner, std::string_view map) {
            if (inner == kCharacterMap && !map.empty() && !is_sound(map)) damaged(where);
        });
    });
}

}  // namespace permille
