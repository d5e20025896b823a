#include "tests/support/fake_hub.h"

#include <openssl/sha.h>

#include "core/base/files.h"

namespace permille::test {

HubSettings hub_settings(const std::string& endpoint, const std::filesystem::path& folder) {
    HubSettings settings;
    settings.endpoint = endpoint;
    settings.cache = folder / "hub";
    settings.token = "hf_secret";
    settings.first_wait = std::chrono::milliseconds(1);
    settings.silence = std::chrono::seconds(5);
    return settings;
}

std::string git_blob(const std::string& content) {
    const std::string whole = "blob " + std::to_string(content.size()) + std::string(1, '\0') + content;
    unsigned char raw[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(whole.data()), whole.size(), raw);
    std::string text;
    for (const unsigned char byte : raw) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

FakeHub::FakeHub(std::map<std::string, HubFile> files, Meddle meddle)
    : files_(std::move(files)),
      meddle_(std::move(meddle)),
      storage_([this](const ServerRequest& request) {
          const ServerAnswer right = store(request);
          const auto other = meddle_ ? meddle_(request, true, right) : std::nullopt;
          return other ? *other : right;
      }),
      hub_([this](const ServerRequest& request) {
          const ServerAnswer right = answer(request);
          const auto other = meddle_ ? meddle_(request, false, right) : std::nullopt;
          return other ? *other : right;
      }) {}

std::map<std::string, HubFile> FakeHub::tiny_base() {
    std::map<std::string, HubFile> files{{"README.md", {"# A model"}}, {"rust_model.ot", {"no one reads this", true}}};
    for (const auto& entry : std::filesystem::directory_iterator(PERMILLE_TESTS_DIR "/support/tiny-base"))
        if (entry.path().extension() != ".yaml")
            files[entry.path().filename().string()] = {read_text(entry.path()), entry.path().extension() == ".safetensors"};
    return files;
}

std::map<std::string, int> FakeHub::downloads() const {
    std::map<std::string, int> counts;
    for (const auto& request : hub_.requests())
        if (request.method == "GET") ++counts[request.path.substr(request.path.rfind('/') + 1)];
    return counts;
}

ServerAnswer FakeHub::answer(const ServerRequest& request) const {
    const std::string start = "/tiny/model/resolve/";
    if (!request.path.starts_with(start)) return {404, {{"X-Error-Code", "RepoNotFound"}, {"X-Error-Message", "Repository not found"}}};
    const auto slash = request.path.find('/', start.size());
    const std::string revision = request.path.substr(start.size(), slash - start.size()), name = request.path.substr(slash + 1);
    std::string commit;
    if (revision == "main" || revision == kCommit) commit = kCommit;
    if (revision == "v1" || revision == "refs%2Fpr%2F1" || revision == kOther) commit = kOther;
    if (commit.empty()) return {404, {{"X-Error-Code", "RevisionNotFound"}}};
    const auto file = files_.find(name);
    if (file == files_.end()) return {404, {{"X-Error-Code", "EntryNotFound"}, {"X-Repo-Commit", commit}}};
    const std::string& content = file->second.content;
    if (file->second.large)
        return {302,
                {{"X-Repo-Commit", commit},
                 {"X-Linked-Etag", "\"" + sha256(content) + "\""},
                 {"X-Linked-Size", std::to_string(content.size())},
                 {"ETag", "\"of-the-redirect\""},
                 {"Location", storage_.local_url() + "/" + name + "?signature=1"}},
                "Found"};
    ServerAnswer answer = {200, {{"X-Repo-Commit", commit}, {"ETag", "\"" + git_blob(content) + "\""}}, content};
    if (const auto offset = request.offset(); offset > 0) {
        answer.status = 206;
        answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(offset) + "-" + std::to_string(content.size() - 1) + "/" +
                                                         std::to_string(content.size()));
        answer.body = content.substr(static_cast<std::size_t>(offset));
    }
    return answer;
}

ServerAnswer FakeHub::store(const ServerRequest& request) const {
    const std::string name = request.path.substr(1, request.path.find('?') - 1);
    const auto file = files_.find(name);
    if (file == files_.end()) return {404};
    const std::string& content = file->second.content;
    const auto offset = static_cast<std::size_t>(request.offset());
    if (offset >= content.size() && offset > 0) return {416};
    if (offset == 0) return {200, {}, content};
    return {206,
            {{"Content-Range",
              "bytes " + std::to_string(offset) + "-" + std::to_string(content.size() - 1) + "/" + std::to_string(content.size())}},
            content.substr(offset)};
}

}  // namespace permille::test
