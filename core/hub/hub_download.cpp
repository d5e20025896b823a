// The downloading half of hub.h: what the hub has, what is missing here, and how it arrives whole.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/http.h"
#include "core/base/json.h"
#include "core/base/stopped.h"
#include "core/hub/blob_files.h"
#include "core/hub/hub.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

// In the order in which they are fetched. The weights come last: a folder that has them has everything else already.
constexpr const char* kDescriptions[] = {"generation_config.json",
                                         "tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "vocab.json",
                                         "target_vocab.json",
                                         "tokenizer.json",
                                         "sentencepiece.bpe.model",
                                         "spiece.model",
                                         "source.spm",
                                         "target.spm"};
struct Weights {
    const char *file, *index;
};
constexpr Weights kWeights[] = {{"model.safetensors", "model.safetensors.index.json"},
                                {"pytorch_model.bin", "pytorch_model.bin.index.json"}};

constexpr auto kTellEvery = std::chrono::milliseconds(100);
constexpr auto kLongestWait = std::chrono::seconds(60);
constexpr const char* kCacheTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file marks a folder of copies that can be downloaded again.\n";

bool lives(const fs::path& path) {  // a link that points nowhere does not
    std::error_code ignored;
    return fs::exists(path, ignored);
}

bool is_made_of(const std::string& text, const char* letters) { return text.find_first_not_of(letters) == std::string::npos; }
bool is_hexadecimal(const std::string& text) { return is_made_of(text, "0123456789abcdef"); }

// "W/"abc"" and ""abc"" as abc
std::string plain_tag(std::string tag) {
    if (tag.starts_with("W/")) tag = tag.substr(2);
    while (tag.starts_with('"')) tag = tag.substr(1);
    while (tag.ends_with('"')) tag.pop_back();
    return tag;
}

std::int64_t number(const std::string& text, std::int64_t otherwise) {
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    return code == std::errc() && end == text.data() + text.size() && value >= 0 ? value : otherwise;
}

std::string quoted(const std::string& text) {
    std::string result;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~') result += c;
        else {
            result += '%';
            result += "0123456789ABCDEF"[byte >> 4];
            result += "0123456789ABCDEF"[byte & 15];
        }
    }
    return result;
}

struct Remote {
    std::string file, tag;
    std::int64_t size = -1;  // -1: not told
};

class Download {
public:
    Download(HubName name, const HubSettings& settings, const EventSink& sink, std::stop_token stop)
        : name_(std::move(name)),
          settings_(settings),
          sink_(sink),
          stop_(std::move(stop)),
          http_(settings.silence),
          entry_(settings.cache / repository_folder(name_.repository)) {}

    fs::path run() {
        const auto config = look("config.json", name_.revision);
        if (!config)
            throw Error(ErrorKind::network, name_.text(), "has no config.json on " + settings_.endpoint,
                        "choose a model in the layout of transformers");
        for (const char* file : kDescriptions) want(file);
        if (std::none_of(std::begin(kWeights), std::end(kWeights), [this](const Weights& weights) { return want_weights(weights); }))
            throw Error(ErrorKind::network, name_.text(), "has no weights that can be read here",
                        "choose a model with model.safetensors or pytorch_model.bin, whole or in shards");
        wanted_.insert(wanted_.begin(), *config);

        for (const Remote& remote : wanted_)
            if (!lives(blob(remote))) total_ += std::max<std::int64_t>(remote.size, 0);
        if (total_ > 0) log_to(sink_, "downloading " + name_.text() + " (commit " + commit_.substr(0, 8) + ") from " + settings_.endpoint);
        started_ = Clock::now();
        make_folder(settings_.cache);
        if (!lives(settings_.cache / "CACHEDIR.TAG")) write_if_possible(settings_.cache / "CACHEDIR.TAG", kCacheTag);
        for (const Remote& remote : wanted_) fetch(remote);
        // Last of all, so that the name never leads to a part of a model.
        if (name_.revision != commit_) {
            const FileLock lock = lock_for("refs");
            write_text(entry_ / "refs" / name_.revision, commit_);
        }
        tell(true);
        return snapshot();
    }

private:
    fs::path snapshot() const { return entry_ / "snapshots" / commit_; }
    fs::path blob(const Remote& remote) const { return entry_ / "blobs" / remote.tag; }
    std::string address(const std::string& file, const std::string& revision) const {
        return settings_.endpoint + "/" + name_.repository + "/resolve/" + quoted(revision) + "/" + quoted(file);
    }

