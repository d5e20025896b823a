// Counting n-grams of one segment.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace permille {

// An n-gram packed into 128 bits: up to 6 characters, or 4 words by their number in the segment.
struct Ngram {
    std::uint64_t high = 0, low = 0;
    auto operator<=>(const Ngram&) const = default;
};

// The n-grams of one order, sorted, with repetitions. `bits` per item: 21 hold any character.
template <class Items>
std::vector<Ngram> sorted_ngrams(const Items& items, std::size_t order, unsigned bits) {
    std::vector<Ngram> ngrams;
    if (items.size() < order) return ngrams;
    ngrams.reserve(items.size() - order + 1);
    for (std::size_t i = 0; i + order <= items.size(); ++i) {
        Ngram ngram;
        for (std::size_t k = 0; k < order; ++k) {
            ngram.high = ngram.high << bits | ngram.low >> (64 - bits);
            ngram.low = ngram.low << bits | static_cast<std::uint64_t>(items[i + k]);
        }
        ngrams.push_back(ngram);
    }
    std::sort(ngrams.begin(), ngrams.end());
    return ngrams;
}

// How many n-grams of the hypothesis occur in the references, each counted at most as often as in the reference that has it most often. All
// sorted.
inline std::size_t clipped_matches(const std::vector<Ngram>& hypothesis, std::span<const std::vector<Ngram>> references) {
    std::size_t matches = 0;
    std::vector<std::size_t> at(references.size(), 0);
    for (std::size_t begin = 0; begin < hypothesis.size();) {
        const Ngram& ngram = hypothesis[begin];
        std::size_t end = begin, most = 0;
        while (end < hypothesis.size() && hypothesis[end] == ngram) ++end;
        for (std::size_t r = 0; r < references.size(); ++r) {
            const auto& list = references[r];
            while (at[r] < list.size() && list[at[r]] < ngram) ++at[r];
            const std::size_t first = at[r];
            while (at[r] < list.size() && list[at[r]] == ngram) ++at[r];
            most = std::max(most, at[r] - first);
        }
        matches += std::min(end - begin, most);
        begin = end;
    }
    return matches;
}

// Numbers for the words of one segment: the same word, the same number. The words must outlive it.
class WordNumbers {
public:
    std::vector<std::uint32_t> of(const std::vector<std::u32string_view>& words) {
        std::vector<std::uint32_t> numbers;
        numbers.reserve(words.size());
        for (const auto word : words) numbers.push_back(numbers_.emplace(word, static_cast<std::uint32_t>(numbers_.size())).first->second);
        return numbers;
    }

private:
    std::unordered_map<std::u32string_view, std::uint32_t> numbers_;
};

}  // namespace permille
