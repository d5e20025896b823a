#include "core/base/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>

#include "core/base/error.h"

namespace permille {

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr int kMostRedirects = 10;
constexpr std::size_t kMostUnwanted = 64 * 1024;  // of the page that comes with an error or a redirect
constexpr Milliseconds kLongestPoll{500};

// Once in a process, when the first client is made: a command that fetches nothing does not pay for it.
void set_up_library() {
    static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (done != CURLE_OK) throw Error(ErrorKind::network, "libcurl", curl_easy_strerror(done));
}

struct EasyEnd {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MultiEnd {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct ListEnd {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct UrlEnd {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

class Url {
public:
    explicit Url(const std::string& text) : handle_(curl_url()) {
        if (!handle_) throw std::bad_alloc();
        set(text);
    }
    // An absolute address, or one that is relative to this.
    void set(const std::string& text) {
        if (curl_url_set(handle_.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) refuse(text, "is not an address");
        const std::string scheme = part(CURLUPART_SCHEME);
        if (scheme != "http" && scheme != "https") refuse(text, "is not an http or https address");
    }
    std::string text() const { return part(CURLUPART_URL); }
    // Scheme, host and port: whom a token is meant for.
    std::string origin() const {
        std::string host = part(CURLUPART_HOST);
        std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        return part(CURLUPART_SCHEME) + "://" + host + ":" + part(CURLUPART_PORT, CURLU_DEFAULT_PORT);
    }

private:
    [[noreturn]] static void refuse(const std::string& text, const std::string& what) {
        throw Error(ErrorKind::network, text.empty() ? "an empty address" : text, what, "check HF_ENDPOINT");
    }
    std::string part(CURLUPart which, unsigned flags = 0) const {
        char* found = nullptr;
        if (curl_url_get(handle_.get(), which, &found, flags) != CURLUE_OK || !found) return {};
        const std::unique_ptr<char, decltype(&curl_free)> owner(found, &curl_free);
        return found;
    }
    std::unique_ptr<CURLU, UrlEnd> handle_;
};

// One request on its way: what libcurl's callbacks write into.
struct Hop {
    HttpResponse response;
    const HttpBody* body = nullptr;
    std::exception_ptr thrown;
    Clock::time_point heard = Clock::now();
    std::size_t unwanted = 0;
    bool cut_short = false;  // by us: the rest of an error page is of no use
};

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
    return text;
}

std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* user) {
    auto& hop = *static_cast<Hop*>(user);
    hop.heard = Clock::now();
    const std::string_view line(bytes, size * count);
    if (line.starts_with("HTTP/")) {  // the first line; an earlier answer was "100 Continue" or the like
        hop.response.headers.clear();
        const auto space = line.find(' ');
        hop.response.status = space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space + 1, 3)).c_str());
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
        std::string name(trimmed(line.substr(0, colon)));
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        std::string value(trimmed(line.substr(colon + 1)));
        std::erase_if(value, [](unsigned char c) { return c < 0x20 || c == 0x7f; });  // some of it is shown to people
        hop.response.headers[name] = std::move(value);
    }
    return size * count;
}

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* user) {
    auto& hop = *static_cast<Hop*>(user);
    hop.heard = Clock::now();
    const std::size_t length = size * count;
    if (hop.response.status < 200 || hop.response.status >= 300 || !hop.body || !*hop.body) {
        hop.unwanted += length;
        hop.cut_short = hop.unwanted > kMostUnwanted;
        return hop.cut_short ? 0 : length;
    }
    try {
        (*hop.body)(hop.response, {bytes, length});
        return length;
    } catch (...) {  // not through libcurl's own frames
        hop.thrown = std::current_exception();
        return 0;
    }
}

bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

}  // namespace

std::string HttpResponse::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
}

struct HttpClient::State {
    Milliseconds silence;
    std::unique_ptr<CURLM, MultiEnd> multi;
    std::unique_ptr<CURL, EasyEnd> easy;

