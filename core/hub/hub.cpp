#include "core/hub/hub.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <regex>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

// 1, on, yes, true, in any case
bool is_on(std::string value) {
    std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return value == "1" || value == "on" || value == "yes" || value == "true";
}

fs::path home_folder() {
    const std::string home = environment("HOME");
    return home.empty() ? "." : home;
}

// "~/x", "$NAME/x" and "${NAME}/x" as a shell would read them; a name that is not set stays as it is.
fs::path expanded(const std::string& path) {
    std::string text = path == "~" || path.starts_with("~/") ? home_folder().string() + path.substr(1) : path;
    static const std::regex kVariable(R"(\$(\w+|\{[^}]*\}))");
    std::string result;
    std::smatch match;
    while (std::regex_search(text, match, kVariable)) {
        std::string name = match[1];
        if (name.front() == '{') name = name.substr(1, name.size() - 2);
        const char* value = std::getenv(name.c_str());
        result += match.prefix().str() + (value ? std::string(value) : match[0].str());
        text = match.suffix();
    }
    return result + text;
}

std::string clean_token(const std::string& text) {
    std::string token;
    for (const char c : text)
        if (c != '\r' && c != '\n') token += c;
    const auto first = token.find_first_not_of(" \t"), last = token.find_last_not_of(" \t");
    return first == std::string::npos ? std::string() : token.substr(first, last - first + 1);
}

std::string read_token(const fs::path& home) {
    for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
        if (const std::string token = clean_token(environment(name)); !token.empty()) return token;
    const std::string named = environment("HF_TOKEN_PATH");
    const fs::path file = named.empty() ? home / "token" : expanded(named);
    std::error_code ignored;
    return fs::is_regular_file(file, ignored) ? clean_token(read_text(file)) : std::string();
}

bool is_commit(const std::string& text) {
    return text.size() == 40 &&
           std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// May be a part of a path: no way out of the folder.
bool is_harmless(const std::string& part) { return !part.empty() && part != "." && part != ".." && part.find('/') == std::string::npos; }

bool holds(const fs::path& folder, const std::string& file) {
    std::error_code ignored;
    return fs::is_regular_file(folder / file, ignored);
}

bool holds_shards(const fs::path& folder, const std::string& index) {
    if (!holds(folder, index)) return false;
    try {
        const Json map = read_json(folder / index).at("weight_map");
        return !map.empty() && std::all_of(map.begin(), map.end(), [&](const Json& file) {
            return file.is_string() && is_harmless(file.get<std::string>()) && holds(folder, file.get<std::string>());
        });
    } catch (const std::exception&) {
        return false;  // whoever reads it will say what is wrong with it
    }
}

// The commit that a reference of the entry points to, or "".
std::string commit_of(const fs::path& reference) {
    std::error_code ignored;
    if (!fs::is_regular_file(reference, ignored)) return {};
    std::string commit = read_text(reference);
    while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back()))) commit.pop_back();
    return is_harmless(commit) ? commit : std::string();
}

// Of the files themselves: a snapshot's links lead to blobs that are counted there. A blob may be a link, to what several models share.
std::int64_t bytes_below(const fs::path& folder, bool with_links) {
    std::int64_t bytes = 0;
    std::error_code ignored;
    for (const fs::path& file : entries_below(folder, ignored)) {
        std::error_code code;
        if (!with_links && fs::is_symlink(file, code)) continue;
        const auto size = fs::file_size(file, code);
        if (!code) bytes += static_cast<std::int64_t>(size);
    }
    return bytes;
}

}  // namespace

