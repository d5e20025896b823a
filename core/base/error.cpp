#include "core/base/error.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

namespace permille {

std::string_view to_string(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::config: return "config";
        case ErrorKind::usage: return "usage";
        case ErrorKind::file: return "file";
        case ErrorKind::tensor: return "tensor";
        case ErrorKind::unsupported: return "unsupported";
        case ErrorKind::device_memory: return "device_memory";
        case ErrorKind::database: return "database";
        case ErrorKind::not_a_number: return "not_a_number";
        case ErrorKind::network: return "network";
        case ErrorKind::internal: return "internal";
    }
    return "internal";
}

Error::Error(ErrorKind kind, std::string where, std::string what, std::string fix)
    : kind_(kind), where_(std::move(where)), found_(std::move(what)), fix_(std::move(fix)) {
    message_ = where_.empty() ? found_ : where_ + ": " + found_;
    if (!fix_.empty()) message_ += "; " + fix_;
}

void check_internal(bool condition, const char* expectation, const char* file, int line) {
    if (condition) return;
    throw Error(ErrorKind::internal, std::string(file) + ":" + std::to_string(line), std::string("expected ") + expectation,
                "this is a mistake in Permille itself; please report it with what you did");
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
    const auto same = [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
    };
    std::string best;
    std::size_t limit = std::max<std::size_t>(1, (word.size() + 1) / 3);
    for (const auto& candidate : candidates) {
        // Edits with neighbours swapped as one of them (Damerau 1964), three rows of the table at a time.
        std::vector<std::size_t> before, last(candidate.size() + 1), row(candidate.size() + 1);
        std::iota(row.begin(), row.end(), std::size_t{0});
        for (std::size_t i = 1; i <= word.size(); ++i) {
            before = std::exchange(last, row);
            row[0] = i;
            for (std::size_t j = 1; j <= candidate.size(); ++j) {
                row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same(word[i - 1], candidate[j - 1]) ? 0 : 1)});
                if (i > 1 && j > 1 && same(word[i - 1], candidate[j - 2]) && same(word[i - 2], candidate[j - 1]))
                    row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        if (row.back() <= limit && (best.empty() || row.back() < limit)) {
            limit = row.back();
            best = candidate;
        }
    }
    return best;
}

std::string list_some(const std::vector<std::string>& items, std::size_t most) {
    std::string text;
    const std::size_t shown = std::min(items.size(), most);
    for (std::size_t i = 0; i < shown; ++i) text += (i ? ", " : "") + items[i];
    if (items.size() > shown) text += " and " + std::to_string(items.size() - shown) + " more";
    return text;
}

}  // namespace permille
