// What the program says of the machine it is on. libtorch's CUDA part is a stand-in here, or something that is none.
#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {

namespace {

RunOptions with_cuda_part(const std::string& file, const std::string& devices = "1") {
    RunOptions options;
    options.environment = {"PERMILLE_LIBTORCH_CUDA=" + file, "STANDIN_CUDA_DEVICES=" + devices};
    return options;
}

Ran doctor(const std::string& cuda_part, const std::string& devices = "1") {
    return permille({"doctor", "--json"}, with_cuda_part(cuda_part, devices));
}

// Why there is no CUDA device, as doctor lists it.
std::string trouble_of(const Ran& ran) {
    CHECK(ran.code == 0);
    const Json report = ran.json();
    CHECK(report.at("cuda").empty());
    for (const Json& missing : report.at("missing"))
        if (const std::string text = missing.get<std::string>(); text.starts_with("a CUDA device")) return text;
    return "";
}

}  // namespace

TEST_CASE("doctor reports on any machine", "[cli]") {
    const Ran ran = permille({"doctor", "--json"});
    CHECK(ran.code == 0);
    CHECK(ran.json().is_object());
    CHECK(permille({"doctor"}).code == 0);
}

TEST_CASE("the devices of libtorch's CUDA part are found once it is loaded", "[cli]") {
    CHECK(doctor(PERMILLE_STANDIN_CUDA).json().at("cuda") == Json({"cuda:0"}));
    CHECK(doctor(PERMILLE_STANDIN_CUDA, "2").json().at("cuda") == Json({"cuda:0", "cuda:1"}));
    // A name that is none is told with the last one that is.
    const Ran ran = permille({"translate", "--model", kBase, "--src-lang", "it", "--tgt-lang", "en", "--device", "cuda:2"},
                             with_cuda_part(PERMILLE_STANDIN_CUDA, "2"));
    CHECK(ran.code == 1);
    CHECK(ran.err.find("cuda:1") != std::string::npos);
}

TEST_CASE("why libtorch's CUDA part gives no device is told, by doctor and where one is asked for", "[cli]") {
    const TemporaryFolder folder;
    write_text(folder / "libtorch_cuda.so", "no library");
    struct Case {
        std::string file, words;
    };
    for (const Case& test :
         {Case{PERMILLE_STANDIN_CUDA, "finds no card: the stand-in has no driver"},
          Case{folder / "libtorch_cuda.so", "not a whole library"}, Case{folder / "none.so", "which is not there"},
          Case{PERMILLE_STANDIN_CUDA_NEEDY, "libpermille-standin-driver.so"}, Case{PERMILLE_STANDIN_CUDA_OLD, "of another version"},
          Case{PERMILLE_STANDIN_CUDA_EMPTY, "is not libtorch's CUDA part"}}) {
        INFO(test.file);
        CHECK(trouble_of(doctor(test.file, "0")).find(test.words) != std::string::npos);
        const Ran ran = permille({"translate", "--model", kBase, "--src-lang", "it", "--tgt-lang", "en", "--device", "cuda"},
                                 with_cuda_part(test.file, "0"));
        CHECK(ran.code == 1);
        CHECK(ran.err.find(test.words) != std::string::npos);
    }
}

}  // namespace permille::test
