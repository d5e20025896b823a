#include "core/models/safetensors.h"

#include <cstring>

#include "core/base/files.h"
#include "core/base/json.h"
#include "tests/support/tensors.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

std::string with_header(const std::string& header, std::size_t data, std::optional<std::uint64_t> told = {}) {
    const std::uint64_t length = told.value_or(header.size());
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    return bytes + header + std::string(data, 'x');
}

std::string entry(const std::string& name, const std::string& type, const std::string& shape, const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":" + type + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

}  // namespace

TEST_CASE("safetensors files keep every type, shape and note", "[models]") {
    const TemporaryFolder folder;
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    at::manual_seed(1);
    for (const auto type :
         {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort, at::kChar, at::kByte, at::kBool})
        tensors.emplace_back(std::string("of ") + at::toString(type), (at::randn({3, 5}) * 10).to(type));
    tensors.emplace_back("turned", at::randn({4, 6}).t());
    tensors.emplace_back("empty", at::empty({0, 7}));
    tensors.emplace_back("scalar", at::scalar_tensor(2.5));
    write_safetensors(folder / "a.safetensors", tensors, {{"format", "pt"}, {"note", "ü \"quoted\""}});
    std::map<std::string, std::string> metadata;
    const TensorMap read = read_safetensors(folder / "a.safetensors", &metadata);
    REQUIRE(read.size() == tensors.size());
    for (const auto& [name, tensor] : tensors) {
        REQUIRE(read.at(name).scalar_type() == tensor.scalar_type());
        require_same(read.at(name), tensor, name);
    }
    REQUIRE(metadata == std::map<std::string, std::string>{{"format", "pt"}, {"note", "ü \"quoted\""}});
}

TEST_CASE("tensors outlive the file they were read from", "[models]") {
    const TemporaryFolder folder;
    write_safetensors(folder / "a", {{"t", at::ones({100})}});
    const at::Tensor tensor = read_safetensors(folder / "a").at("t");
    write_safetensors(folder / "a", {{"t", at::zeros({100})}});
    REQUIRE(tensor.sum().item<double>() == 100);
}

TEST_CASE("damaged safetensors files are errors, never crashes", "[models]") {
    const TemporaryFolder folder;
    const auto refused = [&](const std::string& bytes, const std::string& word) {
        write_text(folder / "bad.safetensors", bytes);
        require_error([&] { read_safetensors(folder / "bad.safetensors"); }, ErrorKind::file, {"bad.safetensors", word});
    };
    const std::string good = "{" + entry("t", "\"F32\"", "[2,2]", "[0,16]") + "}";
    write_text(folder / "good", with_header(good, 16));
    REQUIRE(read_safetensors(folder / "good").at("t").numel() == 4);

    refused("", "");
    refused("abc", "3 bytes");
    refused(with_header(good, 16, std::uint64_t{1} << 60), "header");
    refused(with_header(good, 16, ~std::uint64_t{0}), "header");
    refused(with_header(good, 16, good.size() + 17), "header");
    refused(with_header(good, 16, good.size() - 2), "header");
    refused(with_header(good, 15), "more bytes");
    refused(with_header("[1,2]", 16), "not a JSON object");
    refused(with_header("{\"t\":3}", 16), "t");
    refused(with_header(std::string("{\"t\0\":\xff}", 9), 16), "header");
    refused(with_header("{" + entry("t", "\"F32\"", "[2,2]", "[0,12]") + "}", 16), "needs 16");
    refused(with_header("{" + entry("t", "\"F32\"", "[2,2]", "[8,24]") + "}", 16), "outside");
    refused(with_header("{" + entry("t", "\"F32\"", "[2,2]", "[16,0]") + "}", 16), "outside");
    refused(with_header("{" + entry("t", "\"F32\"", "[2,2]", "[-16,0]") + "}", 16), "t");
    refused(with_header("{" + entry("t", "\"F32\"", "[2,2]", "[0]") + "}", 16), "lacks");
    refused(with_header("{" + entry("t", "\"F32\"", "[-2,2]", "[0,16]") + "}", 16), "shape");
    refused(with_header("{" + entry("t", "\"F32\"", "[2.5,2]", "[0,16]") + "}", 16), "shape");
    refused(with_header("{" + entry("t", "\"F32\"", "[1048576,1048576]", "[0,16]") + "}", 16), "more bytes");
    refused(with_header("{" + entry("t", "\"F32\"", "[4294967296,4294967296]", "[0,16]") + "}", 16), "absurd");
    refused(with_header("{" + entry("t", "\"F32\"", "[18446744073709551615]", "[0,16]") + "}", 16), "absurd");
    refused(with_header("{" + entry("t", "\"F32\"", "[9223372036854775807,0]", "[0,0]") + "}", 16), "absurd");
    refused(with_header("{" + entry("t", "\"F32\"", "[0,9223372036854775807,9223372036854775807]", "[0,0]") + "}", 16), "absurd");
    refused(with_header("{" + entry("t", "\"F128\"", "[1]", "[0,16]") + "}", 16), "F128");
    refused(with_header("{" + entry("t", "7", "[1]", "[0,16]") + "}", 16), "t");
    refused(with_header("{" + entry("a", "\"F32\"", "[2]", "[0,8]") + "," + entry("b", "\"F32\"", "[2]", "[4,12]") + "}", 16), "overlap");
    refused(with_header("{" + entry("a", "\"F32\"", "[4]", "[0,16]") + "," + entry("b", "\"F32\"", "[1]", "[4,8]") + "," +
                            entry("c", "\"F32\"", "[1]", "[8,12]") + "}",
                        16),
            "overlap");
    require_error([&] { read_safetensors(folder / "none"); }, ErrorKind::file, {"none"});
    refused(with_header(std::string(100000, '['), 0), "header");
}

TEST_CASE("tensors at odd places are read all the same", "[models]") {
    const TemporaryFolder folder;
    write_text(folder / "odd",
               with_header("{" + entry("a", "\"U8\"", "[1]", "[0,1]") + "," + entry("b", "\"F32\"", "[2]", "[1,9]") + "}", 9));
    REQUIRE(read_safetensors(folder / "odd").at("b").numel() == 2);
}

TEST_CASE("tensors without elements are written and read", "[models]") {
    const TemporaryFolder folder;
    write_safetensors(folder / "empty", {{"a", at::zeros({64, 0})}, {"b", at::zeros({0, 64})}});
    const TensorMap read = read_safetensors(folder / "empty");
    REQUIRE(read.at("a").sizes() == at::IntArrayRef({64, 0}));
    REQUIRE(read.at("b").sizes() == at::IntArrayRef({0, 64}));
}
