// A model hub of two servers, the hub and the storage behind it, that serve what a test gives them and fail when a test wants it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/hub/hub.h"
#include "tests/support/http_server.h"

namespace permille::test {

struct HubFile {
    std::string content;
    bool large = false;  // kept in the storage: the hub sends there
};

class FakeHub {
public:
    // Called before the hub (storage false) or the storage answers; what it returns is sent instead. Set before the first request.
    using Meddle = std::function<std::optional<ServerAnswer>(const ServerRequest&, bool storage, const ServerAnswer& right)>;

    explicit FakeHub(std::map<std::string, HubFile> files, Meddle meddle = {});
    // The files of tests/support/tiny-base and some that no model needs.
    static std::map<std::string, HubFile> tiny_base();

    std::string url() const { return hub_.url(); }
    const HttpServer& hub() const { return hub_; }
    const HttpServer& storage() const { return storage_; }
    // What the hub and the storage were asked for by GET, and how often.
    std::map<std::string, int> downloads() const;

    static constexpr const char* kName = "tiny/model";
    static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";  // of the branch main
    static constexpr const char* kOther = "89abcdef0123456789abcdef0123456789abcdef";   // of the tag v1

private:
    ServerAnswer answer(const ServerRequest& request) const;
    ServerAnswer store(const ServerRequest& request) const;

    std::map<std::string, HubFile> files_;
    Meddle meddle_;
    HttpServer storage_;
    HttpServer hub_;
};

// For a hub of the tests: its own cache below `folder`, a token, and no waiting between tries.
HubSettings hub_settings(const std::string& endpoint, const std::filesystem::path& folder);

// What git calls a file of this content.
std::string git_blob(const std::string& content);

// The hub's one model, and where it lies in a cache.
inline HubName tiny(const std::string& revision = "main") { return {FakeHub::kName, revision}; }
inline std::filesystem::path entry_of(const HubSettings& settings) { return settings.cache / "models--tiny--model"; }

}  // namespace permille::test