    FileLock lock_for(const std::string& tag) const {
        const fs::path file = settings_.cache / ".locks" / repository_folder(name_.repository) / (tag + ".lock");
        return FileLock(file, sink_, [this](std::chrono::milliseconds time) { wait(time); });
    }
    // For notes that others may be writing at the same moment: one of them is enough.
    static void write_if_possible(const fs::path& file, const std::string& text) {
        try {
            write_text(file, text);
        } catch (const Error&) {
        }
    }

    void check_stop() const { throw_if_stopped(stop_); }
    void wait(std::chrono::milliseconds time) const {
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait_for(lock, stop_, time, [] { return false; });
        check_stop();
    }
    // Before try number `failed` + 1; what the server asks for counts when it is more.
    void wait_after(int failed, const HttpResponse& response) const {
        const auto doubled = settings_.first_wait * (1 << std::min(failed - 1, 6));
        const auto asked = std::chrono::seconds(std::min<std::int64_t>(number(response.header("retry-after"), 0), 60));
        wait(std::min<std::chrono::milliseconds>(kLongestWait, std::max<std::chrono::milliseconds>(doubled, asked)));
    }
    static bool passes(int status) { return status == 408 || status == 429 || status >= 500; }

    // The hub's answer about a file, without the file. Tried again while the hub is busy or the connection breaks.
    HttpResponse ask(const std::string& url) {
        for (int failed = 0;;) {
            HttpResponse response = http_.send({.url = url, .head = true, .stay_on_host = true, .token = settings_.token}, {}, stop_);
            check_stop();
            // The storage behind the hub keeps no commits: what the hub itself says on the way there is what counts. A mirror says nothing.
            for (int away = 0; !response.location.empty() && response.header("x-repo-commit").empty() && away < 5; ++away) {
                response = http_.send({.url = response.location, .head = true, .stay_on_host = true}, {}, stop_);
                check_stop();
            }
            if (response.broken.empty() && !passes(response.status)) {
                reached_ = true;
                return response;
            }
            if (!response.reached && !reached_) unreachable(response);
            if (++failed >= settings_.tries) unreachable(response);
            wait_after(failed, response);
        }
    }

    [[noreturn]] void unreachable(const HttpResponse& response) const {
        Error error(ErrorKind::network, name_.text(),
                    settings_.endpoint + (response.broken.empty() ? " answers with status " + std::to_string(response.status)
                                                                  : " cannot be reached: " + response.broken),
                    "check the connection, https_proxy and HF_ENDPOINT, and start again: what arrived is kept");
        throw error.make_temporary();
    }