    // One request without redirects.
    void perform(Hop& hop, const std::string& url, const HttpRequest& request, const std::string& token, const std::stop_token& stop) {
        CURL* handle = easy.get();
        curl_easy_reset(handle);
        curl_slist* list = curl_slist_append(nullptr, "Accept-Encoding: identity");  // lengths and checksums are those of the file itself
        if (!token.empty()) list = curl_slist_append(list, ("Authorization: Bearer " + token).c_str());
        const std::unique_ptr<curl_slist, ListEnd> headers(list);
        const std::string range = std::to_string(request.offset) + "-";
        curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
        curl_easy_setopt(handle, CURLOPT_USERAGENT, "permille/" PERMILLE_VERSION);
        curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
        curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 1L);
        curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(silence.count()));
        curl_easy_setopt(handle, CURLOPT_NOBODY, request.head ? 1L : 0L);
        if (request.offset > 0) curl_easy_setopt(handle, CURLOPT_RANGE, range.c_str());
        if (const char* file = std::getenv("SSL_CERT_FILE"); file && *file) curl_easy_setopt(handle, CURLOPT_CAINFO, file);
        curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(handle, CURLOPT_HEADERDATA, &hop);
        curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(handle, CURLOPT_WRITEDATA, &hop);

        curl_multi_add_handle(multi.get(), handle);
        const std::stop_callback wake(stop, [pool = multi.get()] { curl_multi_wakeup(pool); });
        CURLcode result = CURLE_OK;
        for (int running = 1; running > 0;) {
            if (stop.stop_requested()) {
                hop.response.stopped = true;
                break;
            }
            curl_multi_perform(multi.get(), &running);
            if (running == 0) break;
            const auto left = std::chrono::duration_cast<Milliseconds>(hop.heard + silence - Clock::now());
            if (left.count() <= 0) {
                result = CURLE_OPERATION_TIMEDOUT;
                break;
            }
            curl_multi_poll(multi.get(), nullptr, 0, static_cast<int>(std::min(left, kLongestPoll).count() + 1), nullptr);
        }
        int waiting = 0;
        while (const CURLMsg* message = curl_multi_info_read(multi.get(), &waiting))
            if (message->msg == CURLMSG_DONE) result = message->data.result;
        curl_multi_remove_handle(multi.get(), handle);

        hop.response.url = url;
        char* address = nullptr;  // of the host's end: empty when there never was one
        curl_easy_getinfo(handle, CURLINFO_PRIMARY_IP, &address);
        hop.response.reached = hop.response.status != 0 || (address && *address && result != CURLE_COULDNT_CONNECT);
        if (hop.thrown) std::rethrow_exception(hop.thrown);
        if (hop.response.stopped || hop.cut_short || result == CURLE_OK) return;
        hop.response.broken = result == CURLE_OPERATION_TIMEDOUT
                                  ? "nothing was heard for " + std::to_string((silence.count() + 999) / 1000) + " s"
                                  : std::string(curl_easy_strerror(result));
    }
};

HttpClient::HttpClient(Milliseconds silence) : state_(std::make_unique<State>()) {
    set_up_library();
    state_->silence = std::max(silence, Milliseconds(1));
    state_->multi.reset(curl_multi_init());
    state_->easy.reset(curl_easy_init());
    if (!state_->multi || !state_->easy) throw std::bad_alloc();
}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::send(const HttpRequest& request, const HttpBody& body, const std::stop_token& stop) {
    Url url(request.url);
    const std::string meant_for = url.origin();
    std::string token = request.token;
    for (int redirects = 0;; ++redirects) {
        Hop hop;
        hop.body = &body;
        state_->perform(hop, url.text(), request, token, stop);
        HttpResponse& response = hop.response;
        const std::string location = response.header("location");
        if (!is_redirect(response.status) || location.empty() || !response.broken.empty() || response.stopped) return std::move(response);
        const std::string before = url.origin();
        url.set(location);
        if (request.stay_on_host && url.origin() != before) {
            response.location = url.text();
            return std::move(response);
        }
        if (redirects == kMostRedirects) {
            response.broken = "is redirected more than " + std::to_string(kMostRedirects) + " times";
            return std::move(response);
        }
        // Once away, the token stays away, wherever the way leads: a host that is not trusted may send us back with a question of its own.
        if (url.origin() != meant_for) token.clear();
    }
}

}  // namespace permille
