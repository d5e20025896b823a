#include "core/models/zip_directory.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace permille {

namespace {

constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::uint64_t kMostEntries = std::uint64_t{1} << 19, kMostName = 1000;
constexpr std::uint32_t kElsewhere = 0xffffffff;  // the number stands in the zip64 field

[[noreturn]] void damaged(const std::string& where, const std::string& what) {
    throw Error(ErrorKind::file, where, what, "the file is damaged or incomplete; fetch it again");
}

class Reader {
public:
    Reader(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

    ZipDirectory read() {
        find_end();
        ZipDirectory entries;
        std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
        std::uint64_t place = directory_;
        for (std::uint64_t i = 0; i < count_; ++i) place = read_entry(place, entries, places);
        if (place != directory_ + directory_size_) damaged(where_, "the zip directory is longer than its entries");
        std::sort(places.begin(), places.end());
        for (std::size_t i = 1; i < places.size(); ++i)
            if (places[i].first < places[i - 1].second) damaged(where_, "two entries of the zip archive overlap");
        return entries;
    }

private:
    template <class Number>
    Number number(std::uint64_t place) const {
        if (place > bytes_.size() || bytes_.size() - place < sizeof(Number)) damaged(where_, "the zip archive ends too early");
        Number value;
        std::memcpy(&value, bytes_.data() + place, sizeof value);
        return value;
    }
    std::string_view text(std::uint64_t place, std::uint64_t length) const {
        if (place > bytes_.size() || bytes_.size() - place < length) damaged(where_, "the zip archive ends too early");
        return {reinterpret_cast<const char*>(bytes_.data()) + place, length};
    }

    void find_end() {
        const std::uint64_t total = bytes_.size();
        if (total < 22) damaged(where_, "has " + std::to_string(total) + " bytes, too few for a zip archive");
        const std::uint64_t lowest = total > 22 + 0xffff ? total - 22 - 0xffff : 0;
        std::uint64_t end = total - 22;
        while (number<std::uint32_t>(end) != kEnd || number<std::uint16_t>(end + 20) != total - end - 22) {
            if (end == lowest) damaged(where_, "starts like a zip archive but has no directory at its end");
            --end;
        }
        if (number<std::uint16_t>(end + 4) != 0 || number<std::uint16_t>(end + 6) != 0) {
            if (number<std::uint16_t>(end + 4) != 0xffff) throw Error(ErrorKind::unsupported, where_, "is a zip archive in several parts");
        }
        count_ = number<std::uint16_t>(end + 10);
        directory_size_ = number<std::uint32_t>(end + 12);
        directory_ = number<std::uint32_t>(end + 16);
        std::uint64_t limit = end;
        if (end >= 20 && number<std::uint32_t>(end - 20) == kLocator64) {
            const auto place = number<std::uint64_t>(end - 20 + 8);
            if (place > end - 20 || end - 20 - place < 56 || number<std::uint32_t>(place) != kEnd64)
                damaged(where_, "the zip64 directory is not where the archive says");
            count_ = number<std::uint64_t>(place + 32);
            directory_size_ = number<std::uint64_t>(place + 40);
            directory_ = number<std::uint64_t>(place + 48);
            limit = place;
        } else if (count_ == 0xffff || directory_size_ == kElsewhere || directory_ == kElsewhere) {
            damaged(where_, "lacks its zip64 directory");
        }
        if (directory_ > limit || directory_size_ > limit - directory_) damaged(where_, "the zip directory lies outside the file");
        if (count_ > kMostEntries || count_ > directory_size_ / 46)
            damaged(where_, "says that it holds " + std::to_string(count_) + " entries, too many for its directory");
    }

    std::uint64_t read_entry(std::uint64_t place, ZipDirectory& entries,
                             std::vector<std::pair<std::uint64_t, std::uint64_t>>& places) const {
        const std::uint64_t last = directory_ + directory_size_;
        if (place > last || last - place < 46 || number<std::uint32_t>(place) != kCentral) damaged(where_, "the zip directory is damaged");
        const auto flags = number<std::uint16_t>(place + 8), method = number<std::uint16_t>(place + 10);
        const std::uint64_t name_length = number<std::uint16_t>(place + 28), extra_length = number<std::uint16_t>(place + 30);
        const std::uint64_t end = place + 46 + name_length + extra_length + number<std::uint16_t>(place + 32);
        if (end > last) damaged(where_, "the zip directory is damaged");
        const std::string name(text(place + 46, name_length));
        const bool plain = std::all_of(name.begin(), name.end(), [](char letter) { return letter >= ' ' && letter <= '~'; });
        if (name.empty() || name.size() > kMostName || !plain) damaged(where_, "an entry of the zip archive has no proper name");
        const std::string here = where_ + ", entry " + name;
        if (flags & 1) throw Error(ErrorKind::unsupported, here, "is encrypted");
        if (method != 0)
            throw Error(ErrorKind::unsupported, here, "is compressed",
                        "torch.save does not compress; the archive was made by another program");
        std::uint64_t packed = number<std::uint32_t>(place + 20), size = number<std::uint32_t>(place + 24),
                      local = number<std::uint32_t>(place + 42);
        read_zip64(place + 46 + name_length, extra_length, {&size, &packed, &local}, here);
        if (packed != size) damaged(here, "has two sizes, " + std::to_string(size) + " and " + std::to_string(packed) + " bytes");

        if (local > directory_ || directory_ - local < 30 || number<std::uint32_t>(local) != kLocal)
            damaged(here, "is not where the directory says");
        const std::uint64_t own_name = number<std::uint16_t>(local + 26), own_extra = number<std::uint16_t>(local + 28);
        const std::uint64_t begin = local + 30 + own_name + own_extra;
        if (begin > directory_ || size > directory_ - begin) damaged(here, "has " + std::to_string(size) + " bytes, more than the file");
        if (text(local + 30, own_name) != name) damaged(here, "has another name in its own header");
        if (!(number<std::uint16_t>(local + 6) & 8)) {  // else its sizes follow the content
            std::uint64_t own_packed = number<std::uint32_t>(local + 18), own_size = number<std::uint32_t>(local + 22);
            read_zip64(local + 30 + own_name, own_extra, {&own_size, &own_packed}, here);
            if (own_size != size || own_packed != size)
                damaged(here,
                        "has " + std::to_string(own_size) + " bytes by its own header and " + std::to_string(size) + " by the directory");
        }
        if (!entries.emplace(name, ZipEntry{begin, size}).second) damaged(here, "is there twice");
        places.emplace_back(local, begin + size);
        return end;
    }

    // Puts the numbers of the zip64 field into those that stand there, in the order of the format.
    void read_zip64(std::uint64_t place, std::uint64_t length, const std::vector<std::uint64_t*>& numbers, const std::string& here) const {
        if (std::none_of(numbers.begin(), numbers.end(), [](const std::uint64_t* one) { return *one == kElsewhere; })) return;
        const std::uint64_t end = place + length;
        while (end - place >= 4) {
            const std::uint64_t size = number<std::uint16_t>(place + 2);
            if (size > end - place - 4) break;
            if (number<std::uint16_t>(place) == 1) {
                std::uint64_t at = place + 4;
                for (std::uint64_t* one : numbers) {
                    if (*one != kElsewhere) continue;
                    if (place + 4 + size - at < 8) damaged(here, "its zip64 field is too short");
                    *one = number<std::uint64_t>(at);
                    at += 8;
                }
                return;
            }
            place += 4 + size;
        }
        damaged(here, "lacks its zip64 field");
    }

    std::span<const std::byte> bytes_;
    const std::string& where_;
    std::uint64_t count_ = 0, directory_ = 0, directory_size_ = 0;
};

}  // namespace

bool is_zip(std::span<const std::byte> bytes) {
    std::uint32_t start = 0;
    if (bytes.size() < sizeof start) return false;
    std::memcpy(&start, bytes.data(), sizeof start);
    return start == kLocal;
}

ZipDirectory read_zip_directory(std::span<const std::byte> bytes, const std::string& where) { return Reader(bytes, where).read(); }

}  // namespace permille
