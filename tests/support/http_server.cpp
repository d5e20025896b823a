#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <stdexcept>

namespace permille::test {

namespace {

constexpr int kGlance = 5;  // ms between looks at whether it is over

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

ServerRequest parse(const std::string& head) {
    ServerRequest request;
    const auto first = head.find("\r\n");
    const std::string line = head.substr(0, first);
    const auto space = line.find(' '), second = line.find(' ', space + 1);
    request.method = line.substr(0, space);
    request.path = line.substr(space + 1, second - space - 1);
    for (auto at = first + 2; at < head.size();) {
        const auto end = head.find("\r\n", at);
        const std::string header = head.substr(at, end - at);
        at = end == std::string::npos ? head.size() : end + 2;
        const auto colon = header.find(':');
        if (colon == std::string::npos) continue;
        const auto value = header.find_first_not_of(' ', colon + 1);
        request.headers[lower(header.substr(0, colon))] = value == std::string::npos ? "" : header.substr(value);
    }
    return request;
}

}  // namespace

std::string ServerRequest::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
}

std::int64_t ServerRequest::offset() const {
    const std::string range = header("range");
    return range.starts_with("bytes=") ? std::atoll(range.c_str() + 6) : 0;
}

HttpServer::HttpServer(Answer answer) : answer_(std::move(answer)) {
    setenv("no_proxy", "127.0.0.1,localhost", 1);  // whatever proxy this machine has is not for these servers
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0)
        throw std::runtime_error("no server on 127.0.0.1");
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { serve(); });
}

HttpServer::~HttpServer() {
    end_ = true;
    thread_.join();
    ::close(listener_);
}

std::vector<ServerRequest> HttpServer::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

std::vector<ServerRequest> HttpServer::requests(const std::string& method, const std::string& ending) const {
    std::vector<ServerRequest> chosen;
    for (const auto& request : requests())
        if (request.method == method && request.path.ends_with(ending)) chosen.push_back(request);
    return chosen;
}

void HttpServer::serve() {
    std::vector<std::jthread> talks;  // a client may open a second connection while it keeps the first
    while (!end_) {
        pollfd waiting{listener_, POLLIN, 0};
        if (::poll(&waiting, 1, kGlance) <= 0) continue;
        const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0) continue;
        talks.emplace_back([this, connection] {
            talk(connection);
            ::close(connection);
        });
    }
}

bool HttpServer::send_all(int connection, const std::string& bytes) const {
    for (std::size_t at = 0; at < bytes.size() && !end_;) {
        pollfd waiting{connection, POLLOUT, 0};
        if (::poll(&waiting, 1, kGlance) == 0) continue;
        const ssize_t sent = ::send(connection, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return false;
        at += static_cast<std::size_t>(sent);
    }
    return !end_;
}

void HttpServer::talk(int connection) {
    std::string read;
    while (!end_) {
        auto end = read.find("\r\n\r\n");
        if (end == std::string::npos) {
            pollfd waiting{connection, POLLIN, 0};
            if (::poll(&waiting, 1, kGlance) == 0) continue;
            char buffer[4096];
            const ssize_t got = ::recv(connection, buffer, sizeof(buffer), 0);
            if (got <= 0) return;
            read.append(buffer, static_cast<std::size_t>(got));
            continue;
        }
        const ServerRequest request = parse(read.substr(0, end + 2));
        read.erase(0, end + 4);
        ServerAnswer answer;
        {
            const std::lock_guard lock(mutex_);
            requests_.push_back(request);
            answer = answer_(request);
        }
        std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " Said so\r\n";
        for (const auto& [name, value] : answer.headers) head += name + ": " + value + "\r\n";
        const auto length = answer.said_length >= 0 ? answer.said_length : static_cast<std::int64_t>(answer.body.size());
        head += "Content-Length: " + std::to_string(length) + "\r\n\r\n";
        if (!send_all(connection, head)) return;
        if (request.method == "HEAD") continue;
        std::string body = answer.cut_after >= 0 ? answer.body.substr(0, static_cast<std::size_t>(answer.cut_after)) : answer.body;
        const auto piece =
            static_cast<std::size_t>(answer.piece > 0 ? answer.piece : std::max<std::int64_t>(1, static_cast<std::int64_t>(body.size())));
        for (std::size_t at = 0; at < body.size(); at += piece) {
            if (!send_all(connection, body.substr(at, piece))) return;
            if (answer.piece > 0) ::poll(nullptr, 0, 2);
        }
        while (answer.hang && !end_) {
            pollfd waiting{connection, POLLIN, 0};
            char gone = 0;
            if (::poll(&waiting, 1, kGlance) > 0 && ::recv(connection, &gone, 1, MSG_PEEK) <= 0) return;
        }
        if (answer.cut_after >= 0 || answer.hang) return;
    }
}

}  // namespace permille::test
