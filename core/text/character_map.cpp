#include "core/text/character_map.h"

#include <cstdint>
#include <cstring>

#include "core/base/error.h"
#include "core/text/wire_message.h"

namespace permille {

namespace {

// Field numbers of sentencepiece_model.proto.
constexpr std::uint32_t kNormalizer = 3, kDenormalizer = 5, kCharacterMap = 2;
constexpr std::size_t kMostReplacement = 1000;  // bytes; the longest of Unicode's own has 33

[[noreturn]] void damaged(const std::string& where) {
    throw Error(ErrorKind::file, where, "is not a sentencepiece model, or is damaged", "copy or download the file again");
}

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
    WireMessage(sentencepiece_model, where).each([&](const WireMessage::Field& field) {
        if (!field.has_length || (field.number != kNormalizer && field.number != kDenormalizer)) return;
        WireMessage(field.content, where).each([&](const WireMessage::Field& inner) {
            if (inner.has_length && inner.number == kCharacterMap && !inner.content.empty() && !is_sound(inner.content)) damaged(where);
        });
    });
}

}  // namespace permille
