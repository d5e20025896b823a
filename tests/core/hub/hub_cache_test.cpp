// The cache of Hugging Face's client: revisions, links, names, and what the environment says.
#include <cstdlib>
#include <optional>

#include "core/base/files.h"
#include "core/hub/hub.h"
#include "tests/support/fake_hub.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

const std::string kWeights = FakeHub::tiny_base().at("model.safetensors").content;

// Sets a variable of the environment for as long as it lives.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) {
        if (const char* before = std::getenv(name)) before_ = before;
        if (value) setenv(name, value, 1);
        else unsetenv(name);
    }
    ~Variable() {
        if (before_) setenv(name_, before_->c_str(), 1);
        else unsetenv(name_);
    }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
    std::optional<std::string> before_;
};

}  // namespace

TEST_CASE("revisions are kept apart", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base());
    const auto settings = hub_settings(hub.url(), folder.path());
    const fs::path main = download_model(tiny(), settings);
    const auto fetched = hub.downloads();
    const fs::path tag = download_model(tiny("v1"), settings);
    CHECK(tag.filename() == FakeHub::kOther);
    CHECK(hub.downloads() == fetched);  // the blobs are there already
    CHECK(read_text(entry_of(settings) / "refs" / "v1") == FakeHub::kOther);
    CHECK(read_text(entry_of(settings) / "refs" / "main") == FakeHub::kCommit);
    CHECK(download_model(tiny("refs/pr/1"), settings) == tag);
    CHECK(cached_snapshot(tiny("refs/pr/1"), settings) == tag);
    CHECK(cached_snapshot(tiny(FakeHub::kOther), settings) == tag);
    CHECK(download_model(tiny(FakeHub::kOther), settings) == tag);
    CHECK_FALSE(fs::exists(entry_of(settings) / "refs" / FakeHub::kOther));  // a commit needs no reference
    CHECK(cached_snapshot(tiny("v2"), settings).empty());

    const auto models = cached_models(settings);
    REQUIRE(models.size() == 1);
    CHECK(models[0].name == "tiny/model");
    CHECK(models[0].folder == main);
    CHECK(models[0].bytes > static_cast<std::int64_t>(kWeights.size()));
    fs::remove(entry_of(settings) / "refs" / "main");
    CHECK(cached_models(settings).at(0).name != "tiny/model");
    CHECK(cached_models(settings).at(0).name.starts_with("tiny/model@"));
    remove_cached_model(tiny(), settings);
    CHECK_FALSE(fs::exists(entry_of(settings)));
    CHECK_FALSE(fs::exists(settings.cache / ".locks" / "models--tiny--model"));
    CHECK(cached_models(settings).empty());
}

TEST_CASE("without links the files themselves lie in the snapshot", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base());
    auto settings = hub_settings(hub.url(), folder.path());
    settings.symlinks = false;
    const fs::path snapshot = download_model(tiny(), settings);
    CHECK_FALSE(fs::is_symlink(snapshot / "model.safetensors"));
    CHECK(read_text(snapshot / "model.safetensors") == kWeights);
    CHECK(cached_models(settings).at(0).bytes > static_cast<std::int64_t>(kWeights.size()));
}

TEST_CASE("a link that points nowhere is not a file", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base());
    const auto settings = hub_settings(hub.url(), folder.path());
    const fs::path snapshot = download_model(tiny(), settings);
    fs::remove(entry_of(settings) / "blobs" / sha256(kWeights));
    CHECK_FALSE(is_whole(snapshot));
    CHECK(is_whole(download_model(tiny(), settings)));
}

TEST_CASE("names of models on a hub", "[hub][hub]") {
    CHECK(hub_name("facebook/m2m100_418M")->repository == "facebook/m2m100_418M");
    CHECK(hub_name("facebook/m2m100_418M")->revision == "main");
    CHECK(hub_name("google/mt5-small@refs/pr/7")->revision == "refs/pr/7");
    CHECK(hub_name("t5-small@v1")->text() == "t5-small@v1");
    for (const char* name : {"", "/a", "a/", "a/b/c", "../a", "a/..", "a--b/c", "a/b@", "a/b@../x", "a/b@/x", "a/b@x//y", "~/a", "./a",
                             "a b/c", "a/b.git", "a/b."}) {
        INFO(name);
        CHECK_FALSE(hub_name(name));
    }
}

TEST_CASE("the environment is read as Hugging Face's client reads it", "[hub][hub]") {
    const TemporaryFolder folder;
    const Variable home("HOME", folder.path().c_str());
    const Variable clear[] = {{"HF_HOME", nullptr},
                              {"HF_HUB_CACHE", nullptr},
                              {"HUGGINGFACE_HUB_CACHE", nullptr},
                              {"XDG_CACHE_HOME", nullptr},
                              {"HF_ENDPOINT", nullptr},
                              {"HF_TOKEN", nullptr},
                              {"HUGGING_FACE_HUB_TOKEN", nullptr},
                              {"HF_TOKEN_PATH", nullptr},
                              {"HF_HUB_OFFLINE", nullptr},
                              {"TRANSFORMERS_OFFLINE", nullptr},
                              {"HF_HUB_DISABLE_IMPLICIT_TOKEN", nullptr},
                              {"HF_HUB_DISABLE_SYMLINKS", nullptr},
                              {"HF_HUB_DOWNLOAD_TIMEOUT", nullptr}};
    const auto now = [] { return HubSettings::from_environment(); };
    CHECK(now().endpoint == "https://huggingface.co");
    CHECK(now().cache == folder / ".cache/huggingface/hub");
    CHECK(now().token.empty());
    CHECK_FALSE(now().offline);
    {
        const Variable xdg("XDG_CACHE_HOME", "/x");
        CHECK(now().cache == "/x/huggingface/hub");
        const Variable hf_home("HF_HOME", "~/hf");
        CHECK(now().cache == folder / "hf/hub");
        make_folder(folder / "hf");
        write_text(folder / "hf/token", "  hf_from_file\n");
        CHECK(now().token == "hf_from_file");
        const Variable legacy("HUGGINGFACE_HUB_CACHE", "$HOME/old");
        CHECK(now().cache == folder / "old");
        const Variable cache("HF_HUB_CACHE", "${HOME}/new/$NOT_SET_AT_ALL");
        CHECK(now().cache == folder / "new/$NOT_SET_AT_ALL");
        const Variable token("HF_TOKEN", "hf_from_variable");
        CHECK(now().token == "hf_from_variable");
        const Variable none("HF_HUB_DISABLE_IMPLICIT_TOKEN", "yes");
        CHECK(now().token.empty());
    }
    const Variable endpoint("HF_ENDPOINT", "http://mirror.example/hub//");
    CHECK(now().endpoint == "http://mirror.example/hub");
    const Variable offline("HF_HUB_OFFLINE", "True");
    CHECK(now().offline);
    const Variable not_offline("HF_HUB_OFFLINE", "0");
    const Variable transformers("TRANSFORMERS_OFFLINE", "1");
    CHECK_FALSE(now().offline);
    const Variable timeout("HF_HUB_DOWNLOAD_TIMEOUT", "3");
    CHECK(now().silence == 3s);
}

}  // namespace permille::test
