// The directory of a zip archive whose entries are stored as they are, which is how torch.save has written checkpoints since PyTorch 1.6.
// The file is untrusted: every number is checked, both of an entry's headers must agree, and entries may not overlap. Checksums are not
// computed, since that would read the whole file; torch.load (2.11) passes over a wrong one as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace permille {

struct ZipEntry {
    std::uint64_t begin = 0, size = 0;  // of its content within the file
};
using ZipDirectory = std::map<std::string, ZipEntry>;

bool is_zip(std::span<const std::byte> bytes);

// `where` names the file. Throws Error(file) for damage, Error(unsupported) for compressed or encrypted entries and archives in several
// parts.
ZipDirectory read_zip_directory(std::span<const std::byte> bytes, const std::string& where);

}  // namespace permille
