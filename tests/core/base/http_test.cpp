// Redirects and tokens.
#include "core/base/http.h"
#include "tests/support/http_server.h"
#include "tests/support/test.h"

namespace permille::test {

using namespace std::chrono_literals;

TEST_CASE("a token does not come back by way of a stranger", "[base][http]") {
    std::string home;
    const HttpServer stranger([&](const ServerRequest&) { return ServerAnswer{302, {{"Location", home + "/back"}}}; });
    const HttpServer server([&](const ServerRequest& request) {
        return request.path == "/back" ? ServerAnswer{200, {}, "here"} : ServerAnswer{302, {{"Location", stranger.url() + "/away"}}};
    });
    home = server.url();
    HttpClient client(5s);
    CHECK(client.send({.url = server.url() + "/start", .token = "hf_secret"}).status == 200);
    REQUIRE(server.requests().size() == 2);
    CHECK(server.requests()[0].header("authorization") == "Bearer hf_secret");
    CHECK(server.requests()[1].header("authorization").empty());
    CHECK(stranger.requests().at(0).header("authorization").empty());

    const HttpServer circle([](const ServerRequest&) { return ServerAnswer{302, {{"Location", "/again"}}}; });
    CHECK(client.send({.url = circle.url()}).broken.find("redirected") != std::string::npos);
    const HttpServer odd([](const ServerRequest&) { return ServerAnswer{302, {{"Location", "file:///etc/passwd"}}}; });
    require_error([&] { client.send({.url = odd.url()}); }, ErrorKind::network, {"file:///etc/passwd"});
}

}  // namespace permille::test
