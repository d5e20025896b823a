#include "core/models/pickle.h"

#include <span>

#include "tests/core/models/checkpoint_writer.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;
using namespace std::string_literals;
using Kind = PickleValue::Kind;

namespace {

Pickle read(const std::string& bytes) { return read_pickle(std::as_bytes(std::span(bytes.data(), bytes.size())), 0, "file"); }

void refused(const std::string& bytes, ErrorKind kind, const std::string& word) {
    INFO("expected: " << word);
    require_error([&] { read(bytes); }, kind, {"file, pickle at byte", word});
}

}  // namespace

TEST_CASE("plain values come out of a pickle as they went in", "[models]") {
    const std::string bytes = pickle::kStart + "(" + pickle::text("ü") + "K\x07M\x34\x12" + "J\xff\xff\xff\xff" + "\x8a\x03\x00\x00\x80"s +
                              "N\x88\x89" + "\x8a\x00"s + "t.rest";
    const Pickle read_back = read(bytes);
    const PickleValue& root = read_back.at(read_back.root);
    REQUIRE(root.kind == Kind::tuple);
    REQUIRE(root.items.size() == 9);
    CHECK(read_back.item(root, 0).text == "ü");
    const std::vector<std::int64_t> numbers = {7, 0x1234, -1, -(1 << 23)};
    for (std::size_t i = 0; i < numbers.size(); ++i) CHECK(read_back.item(root, i + 1).number == numbers[i]);
    CHECK(read_back.item(root, 5).kind == Kind::none);
    CHECK(read_back.item(root, 6).number == 1);
    CHECK(read_back.item(root, 7).kind == Kind::boolean);
    CHECK(read_back.item(root, 8).number == 0);
    CHECK(read_back.end == bytes.size() - 4);
}

TEST_CASE("a pickle's references lead to the same value", "[models]") {
    // [x, x] with x = {"a": 1}, by both ways to remember
    for (const std::string& keep : {"q\x05"s, "\x94"s}) {
        const std::string bytes =
            pickle::kStart + "](" + pickle::dictionary({{"a", "K\x01"}}) + keep + (keep == "\x94" ? "h\x00"s : "h\x05") + "e.";
        const Pickle read_back = read(bytes);
        const PickleValue& list = read_back.at(read_back.root);
        REQUIRE(list.items.size() == 2);
        CHECK(list.items[0] == list.items[1]);
        CHECK(read_back.item(list, 0).kind == Kind::dictionary);
    }
}

TEST_CASE("an ordered dictionary may be made of a list of pairs and have attributes", "[models]") {
    const std::string ordered = pickle::global("collections", "OrderedDict");
    const Pickle pairs = read(pickle::kStart + ordered + "(]](" + pickle::text("k") + "K\x03" + "eatR.");
    REQUIRE(pairs.at(pairs.root).items.size() == 2);
    CHECK(pairs.item(pairs.at(pairs.root), 1).number == 3);
    const Pickle attributes = read(pickle::kStart + ordered + ")R" + pickle::dictionary({{"_metadata", "}"}}) + "b.");
    CHECK(attributes.at(attributes.root).kind == Kind::dictionary);
}

TEST_CASE("a pickle that wants to run anything is refused by the name of what it wants", "[models]") {
    const std::string command = pickle::tuple({pickle::text("echo")});
    for (const auto& [module, name] : std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                                                       {"posix", "system"},
                                                                                       {"builtins", "eval"},
                                                                                       {"__builtin__", "exec"},
                                                                                       {"subprocess", "Popen"},
                                                                                       {"torch.storage", "_load_from_bytes"},
                                                                                       {"torch._utils", "_rebuild_sparse_tensor"},
                                                                                       {"torch", "load"},
                                                                                       {"collections", "OrderedDict.fromkeys"},
                                                                                       {"torch.FloatStorage", "from_file"}}) {
        refused(pickle::kStart + pickle::global(module, name) + command + "R.", ErrorKind::unsupported, module + "." + name);
        refused(pickle::kStart + pickle::text(module) + pickle::text(name) + "\x93" + command + "R.", ErrorKind::unsupported,
                module + "." + name);
        refused(pickle::kStart + "(" + pickle::text("echo") + "i" + module + "\n" + name + "\n.", ErrorKind::unsupported,
                module + "." + name);
    }
    refused(pickle::kStart + pickle::global("os\x1b[2J", "x") + ".", ErrorKind::unsupported, "os?[2J.x");
    refused(pickle::kStart + pickle::global("torch", "FloatStorage") + command + "R.", ErrorKind::unsupported, "calls torch.FloatStorage");
    refused(pickle::kStart + pickle::text("x") + command + "R.", ErrorKind::unsupported, "not a function");
    refused(pickle::kStart + "N}b.", ErrorKind::unsupported, "attributes");
    refused(pickle::kStart + pickle::tuple({pickle::text("module")}) + "Q.", ErrorKind::unsupported, "not a storage");
    // Instances, the extension registry, text and out-of-band forms that no checkpoint has.
    for (const char code : {'\x81', '\x92', 'o', '\x82', '\x83', '\x84', 'P', 'I', 'S', 'p', 'g', '\x97', '\x8f'})
        refused(pickle::kStart + pickle::global("collections", "OrderedDict") + "))" + code + "....", ErrorKind::unsupported,
                "operation 0x");
    refused("\x80\x06N.", ErrorKind::unsupported, "protocol 6");
}

