#include "core/bases/inherit.h"
#include "tests/support/test.h"

namespace permille::test {

using Layers = std::vector<std::int64_t>;

TEST_CASE("layers are taken evenly, the first and the last among them", "[bases]") {
    CHECK(spread_layers(12, 6) == Layers{0, 2, 4, 7, 9, 11});
    CHECK(spread_layers(12, 3) == Layers{0, 6, 11});
    CHECK(spread_layers(12, 1) == Layers{0});
    CHECK(spread_layers(3, 6) == Layers{0, 0, 1, 1, 2, 2});
    CHECK(spread_layers(4, 4) == Layers{0, 1, 2, 3});
    CHECK(spread_layers(1, 3) == Layers{0, 0, 0});
}

TEST_CASE("layers are written as a list or a number of them", "[bases]") {
    CHECK(parse_layers("", 3, "layers") == Layers{0, 1, 2});
    CHECK(parse_layers("2", 3, "layers") == Layers{0, 2});
    CHECK(parse_layers("0,2", 3, "layers") == Layers{0, 2});
    CHECK(parse_layers("2-2", 3, "layers") == Layers{2});
    CHECK(parse_layers("1,0-2,2,2", 3, "layers") == Layers{1, 0, 1, 2, 2, 2});
    for (const char* text : {"x", "0,", "0,,1", "-1", "1-", "2-1", "0,3", "0", "99999", "1,a", ",", "1.5", " 1,2"}) {
        INFO(text);
        if (std::string(text) == "0,") CHECK(parse_layers(text, 3, "layers") == Layers{0});  // a list of one
        else require_error([&] { parse_layers(text, 3, "--encoder-layers"); }, ErrorKind::config, {"--encoder-layers", "from 0 to 2"});
    }
}

}  // namespace permille::test
