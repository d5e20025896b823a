// The solver over the whole table of methods, on a folder that holds only config.json.
#include "core/study/budgets.h"

#include <cmath>
#include <filesystem>

#include "core/peft/adapter_file.h"
#include "core/peft/catalog.h"
#include "core/study/study.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

using Unit = Budget::Unit;

namespace {

struct ConfigOnly {
    TemporaryFolder folder;
    std::string base = folder.path().string();
    explicit ConfigOnly(const std::string& name = "m2m100") {
        std::filesystem::copy_file(golden(name + "/config.json"), folder / "config.json");
    }
    BudgetAnswer solve(const std::string& method, const std::optional<Budget>& budget, const Json& settings = Json::object()) const {
        return solve_budget(base, method, settings, budget);
    }
    std::int64_t parameters() const { return describe_model(folder.path()).layout.parameter_count(); }
};

// The count of the solved settings with the size knob a step lower or higher.
std::int64_t neighbour(const ConfigOnly& place, const BudgetAnswer& answer, int step) {
    Json settings = *answer.solved;
    settings[answer.size_knob] = settings[answer.size_knob].get<std::int64_t>() + step;
    return place.solve(answer.method, std::nullopt, settings).trainable;
}

}  // namespace

TEST_CASE("every method with a size knob takes the size nearest to a budget", "[study]") {
    const ConfigOnly place;
    const auto all = static_cast<double>(place.parameters());
    for (const MethodInfo& method : method_catalog()) {
        if (method.size_knob.empty()) continue;
        INFO(method.id);
        const BudgetAnswer free = place.solve(method.id, std::nullopt);
        const std::int64_t smallest = std::llround(*free.min_percent / 100 * all);
        for (const double share : {0.1, 0.37, 0.8}) {
            const double percent = *free.min_percent + share * (*free.max_percent - *free.min_percent), target = percent / 100 * all;
            INFO("budget " << percent << "% of " << *free.min_percent << " to " << *free.max_percent);
            const BudgetAnswer near = place.solve(method.id, Budget(percent));
            REQUIRE(near.solved);
            CHECK(near.size_knob == method.size_knob);
            const double distance = std::abs(static_cast<double>(near.trainable) - target);
            CHECK(std::abs(static_cast<double>(neighbour(place, near, 1)) - target) >= distance);
            if (near.trainable > smallest) CHECK(std::abs(static_cast<double>(neighbour(place, near, -1)) - target) >= distance);

            const BudgetAnswer below = place.solve(method.id, Budget(percent, Unit::percent, true));
            REQUIRE(below.solved);
            CHECK(static_cast<double>(below.trainable) <= target);
            CHECK(static_cast<double>(neighbour(place, below, 1)) > target);
        }
    }
}

TEST_CASE("a count that a size has exactly gives that size, in all units", "[study]") {
    const ConfigOnly place;
    for (const MethodInfo& method : method_catalog()) {
        if (method.size_knob.empty()) continue;
        INFO(method.id);
        const BudgetAnswer free = place.solve(method.id, std::nullopt);
        const BudgetAnswer middle = place.solve(method.id, Budget((*free.min_percent + *free.max_percent) / 2));
        REQUIRE(middle.solved);
        for (const bool at_most : {false, true}) {
            const BudgetAnswer by_count = place.solve(method.id, Budget(static_cast<double>(middle.trainable), Unit::parameters, at_most));
            REQUIRE(by_count.solved);
            CHECK(by_count.trainable == middle.trainable);
            const BudgetAnswer by_file = place.solve(method.id, Budget(static_cast<double>(middle.file_bytes), Unit::bytes, at_most));
            REQUIRE(by_file.solved);
            CHECK(by_file.trainable == middle.trainable);
            // What a run keeps of it is a percentage, and that gives the same size again.
            for (const BudgetAnswer& answer : {by_count, by_file}) {
                const BudgetAnswer again = place.solve(method.id, Budget(*answer.requested, Unit::percent, at_most));
                REQUIRE(again.solved);
                CHECK(again.trainable == middle.trainable);
                CHECK(budget_percent(*answer.budget, place.base, method.id, Json::object()) == *answer.requested);
            }
        }
    }
}

TEST_CASE("the announced size of the adapter file is that of the file", "[study]") {
    const auto base = golden_model();
    const TemporaryFolder folder;
    for (const MethodInfo& method : method_catalog()) {
        INFO(method.id);
        const Method& found = find_method_by_id(method.id, "");
        const Json settings = method.size_knob.empty() ? Json::object() : Json{{method.size_knob, 3}};
        const Attached attached = attach_method(found, *base->network, settings, 1);
        for (const at::Tensor& value : attached.values)  // AdaLoRA leaves out what is zero
            if (value.requires_grad()) value.detach().add_(0.5);
        save_adapter(folder / method.id, attached, *base, Json::object());
        const BudgetAnswer answer = solve_budget(golden("m2m100").string(), method.id, settings, std::nullopt);
        CHECK(answer.file_bytes == static_cast<std::int64_t>(std::filesystem::file_size(folder / method.id / "adapter_model.safetensors")));
        std::int64_t stored = 0;
        for (const auto& [name, tensor] : read_safetensors(folder / method.id / "adapter_model.safetensors")) stored += tensor.numel();
        CHECK(answer.stored == stored);
        CHECK(answer.train_only >= 0);
        CHECK(answer.trainable == attached.trainable());
    }
}

