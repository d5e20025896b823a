// The arrows between the folders, read from the sources: CONTRIBUTING.md draws them.
#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

const std::filesystem::path kRoot = PERMILLE_SOURCE_DIR;

struct Include {
    std::string name;
    bool quoted = false;
    int line = 0;
};

using Sources = std::map<std::string, std::vector<Include>>;  // by path from the root

std::vector<Include> includes_of(const std::string& text) {
    static const std::regex pattern(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
    std::vector<Include> found;
    std::istringstream lines(text);
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
        ++number;
        std::smatch match;
        if (std::regex_search(line, match, pattern)) found.push_back({match[2], match[1] == "\"", number});
    }
    return found;
}

Sources read_sources() {
    Sources sources;
    for (const char* top : {"app", "core", "ui", "tests"}) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(kRoot / top)) {
            const auto extension = entry.path().extension();
            if (extension != ".h" && extension != ".cpp") continue;
            sources[entry.path().lexically_relative(kRoot).generic_string()] = includes_of(read_text(entry.path()));
        }
    }
    return sources;
}

std::vector<std::string> parts_of(const std::string& path) {
    std::vector<std::string> parts;
    for (const auto& part : std::filesystem::path(path)) parts.push_back(part.string());
    return parts;
}

// "core/nn", "app/cli", "ui"
std::string area_of(const std::string& path) {
    const auto parts = parts_of(path);
    if (parts.size() < 2) return parts.empty() ? "" : parts[0];
    return parts[0] == "ui" ? "ui" : parts[0] + "/" + parts[1];
}

// What each folder of core may include besides itself.
const std::map<std::string, std::set<std::string>> kCoreArrows = {
    {"core/base", {}},
    {"core/text", {"core/base"}},
    {"core/nn", {"core/base"}},
    {"core/metrics", {"core/base"}},
    {"core/store", {"core/base"}},
    {"core/analysis", {"core/base", "core/metrics", "core/store"}},
    {"core/data", {"core/base", "core/text"}},
    {"core/models", {"core/base", "core/text", "core/nn"}},
    {"core/peft", {"core/base", "core/nn"}},
    {"core/train",
     {"core/base", "core/text", "core/nn", "core/metrics", "core/store", "core/data", "core/models", "core/peft", "core/decode"}},
    {"core/decode", {"core/base", "core/text", "core/nn", "core/metrics", "core/data", "core/models", "core/peft"}},
    {"core/hub", {"core/base"}},
    {"core/bases", {"core/base", "core/text", "core/nn", "core/store", "core/models", "core/hub"}},
    {"core/study", {"core/base", "core/nn", "core/metrics", "core/store", "core/models", "core/peft", "core/train", "core/bases"}},
    {"core/run",
     {"core/base", "core/text", "core/nn", "core/metrics", "core/store", "core/data", "core/models", "core/peft", "core/train",
      "core/decode", "core/bases", "core/study"}},
    {"core/moe",
     {"core/base", "core/text", "core/nn", "core/metrics", "core/store", "core/data", "core/models", "core/peft", "core/train",
      "core/decode", "core/bases", "core/run"}},
    {"core/jobs",
     {"core/base", "core/text", "core/nn", "core/metrics", "core/store", "core/data", "core/models", "core/peft", "core/train",
      "core/decode", "core/hub", "core/bases", "core/study", "core/run"}},
};

// Wholly in the library plain_core, which is built and linked without libtorch.
const std::set<std::string> kPlain = {"core/analysis", "core/base", "core/text", "core/data", "core/metrics", "core/store", "core/hub"};

// What a method may know of a model: what all families have in common.
const std::set<std::string> kFamilyFree = {"core/models/architecture.h", "core/models/base_model.h", "core/models/safetensors.h",
                                           "core/models/seq2seq.h", "core/models/torch_file.h"};

// Of these only headers that are free of torch, which another check sees to.
const std::set<std::string> kFaces = {"core/analysis", "core/base", "core/bases", "core/hub",   "core/jobs", "core/metrics",
                                      "core/moe",      "core/peft", "core/run",   "core/study", "core/store"};

bool is_torch(const std::string& include) {
    return include.starts_with("torch/") || include.starts_with("ATen/") || include.starts_with("c10/") || include.starts_with("caffe2/");
}

bool is_qt(const std::string& include) {
    return include.size() > 1 && include[0] == 'Q' && std::isupper(static_cast<unsigned char>(include[1]));
}

// Why this include is not allowed; "" when it is.
std::string objection(const std::string& file, const Include& include) {
    const std::string from = area_of(file);
    const std::string top = parts_of(file).front();
    const std::string to = area_of(include.name);
    if (top == "tests") {
        return include.name.starts_with("catch2/") && file != "tests/support/test.h" ? "Catch2 is included by tests/support/test.h only"
                                                                                     : "";
    }
    if (include.name.starts_with("tests/")) return "only tests include tests";
    if (include.name.starts_with("catch2/")) return "only tests use Catch2";
    if (!include.quoted) {
        if (is_qt(include.name) && top == "core") return "core knows no Qt";
        if (is_torch(include.name) && (top == "ui" || top == "app" || kPlain.contains(from))) return from + " knows no torch";
        return "";
    }
    if (include.name.find('/') == std::string::npos) {
        return include.name.ends_with(".moc") ? "" : "includes are written from the root of the repository";
    }
    if (from == to) return "";
    const std::string target = parts_of(include.name).front();
    if (top == "core") {
        if (target != "core") return "core includes only core";
        if (from == "core/peft" && kFamilyFree.contains(include.name)) return "";
        const auto arrows = kCoreArrows.find(from);
        if (arrows == kCoreArrows.end()) return from + " is not in the list of this test";
        return arrows->second.contains(to) ? "" : from + " may not include " + to;
    }
    if (target == "core") return kFaces.contains(to) ? "" : top + " may not include " + to;
    if (top == "ui") return target == "ui" ? "" : "ui includes only ui and the faces of core";
    return target == "ui" || target == "app" ? "" : from + " may not include " + to;
}

