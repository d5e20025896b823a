// Adapters worked into their base by the program, on the tests' own base.
#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace {

class Trained {
public:
    Trained() {
        write_text(folder / "text.tsv",
                   "apri la porta\topen the door\nchiudi la finestra\tclose the window\nil file è aperto\tthe file is open\n");
    }
    // An adapter of this method after a few large steps.
    std::string adapter(const std::string& method, const std::vector<std::string>& more = {}) const {
        const std::string out = (folder / (method + std::to_string(more.size()))).string(), text = (folder / "text.tsv").string();
        std::vector<std::string> words = {
            "train", "-m",    kBase, "--method",        method, "--train",          text, "--valid",   text, "-s",
            "it",    "-t",    "en",  "--learning-rate", "0.05", "--warmup-updates", "0",  "--updates", "3",  "--batch-tokens",
            "500",   "--out", out,   "--threads",       "1"};
        words.insert(words.end(), more.begin(), more.end());
        const Ran ran = permille(words);
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        return out;
    }
    std::vector<double> scores(const std::string& model, const std::string& adapter = {}) const {
        std::vector<std::string> words = {"score", "-m", model, "-s", "it", "-t", "en", "--input", (folder / "text.tsv").string(),
                                          "--json"};
        if (!adapter.empty()) words.insert(words.end(), {"-a", adapter});
        const Ran ran = permille(words);
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        std::vector<double> list;
        for (const Json& pair : ran.json()) list.push_back(pair.at("logprob").get<double>());
        return list;
    }
    const TemporaryFolder folder;
};

}  // namespace

TEST_CASE("a merged model scores like base and adapter together", "[cli]") {
    const Trained trained;
    for (const char* method : {"lora", "bitfit", "cross_attention", "lora+layernorm"}) {
        INFO(method);
        const std::string adapter = trained.adapter(method), out = (trained.folder / ("merged " + std::string(method))).string();
        const Ran ran = permille({"merge", "-m", kBase, "-a", adapter, "--out", out, "--json"});
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        CHECK(ran.json().at("parameters") == 71808);
        CHECK(ran.json().at("changed_tensors").get<int>() > 0);
        const auto together = trained.scores(kBase, adapter), merged = trained.scores(out), base = trained.scores(kBase);
        REQUIRE(merged.size() == 3);
        for (std::size_t i = 0; i < merged.size(); ++i) {
            CHECK(std::abs(merged[i] - together[i]) < 1e-3);
            CHECK(std::abs(merged[i] - base[i]) > 0.05);
        }
        for (const char* file : {"tokenizer_config.json", "vocab.json", "sentencepiece.bpe.model", "generation_config.json"})
            CHECK(read_text(std::filesystem::path(out) / file) == read_text(std::filesystem::path(kBase) / file));
        CHECK(permille({"info", out, "--json"}).json().at("languages") == Json({"en", "it", "tr"}));
    }
}

