// Downloads from a hub that fails in every way that a hub can.
#include <atomic>
#include <set>
#include <thread>

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/hub/hub.h"
#include "tests/support/fake_hub.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::set<std::string> names_in(const fs::path& folder) {
    std::set<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) names.insert(entry.path().filename().string());
    return names;
}

// Nothing of a failed download may look like a file of the model.
void check_nothing_is_taken_for_whole(const HubSettings& settings, const std::string& file) {
    CHECK_FALSE(fs::exists(entry_of(settings) / "snapshots" / FakeHub::kCommit / file));
    CHECK_FALSE(fs::exists(entry_of(settings) / "refs" / "main"));
    CHECK(cached_snapshot(tiny(), settings).empty());
}

const std::string kWeights = FakeHub::tiny_base().at("model.safetensors").content;
const std::string kWeightsBlob = sha256(kWeights);

}  // namespace

TEST_CASE("a model arrives in the layout of Hugging Face's client, and nothing else does", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base());
    const auto settings = hub_settings(hub.url(), folder.path());
    const fs::path snapshot = download_model(tiny(), settings);

    CHECK(snapshot == entry_of(settings) / "snapshots" / FakeHub::kCommit);
    CHECK(read_text(entry_of(settings) / "refs" / "main") == FakeHub::kCommit);  // without an end of line
    const std::set<std::string> files{
        "config.json", "generation_config.json", "model.safetensors", "sentencepiece.bpe.model", "tokenizer_config.json", "vocab.json"};
    CHECK(names_in(snapshot) == files);
    CHECK(names_in(entry_of(settings) / "blobs").size() == files.size());
    for (const auto& file : files) {
        INFO(file);
        const std::string content = FakeHub::tiny_base().at(file).content;
        CHECK(read_text(snapshot / file) == content);
        const std::string tag = file == "model.safetensors" ? sha256(content) : git_blob(content);
        CHECK(fs::read_symlink(snapshot / file) == fs::path("../../blobs/" + tag));
    }
    CHECK(git_blob("hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a");  // as git hash-object says
    CHECK(is_whole(snapshot));
    CHECK(cached_snapshot(tiny(), settings) == snapshot);
    CHECK(fs::exists(settings.cache / "CACHEDIR.TAG"));
    CHECK(fs::exists(entry_of(settings) / ".no_exist" / FakeHub::kCommit / "tokenizer.json"));
    for (const auto& [file, count] : hub.downloads()) {
        INFO(file);
        CHECK(files.contains(file));
        CHECK(count == 1);
    }

    // Once more: only the commit is asked for.
    const auto before = hub.hub().requests().size();
    CHECK(download_model(tiny(), settings) == snapshot);
    CHECK(hub.hub().requests().size() == before + 1);
}

TEST_CASE("the token is for the hub alone", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base());
    download_model(tiny(), hub_settings(hub.url(), folder.path()));
    REQUIRE_FALSE(hub.storage().requests().empty());
    for (const auto& request : hub.hub().requests()) CHECK(request.header("authorization") == "Bearer hf_secret");
    for (const auto& request : hub.storage().requests()) CHECK(request.header("authorization").empty());

    const TemporaryFolder other;
    const FakeHub open(FakeHub::tiny_base());
    auto settings = hub_settings(open.url(), other.path());
    settings.token.clear();
    download_model(tiny(), settings);
    for (const auto& request : open.hub().requests()) CHECK(request.headers.count("authorization") == 0);
}

TEST_CASE("a model that has moved is found, and so is the hub behind a mirror", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base(), [](const ServerRequest& request, bool, const ServerAnswer&) -> std::optional<ServerAnswer> {
        if (!request.path.starts_with("/old/name/")) return {};
        return ServerAnswer{307, {{"Location", "/tiny/model" + request.path.substr(9)}}};
    });
    auto settings = hub_settings(hub.url(), folder.path());
    CHECK(is_whole(download_model({"old/name"}, settings)));
    CHECK(fs::exists(settings.cache / "models--old--name" / "refs" / "main"));
    for (const auto& request : hub.hub().requests()) CHECK(request.header("authorization") == "Bearer hf_secret");  // it is the same host

    const FakeHub behind(FakeHub::tiny_base());
    const HttpServer mirror([&](const ServerRequest& request) { return ServerAnswer{307, {{"Location", behind.url() + request.path}}}; });
    settings.endpoint = mirror.url();
    CHECK(is_whole(download_model(tiny(), settings)));
    for (const auto& request : mirror.requests()) CHECK(request.header("authorization") == "Bearer hf_secret");
    for (const auto& request : behind.hub().requests()) CHECK(request.header("authorization").empty());
}