    [[noreturn]] void refused(const std::string& file, const std::string& revision, const HttpResponse& response) const {
        const std::string code = response.header("x-error-code"), said = response.header("x-error-message");
        const std::string status = " (status " + std::to_string(response.status) + (said.empty() ? ")" : ": " + said + ")");
        const std::string with =
            settings_.token.empty() ? "set HF_TOKEN to a token of yours" : "check that the token in HF_TOKEN is valid and may read it";
        if (code == "RevisionNotFound")
            throw Error(ErrorKind::network, name_.text(),
                        "there is no revision '" + revision + "' of " + name_.repository + " on " + settings_.endpoint + status,
                        "give a branch, a tag or a whole commit after the @");
        if (code == "GatedRepo")
            throw Error(ErrorKind::network, name_.text(), "is gated on " + settings_.endpoint + status,
                        "accept its terms on " + settings_.endpoint + "/" + name_.repository + ", then " + with);
        if (code == "RepoNotFound" || (response.status == 404 && commit_.empty()))
            throw Error(ErrorKind::network, name_.text(),
                        "there is no such model on " + settings_.endpoint + ", no folder and no bundled base of this name" + status,
                        "check the spelling; if the model is private, " + with);
        if (response.status == 401 || response.status == 403)
            throw Error(ErrorKind::network, name_.text(), settings_.endpoint + " does not give it to everyone" + status, with);
        throw Error(ErrorKind::network, name_.text(), settings_.endpoint + " does not give " + file + status, "check HF_ENDPOINT");
    }

