// device_tests: the device under test is the stand-in.
#include "tests/device/on_device.h"
#include "tests/support/standin_device.h"

namespace permille::test {

at::Device test_device() { return standin_device(); }
bool device_is_counted() { return true; }

}  // namespace permille::test
