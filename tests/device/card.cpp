// card_tests: the device under test is a card, or what PERMILLE_TEST_DEVICE names; without a name and without a card nothing is tried.
#include <iostream>

#include "core/nn/device.h"
#include "tests/device/on_device.h"
#include "tests/support/standin_device.h"

namespace permille::test {

namespace {

at::Device named_device() {
    const char* name = std::getenv("PERMILLE_TEST_DEVICE");
    const bool asked = name && *name;
    try {
        return parse_device(asked ? name : "cuda");
    } catch (const Error& error) {
        std::cout << (asked ? "" : "Skipped: ") << error.what() << std::endl;
        std::exit(asked ? 1 : 77);
    }
}

// Found before the first test case, as the program starts.
const at::Device kDevice = named_device();

}  // namespace

at::Device test_device() { return kDevice; }

bool device_is_counted() { return false; }

// The counts of the stand-in, which nobody keeps here, and its memory.
DeviceWork device_work() { return {}; }
void reset_device_work() {}
AttentionWork attention_work() { return {}; }
void reset_attention_work() {}
void set_standin_memory(std::int64_t, std::int64_t) {}

}  // namespace permille::test
