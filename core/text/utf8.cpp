#include "core/text/utf8.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "core/base/error.h"

namespace permille {

namespace {

bool is_white_space(UChar32 point) {
    if (u_charType(point) == U_SPACE_SEPARATOR) return true;
    const auto direction = u_charDirection(point);
    return direction == U_WHITE_SPACE_NEUTRAL || direction == U_BLOCK_SEPARATOR || direction == U_SEGMENT_SEPARATOR;
}

// The last character of a text that is not empty, and where it begins; negative when it is not UTF-8.
UChar32 last_character(std::string_view text, std::size_t& begin) {
    const std::string_view end = text.substr(text.size() - std::min<std::size_t>(text.size(), U8_MAX_LENGTH));
    auto at = static_cast<std::int32_t>(end.size());
    UChar32 point = 0;
    U8_PREV(end.data(), 0, at, point);
    begin = text.size() - end.size() + static_cast<std::size_t>(at);
    return point;
}

}  // namespace

void require_utf8(std::string_view text) {
    const auto size = static_cast<std::int64_t>(text.size());
    const char* bytes = text.data();
    std::int64_t characters = 0;
    for (std::int64_t at = 0; at < size; ++characters) {
        if (static_cast<unsigned char>(bytes[at]) < 0x80) {
            ++at;
            continue;
        }
        const std::int64_t start = at;
        UChar32 point = 0;
        U8_NEXT(bytes, at, size, point);
        if (point >= 0) continue;
        char shown[8];
        std::snprintf(shown, sizeof shown, "0x%02X", static_cast<unsigned>(static_cast<unsigned char>(bytes[start])));
        throw Error(ErrorKind::file, "text, byte " + std::to_string(start + 1),
                    std::string("not UTF-8: ") + shown + " after " + std::to_string(characters) + " good characters",
                    "convert the text to UTF-8, for example with iconv");
    }
}

std::string_view stripped(std::string_view text) {
    while (!text.empty()) {
        std::int32_t next = 0;
        UChar32 point = 0;
        U8_NEXT(text.data(), next, static_cast<std::int32_t>(std::min<std::size_t>(text.size(), U8_MAX_LENGTH)), point);
        if (point < 0 || !is_white_space(point)) break;
        text.remove_prefix(static_cast<std::size_t>(next));
    }
    while (!text.empty()) {
        std::size_t begin = 0;
        const UChar32 point = last_character(text, begin);
        if (point < 0 || !is_white_space(point)) break;
        text = text.substr(0, begin);
    }
    return text;
}

bool ends_unseen(std::string_view text) {
    if (text.empty()) return false;
    std::size_t begin = 0;
    const UChar32 point = last_character(text, begin);
    constexpr UChar32 kPieceSpace = 0x2581;
    return point == kPieceSpace || (point >= 0 && (U_MASK(u_charType(point)) & (U_GC_C_MASK | U_GC_Z_MASK)) != 0);
}

}  // namespace permille
