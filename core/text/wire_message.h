// The fields of a message of the protocol buffer format, which sentencepiece's models have. What the library might read in another way than
// we do is refused.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace permille {

class WireMessage {
public:
    struct Field {
        std::uint32_t number = 0;
        bool has_length = false;
        std::string_view content;  // of fields that have a length
        std::uint64_t value = 0;   // of those that are whole numbers
    };
    // `where` names the file in errors.
    WireMessage(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}
    // Throws Error(file) when the bytes are no such message.
    void each(const std::function<void(const Field& field)>& use);

private:
    std::string_view take(std::uint64_t count);
    std::uint64_t varint();

    std::string_view bytes_;
    const std::string& where_;
};

// A whole number as the format writes it.
std::string wire_varint(std::uint64_t value);
// A field that has a length.
std::string wire_field(std::uint32_t number, std::string_view content);

}  // namespace permille
