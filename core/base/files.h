// Files: whole reads, writes that are never half done, memory maps, checksums, and where Permille keeps its things.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace permille {

class Error;

// What an errno means for a file: "cannot <action>: <reason>", with what to do; temporary where the disk or the network is at fault.
Error file_error(const std::filesystem::path& file, const std::string& action, int code);

// All functions throw Error(file) with the path and the system's reason.
std::string read_text(const std::filesystem::path& file);

// Writes beside the file (NAME.part), flushes to the disk and renames: readers see the old content or the new, never a part.
void write_text(const std::filesystem::path& file, std::string_view content);

// The same for content that is produced in pieces: `produce` writes into the stream; when it throws, nothing is left behind.
void write_atomically(const std::filesystem::path& file, const std::function<void(std::ostream&)>& produce);

void make_folder(const std::filesystem::path& folder);

// What lies in a folder, and what lies below it at any depth (links to folders are not followed), both in alphabetical order. Others may
// write and remove there meanwhile: what is gone when it is looked at is left out. The rest is listed too when something cannot be read;
// `code` says why, or nothing.
std::vector<std::filesystem::path> entries_in(const std::filesystem::path& folder, std::error_code& code);
std::vector<std::filesystem::path> entries_below(const std::filesystem::path& folder, std::error_code& code);

// Lower-case hexadecimal SHA-256.
std::string sha256(std::string_view content);
// Throws Stopped (core/base/stopped.h) when asked to stop.
std::string sha256_of_file(const std::filesystem::path& file, const std::stop_token& stop = {});

// A read-only memory map of a whole file; pages are read when touched and shared between processes.
class MappedFile {
public:
    explicit MappedFile(const std::filesystem::path& file);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    std::span<const std::byte> bytes() const { return bytes_; }

private:
    std::span<const std::byte> bytes_;
};

// Where results, corpora and downloads are kept: $PERMILLE_HOME, else $XDG_DATA_HOME/permille, else ~/.local/share/permille.
std::filesystem::path data_home();
// Where the shipped bases, recipes and studies are: $PERMILLE_RESOURCES, else share/permille beside the program's prefix, else the source
// tree.
std::filesystem::path resources_folder();

}  // namespace permille