TEST_CASE("a connection that is cut is taken up again where it broke", "[hub][hub]") {
    const TemporaryFolder folder;
    std::atomic<int> cuts = 0;
    const FakeHub hub(FakeHub::tiny_base(),
                      [&](const ServerRequest& request, bool storage, const ServerAnswer& right) -> std::optional<ServerAnswer> {
                          if (!storage || request.method != "GET" || cuts++ >= 3) return {};
                          ServerAnswer cut = right;
                          cut.cut_after = 1000;
                          return cut;
                      });
    const fs::path snapshot = download_model(tiny(), hub_settings(hub.url(), folder.path()));
    CHECK(read_text(snapshot / "model.safetensors") == kWeights);
    const auto asked = hub.storage().requests("GET", "signature=1");
    REQUIRE(asked.size() == 4);
    for (std::size_t i = 0; i < asked.size(); ++i) CHECK(asked[i].offset() == static_cast<std::int64_t>(1000 * i));
}

TEST_CASE("what was begun is continued by the next start", "[hub][hub]") {
    const TemporaryFolder folder;
    std::atomic<bool> broken = true, ignores_range = false;
    const FakeHub hub(FakeHub::tiny_base(),
                      [&](const ServerRequest& request, bool storage, const ServerAnswer& right) -> std::optional<ServerAnswer> {
                          if (!storage || request.method != "GET") return {};
                          if (ignores_range) return ServerAnswer{200, {}, kWeights};
                          if (!broken) return {};
                          ServerAnswer cut = right;
                          cut.cut_after = 5000;
                          return cut;
                      });
    auto settings = hub_settings(hub.url(), folder.path());
    settings.tries = 1;
    require_error([&] { download_model(tiny(), settings); }, ErrorKind::network, {"tiny/model", "start again"});
    const fs::path part = entry_of(settings) / "blobs" / (kWeightsBlob + ".incomplete");
    REQUIRE(fs::file_size(part) == 5000);
    check_nothing_is_taken_for_whole(settings, "model.safetensors");
    broken = false;

    SECTION("by asking for the rest") {
        const fs::path snapshot = download_model(tiny(), settings);
        CHECK(hub.storage().requests().back().offset() == 5000);
        CHECK(read_text(snapshot / "model.safetensors") == kWeights);
        CHECK(hub.downloads().at("vocab.json") == 1);  // what had arrived stays
    }
    SECTION("and begun anew by a server that sends everything") {
        ignores_range = true;
        CHECK(read_text(download_model(tiny(), settings) / "model.safetensors") == kWeights);
    }
    SECTION("a beginning that is longer than the file is thrown away") {
        write_text(part, std::string(kWeights.size() + 10, 'x'));
        CHECK(read_text(download_model(tiny(), settings) / "model.safetensors") == kWeights);
    }
    SECTION("a beginning of something else is found out, and gone the next time") {
        write_text(part, std::string(5000, 'x'));
        require_error([&] { download_model(tiny(), settings); }, ErrorKind::network, {"model.safetensors", "checksum", kWeightsBlob});
        CHECK_FALSE(fs::exists(part));
        CHECK(read_text(download_model(tiny(), settings) / "model.safetensors") == kWeights);
    }
    CHECK_FALSE(fs::exists(part));
}

