// The list of bases: each once, wherever it is known from, and only those that can be one.
#include <algorithm>

#include "core/base/files.h"
#include "core/bases/find.h"
#include "core/bases/known_bases.h"
#include "tests/support/fake_hub.h"
#include "tests/support/test.h"

namespace permille::test {

TEST_CASE("bases are listed from the program, the cache and folders, each once", "[bases][hub]") {
    namespace fs = std::filesystem;
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base());
    const auto settings = hub_settings(hub.url(), folder.path());
    const fs::path snapshot = download_model({FakeHub::kName}, settings);
    for (const auto& [model, config] :
         {std::pair("half", read_text(snapshot / "config.json")), std::pair("bert", std::string("{\"model_type\": \"bert\"}"))}) {
        const fs::path entry = settings.cache / (std::string("models--some--") + model);
        write_text(entry / "refs" / "main", FakeHub::kCommit);
        write_text(entry / "snapshots" / FakeHub::kCommit / "config.json", config);
    }
    const fs::path mine = folder / "mine";
    fs::copy(PERMILLE_TESTS_DIR "/support/tiny-base", mine);
    const BaseRow row = describe_folder(mine);
    CHECK(row.name == mine.string());
    CHECK(row.languages == std::vector<std::string>{"en", "it", "tr"});
    require_error([&] { describe_folder(folder.path()); }, ErrorKind::file, {"config.json", folder.path().string()});

    // The database also knows a bundled base and the cached one, under the paths of another day, and a folder that was deleted.
    std::vector<BaseRow> stored{row, {FakeHub::kName, "/once/here", "m2m_100"}, {"gone", "/once/there", "m2m_100", {}, 1000, {"de"}}};
    const auto bundled = bundled_bases();
    if (!bundled.empty()) stored.push_back({bundled.front().name, "/once/bundled", "m2m_100"});
    const auto bases = known_bases(stored, settings);
    REQUIRE(bases.size() == bundled.size() + 4);
    const auto find = [&](const std::string& name) {
        return *std::find_if(bases.begin(), bases.end(), [&](const KnownBase& b) { return b.name == name; });
    };
    CHECK(find(FakeHub::kName).place == BasePlace::cache);
    CHECK(find(FakeHub::kName).parameters == 71808);
    CHECK(find(FakeHub::kName).languages == 3);
    CHECK(find(FakeHub::kName).problem.empty());
    CHECK(find("some/half").problem.find("part") != std::string::npos);
    CHECK(find(mine.string()).place == BasePlace::folder);
    CHECK(find(mine.string()).problem.empty());
    CHECK(find(mine.string()).bytes > static_cast<std::int64_t>(fs::file_size(mine / "model.safetensors")));
    CHECK(find("gone").problem.find("gone") != std::string::npos);
    for (const auto& base : bundled) CHECK(find(base.name).place == BasePlace::bundled);
    CHECK(std::is_sorted(bases.begin(), bases.end(), [](const KnownBase& a, const KnownBase& b) { return a.place < b.place; }));
}

}  // namespace permille::test
