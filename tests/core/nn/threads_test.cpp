#include "core/nn/threads.h"

#include <ATen/Parallel.h>

#include <thread>

#include "tests/support/test.h"

using namespace permille;

TEST_CASE("a computation has the threads that it asks for, whatever goes on beside it", "[nn]") {
    const int all = all_threads(), before = at::get_num_threads();
    use_threads(all + 3);
    {
        const OneThread one;
        REQUIRE(at::get_num_threads() == 1);
        int started = 0, asked = 0;
        std::thread([&] {
            started = at::get_num_threads();
            use_threads(0);
            asked = at::get_num_threads();
        }).join();
        REQUIRE(started == 1);  // why it has to ask
        REQUIRE(asked == all);
        REQUIRE(at::get_num_threads() == 1);
    }
    REQUIRE(at::get_num_threads() == all + 3);
    use_threads(before);
}