TEST_CASE("a file of another length or content is refused and deleted", "[hub][hub]") {
    const TemporaryFolder folder;
    std::string content;
    std::vector<std::string> words;
    std::string file = "model.safetensors";
    SECTION("shorter") {
        content = kWeights.substr(0, 7000);
        words = {"7000 bytes", std::to_string(kWeights.size())};
    }
    SECTION("longer") {
        content = kWeights + "more";
        words = {"longer"};
    }
    SECTION("empty") {
        content = "";
        words = {"empty"};
    }
    SECTION("as long, but another") {
        content = kWeights;
        content[content.size() / 2] ^= 1;
        words = {"checksum", kWeightsBlob, "deleted"};
    }
    SECTION("as long, but another, and small") {
        file = "vocab.json";
        content = FakeHub::tiny_base().at(file).content;
        content[3] ^= 1;
        words = {"checksum", git_blob(FakeHub::tiny_base().at(file).content)};
    }
    const FakeHub hub(FakeHub::tiny_base(),
                      [&](const ServerRequest& request, bool, const ServerAnswer& right) -> std::optional<ServerAnswer> {
                          if (request.method != "GET" || request.path.find(file) == std::string::npos || right.status != 200) return {};
                          return ServerAnswer{200, {}, content};
                      });
    const auto settings = hub_settings(hub.url(), folder.path());
    words.push_back(file);
    require_error([&] { download_model(tiny(), settings); }, ErrorKind::network, words);
    check_nothing_is_taken_for_whole(settings, file);
    for (const auto& blob : names_in(entry_of(settings) / "blobs")) {
        INFO(blob);
        CHECK(blob.find("incomplete") == std::string::npos);
        CHECK(blob != (file == "vocab.json" ? git_blob(FakeHub::tiny_base().at(file).content) : kWeightsBlob));
    }
}

TEST_CASE("what the hub refuses is told with what was asked for", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base());
    auto settings = hub_settings(hub.url(), folder.path());
    require_error([&] { download_model({"tiny/modle"}, settings); }, ErrorKind::network,
                  {"tiny/modle", "no such model", hub.url(), "HF_TOKEN"});
    require_error([&] { download_model(tiny("v9"), settings); }, ErrorKind::network, {"tiny/model@v9", "no revision 'v9'"});

    const FakeHub bare(std::map<std::string, HubFile>{{"README.md", {"no model"}}});
    require_error([&] { download_model(tiny(), hub_settings(bare.url(), folder.path())); }, ErrorKind::network, {"no config.json"});
    const FakeHub flax(std::map<std::string, HubFile>{{"config.json", {"{}"}}, {"flax_model.msgpack", {"x", true}}});
    require_error([&] { download_model(tiny(), hub_settings(flax.url(), folder.path())); }, ErrorKind::network,
                  {"no weights", "safetensors"});

    const auto refusing = [&](int status, const std::string& code, const std::string& token, const std::vector<std::string>& words) {
        const HttpServer server([&](const ServerRequest&) {
            return ServerAnswer{status, {{"X-Error-Code", code}, {"X-Error-Message", "as it says"}}};
        });
        auto own = hub_settings(server.url(), folder.path());
        own.token = token;
        require_error([&] { download_model(tiny(), own); }, ErrorKind::network, words);
        CHECK(server.requests().size() == 1);  // asking again would not help
    };
    refusing(401, "GatedRepo", "", {"gated", "set HF_TOKEN", "as it says"});
    refusing(403, "GatedRepo", "hf_x", {"gated", "accept its terms"});
    refusing(401, "RepoNotFound", "", {"no such model", "private"});
    refusing(401, "", "hf_x", {"401", "token"});
    refusing(403, "", "", {"403", "set HF_TOKEN"});
    refusing(404, "", "", {"no such model"});
    const HttpServer no_hub([](const ServerRequest&) { return ServerAnswer{200, {{"ETag", "\"x\""}}, "<html>"}; });
    require_error([&] { download_model(tiny(), hub_settings(no_hub.url(), folder.path())); }, ErrorKind::network,
                  {"X-Repo-Commit", "HF_ENDPOINT"});
    const HttpServer escaping([](const ServerRequest&) {
        return ServerAnswer{200, {{"ETag", "\"../../x\""}, {"X-Repo-Commit", FakeHub::kCommit}}, "{}"};
    });
    require_error([&] { download_model(tiny(), hub_settings(escaping.url(), folder.path())); }, ErrorKind::network, {"ETag"});
    CHECK_FALSE(fs::exists(entry_of(settings) / "refs"));
}

TEST_CASE("a busy hub is asked again, for a while", "[hub][hub]") {
    const TemporaryFolder folder;
    std::atomic<int> busy = 0;
    const FakeHub hub(FakeHub::tiny_base(), [&](const ServerRequest&, bool storage, const ServerAnswer&) -> std::optional<ServerAnswer> {
        if (storage) return {};
        const int count = busy++;
        if (count % 3 == 0) return ServerAnswer{503, {{"Retry-After", "0"}}, "busy"};
        if (count % 3 == 1) return ServerAnswer{429};
        return {};
    });
    CHECK(is_whole(download_model(tiny(), hub_settings(hub.url(), folder.path()))));

    const TemporaryFolder other;
    const HttpServer down([](const ServerRequest&) { return ServerAnswer{503}; });
    auto settings = hub_settings(down.url(), other.path());
    settings.tries = 3;
    require_error([&] { download_model(tiny(), settings); }, ErrorKind::network, {"503", down.url()});
    CHECK(down.requests().size() == 3);
}

