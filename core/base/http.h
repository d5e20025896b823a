// HTTP as a model hub needs it: one request after another, over libcurl. Redirects are followed here and not by libcurl, so that it is our
// own code which sees to it that a token never leaves the host that it was meant for.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

namespace permille {

struct HttpRequest {
    std::string url;            // http or https
    bool head = false;          // headers only
    bool stay_on_host = false;  // a redirect to another host is the answer, not followed
    std::string token = {};     // sent as a bearer to the scheme, host and port of `url` and to nowhere else
    std::int64_t offset = 0;    // asks for the bytes from here on (Range); the server may ignore it and answer 200
};

struct HttpResponse {
    int status = 0;                              // 0: none arrived
    std::map<std::string, std::string> headers;  // names in lower case
    std::string url;                             // that answered, after redirects
    std::string location;                        // of a redirect that was not followed, absolute
    std::string broken;                          // why the transfer did not come to its end; "" when it did
    bool reached = false;                        // the host could be connected to
    bool stopped = false;                        // by the stop token

    std::string header(const std::string& name) const;  // "" when absent
    bool success() const { return status >= 200 && status < 300 && broken.empty() && !stopped; }
};

// Gets the body of a successful answer piece by piece; what it throws ends the transfer and comes out of send().
using HttpBody = std::function<void(const HttpResponse& head, std::span<const char> piece)>;

// Keeps its connection between requests. Proxies are those of the environment (https_proxy, no_proxy), certificates the system's or
// SSL_CERT_FILE's. libcurl is set up when the first client is made. For one thread at a time.
class HttpClient {
public:
    // `silence`: a connection that sends nothing for so long counts as broken.
    explicit HttpClient(std::chrono::milliseconds silence);
    ~HttpClient();
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    // Follows up to ten redirects. Failures of the network are told in the response; Error(network) is for a URL that cannot be asked at
    // all. Returns at once, from any wait, when asked to stop.
    HttpResponse send(const HttpRequest& request, const HttpBody& body = {}, const std::stop_token& stop = {});

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace permille
