#include "core/text/wire_message.h"

#include "core/base/error.h"

namespace permille {

namespace {

[[noreturn]] void damaged(const std::string& where) {
    throw Error(ErrorKind::file, where, "is not a sentencepiece model, or is damaged", "copy or download the file again");
}

}  // namespace

void WireMessage::each(const std::function<void(const Field& field)>& use) {
    while (!bytes_.empty()) {
        const std::uint64_t tag = varint();
        if (tag >> 3 == 0 || tag > 0xffffffff) damaged(where_);
        Field field{static_cast<std::uint32_t>(tag >> 3), false, {}, 0};
        switch (tag & 7) {
            case 0: field.value = varint(); break;
            case 1: take(8); break;
            case 2:
                field.has_length = true;
                field.content = take(varint());
                break;
            case 5: take(4); break;
            default: damaged(where_);
        }
        use(field);
    }
}

std::string_view WireMessage::take(std::uint64_t count) {
    if (count > bytes_.size()) damaged(where_);
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
}

std::uint64_t WireMessage::varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const auto byte = static_cast<unsigned char>(take(1)[0]);
        value |= static_cast<std::uint64_t>(byte & 127) << shift;
        if (byte < 128) return value;
    }
    damaged(where_);
}

std::string wire_varint(std::uint64_t value) {
    std::string bytes;
    for (; value >= 128; value >>= 7) bytes += static_cast<char>((value & 127) | 128);
    return bytes + static_cast<char>(value);
}

std::string wire_field(std::uint32_t number, std::string_view content) {
    return wire_varint(std::uint64_t{number} << 3 | 2) + wire_varint(content.size()) + std::string(content);
}

}  // namespace permille