TEST_CASE("damaged pickles are errors, never crashes", "[models]") {
    const auto damaged = [](const std::string& bytes, const std::string& word) { refused(bytes, ErrorKind::file, word); };
    damaged("", "too early");
    damaged(pickle::kStart, "too early");
    damaged(pickle::kStart + ".", "not there");
    damaged(pickle::kStart + "(.", "not there");
    damaged(pickle::kStart + "t.", "mark");
    damaged(pickle::kStart + "u.", "mark");
    damaged(pickle::kStart + "N(\x85.", "not there");
    damaged(pickle::kStart + "h\x01.", "never kept");
    damaged(pickle::kStart + "j\xff\xff\xff\xff.", "never kept");
    damaged(pickle::kStart + "Nr\xff\xff\xff\xff.", "remembers");
    damaged(pickle::kStart + "X\xff\xff\xff\x7fx.", "too early");
    damaged(pickle::kStart + "\x8d" + little(std::uint64_t{1} << 63, 8) + "x.", "too early");
    damaged(pickle::kStart + "\x8e" + little(~std::uint64_t{0}, 8) + "x.", "too early");
    damaged(pickle::kStart + "\x8b\xff\xff\xff\xff.", "too early");
    damaged(pickle::kStart + "X\x02\x00\x00\x00\xff\xfe."s, "UTF-8");
    damaged(pickle::kStart + "}(Nu.", "no value");
    damaged(pickle::kStart + "cos", "no end");
    damaged(pickle::kStart + "c" + std::string(2000, 'a') + "\nb\n.", "no end");
    damaged(pickle::kStart + "NN\x93.", "no name");
    const std::string ordered = pickle::global("collections", "OrderedDict"),
                      rebuild = pickle::global("torch._utils", "_rebuild_tensor_v2");
    damaged(pickle::kStart + ordered + "(NtR.", "list");
    damaged(pickle::kStart + ordered + "(](N]etR.", "pairs");
    damaged(pickle::kStart + ordered + "NR.", "arguments");
    damaged(pickle::kStart + rebuild + ")R.", "storage");
    damaged(pickle::kStart + rebuild + pickle::numbers({1, 2, 3, 4}) + "R.", "storage");
    damaged(pickle::kStart + pickle::global("torch._utils", "_rebuild_parameter") + "(NtR.", "tensor");
    damaged(
        pickle::kStart + pickle::tuple({pickle::text("storage"), "N", pickle::text("0"), pickle::text("cpu"), pickle::number(1)}) + "Q.",
        "no type");
}

TEST_CASE("a pickle made to use up memory stops early", "[models]") {
    const auto damaged = [](const std::string& bytes) { refused(bytes, ErrorKind::file, "any checkpoint"); };
    damaged(pickle::kStart + repeated("N", 3 << 20) + ".");
    damaged(pickle::kStart + repeated("(", 3 << 20) + ".");
    damaged(pickle::kStart + "N" + repeated("2", 17 << 20) + ".");
    damaged(pickle::kStart + repeated("]", 3 << 20) + repeated("a", 3 << 20) + ".");
    damaged(pickle::kStart + repeated("K\x01", 17 << 20) + ".");
    // Nested a million deep: read, and let go of, without recursion.
    CHECK(read(pickle::kStart + repeated("]", 1 << 20) + repeated("a", (1 << 20) - 1) + ".").values.size() == 1 << 20);
    // A list of two references to a list of two references ...: 2^200 leaves, 201 lists.
    std::string laughs = pickle::kStart + "]\x94";
    for (int i = 0; i < 200; ++i)
        laughs += "](h" + little(static_cast<std::uint64_t>(i), 1) + "h" + little(static_cast<std::uint64_t>(i), 1) + "e\x94";
    CHECK(read(laughs + ".").values.size() == 201);
    // The same long list of arguments, called again and again.
    const std::string call = pickle::global("torch._utils", "_rebuild_tensor_v2") + "h\x01R";
    const std::string arguments = "(" + pickle::storage("FloatStorage", "0", 1) + repeated("N", 1 << 19) + "tq\x01";
    refused(pickle::kStart + arguments + repeated(call, 1000) + ".", ErrorKind::file, "storage");
    // One long list of pairs, made a dictionary again and again.
    const std::string made = pickle::global("collections", "OrderedDict") + "h\x01R0";
    const std::string pairs = "(](]q\x02(NNe" + repeated("h\x02", 1 << 19) + "etq\x01";
    damaged(pickle::kStart + pairs + repeated(made, 1000) + ".");
}
