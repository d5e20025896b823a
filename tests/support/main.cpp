#define CATCH_CONFIG_RUNNER
#include "tests/support/test.h"

#include <unistd.h>

namespace permille::test {

TemporaryFolder::TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "permille-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make a temporary folder");
    path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace permille::test

int main(int argc, char** argv) { return Catch::Session().run(argc, argv); }