TEST_CASE("LoRA at embeddings is merged into a model whose tables are no longer one", "[cli]") {
    const Trained trained;
    const std::string adapter = trained.adapter("lora", {"--set", "targets=embeddings,v"}), out = (trained.folder / "merged").string();
    const Ran ran = permille({"merge", "-m", kBase, "-a", adapter, "--out", out, "--json"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const std::int64_t table = permille({"info", kBase, "--json"}).json().at("vocab_size").get<std::int64_t>() *
                               permille({"info", kBase, "--json"}).json().at("d_model").get<std::int64_t>();
    CHECK(ran.json().at("parameters") == 71808 + 2 * table);
    CHECK(read_json(std::filesystem::path(out) / "config.json").at("tie_word_embeddings") == false);
    const auto together = trained.scores(kBase, adapter), merged = trained.scores(out), base = trained.scores(kBase);
    for (std::size_t i = 0; i < merged.size(); ++i) {
        CHECK(std::abs(merged[i] - together[i]) < 1e-3);
        CHECK(std::abs(merged[i] - base[i]) > 0.01);
    }
    const Json info = permille({"info", out, "--json"}).json();
    CHECK(info.at("parameters") == 71808 + 2 * table);
    CHECK(info.at("note").get<std::string>().find("model.encoder.embed_tokens.weight") != std::string::npos);
    // It is a base like any other.
    const Ran again = permille({"budget", "-m", out, "--method", "full", "--json"});
    CHECK(again.json().at(0).at("trainable") == 71808 + 2 * table);
    CHECK(again.json().at(0).at("percent_base") == 100.0);
}

TEST_CASE("what pruning removed from every block of a stack is not in the merged model", "[cli]") {
    const Trained trained;
    const std::string adapter = trained.adapter("dsee", {"--set", "neurons=3", "--set", "heads=1", "--set", "stacks=encoder"});
    const std::string out = (trained.folder / "merged").string();
    const Ran ran = permille({"merge", "-m", kBase, "-a", adapter, "--out", out, "--json"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    CHECK(ran.json().at("removed_neurons") == Json{{"encoder", 3}, {"decoder", 0}});
    const Json before = read_json(std::filesystem::path(kBase) / "config.json"),
               after = read_json(std::filesystem::path(out) / "config.json");
    CHECK(after.at("encoder_ffn_dim").get<int>() == before.at("encoder_ffn_dim").get<int>() - 3);
    CHECK(after.at("decoder_ffn_dim") == before.at("decoder_ffn_dim"));
    const int layers = before.at("encoder_layers").get<int>(), width = before.at("d_model").get<int>();
    CHECK(ran.json().at("parameters") == 71808 - layers * 3 * (2 * width + 1));
    CHECK(permille({"info", out, "--json"}).json().at("parameters") == ran.json().at("parameters"));
    const auto together = trained.scores(kBase, adapter), merged = trained.scores(out), base = trained.scores(kBase);
    for (std::size_t i = 0; i < merged.size(); ++i) {
        CHECK(std::abs(merged[i] - together[i]) < 1e-3);
        CHECK(std::abs(merged[i] - base[i]) > 0.05);
    }
}

TEST_CASE("merged weights are stored in the type that is asked for", "[cli]") {
    const Trained trained;
    const std::string adapter = trained.adapter("layernorm");
    const auto place = [&](const char* dtype) { return trained.folder / dtype; };
    for (const char* dtype : {"float32", "float16", "bfloat16"}) {
        const Ran ran = permille({"merge", "-m", kBase, "-a", adapter, "-o", place(dtype).string() + "/", "--dtype", dtype});
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        CHECK(read_json(place(dtype) / "config.json").at("dtype") == dtype);
    }
    const auto size = [&](const char* dtype) { return std::filesystem::file_size(place(dtype) / "model.safetensors"); };
    CHECK(size("float32") > 71808 * 4);
    CHECK(size("float16") < size("float32") - 71808);
    CHECK(size("bfloat16") < size("float16") + 1000);  // the names of the types in the header
    CHECK(permille({"merge", "-m", kBase, "-a", adapter, "-o", (trained.folder / "x").string(), "--dtype", "int8"}).code == 2);
}

TEST_CASE("what cannot be merged is refused and leaves nothing behind", "[cli]") {
    const Trained trained;
    const std::string out = (trained.folder / "out").string();
    const auto refused = [&](const std::vector<std::string>& words, const std::string& kind) {
        std::vector<std::string> all = {"merge", "--json"};
        all.insert(all.end(), words.begin(), words.end());
        const Ran ran = permille(all);
        INFO(ran.err);
        REQUIRE(ran.code == 1);
        CHECK(ran.error().at("kind") == kind);
        CHECK_FALSE(std::filesystem::exists(out));
        CHECK_FALSE(std::filesystem::exists(out + ".part"));
        return ran.error();
    };
    const Json added = refused({"-m", kBase, "-a", trained.adapter("bottleneck"), "-o", out}, "unsupported");
    CHECK(added.at("where") == "bottleneck");
    CHECK(added.at("what").get<std::string>().find("encoder.0.output") != std::string::npos);
    CHECK(refused({"-m", kBase, "-a", trained.adapter("prefix"), "-o", out}, "unsupported").at("where") == "prefix");

    const std::string bitfit = trained.adapter("bitfit"), other = (trained.folder / "other").string();
    REQUIRE(permille({"merge", "-m", kBase, "-a", bitfit, "-o", other}).code == 0);
    CHECK(refused({"-m", other, "-a", bitfit, "-o", out}, "config").at("what").get<std::string>().find("tiny-base") != std::string::npos);
    refused({"-m", kBase, "-a", (trained.folder / "none").string(), "-o", out}, "file");

    const std::string before = read_text(std::filesystem::path(other) / "config.json");
    const Ran again = permille({"merge", "-m", kBase, "-a", bitfit, "-o", other});
    CHECK(again.code == 1);
    CHECK(again.err.find("exists already") != std::string::npos);
    CHECK(read_text(std::filesystem::path(other) / "config.json") == before);
}

TEST_CASE("an adapter is exported to AdapterHub where that has base and method", "[cli]") {
    const Trained trained;
    const std::string out = (trained.folder / "out").string(), adapter = trained.adapter("pfeiffer");
    const Ran other = permille({"adapter", "export", adapter, "-m", kBase, "-o", out, "--json"});
    CHECK(other.code == 1);
    CHECK(other.error().at("kind") == "unsupported");
    CHECK(other.error().at("what").get<std::string>().find("m2m_100") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(out));
    CHECK(permille({"adapter", "export", adapter, "-m", kBase, "-o", trained.folder.path().string()}).err.find("exists already") !=
          std::string::npos);
    CHECK(permille({"adapter", "export", adapter, "-m", kBase, "-o", out, "--layout", "other"}).code == 2);
}

}  // namespace permille::test
