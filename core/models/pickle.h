// A reader of Python pickles (protocols 0 to 5) that can build what a PyTorch checkpoint is made of and nothing else: plain values, lists,
// tuples, dictionaries, storages by their persistent ids, and the calls that make tensors of them. Nothing in the file is run: every other
// global is an error that names it. What comes out is data with all its references checked; what it means is torch_file's matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace permille {

struct PickleValue {
    // storage: the elements of its persistent id; tensor: the arguments of the call that makes it; dictionary: key, value, key, value, ...
    enum class Kind : std::uint8_t { none, boolean, integer, real, text, bytes, list, tuple, dictionary, global, storage, tensor };
    Kind kind = Kind::none;
    std::int64_t number = 0;           // boolean, integer; real numbers are not kept
    std::string_view text;             // text (UTF-8), bytes (and integers above 64 bits, little-endian), global ("torch.FloatStorage")
    std::vector<std::uint32_t> items;  // places in Pickle::values
};

// Values refer to each other by place, so a pickle that nests or shares them without end costs no more than its own length.
struct Pickle {
    std::vector<PickleValue> values;
    std::uint32_t root = 0;
    std::size_t end = 0;  // the place behind it in the bytes it was read from

    const PickleValue& at(std::uint32_t place) const { return values[place]; }
    const PickleValue& item(const PickleValue& value, std::size_t i) const { return values[value.items[i]]; }
};

// Reads the pickle that starts at `begin`; texts are views into `bytes`. `where` names the file. Throws Error(file) for damage and absurd
// sizes, Error(unsupported) for a global or an operation that a checkpoint has no need of.
Pickle read_pickle(std::span<const std::byte> bytes, std::size_t begin, const std::string& where);

}  // namespace permille