// A family's folder is known to the table of families and to itself.
std::string family_objection(const std::string& file, const Include& include) {
    const auto parts = parts_of(include.name);
    if (!include.quoted || parts.size() < 4 || parts[0] != "core" || parts[1] != "models") return "";
    const std::string folder = "core/models/" + parts[2] + "/";
    if (file.starts_with(folder) || file == "core/models/families.cpp" || file.starts_with("tests/")) return "";
    return "only families.cpp knows the family " + parts[2];
}

void check_nothing(const std::vector<std::string>& complaints) {
    std::string text;
    for (const auto& line : complaints) text += "\n  " + line;
    INFO("includes against the direction:" << text);
    CHECK(complaints.empty());
}

}  // namespace

TEST_CASE("no include points against the direction of the layers", "[house]") {
    std::vector<std::string> complaints;
    const Sources sources = read_sources();
    REQUIRE(sources.size() > 20);
    for (const auto& [file, includes] : sources) {
        for (const auto& include : includes) {
            for (const auto& reason : {objection(file, include), family_objection(file, include)}) {
                if (!reason.empty()) complaints.push_back(file + ":" + std::to_string(include.line) + ": " + include.name + ": " + reason);
            }
        }
    }
    check_nothing(complaints);
}

TEST_CASE("what the window and the command line include is free of torch, however deep", "[house]") {
    const Sources sources = read_sources();
    std::vector<std::string> complaints;
    std::map<std::string, std::string> seen;  // header -> who led here
    std::vector<std::string> open;
    for (const auto& [file, includes] : sources) {
        if (file.starts_with("ui/") || file.starts_with("app/")) open.push_back(file);
    }
    while (!open.empty()) {
        const std::string file = open.back();
        open.pop_back();
        const auto found = sources.find(file);
        if (found == sources.end()) continue;
        for (const auto& include : found->second) {
            if (is_torch(include.name))
                complaints.push_back(file + " includes " + include.name + (seen.count(file) ? ", reached from " + seen[file] : ""));
            if (include.quoted && seen.emplace(include.name, file).second) open.push_back(include.name);
        }
    }
    check_nothing(complaints);
}

TEST_CASE("the check itself finds wrong arrows", "[house]") {
    CHECK(objection("core/base/json.cpp", {"core/store/store.h", true, 1}) == "core/base may not include core/store");
    CHECK(objection("core/store/store.h", {"core/base/spec.h", true, 1}).empty());
    CHECK(objection("core/store/store.h", {"core/study/study.h", true, 1}) == "core/store may not include core/study");
    CHECK(objection("core/models/seq2seq.cpp", {"core/peft/method.h", true, 1}) == "core/models may not include core/peft");
    CHECK(objection("core/metrics/bleu.cpp", {"torch/torch.h", false, 1}) == "core/metrics knows no torch");
    CHECK(objection("core/train/trainer.cpp", {"QString", false, 1}) == "core knows no Qt");
    CHECK(objection("ui/pages/a.cpp", {"core/nn/parts.h", true, 1}) == "ui may not include core/nn");
    CHECK(objection("ui/pages/a.cpp", {"app/cli/console.h", true, 1}) == "ui includes only ui and the faces of core");
    CHECK(objection("core/base/json.cpp", {"json.h", true, 1}) == "includes are written from the root of the repository");
    CHECK(family_objection("core/peft/lora.cpp", {"core/models/m2m100/config.h", true, 1}) == "only families.cpp knows the family m2m100");
    CHECK(family_objection("core/models/families.cpp", {"core/models/m2m100/config.h", true, 1}).empty());
}

TEST_CASE("headers are read once and no file is called utils", "[house]") {
    for (const auto& [file, includes] : read_sources()) {
        INFO(file);
        CHECK(file.find("utils") == std::string::npos);
        if (file.ends_with(".h")) CHECK(read_text(kRoot / file).find("#pragma once") != std::string::npos);
    }
}

// libtorch settles for good what devices there are: core/nn/accelerators.h says when.
TEST_CASE("nobody asks libtorch for a device or a backward pass before its CUDA part is loaded", "[house]") {
    const std::map<std::string, std::vector<std::string>> doors = {
        {"dlopen(", {"core/nn/accelerators.cpp"}},         {"hasCUDA(", {"core/nn/accelerators.cpp"}},
        {"getCUDAHooks(", {"core/nn/accelerators.cpp"}},   {"getAccelerator(", {}},
        {"autograd::backward(", {"core/nn/backward.cpp"}}, {".backward()", {}},
        {"autograd::grad(", {"core/nn/recompute.cpp"}},  // within a backward pass
        {"defaultGenerator(", {"core/nn/dropout.cpp"}},  // shared by all runs on a device: one at a time
    };
    std::set<std::string> used;
    for (const auto& [file, includes] : read_sources()) {
        if (file.starts_with("tests/")) continue;
        const std::string text = read_text(kRoot / file);
        for (const auto& [call, where] : doors) {
            if (text.find(call) == std::string::npos) continue;
            INFO(file << ": " << call);
            CHECK(std::find(where.begin(), where.end(), file) != where.end());
            used.insert(call);
        }
    }
    CHECK(used ==
          std::set<std::string>{"dlopen(", "hasCUDA(", "getCUDAHooks(", "autograd::backward(", "autograd::grad(", "defaultGenerator("});
}

}  // namespace permille::test
