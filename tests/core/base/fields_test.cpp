#include "core/base/fields.h"

#include "core/base/spec.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

struct Sizes {
    std::int64_t rank = 8;
    double scale = 1.5;
    bool bias = true;
    std::string where = "all";
    static const Fields<Sizes>& fields() {
        static const Fields<Sizes> list = Fields<Sizes>()
                                              .add("rank", &Sizes::rank, "size", {.min = 1, .max = 64})
                                              .add("scale", &Sizes::scale, "factor", {.min = 0})
                                              .add("bias", &Sizes::bias, "whether")
                                              .add("where", &Sizes::where, "places", {.choices = {"all", "encoder"}});
        return list;
    }
};

void check_rejected(const Json& object, const std::vector<std::string>& words) {
    INFO(object.dump());
    require_error([&] { Sizes::fields().parse(object, "adapter.json"); }, ErrorKind::config, words);
}

}  // namespace

TEST_CASE("settings come from JSON and go back unchanged", "[base]") {
    const Json given = {{"rank", 4}, {"scale", 0.25}, {"bias", false}, {"where", "encoder"}};
    const Sizes sizes = Sizes::fields().parse(given, "x");
    CHECK(sizes.rank == 4);
    CHECK(sizes.scale == 0.25);
    CHECK_FALSE(sizes.bias);
    CHECK(sizes.where == "encoder");
    CHECK(Sizes::fields().to_json(sizes) == given);
    CHECK(Sizes::fields().to_json({}) == Json{{"rank", 8}, {"scale", 1.5}, {"bias", true}, {"where", "all"}});
}

TEST_CASE("numbers and truth values may come as text", "[base]") {
    const Sizes sizes = Sizes::fields().parse({{"rank", "16"}, {"scale", "2e-3"}, {"bias", "false"}}, "x");
    CHECK(sizes.rank == 16);
    CHECK(sizes.scale == 2e-3);
    CHECK_FALSE(sizes.bias);
}

TEST_CASE("a wrong setting is named with its range", "[base]") {
    check_rejected({{"rank", 0}}, {"adapter.json", "rank", "1"});
    check_rejected({{"rank", 65}}, {"rank", "64"});
    check_rejected({{"rank", 2.5}}, {"rank"});
    check_rejected({{"rank", "8x"}}, {"rank", "8x"});
    check_rejected({{"rank", "99999999999999999999"}}, {"rank"});
    check_rejected({{"scale", "nan"}}, {"scale"});
    check_rejected({{"bias", "perhaps"}}, {"bias", "perhaps"});
    check_rejected({{"where", "decoder"}}, {"where", "decoder", "encoder"});
    check_rejected({{"rnak", 8}}, {"rnak", "did you mean 'rank'?"});
    check_rejected({{"temperature", 8}}, {"temperature", "rank, scale, bias, where"});
    check_rejected(Json::array({1}), {"adapter.json"});
}

TEST_CASE("the key of a run is the same for the same experiment only", "[base]") {
    RunSpec spec;
    spec.base = "b";
    spec.corpus = "c";
    spec.source_language = "it";
    spec.target_language = "en";
    spec.method = "lora";
    spec.budget_percent = 2;
    const RunSpec same = RunSpec::from_json(spec.to_json(), "x");
    CHECK(same.key() == spec.key());
    RunSpec other = spec;
    other.seed = 2;
    CHECK(other.key() != spec.key());
    other = spec;
    other.budget_percent = 2.5;
    CHECK(other.key() != spec.key());
    other = spec;
    other.training.updates += 1;
    CHECK(other.key() != spec.key());
}

}  // namespace permille::test