TEST_CASE("a budget out of reach is refused by the range, in its own unit", "[study]") {
    const ConfigOnly place;
    const BudgetAnswer share = place.solve("lora", Budget(99));
    CHECK_FALSE(share.solved);
    CHECK(share.reason.find("LoRA reaches") == 0);
    CHECK(share.reason.find(" % of this base)") != std::string::npos);
    CHECK(*share.requested == 99);
    const BudgetAnswer count = place.solve("lora", Budget(1e12, Unit::parameters));
    CHECK_FALSE(count.solved);
    CHECK(*count.requested > *count.max_percent);
    const BudgetAnswer file = place.solve("lora", Budget(200, Unit::bytes));
    CHECK_FALSE(file.solved);
    CHECK(file.reason.find("bytes") != std::string::npos);
    CHECK(*file.requested < *file.min_percent);
    CHECK_FALSE(place.solve("lora", Budget(*file.requested)).solved);  // as a run keeps it
    const BudgetAnswer large = place.solve("lora", Budget(1e12, Unit::bytes));
    CHECK_FALSE(place.solve("lora", Budget(*large.requested)).solved);

    // A fixed size meets what is within a tenth of it, and "at most" only what it does not exceed.
    const BudgetAnswer fixed = place.solve("bitfit", std::nullopt);
    const double own = fixed.percent_base;
    CHECK(place.solve("bitfit", Budget(own * 1.05)).solved);
    CHECK(place.solve("bitfit", Budget(own * 0.95)).solved);
    CHECK(place.solve("bitfit", Budget(own * 1.05, Unit::percent, true)).solved);
    CHECK_FALSE(place.solve("bitfit", Budget(own * 0.95, Unit::percent, true)).solved);
    const BudgetAnswer far = place.solve("bitfit", Budget(50));
    CHECK_FALSE(far.solved);
    CHECK(far.reason.find("fixed size") != std::string::npos);
}

TEST_CASE("scopes shrink what can be reached", "[study]") {
    const ConfigOnly place;
    const BudgetAnswer all = place.solve("bottleneck", std::nullopt),
                       encoder = place.solve("bottleneck", std::nullopt, {{"stacks", "encoder"}}),
                       last = place.solve("bottleneck", std::nullopt, {{"layers", "last 1"}});
    CHECK(*encoder.max_percent < *all.max_percent);
    CHECK(*last.max_percent < *all.max_percent);
    const BudgetAnswer solved = place.solve("bottleneck", Budget(*encoder.max_percent / 2), {{"stacks", "encoder"}});
    REQUIRE(solved.solved);
    CHECK(solved.solved->at("stacks") == "encoder");
}

TEST_CASE("a study with counts and file sizes becomes runs with percentages", "[study]") {
    const ConfigOnly place;
    Study study;
    study.name = "s";
    study.bases = {place.base};
    study.pairs = {{"it-en"}};
    study.methods = {{"lora"}};
    study.include_untouched = false;
    const BudgetAnswer two = place.solve("lora", std::nullopt, {{"rank", 2}}), three = place.solve("lora", std::nullopt, {{"rank", 3}});
    study.budgets = {Budget(static_cast<double>(two.trainable), Unit::parameters),
                     Budget(static_cast<double>(three.file_bytes), Unit::bytes),
                     Budget(std::round(two.percent_base * 1400) / 1000, Unit::percent, true)};
    CHECK(parse_study(study_to_yaml(study), "again") == study);
    const auto runs = expand(study);
    REQUIRE(runs.size() == 3);
    CHECK(*runs[0].budget_percent == two.percent_base);
    CHECK(*runs[1].budget_percent == three.percent_base);
    CHECK_FALSE(runs[1].budget_at_most);
    CHECK(runs[2].budget_at_most);
    const std::int64_t ranks[] = {2, 3, 2};
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const RunSpec kept = RunSpec::from_json(runs[i].to_json(), "database");
        CHECK(place.solve("lora", kept.budget()).solved->at("rank") == ranks[i]);
        CHECK(kept.key() == runs[i].key());
    }
    RunSpec nearest = runs[2];
    nearest.budget_at_most = false;
    CHECK(nearest.key() != runs[2].key());
    // With a function of one's own no model is read.
    study.bases = {"nowhere"};
    CHECK(*expand(study, {}, [](const Budget&, const std::string&, const std::string&, const Json&) { return 1.5; })[0].budget_percent ==
          1.5);
}
