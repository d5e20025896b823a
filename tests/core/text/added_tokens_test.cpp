// Special tokens inside a text: leftmost, then longest, in a time that does not grow with their number.
#include <algorithm>

#include "core/data/batches.h"
#include "core/text/tokenizer_files.h"
#include "tests/support/test.h"

using namespace permille;

namespace {

using Tokens = std::vector<std::pair<std::string, std::int64_t>>;

struct Part {
    std::string text;
    std::int64_t id;
    bool operator==(const Part&) const = default;
};

AddedTokens added(const Tokens& tokens) {
    AddedTokens result;
    for (const auto& [text, id] : tokens) result.add(text, id);
    return result;
}

std::vector<Part> parts(const AddedTokens& tokens, const std::string& text) {
    std::vector<Part> list;
    for (const auto& part : tokens.split(text)) list.push_back({std::string(part.text), part.id});
    return list;
}

// At every place each token is tried, the longest first.
std::vector<Part> tried(Tokens tokens, const std::string& text) {
    std::stable_sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
    std::vector<Part> list;
    std::string plain;
    const auto end_plain = [&] {
        if (!plain.empty()) list.push_back({plain, -1});
        plain.clear();
    };
    for (std::size_t at = 0; at < text.size();) {
        const auto found = std::find_if(tokens.begin(), tokens.end(),
                                        [&](const auto& token) { return text.compare(at, token.first.size(), token.first) == 0; });
        if (found == tokens.end()) {
            plain += text[at++];
            continue;
        }
        end_plain();
        list.push_back({found->first, found->second});
        at += found->first.size();
    }
    end_plain();
    return list;
}

std::string random_text(SeededRandom& random, std::size_t length, const std::string& letters) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += letters[random.below(letters.size())];
    return text;
}

}  // namespace

TEST_CASE("special tokens are found leftmost and longest, whatever they begin with", "[text]") {
    SeededRandom random(5);
    for (int round = 0; round < 300; ++round) {
        Tokens tokens;
        const std::size_t count = 1 + random.below(12);
        for (std::size_t i = 0; i < count; ++i) {
            const std::string text = random_text(random, 1 + random.below(5), round % 2 ? "ab" : "ab\xc3\xa9<");
            const bool known = std::any_of(tokens.begin(), tokens.end(), [&](const auto& token) { return token.first == text; });
            if (!known) tokens.emplace_back(text, static_cast<std::int64_t>(10 + i));
        }
        const AddedTokens found = added(tokens);
        const std::string text = random_text(random, 60, "abc\xc3\xa9<");
        INFO(text);
        CHECK(parts(found, text) == tried(tokens, text));
        for (const auto& [token, id] : tokens) {
            CHECK(found.id(token) == id);
            CHECK(*found.token(id) == token);
        }
        CHECK(found.id("absent") == -1);
        CHECK(found.token(9) == nullptr);
    }
}

TEST_CASE("a token that is added again keeps its id, and of two with one id the longer is shown", "[text]") {
    const AddedTokens tokens = added({{"<a>", 7}, {"<a>", 8}, {"<abc>", 7}, {"<b>", 7}, {"", 3}});
    CHECK(tokens.id("<a>") == 7);
    CHECK(tokens.id("<b>") == 7);
    CHECK(*tokens.token(7) == "<abc>");
    CHECK_FALSE(tokens.contains(8));
    CHECK_FALSE(tokens.contains(3));
}

// Every token tried at every place would be 10^11 comparisons.
TEST_CASE("many special tokens in a long text take no longer than few", "[text]") {
    Tokens tokens;
    for (int i = 0; i < 50000; ++i) tokens.emplace_back("<extra_" + std::to_string(i) + ">", 1000 + i);
    const AddedTokens found = added(tokens);
    std::string text;
    while (text.size() < 2000000) text += "<extra_ <extra_49999><<<<extra_7 ";
    const auto list = found.split(text);
    std::size_t length = 0, special = 0;
    for (const auto& part : list) {
        length += part.text.size();
        if (part.id < 0) continue;
        REQUIRE(part.id == 1000 + 49999);
        ++special;
    }
    CHECK(length == text.size());
    CHECK(special == text.size() / std::string("<extra_ <extra_49999><<<<extra_7 ").size());
}
