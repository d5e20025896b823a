#include "core/base/whole_folder.h"

#include "core/base/error.h"
#include "core/base/files.h"

namespace permille {
namespace fs = std::filesystem;

fs::path free_place(const fs::path& folder) {
    fs::path place = folder.lexically_normal();
    if (!place.has_filename()) place = place.parent_path();
    std::error_code ignored;
    if (place.empty() || fs::exists(fs::symlink_status(place, ignored)))
        throw Error(ErrorKind::file, folder.string(), "exists already", "name a folder that does not exist yet");
    return place;
}

void make_whole_folder(const fs::path& place, const std::function<void(const fs::path& part)>& produce) {
    fs::path part = place;
    part += ".part";
    std::error_code ignored;
    try {
        fs::remove_all(part);
        make_folder(part);
        produce(part);
        fs::rename(part, place);
    } catch (const fs::filesystem_error& error) {
        fs::remove_all(part, ignored);
        throw Error(ErrorKind::file, error.path1().string(), error.code().message(), "see that the disk has room and may be written to");
    } catch (...) {
        fs::remove_all(part, ignored);
        throw;
    }
}

}  // namespace permille
