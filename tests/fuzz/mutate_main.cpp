// A fuzzing engine for compilers without one: changes the seeds at random, the same way every time.
//     NAME_fuzz [ROUNDS [SEED]]    or    NAME_fuzz FILE...: runs these inputs once, to look into a finding
// Before each round the input lies in crash-NAME, which stays when the round ends the program.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/fuzz/target.h"

using namespace permille;

namespace {

constexpr unsigned kSeconds = 20;  // a round that takes longer hangs
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr rlim_t kMemory = RLIM_INFINITY;  // the sanitizer reserves terabytes of addresses
#else
constexpr rlim_t kMemory = rlim_t{8} << 30;
#endif

class Mutator {
public:
    Mutator(std::vector<std::string> seeds, std::uint64_t seed) : seeds_(std::move(seeds)), random_(seed) {}

    std::string next() {
        std::string bytes = seeds_[below(seeds_.size())];
        for (std::uint64_t changes = 1 + below(4) * below(4); changes-- > 0 && !bytes.empty();) change(bytes);
        return bytes;
    }

private:
    std::size_t below(std::size_t limit) { return limit ? random_() % limit : 0; }
    // Headers and directories lie at the ends, so these are chosen more often.
    std::size_t place(const std::string& bytes) {
        const std::size_t near = std::min<std::size_t>(bytes.size(), 512), kind = below(4);
        return kind == 0 ? below(near) : kind == 1 ? bytes.size() - 1 - below(near) : below(bytes.size());
    }

    void change(std::string& bytes) {
        static constexpr std::uint64_t kNumbers[] = {0,
                                                     1,
                                                     0x7f,
                                                     0x80,
                                                     0xff,
                                                     0x7fff,
                                                     0xffff,
                                                     0x7fffffff,
                                                     0x80000000,
                                                     0xffffffff,
                                                     std::uint64_t{1} << 32,
                                                     std::uint64_t{1} << 50,
                                                     std::uint64_t{1} << 60,
                                                     std::uint64_t{1} << 62,
                                                     std::uint64_t{1} << 63,
                                                     ~std::uint64_t{0}};
        static const std::vector<std::string> kWords = {"[",
                                                        "{",
                                                        "}",
                                                        "]",
                                                        "-1",
                                                        "1e999",
                                                        "null",
                                                        "\"\"",
                                                        "18446744073709551615",
                                                        "9223372036854775807",
                                                        "0.5",
                                                        ",",
                                                        ":",
                                                        "\xff",
                                                        "../",
                                                        ".",
                                                        "(",
                                                        "t",
                                                        "R",
                                                        "N",
                                                        "h\x01",
                                                        "K\x05",
                                                        "q\x01",
                                                        "}(",
                                                        "cos\nsystem\n"};
        const std::size_t at = place(bytes);
        switch (below(9)) {
            case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
            case 1: bytes[at] = static_cast<char>(random_()); break;
            case 2: {
                const std::uint64_t number = kNumbers[below(std::size(kNumbers))] + below(3) - 1;
                const std::size_t length = std::min(std::size_t{1} << below(4), bytes.size() - at);
                for (std::size_t i = 0; i < length; ++i) bytes[at + i] = static_cast<char>(number >> (8 * i));
                break;
            }
            case 3: bytes.erase(at, 1 + below(1 + below(64))); break;
            case 4: bytes.insert(at, bytes.substr(place(bytes), 1 + below(1 + below(64)))); break;
            case 5: bytes.insert(at, kWords[below(kWords.size())]); break;
            case 6: bytes.resize(at); break;
            case 7: {
                const std::string& other = seeds_[below(seeds_.size())];
                if (!other.empty()) bytes.replace(at, 1 + below(64), other.substr(below(other.size()), 1 + below(64)));
                break;
            }
            case 8: {  // one number of a text in place of another
                const std::size_t digit = bytes.find_first_of("0123456789", at);
                if (digit != std::string::npos) bytes.replace(digit, 1 + below(3), kWords[4 + below(7)]);
                break;
            }
        }
    }

    std::vector<std::string> seeds_;
    std::mt19937_64 random_;
};

}  // namespace

int main(int count, char** arguments) {
    const rlimit limit{kMemory, kMemory};
    setrlimit(RLIMIT_AS, &limit);
    const auto run = [](const std::string& bytes) {
        alarm(kSeconds);
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
        alarm(0);
    };
    const std::string first = count > 1 ? arguments[1] : "";
    if (first.find_first_not_of("0123456789") != std::string::npos) {
        for (int i = 1; i < count; ++i) run(fuzz::get(arguments[i]));
        return 0;
    }
    const unsigned long rounds = first.empty() ? 2000 : std::strtoul(first.c_str(), nullptr, 10),
                        seed = count > 2 ? std::strtoul(arguments[2], nullptr, 10) : 1;
    const std::string crash = "crash-" + std::filesystem::path(arguments[0]).filename().string();
    const auto seeds = fuzz::seeds();
    for (const auto& bytes : seeds) run(bytes);
    Mutator mutator(seeds, seed);
    for (unsigned long i = 0; i < rounds; ++i) {
        const std::string bytes = mutator.next();
        fuzz::put(crash, bytes);
        run(bytes);
    }
    std::filesystem::remove(crash);
    std::printf("%lu rounds from %zu seeds\n", rounds, seeds.size());
    return 0;
}
