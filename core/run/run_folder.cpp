#include "core/run/run_folder.h"

#include <charconv>
#include <map>
#include <optional>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kWork = "work.";
// In every working folder. Whoever writes after its folder was taken may make the folder again, but not with this in it.
constexpr const char* kMark = "claimed";

std::optional<std::int64_t> claim_of(const fs::path& folder) {
    const std::string name = folder.filename().string();
    std::int64_t number = 0;
    if (!name.starts_with(kWork)) return std::nullopt;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + kWork.size(), end, number);
    return error == std::errc() && rest == end ? std::optional(number) : std::nullopt;
}

// Working folders by the number of their claim.
std::map<std::int64_t, fs::path> work_folders(const fs::path& folder, std::error_code& code) {
    std::map<std::int64_t, fs::path> found;
    for (const fs::path& path : entries_in(folder, code))
        if (const auto number = claim_of(path)) found[*number] = path;
    return found;
}

// The first version kept these beside the adapter.
constexpr const char* kOldFiles[] = {"checkpoint.safetensors", "negatives.safetensors", "rate_search.json"};

}  // namespace

RunFolder::RunFolder(fs::path folder, std::int64_t claim)
    : folder_(std::move(folder)), work_(folder_ / (std::string(kWork) + std::to_string(claim))) {
    std::error_code code;
    // What was there at the look may be renamed or removed by a worker that loses its claim at this moment: then look again.
    for (int tries = 0; tries < 5; ++tries) {
        make_folder(folder_);
        fs::path before;
        for (const auto& [number, path] : work_folders(folder_, code))
            if (std::error_code ignored; number < claim && fs::exists(path / kMark, ignored)) before = path;
        if (code) throw file_error(folder_, "read", code.value());
        if (before.empty()) fs::create_directory(work_, code);
        else fs::rename(before, work_, code);
        if (code != std::errc::no_such_file_or_directory) break;
    }
    if (code) throw file_error(work_, "make the folder", code.value());
    // Whoever comes late makes its folder after the newer claim has looked for those before it, and sees that one's here.
    const auto all = work_folders(folder_, code);
    if (code) throw file_error(folder_, "read", code.value());
    if (all.empty() || all.rbegin()->first > claim) {
        fs::remove(work_, code);
        throw Error(ErrorKind::file, folder_.string(), "was taken by another worker", "this one has lost the run");
    }
    write_text(work_ / kMark, "The files of the worker whose claim has the number in this folder's name.\n");
    for (const char* name : kOldFiles)
        if (fs::exists(folder_ / name, code)) fs::rename(folder_ / name, work_ / name, code);
    // Halves of files that a killed worker left.
    for (const fs::path& path : entries_in(work_, code))
        if (path.filename().string().find(".part") != std::string::npos) fs::remove_all(path, code);
}

RunFolder::~RunFolder() {
    std::error_code code;
    const bool only_mark = entries_in(work_, code).size() == 1;
    if (!code && only_mark && !taken()) fs::remove_all(work_, code);
    fs::remove(folder_, code);  // fails, as it should, when something is in it
}

void RunFolder::publish(const std::string& name) const {
    if (taken()) throw Error(ErrorKind::file, work_.string(), "was taken by another worker", "this one has lost the run");
    // A folder cannot take the place of another one that holds something.
    std::error_code code;
    const fs::path from = work_ / name, to = folder_ / name, old = work_ / (name + ".old");
    if (fs::exists(from, code) && fs::exists(to, code)) fs::rename(to, old, code);
    if (!code) fs::rename(from, to, code);
    if (code) throw file_error(to, "put it in its place", code.value());
    fs::remove_all(old, code);
}

bool RunFolder::taken() const {
    std::error_code code;
    return !fs::exists(work_ / kMark, code) && !code;
}

void RunFolder::clear() const {
    std::error_code ignored;
    const std::int64_t own = claim_of(work_).value_or(0);
    for (const auto& [number, path] : work_folders(folder_, ignored))
        if (number <= own) fs::remove_all(path, ignored);
}

}  // namespace permille
