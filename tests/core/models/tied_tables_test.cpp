// Tables that config.json ties but a checkpoint stores with different values, against transformers (tests/golden/make/tied_tables.py).
#include "core/models/tied_tables.h"

#include <ATen/ATen.h>

#include <map>
#include <set>
#include <sstream>

#include "core/base/files.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const std::map<char, std::string> kNames = {{'s', "model.shared.weight"},
                                            {'l', "lm_head.weight"},
                                            {'d', "model.decoder.embed_tokens.weight"},
                                            {'e', "model.encoder.embed_tokens.weight"}};

// Of "s0 l1": tables full of 0 and 1.
TensorMap tables(const std::string& words) {
    TensorMap stored;
    std::istringstream in(words);
    for (std::string word; in >> word;) stored.emplace(kNames.at(word[0]), at::full({6, 4}, word[1] - '0', at::kFloat));
    return stored;
}

// What lies in the three places of a model with this layout.
std::vector<int> places(const Architecture& architecture, const TensorMap& stored) {
    const Layout layout = make_layout(architecture);
    const auto value = [&](const std::string& name) {
        const ParameterSpec& spec = layout.parameters.at(static_cast<std::size_t>(layout.parameter(name)));
        std::vector<std::string> names = spec.aliases;
        names.insert(names.begin(), spec.name);
        for (const auto& one : names)
            if (stored.count(one)) return stored.at(one).flatten()[0].item<int>();
        return -1;
    };
    const int decoder = value(architecture.source_vocab_size ? kNames.at('d') : kNames.at('s'));
    return {architecture.source_vocab_size ? value(kNames.at('e')) : decoder, decoder,
            architecture.tied_projection ? decoder : value(kNames.at('l'))};
}

}  // namespace

TEST_CASE("tables that differ are used where transformers uses them", "[models]") {
    const Json expected = read_json(golden("tied_tables.json"));
    for (const std::string kind : {"shared", "separate"}) {
        REQUIRE(expected[kind].size() >= 15);
        for (const auto& [words, answer] : expected[kind].items()) {
            Architecture architecture = tiny_architecture(families()[0]);
            TensorMap stored = tables(words);
            if (kind == "separate") {
                architecture.source_vocab_size = 6;
                stored.emplace(kNames.at('e'), at::full({6, 4}, 9, at::kFloat));
            }
            const std::string note = settle_tables(architecture, stored, "folder");
            INFO(kind << ": " << words << "; " << note);
            CHECK(places(architecture, stored) == answer.get<std::vector<int>>());
            // Something is said when not all are equal.
            std::set<char> numbers;
            for (std::size_t i = 1; i < words.size(); i += 3) numbers.insert(words[i]);
            CHECK(note.empty() == (numbers.size() == 1));
        }
    }
}

TEST_CASE("what config.json does not tie is not compared", "[models]") {
    Architecture architecture = tiny_architecture(families()[0]);
    architecture.tied_projection = false;
    TensorMap stored = tables("s0 l1");
    CHECK(settle_tables(architecture, stored, "folder").empty());
    CHECK(stored.size() == 2);
    CHECK(places(architecture, stored) == std::vector<int>{0, 0, 1});
}

TEST_CASE("copies of a table are compared as numbers, whatever type they have", "[models]") {
    Architecture architecture = tiny_architecture(families()[0]);
    const at::Tensor table = at::arange(3 << 21, at::kFloat).remainder(1000).reshape({3, 1 << 21});
    TensorMap stored = {{kNames.at('s'), table}, {kNames.at('l'), table.to(at::kHalf)}, {kNames.at('d'), table.t().contiguous().t()}};
    CHECK(settle_tables(architecture, stored, "folder").empty());
    at::Tensor other = table.clone();
    other.flatten()[(3 << 21) - 1] += 1;
    stored = {{kNames.at('s'), table}, {kNames.at('l'), other}};
    CHECK(settle_tables(architecture, stored, "folder") ==
          "config.json ties model.shared.weight with lm_head.weight, but their values differ: the encoder reads model.shared.weight, the "
          "decoder reads model.shared.weight, the projection is lm_head.weight");
    CHECK_FALSE(architecture.tied_projection);

    architecture.tied_projection = true;
    stored = {{kNames.at('s'), table}, {kNames.at('l'), table.narrow(0, 0, 2)}};
    require_error([&] { settle_tables(architecture, stored, "folder"); }, ErrorKind::tensor,
                  {"folder, lm_head.weight", "model.shared.weight"});
}

TEST_CASE("a checkpoint with a projection of its own gives the logits of a model that has one", "[models]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    const at::Tensor projection = base->network->weights()[0].flip({0}).contiguous();
    Json config = base->config;
    std::vector<std::pair<std::string, at::Tensor>> tensors = {{kNames.at('l'), projection}};
    for (const auto& [name, tensor] : read_safetensors(golden("m2m100/model.safetensors"))) tensors.emplace_back(name, tensor);
    for (const bool tied : {true, false}) {
        config["tie_word_embeddings"] = tied;
        write_json(folder / (tied ? "tied" : "own") / "config.json", config);
        write_safetensors(folder / (tied ? "tied" : "own") / "model.safetensors", tensors);
    }
    const auto tied = load_base(folder / "tied", at::kCPU, at::kFloat), own = load_base(folder / "own", at::kCPU, at::kFloat);
    CHECK(tied->note.find("the projection is lm_head.weight") != std::string::npos);
    CHECK(own->note.empty());
    CHECK(base->note.empty());
    CHECK_FALSE(tied->network->architecture().tied_projection);
    REQUIRE(tied->network->weights().size() == own->network->weights().size());
    for (std::size_t i = 0; i < own->network->weights().size(); ++i)
        require_same(tied->network->weights()[i], own->network->weights()[i], own->network->layout().parameters[i].name);
}

TEST_CASE("a description of what is stored counts the tables that differ", "[models]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    const at::Tensor table = base->network->weights()[0];
    const std::int64_t one = base->network->layout().parameter_count();
    const auto store = [&](const TensorMap& more) {
        std::vector<std::pair<std::string, at::Tensor>> tensors(more.begin(), more.end());
        for (const auto& [name, tensor] : read_safetensors(golden("m2m100/model.safetensors"))) tensors.emplace_back(name, tensor);
        write_safetensors(folder / "model.safetensors", tensors);
    };
    const auto counted = [&] { return describe_stored(folder.path()).layout.parameter_count(); };
    write_json(folder / "config.json", base->config);
    CHECK(counted() == one);  // no weights yet
    store({});
    CHECK(counted() == one);
    store({{kNames.at('l'), table.flip({0}).contiguous()}});
    CHECK(counted() == one + table.numel());
    CHECK(describe_stored(folder.path()).note.find("the projection is lm_head.weight") != std::string::npos);
    CHECK(describe_model(folder.path()).layout.parameter_count() == one);
    store({{kNames.at('l'), table.flip({0}).contiguous()}, {kNames.at('e'), table + 1}});
    CHECK(counted() == one + 2 * table.numel());
    CHECK(counted() == load_base(folder.path(), at::kCPU, at::kFloat)->network->layout().parameter_count());
    store({{kNames.at('l'), table.clone()}, {kNames.at('e'), table.clone()}});
    CHECK(counted() == one);
    // What is wrong with the weights is for loading to say.
    write_text(folder / "model.safetensors", "damaged");
    CHECK(counted() == one);
}