    // What the hub says about a file of the revision; nothing when the model has no such file.
    std::optional<Remote> look(const std::string& file, const std::string& revision) {
        const HttpResponse response = ask(address(file, revision));
        const std::string code = response.header("x-error-code");
        const bool absent = code == "EntryNotFound" || (response.status == 404 && code.empty() && !commit_.empty());
        if (!absent && (response.status < 200 || response.status >= 400)) refused(file, revision, response);
        const std::string commit = response.header("x-repo-commit");
        if (commit_.empty()) {
            if (commit.size() < 5 || commit.size() > 64 || !is_hexadecimal(commit))
                throw Error(ErrorKind::network, name_.text(),
                            settings_.endpoint + " does not answer as a hub does: no commit in X-Repo-Commit", "check HF_ENDPOINT");
            commit_ = commit;
        }
        if (absent) {
            note_absent(file);
            return {};
        }
        const std::string linked = response.header("x-linked-etag");
        Remote remote{file, plain_tag(linked.empty() ? response.header("etag") : linked)};
        // The tag becomes the name of a file.
        if (remote.tag.empty() || remote.tag.size() > 200 || remote.tag.front() == '.' ||
            !is_made_of(remote.tag, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_"))
            throw Error(ErrorKind::network, name_.text(), settings_.endpoint + " gives no usable ETag for " + file, "check HF_ENDPOINT");
        const bool redirected = response.status >= 300;
        remote.size = number(response.header("x-linked-size"), redirected ? -1 : number(response.header("content-length"), -1));
        return remote;
    }

    // As Hugging Face's client notes it, for itself and for the next time.
    void note_absent(const std::string& file) const {
        const fs::path mark = entry_ / ".no_exist" / commit_ / file;
        if (!lives(mark)) write_if_possible(mark, {});
    }

    // Files of this commit that are here, or known not to be there, are not asked about again.
    bool want(const std::string& file) {
        if (lives(snapshot() / file)) return true;
        if (lives(entry_ / ".no_exist" / commit_ / file)) return false;
        const auto remote = look(file, commit_);
        if (remote) wanted_.push_back(*remote);
        return remote.has_value();
    }

    bool want_weights(const Weights& weights) {
        if (want(weights.file)) return true;
        if (!want(weights.index)) return false;
        if (!lives(snapshot() / weights.index)) {  // its shards are only known from it
            const Remote remote = wanted_.back();
            wanted_.pop_back();
            fetch(remote);
            done_ = resumed_ = 0;
        }
        const fs::path index = snapshot() / weights.index;
        const auto damaged = [&](const std::string& what) {
            throw Error(ErrorKind::file, index.string(), what, "report it to the owner of the model");
        };
        const Json document = read_json(index);
        if (!document.is_object() || !document.contains("weight_map") || !document["weight_map"].is_object()) damaged("has no weight_map");
        std::set<std::string> shards;
        for (const Json& shard : document["weight_map"]) {
            const std::string file = shard.is_string() ? shard.get<std::string>() : std::string();
            if (file.empty() || file.front() == '.' || file.find_first_of("/\\") != std::string::npos ||
                (!file.ends_with(".safetensors") && !file.ends_with(".bin")))
                damaged("names a shard outside its folder: " + shard.dump(-1, ' ', false, Json::error_handler_t::replace));
            shards.insert(file);
        }
        if (shards.empty()) damaged("names no shards");
        for (const auto& file : shards)
            if (!want(file)) damaged("names " + file + ", which the model does not have");
        return true;
    }

    void fetch(const Remote& remote) {
        const fs::path link = snapshot() / remote.file;
        if (lives(link)) return;
        make_folder(entry_ / "blobs");
        make_folder(snapshot());
        const FileLock lock = lock_for(remote.tag);
        const bool here = lives(blob(remote));
        if (!here) {
            receive(remote);
            done_ += file_done_;
            file_done_ = 0;
        }
        place(remote, link, !here);
    }

    // The blob, by way of BLOB.incomplete, which a later start continues.
    void receive(const Remote& remote) {
        fs::path part = blob(remote);
        part += ".incomplete";
        const FileHandle file(part, O_RDWR | O_CREAT);
        struct stat info {};
        if (::fstat(file.handle(), &info) != 0) fail_on(part, "read");
        std::int64_t have = info.st_size;
        const auto restart = [&] {
            if (::ftruncate(file.handle(), 0) != 0) fail_on(part, "write");
            have = 0;
        };
        const auto drop = [&](const std::string& what, const std::string& fix) {
            std::error_code ignored;
            fs::remove(part, ignored);
            throw Error(ErrorKind::network, name_.text() + ", " + remote.file, what, fix);
        };
        if (remote.size >= 0 && have > remote.size) restart();
        check_space(remote, part, have);
        file_done_ = have;
        resumed_ += have;

        const HttpBody take = [&](const HttpResponse& head, std::span<const char> piece) {
            if (head.status != 206 && have > 0 && fresh_) {
                resumed_ = std::max<std::int64_t>(0, resumed_ - have);
                restart();  // the server gives the whole file, whatever was asked
            }
            if (head.status == 206 && fresh_ && !head.header("content-range").starts_with("bytes " + std::to_string(have) + "-"))
                drop("the server sends another part than was asked for: " + head.header("content-range"), "start again");
            fresh_ = false;
            for (std::size_t at = 0; at < piece.size();) {
                const ssize_t put = ::pwrite(file.handle(), piece.data() + at, piece.size() - at, have);
                if (put < 0 && errno == EINTR) continue;
                if (put < 0) fail_on(part, "write");
                at += static_cast<std::size_t>(put);
                have += put;
            }
            if (remote.size >= 0 && have > remote.size)
                drop("is longer than the " + std::to_string(remote.size) + " bytes that the hub says",
                     "start again; if it stays so, check HF_ENDPOINT and proxies");
            file_done_ = have;
            tell(false);
        };
        const std::string url = address(remote.file, commit_);
        for (int failed = 0; remote.size < 0 || have < remote.size;) {
            fresh_ = true;
            const std::int64_t before = have;
            HttpResponse response = http_.send({.url = url, .token = settings_.token, .offset = have}, take, stop_);
            check_stop();
            // Without a length of its own the answer ends where the connection does, for whatever reason.
            if (response.success() && have < remote.size && response.header("content-length").empty() &&
                response.header("transfer-encoding").empty())
                response.broken = "the connection ended early";
            if (response.success()) {
                if (have == 0 && remote.size > 0) drop("arrives empty", "start again");
                break;
            }
            if (response.broken.empty() && !passes(response.status)) {
                if (response.status != 416 || before == 0) refused(remote.file, commit_, response);
                restart();  // what is here is no beginning of what is there
            }
            failed = have > before ? 1 : failed + 1;
            if (failed >= settings_.tries) unreachable(response);
            wait_after(failed, response);
        }

        if (remote.size >= 0 && have != remote.size)
            drop("arrives with " + std::to_string(have) + " bytes, the hub says " + std::to_string(remote.size),
                 "start again; if it stays so, check HF_ENDPOINT and proxies");
        const bool large = remote.tag.size() == 64, small = remote.tag.size() == 40;
        if ((large || small) && is_hexadecimal(remote.tag)) {
            const std::string found = large ? sha256_of_file(part, stop_) : git_checksum(part);
            if (found != remote.tag)
                drop("has the checksum " + found + ", expected " + remote.tag + "; the file was deleted", "start again");
        }
        check_stop();
        if (::fsync(file.handle()) != 0 && errno != EINVAL) fail_on(part, "write");
        if (::rename(part.c_str(), blob(remote).c_str()) != 0) fail_on(blob(remote), "write");
    }

    void check_space(const Remote& remote, const fs::path& part, std::int64_t have) const {
        std::error_code code;
        const fs::space_info space = fs::space(part.parent_path(), code);
        if (code || remote.size - have <= 0 || space.available >= static_cast<std::uintmax_t>(remote.size - have)) return;
        const auto megabytes = [](auto bytes) { return std::to_string(bytes / 1'000'000) + " MB"; };
        throw Error(ErrorKind::file, part.parent_path().string(),
                    "has room for " + megabytes(space.available) + ", and " + remote.file + " of " + name_.text() + " needs " +
                        megabytes(remote.size - have) + " more",
                    "free some space on the disk, or set HF_HOME to a place that has more");
    }

    // The file's name in the snapshot, made beside and renamed.
    void place(const Remote& remote, const fs::path& link, bool is_new) const {
        fs::path beside = link;
        beside += "." + std::to_string(::getpid()) + ".tmp";
        std::error_code code, ignored;
        fs::remove(beside, ignored);
        if (settings_.symlinks) fs::create_symlink(fs::path("..") / ".." / "blobs" / remote.tag, beside, code);
        if (!settings_.symlinks || code) {  // a place without links: the file itself
            code.clear();
            if (is_new) fs::rename(blob(remote), beside, code);
            else fs::copy_file(blob(remote), beside, code);
        }
        if (!code) fs::rename(beside, link, code);
        if (!code) return;
        fs::remove(beside, ignored);
        errno = code.value();
        fail_on(link, "write");
    }

    void tell(bool last) {
        const auto now = Clock::now();
        if (!sink_ || total_ == 0 || (!last && now - told_ < kTellEvery)) return;
        told_ = now;
        const std::int64_t done = last ? total_ : std::min(done_ + file_done_, total_);
        const std::int64_t arrived = done - resumed_;
        const double elapsed = std::chrono::duration<double>(now - started_).count();
        const double eta = arrived > 0 && elapsed > 0.5 ? elapsed / static_cast<double>(arrived) * static_cast<double>(total_ - done) : -1;
        sink_(Progress{"downloading " + name_.text() + " (bytes)", done, total_, eta});
    }

    HubName name_;
    const HubSettings& settings_;
    const EventSink& sink_;
    std::stop_token stop_;
    HttpClient http_;
    fs::path entry_;
    std::string commit_;
    bool reached_ = false;  // the hub has answered before
    bool fresh_ = true;     // nothing of the present answer has arrived yet
    std::vector<Remote> wanted_;
    std::int64_t total_ = 0, done_ = 0, file_done_ = 0, resumed_ = 0;  // bytes
    Clock::time_point started_{}, told_{};
};

}  // namespace

fs::path download_model(const HubName& name, const HubSettings& settings, const EventSink& sink, const std::stop_token& stop) {
    if (settings.offline)
        throw Error(ErrorKind::network, name.text(),
                    "is not whole in the cache (" + settings.cache.string() + "), and HF_HUB_OFFLINE forbids to download it",
                    "unset HF_HUB_OFFLINE, or give a folder");
    try {
        return Download(name, settings, sink, stop).run();
    } catch (const Stopped&) {
        return {};
    }
}

}  // namespace permille
