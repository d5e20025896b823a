// An HTTP/1.1 server on 127.0.0.1 for the tests of downloads. What it answers is the test's own doing, bad manners included.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace permille::test {

struct ServerRequest {
    std::string method, path;                    // the path as sent, escapes and all
    std::map<std::string, std::string> headers;  // names in lower case
    std::string header(const std::string& name) const;
    std::int64_t offset() const;  // of "Range: bytes=N-"; 0 without
};

struct ServerAnswer {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::string body = {};
    std::int64_t said_length = -1;  // Content-Length; -1: that of the body
    std::int64_t cut_after = -1;    // closes the connection after so many bytes of the body
    bool hang = false;              // after that many bytes (or none) it sends nothing more and keeps the connection open
    std::int64_t piece = 0;         // sends the body in pieces of this many bytes, a moment apart
};

class HttpServer {
public:
    using Answer = std::function<ServerAnswer(const ServerRequest&)>;
    // Answers from its own thread, one connection after another.
    explicit HttpServer(Answer answer);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
    // The same under another host's name.
    std::string local_url() const { return "http://localhost:" + std::to_string(port_); }
    // Everything asked so far, in order.
    std::vector<ServerRequest> requests() const;
    // Those with this method whose path ends so.
    std::vector<ServerRequest> requests(const std::string& method, const std::string& ending) const;

private:
    void serve();
    void talk(int connection);
    bool send_all(int connection, const std::string& bytes) const;

    Answer answer_;
    int listener_ = -1, port_ = 0;
    std::atomic<bool> end_ = false;
    mutable std::mutex mutex_;
    std::vector<ServerRequest> requests_;
    std::jthread thread_;
};

}  // namespace permille::test