HubSettings HubSettings::from_environment() {
    HubSettings settings;
    if (std::string endpoint = environment("HF_ENDPOINT"); !endpoint.empty()) {
        while (endpoint.ends_with('/')) endpoint.pop_back();
        settings.endpoint = endpoint;
    }
    fs::path home;
    if (const std::string named = environment("HF_HOME"); !named.empty()) home = expanded(named);
    else if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) home = expanded(cache) / "huggingface";
    else home = home_folder() / ".cache" / "huggingface";
    settings.cache = home / "hub";
    for (const char* name : {"HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"})
        if (const std::string named = environment(name); !named.empty()) settings.cache = expanded(named);
    const std::string offline = environment("HF_HUB_OFFLINE");
    settings.offline = is_on(offline.empty() ? environment("TRANSFORMERS_OFFLINE") : offline);
    settings.symlinks = !is_on(environment("HF_HUB_DISABLE_SYMLINKS"));
    if (!is_on(environment("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) settings.token = read_token(home);
    if (const int seconds = std::atoi(environment("HF_HUB_DOWNLOAD_TIMEOUT").c_str()); seconds > 0)
        settings.silence = std::chrono::seconds(std::min(seconds, 86'400));
    return settings;
}

std::optional<HubName> hub_name(const std::string& text) {
    static const std::regex kRepository(R"(([A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,95})");
    static const std::regex kRevision(R"([A-Za-z0-9_][A-Za-z0-9_.+/-]{0,199})");
    HubName name;
    const auto at = text.find('@');
    name.repository = text.substr(0, at);
    if (at != std::string::npos) name.revision = text.substr(at + 1);
    const std::string& repository = name.repository;
    if (!std::regex_match(repository, kRepository) || repository.find("--") != std::string::npos ||
        repository.find("..") != std::string::npos || repository.ends_with('.') || repository.ends_with('-') ||
        repository.ends_with(".git"))
        return {};
    if (!std::regex_match(name.revision, kRevision) || name.revision.find("..") != std::string::npos || name.revision.ends_with('/') ||
        name.revision.find("//") != std::string::npos)
        return {};
    return name;
}

std::string repository_folder(const std::string& repository) {
    const auto slash = repository.find('/');
    return "models--" + (slash == std::string::npos ? repository : repository.substr(0, slash) + "--" + repository.substr(slash + 1));
}

fs::path cached_snapshot(const HubName& name, const HubSettings& settings) {
    const fs::path entry = settings.cache / repository_folder(name.repository);
    std::string commit = commit_of(entry / "refs" / name.revision);
    if (commit.empty() && is_commit(name.revision)) commit = name.revision;
    if (commit.empty()) return {};
    const fs::path snapshot = entry / "snapshots" / commit;
    std::error_code ignored;
    return fs::is_directory(snapshot, ignored) ? snapshot : fs::path();
}

bool is_whole(const fs::path& folder) {
    if (!holds(folder, "config.json")) return false;
    if (!holds(folder, "model.safetensors") && !holds_shards(folder, "model.safetensors.index.json") &&
        !holds(folder, "pytorch_model.bin") && !holds_shards(folder, "pytorch_model.bin.index.json"))
        return false;
    for (const char* file : {"tokenizer.json", "sentencepiece.bpe.model", "spiece.model", "target.spm"})
        if (holds(folder, file)) return true;
    // A model of bytes has no vocabulary to keep.
    return holds(folder, "tokenizer_config.json") && read_text(folder / "tokenizer_config.json").find("ByT5Tokenizer") != std::string::npos;
}

std::vector<CachedModel> cached_models(const HubSettings& settings) {
    std::vector<CachedModel> models;
    std::error_code ignored;
    for (const fs::path& entry : entries_in(settings.cache, ignored)) {
        std::string repository = entry.filename().string();
        if (!repository.starts_with("models--")) continue;
        repository = repository.substr(8);
        if (const auto parted = repository.find("--"); parted != std::string::npos) repository.replace(parted, 2, "/");
        // The main branch; without it another reference, or else a commit that was asked for by itself.
        std::vector<std::string> revisions;
        const fs::path references = entry / "refs", snapshots = entry / "snapshots";
        for (const fs::path& reference : entries_below(references, ignored))
            if (fs::is_regular_file(reference, ignored)) revisions.push_back(reference.lexically_relative(references).generic_string());
        for (const fs::path& snapshot : entries_in(snapshots, ignored)) revisions.push_back(snapshot.filename().string());
        std::stable_sort(revisions.begin(), revisions.end(), [](const auto& a, const auto& b) { return (a == "main") > (b == "main"); });
        for (const auto& revision : revisions) {
            const auto name = hub_name(repository + "@" + revision);
            if (!name) continue;
            const fs::path snapshot = cached_snapshot(*name, settings);
            if (snapshot.empty() || !holds(snapshot, "config.json")) continue;
            const std::int64_t bytes = bytes_below(entry / "blobs", true) + bytes_below(snapshots, false);
            models.push_back({name->text(), snapshot, entry, bytes});
            break;
        }
    }
    std::sort(models.begin(), models.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return models;
}

void remove_cached_model(const HubName& name, const HubSettings& settings) {
    const std::string folder = repository_folder(name.repository);
    std::error_code code;
    for (const fs::path& path : {settings.cache / folder, settings.cache / ".locks" / folder}) {
        fs::remove_all(path, code);
        if (code)
            throw Error(ErrorKind::file, path.string(), "cannot be deleted: " + code.message(),
                        "check the permissions, or delete it by hand");
    }
}

}  // namespace permille
