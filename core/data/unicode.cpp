#include "core/data/unicode.h"

#include <unicode/uchar.h>
#include <unicode/ucnv.h>
#include <unicode/utf8.h>

#include <memory>
#include <vector>

#include "core/base/error.h"

namespace permille {

std::u32string code_points(std::string_view text) {
    std::u32string points;
    points.reserve(text.size());
    const auto size = static_cast<std::int32_t>(text.size());
    for (std::int32_t i = 0; i < size;) {
        UChar32 point = 0;
        U8_NEXT_OR_FFFD(text.data(), i, size, point);
        points.push_back(static_cast<char32_t>(point));
    }
    return points;
}

std::string to_utf8(std::u32string_view points) {
    std::string text;
    text.reserve(points.size());
    for (const char32_t point : points) {
        char bytes[U8_MAX_LENGTH];
        std::int32_t length = 0;
        U8_APPEND_UNSAFE(bytes, length, static_cast<UChar32>(point));
        text.append(bytes, static_cast<std::size_t>(length));
    }
    return text;
}

std::size_t invalid_utf8_at(std::string_view text) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    for (std::size_t i = 0; i < text.size();) {
        if (bytes[i] != 0 && bytes[i] < 0x80) {
            ++i;
            continue;
        }
        // A view this long at most: the macro counts in 32 bits.
        const auto left = static_cast<std::int32_t>(std::min<std::size_t>(text.size() - i, U8_MAX_LENGTH));
        std::int32_t next = 0;
        UChar32 point = 0;
        U8_NEXT(bytes + i, next, left, point);
        if (point <= 0) return i;
        i += static_cast<std::size_t>(next);
    }
    return std::string_view::npos;
}

std::string from_encoding(std::string_view bytes, const std::string& encoding, const std::string& where) {
    UErrorCode status = U_ZERO_ERROR;
    const std::unique_ptr<UConverter, decltype(&ucnv_close)> converter(ucnv_open(encoding.c_str(), &status), ucnv_close);
    if (U_FAILURE(status)) {
        throw Error(ErrorKind::file, where, "unknown character encoding '" + encoding + "'", "convert the file to UTF-8");
    }
    ucnv_setToUCallBack(converter.get(), UCNV_TO_U_CALLBACK_STOP, nullptr, nullptr, nullptr, &status);
    std::string text;
    const char* from = bytes.data();
    const char* const end = from + bytes.size();
    while (from < end) {
        const UChar32 point = ucnv_getNextUChar(converter.get(), &from, end, &status);
        if (status == U_INDEX_OUTOFBOUNDS_ERROR) break;  // only bytes without text were left, such as a byte order mark
        if (U_FAILURE(status)) {
            throw Error(ErrorKind::file, where, "byte " + std::to_string(from - bytes.data()) + " is not " + encoding,
                        "convert the file to UTF-8, or correct the encoding that it names");
        }
        const char32_t one = static_cast<char32_t>(point);
        text += to_utf8({&one, 1});
    }
    return text;
}

bool is_space(char32_t point) { return u_isUWhiteSpace(static_cast<UChar32>(point)); }
bool is_letter(char32_t point) {
    if (point < 0x80) return (point >= U'a' && point <= U'z') || (point >= U'A' && point <= U'Z');
    return u_isUAlphabetic(static_cast<UChar32>(point)) || (U_GET_GC_MASK(static_cast<UChar32>(point)) & U_GC_M_MASK) != 0;
}
bool is_digit(char32_t point) { return u_isdigit(static_cast<UChar32>(point)); }
bool is_lower(char32_t point) { return u_isULowercase(static_cast<UChar32>(point)); }
bool is_upper(char32_t point) { return u_isUUppercase(static_cast<UChar32>(point)); }
char32_t to_lower(char32_t point) { return static_cast<char32_t>(u_tolower(static_cast<UChar32>(point))); }

std::string single_spaced(std::string_view text) {
    std::u32string result;
    bool space = false;
    for (const char32_t point : code_points(text)) {
        if (point == 0xAD || point == 0x200B || point == 0xFEFF || point == 0x2060) continue;
        if (is_space(point) || point < 0x20 || (point >= 0x7F && point < 0xA0)) {
            space = true;
            continue;
        }
        if (space && !result.empty()) result.push_back(U' ');
        space = false;
        result.push_back(point);
    }
    return to_utf8(result);
}

std::string folded(std::string_view text) {
    std::u32string result;
    for (const char32_t point : code_points(text)) {
        if (is_letter(point) || is_digit(point)) result.push_back(to_lower(point));
    }
    return to_utf8(result);
}

std::uint64_t stable_hash(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a, then SplitMix64's last step so that all bits depend on all others
    for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
    return hash ^ (hash >> 31);
}

}  // namespace permille