TEST_CASE("a slow server is waited for, a silent one is not", "[hub][hub]") {
    const TemporaryFolder folder;
    std::atomic<int> asked = 0;
    const FakeHub hub(FakeHub::tiny_base(),
                      [&](const ServerRequest& request, bool storage, const ServerAnswer& right) -> std::optional<ServerAnswer> {
                          if (!storage || request.method != "GET") return {};
                          ServerAnswer slow = right;
                          slow.piece = 20'000;  // many small silences, each shorter than the limit
                          if (asked++ == 0) {
                              slow.cut_after = 50'000;
                              slow.hang = true;
                          }
                          return slow;
                      });
    auto settings = hub_settings(hub.url(), folder.path());
    settings.silence = 1s;
    CHECK(read_text(download_model(tiny(), settings) / "model.safetensors") == kWeights);
    REQUIRE(asked == 2);
    CHECK(hub.storage().requests().back().offset() == 50'000);
}

TEST_CASE("a download stops at once when asked to, and keeps what it has", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base(),
                      [&](const ServerRequest& request, bool storage, const ServerAnswer& right) -> std::optional<ServerAnswer> {
                          if (!storage || request.method != "GET" || request.offset() > 0) return {};
                          ServerAnswer hanging = right;
                          hanging.cut_after = 100'000;
                          hanging.hang = true;
                          return hanging;
                      });
    auto settings = hub_settings(hub.url(), folder.path());
    settings.silence = 100s;
    std::stop_source stop;
    const auto started = std::chrono::steady_clock::now();
    {
        const std::jthread stopper([&] {  // in the midst of the silence
            const fs::path part = entry_of(settings) / "blobs" / (kWeightsBlob + ".incomplete");
            std::error_code ignored;
            while (fs::file_size(part, ignored) != 100'000 && std::chrono::steady_clock::now() - started < 60s)
                std::this_thread::sleep_for(1ms);
            stop.request_stop();
        });
        CHECK(download_model(tiny(), settings, {}, stop.get_token()).empty());
    }
    CHECK(std::chrono::steady_clock::now() - started < 60s);
    CHECK(fs::file_size(entry_of(settings) / "blobs" / (kWeightsBlob + ".incomplete")) == 100'000);
    check_nothing_is_taken_for_whole(settings, "model.safetensors");

    std::int64_t last = 0, whole = 0;
    const fs::path snapshot = download_model(tiny(), settings, [&](const Event& event) {
        const auto* now = std::get_if<Progress>(&event);
        if (!now) return;
        CHECK(now->doing.find("tiny/model") != std::string::npos);
        CHECK(now->done >= last);
        last = now->done;
        whole = now->total;
    });
    CHECK(is_whole(snapshot));
    CHECK(last == whole);
    CHECK(whole > 0);
}

TEST_CASE("two who download the same model at the same time do it once", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base(),
                      [](const ServerRequest& request, bool storage, const ServerAnswer& right) -> std::optional<ServerAnswer> {
                          if (!storage || request.method != "GET") return {};
                          ServerAnswer slow = right;
                          slow.piece = 30'000;
                          return slow;
                      });
    const auto settings = hub_settings(hub.url(), folder.path());
    fs::path first, second;
    {
        const std::jthread one([&] { first = download_model(tiny(), settings); });
        const std::jthread two([&] { second = download_model(tiny(), settings); });
    }
    CHECK(first == second);
    CHECK(is_whole(first));
    CHECK(hub.storage().requests("GET", "signature=1").size() == 1);
    for (const auto& [file, count] : hub.downloads()) CHECK(count == 1);
}

TEST_CASE("a hub that is not there is told at once", "[hub][hub]") {
    const TemporaryFolder folder;
    std::string gone;
    {
        const HttpServer server([](const ServerRequest&) { return ServerAnswer{}; });
        gone = server.url();
    }
    auto settings = hub_settings(gone, folder.path());
    settings.first_wait = 100s;  // it does not try again
    require_error([&] { download_model(tiny(), settings); }, ErrorKind::network, {"tiny/model", gone, "cannot be reached"});
    settings.endpoint = "ftp://127.0.0.1";
    require_error([&] { download_model(tiny(), settings); }, ErrorKind::network, {"ftp://", "HF_ENDPOINT"});
    settings.offline = true;
    require_error([&] { download_model(tiny(), settings); }, ErrorKind::network, {"HF_HUB_OFFLINE", settings.cache.string()});
}

TEST_CASE("weights in shards come by their index, a pickle only when there is nothing else", "[hub][hub]") {
    const TemporaryFolder folder;
    auto files = FakeHub::tiny_base();
    files.erase("model.safetensors");
    const auto index = [](const std::vector<std::string>& shards) {
        Json map = Json::object();
        for (std::size_t i = 0; i < shards.size(); ++i) map["tensor." + std::to_string(i)] = shards[i];
        return Json{{"metadata", {{"total_size", 6}}}, {"weight_map", map}}.dump();
    };
    files["pytorch_model.bin"] = {"pickle", true};
    SECTION("shards of safetensors") {
        files["model.safetensors.index.json"] = {
            index({"model-1-of-2.safetensors", "model-2-of-2.safetensors", "model-1-of-2.safetensors"})};
        files["model-1-of-2.safetensors"] = {"one", true};
        files["model-2-of-2.safetensors"] = {"two", true};
        const FakeHub hub(files);
        const auto settings = hub_settings(hub.url(), folder.path());
        const fs::path snapshot = download_model(tiny(), settings);
        CHECK(read_text(snapshot / "model-1-of-2.safetensors") == "one");
        CHECK(read_text(snapshot / "model-2-of-2.safetensors") == "two");
        CHECK_FALSE(fs::exists(snapshot / "pytorch_model.bin"));
        CHECK(is_whole(snapshot));
        fs::remove(snapshot / "model-2-of-2.safetensors");
        CHECK_FALSE(is_whole(snapshot));
        CHECK(read_text(download_model(tiny(), settings) / "model-2-of-2.safetensors") == "two");
    }
    SECTION("a pickle") {
        const FakeHub hub(files);
        const fs::path snapshot = download_model(tiny(), hub_settings(hub.url(), folder.path()));
        CHECK(read_text(snapshot / "pytorch_model.bin") == "pickle");
        CHECK(is_whole(snapshot));
    }
    SECTION("an index that leads out of the folder") {
        for (const char* shard : {"../model.safetensors", "/etc/passwd", "a/b.safetensors", ".hidden.safetensors", "config.json"}) {
            files["model.safetensors.index.json"] = {index({shard})};
            const TemporaryFolder own;
            const FakeHub hub(files);
            require_error([&] { download_model(tiny(), hub_settings(hub.url(), own.path())); }, ErrorKind::file,
                          {"model.safetensors.index.json", shard});
        }
    }
    SECTION("an index that is none, or names what is not there") {
        for (const char* text : {"[1, 2]", "{\"weight_map\": {}}", "{\"weight_map\": {\"a\": \"b.safetensors\"}}", "{\"weight"}) {
            files["model.safetensors.index.json"] = {text};
            const TemporaryFolder own;
            const FakeHub hub(files);
            require_error([&] { download_model(tiny(), hub_settings(hub.url(), own.path())); }, ErrorKind::file,
                          {"model.safetensors.index.json"});
        }
    }
}

TEST_CASE("no room on the disk is told before the file is asked for", "[hub][hub]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base(),
                      [](const ServerRequest& request, bool storage, const ServerAnswer& right) -> std::optional<ServerAnswer> {
                          if (storage || request.path.find("model.safetensors") == std::string::npos || right.status != 302) return {};
                          ServerAnswer huge = right;
                          for (auto& [name, value] : huge.headers)
                              if (name == "X-Linked-Size") value = "1000000000000000000";
                          return huge;
                      });
    const auto settings = hub_settings(hub.url(), folder.path());
    require_error([&] { download_model(tiny(), settings); }, ErrorKind::file, {"room", "model.safetensors", "HF_HOME"});
    CHECK(hub.storage().requests().empty());
    check_nothing_is_taken_for_whole(settings, "model.safetensors");
}

}  // namespace permille::test
