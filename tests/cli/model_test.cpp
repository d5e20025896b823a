// The verbs that run a model, on the tests' own base. What they compute is compared elsewhere; here it is form, order and failures.
#include <algorithm>
#include <cstdlib>

#include "core/base/files.h"
#include "tests/support/fake_hub.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace {

RunOptions with_input(const std::string& input) { return {.input = input}; }

}  // namespace

TEST_CASE("info has the fields of its page", "[cli]") {
    const Ran ran = permille({"info", kBase, "--json"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const Json info = ran.json();
    for (const char* field : {"model_type", "d_model", "encoder_layers", "decoder_layers", "encoder_heads", "decoder_heads", "encoder_ffn",
                              "decoder_ffn", "vocab_size", "parameters", "languages"}) {
        INFO(field);
        CHECK(info.contains(field));
    }
    CHECK(info.at("languages") == Json({"en", "it", "tr"}));
    CHECK(info.at("parameters") == 71808);
    CHECK(permille({"info", kBase}).out.find("parameters") != std::string::npos);
}

TEST_CASE("info works on a folder that holds only config.json", "[cli]") {
    const TemporaryFolder folder;
    std::filesystem::copy_file(std::filesystem::path(kBase) / "config.json", folder / "config.json");
    const Ran ran = permille({"info", folder.path().string(), "--json"});
    CHECK(ran.code == 0);
    CHECK(ran.json().at("parameters").get<std::int64_t>() > 0);
}

TEST_CASE("published models have their published sizes", "[cli]") {
    struct Published {
        std::string name, type;
        std::int64_t d_model, ffn, layers, vocabulary, positions, parameters;
    };
    // Tied tables counted once, fixed positions and the bias of the logits not at all.
    const std::vector<Published> models = {
        {"mBART-25 (cc25)", "mbart", 1024, 4096, 12, 250027, 1024, 610'851'840},
        {"mBART-50-large", "mbart", 1024, 4096, 12, 250054, 1024, 610'879'488},
        {"M2M-100 418M", "m2m_100", 1024, 4096, 12, 128112, 1024, 483'905'536},
        {"M2M-100 1.2B", "m2m_100", 1024, 8192, 24, 128112, 1024, 1'239'470'080},
        {"NLLB-200-distilled-600M", "m2m_100", 1024, 4096, 12, 256206, 1024, 615'073'792},
        {"NLLB-200 1.3B", "m2m_100", 1024, 8192, 24, 256206, 1024, 1'370'638'336},
        {"NLLB-200 3.3B", "m2m_100", 2048, 8192, 24, 256206, 1024, 3'344'863'232},
        {"OPUS-MT base (en-de)", "marian", 512, 2048, 6, 58101, 512, 73'886'208},
    };
    for (const Published& model : models) {
        INFO(model.name);
        const TemporaryFolder folder;
        Json config = {{"model_type", model.type},
                       {"d_model", model.d_model},
                       {"encoder_layers", model.layers},
                       {"decoder_layers", model.layers},
                       {"encoder_attention_heads", model.d_model / 64},
                       {"decoder_attention_heads", model.d_model / 64},
                       {"encoder_ffn_dim", model.ffn},
                       {"decoder_ffn_dim", model.ffn},
                       {"vocab_size", model.vocabulary},
                       {"max_position_embeddings", model.positions},
                       {"scale_embedding", true}};
        if (model.type == "marian") {  // fields without which the published files would mean something else
            config["pad_token_id"] = model.vocabulary - 1;
            config["decoder_start_token_id"] = model.vocabulary - 1;
            config["eos_token_id"] = 0;
            config["static_position_embeddings"] = true;
            config["activation_function"] = "swish";
        }
        write_json(folder / "config.json", config);
        const Ran ran = permille({"info", folder.path().string(), "--json"});
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        CHECK(ran.json().at("parameters") == model.parameters);
        CHECK(ran.json().at("vocab_size") == model.vocabulary);
    }
}

TEST_CASE("info estimates the memory that every method needs, from config.json alone", "[cli]") {
    const TemporaryFolder folder;
    std::filesystem::copy_file(std::filesystem::path(kBase) / "config.json", folder / "config.json");
    const Ran ran = permille({"info", folder.path().string(), "--memory", "--json"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const Json memory = ran.json().at("memory");
    CHECK(memory.at("weights_bytes") == 71808 * 4);
    CHECK(memory.at("inference_bytes").get<std::int64_t>() > 71808 * 4);
    const Json methods = permille({"methods", "--json"}).json();
    REQUIRE(memory.at("training_bytes").size() == methods.size());
    for (const auto& [method, bytes] : memory.at("training_bytes").items()) {
        INFO(method);
        CHECK(bytes.get<std::int64_t>() > 71808 * 4);
    }
    CHECK(permille({"info", folder.path().string(), "--memory", "--dtype", "bfloat16", "--json"}).json().at("memory").at("weights_bytes") <
          71808 * 3);
    CHECK(permille({"info", folder.path().string(), "--memory"}).out.find("training lora") != std::string::npos);
    CHECK_FALSE(permille({"info", folder.path().string(), "--json"}).json().contains("memory"));
}

TEST_CASE("a missing or damaged model is one clear message and exit code 1", "[cli]") {
    const TemporaryFolder folder;
    const Ran missing = permille({"info", "no-such-model", "--json"});
    CHECK(missing.code == 1);
    CHECK(missing.error().at("kind") == "file");
    write_text(folder / "config.json", "{\"model_type\": \"m2m_100\", ");
    const Ran damaged = permille({"info", folder.path().string()});
    CHECK(damaged.code == 1);
    CHECK(damaged.err.find("config.json") != std::string::npos);
    write_text(folder / "config.json", "{\"model_type\": \"gpt2\"}");
    CHECK(permille({"info", folder.path().string()}).code == 1);
}

TEST_CASE("ids go out and come back as text", "[cli]") {
    const std::string lines = "Apri il file.\n\nChiudi la finestra\n";
    const Ran ids = permille({"tokenize", "--model", kBase, "--lang", "it"}, with_input(lines));
    INFO(ids.err);
    REQUIRE(ids.code == 0);
    CHECK(std::count(ids.out.begin(), ids.out.end(), '\n') == 3);
    const Ran text = permille({"detokenize", "--model", kBase}, with_input(ids.out));
    CHECK(text.out == lines);
    CHECK(permille({"tokenize", "--model", kBase, "--lang", "it", "--json"}, with_input(lines)).json().size() == 3);

    const Ran wrong = permille({"detokenize", "--model", kBase}, with_input("5 x 6\n"));
    CHECK(wrong.code == 1);
    CHECK(wrong.err.find("line 1") != std::string::npos);
    const Ran language = permille({"tokenize", "--model", kBase, "--lang", "tlh", "--json"}, with_input("a\n"));
    CHECK(language.code == 1);
    CHECK(language.err.find("en") != std::string::npos);
}

TEST_CASE("translation keeps lines and order, empty ones too", "[cli]") {
    const std::string lines = "Apri il file.\n\nChiudi la finestra.\n";
    const Ran plain = permille({"translate", "-m", kBase, "-s", "it", "-t", "en", "--beam", "2", "--max-length", "20", "--threads", "1"},
                               with_input(lines));
    INFO(plain.err);
    REQUIRE(plain.code == 0);
    CHECK(std::count(plain.out.begin(), plain.out.end(), '\n') == 3);

    const Ran json =
        permille({"translate", "-m", kBase, "-s", "it", "-t", "en", "--beam", "2", "--n-best", "2", "--max-length", "20", "--json"},
                 with_input(lines));
    REQUIRE(json.code == 0);
    const Json document = json.json();
    REQUIRE(document.size() == 3);
    CHECK(document[0].at("ids").size() >= 2);
    CHECK(document[0].at("score").is_number());
    CHECK(document[0].at("alternatives").size() == 2);
    CHECK(document[0].at("alternatives")[0].at("text") == document[0].at("text"));
    CHECK(permille({"translate", "-m", kBase, "-s", "it", "-t", "en"}).code == 0);
    CHECK(permille({"translate", "-m", kBase, "-s", "it", "-t", "en", "--beam", "2", "--n-best", "3", "--json"}, with_input(lines)).code ==
          2);
    const Ran language = permille({"translate", "-m", kBase, "-s", "xx", "-t", "en"}, with_input(lines));
    CHECK(language.code == 1);
    CHECK(language.err.find("it") != std::string::npos);
}

TEST_CASE("score prints a log-probability and a count per pair", "[cli]") {
    const TemporaryFolder folder;
    write_text(folder / "pairs.tsv", "Apri il file.\tOpen the file.\nChiudi.\tClose.\n");
    const Ran ran = permille({"score", "-m", kBase, "-s", "it", "-t", "en", "--input", (folder / "pairs.tsv").string(), "--json"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    REQUIRE(ran.json().size() == 2);
    CHECK(ran.json()[0].at("logprob").get<double>() < 0);
    CHECK(ran.json()[0].at("tokens").get<int>() > 2);
    write_text(folder / "pairs.tsv", "a\tb\nno tab\n");
    const Ran wrong = permille({"score", "-m", kBase, "-s", "it", "-t", "en", "--input", (folder / "pairs.tsv").string()});
    CHECK(wrong.code == 1);
    CHECK(wrong.err.find("pairs.tsv:2") != std::string::npos);
}

TEST_CASE("bleu has score, signature and parts", "[cli]") {
    const TemporaryFolder folder;
    write_text(folder / "ref", "the cat sat on the mat\nthe dog is old\n");
    const Ran ran =
        permille({"bleu", "--ref", (folder / "ref").string(), "--json"}, with_input("the cat sat on the mat\nthe dog is old\n"));
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    CHECK(ran.json().at("score").get<double>() > 99.9);
    CHECK(ran.json().at("signature").get<std::string>().find("tok:13a") != std::string::npos);
    CHECK(ran.json().at("precisions").size() == 4);
    const Ran confident = permille({"bleu", "--ref", (folder / "ref").string(), "--confidence", "--json"},
                                   with_input("the cat sat on a mat\nthe dog is old\n"));
    CHECK(confident.json().at("low").get<double>() <= confident.json().at("high").get<double>());
    const Ran misaligned = permille({"bleu", "--ref", (folder / "ref").string()}, with_input("one line\n"));
    CHECK(misaligned.code == 1);
    CHECK(permille({"bleu", "--ref", (folder / "none").string()}, with_input("a\n")).code == 1);
}

TEST_CASE("budget solves or says why not", "[cli]") {
    const Ran ran = permille({"budget", "-m", kBase, "--method", "all", "--budget", "2%,5‰", "--json"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const Json answers = ran.json();
    REQUIRE(answers.size() >= 10);
    for (const Json& answer : answers) {
        INFO(answer.dump());
        for (const char* field : {"method", "requested", "reachable", "solved", "trainable", "stored", "added", "percent_base",
                                  "percent_total", "peak_memory_bytes", "seconds_per_1000_updates", "reason"})
            CHECK(answer.contains(field));
        if (answer.at("solved").is_null()) CHECK_FALSE(answer.at("reason").get<std::string>().empty());
    }
    CHECK(permille({"budget", "-m", kBase, "--method", "lora", "--budget", "2"}).code == 2);
    const Ran units = permille({"budget", "-m", kBase, "--method", "lora", "--budget", "2k,9kB", "--at-most", "--json"});
    INFO(units.err);
    REQUIRE(units.code == 0);
    REQUIRE(units.json().size() == 2);
    CHECK(units.json()[0].at("budget") == "at most 2k");
    CHECK(units.json()[0].at("size_knob") == "rank");
    CHECK(units.json()[0].at("trainable").get<int>() <= 2000);
    CHECK(units.json()[0].at("trainable").get<int>() > 1000);
    CHECK(units.json()[1].at("file_bytes").get<int>() <= 9000);
    CHECK(units.json()[1].at("stored").get<int>() * 4 < units.json()[1].at("file_bytes").get<int>());
    CHECK(permille({"budget", "-m", kBase, "--method", "lora", "--budget", "2k"}).out.find("rank=") != std::string::npos);
    const Ran tiny = permille({"budget", "-m", kBase, "--method", "lora", "--budget", "100B"});
    CHECK(tiny.code == 0);
    CHECK(tiny.out.find("the file of LoRA reaches") != std::string::npos);
    CHECK(permille({"budget", "-m", kBase, "--method", "lora", "--set", "rnak=2"}).err.find("'rank'") != std::string::npos);
}

TEST_CASE("a hub name is downloaded, found again, and found by Hugging Face's own client", "[cli]") {
    const TemporaryFolder folder;
    const FakeHub hub(FakeHub::tiny_base());
    const auto with = [&](std::vector<std::string> more = {}) {
        RunOptions options;
        options.environment = {"HF_HUB_OFFLINE=0",
                               "HF_ENDPOINT=" + hub.url(),
                               "HF_HOME=" + folder.path().string(),
                               "HF_HUB_CACHE=" + (folder / "hub").string(),
                               "HF_TOKEN=hf_secret",
                               "no_proxy=127.0.0.1,localhost"};
        options.environment.insert(options.environment.end(), more.begin(), more.end());
        return options;
    };
    const Ran ran = permille({"info", FakeHub::kName, "--json"}, with());
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    CHECK(ran.json().at("parameters") == 71808);
    CHECK(ran.json().at("languages") == Json({"en", "it", "tr"}));
    CHECK(ran.json().at("folder") == (folder / "hub/models--tiny--model/snapshots").string() + "/" + FakeHub::kCommit);
    CHECK(hub.hub().requests().front().header("authorization") == "Bearer hf_secret");
    CHECK(hub.hub().requests().front().header("user-agent").starts_with("permille/"));
    CHECK(hub.downloads().count("README.md") == 0);

    // Whole in the cache: no question, with a hub and without one.
    const auto asked = hub.hub().requests().size();
    auto input = with({"HF_HUB_OFFLINE=1"});
    input.input = "Apri il file.\n";
    CHECK(permille({"tokenize", "--model", FakeHub::kName, "--lang", "it"}, input).out ==
          permille({"tokenize", "--model", kBase, "--lang", "it"}, with_input("Apri il file.\n")).out);
    CHECK(permille({"info", FakeHub::kName}, with()).code == 0);
    CHECK(hub.hub().requests().size() == asked);
    CHECK(permille({"info", std::string(FakeHub::kName) + "@v1", "--json"}, with())
              .json()
              .at("folder")
              .get<std::string>()
              .ends_with(FakeHub::kOther));

    const Ran missing = permille({"translate", "-m", "tiny/modle", "-s", "it", "-t", "en", "--json"}, with());
    CHECK(missing.code == 1);
    CHECK(missing.error().at("kind") == "network");
    CHECK(missing.error().at("where") == "tiny/modle");
    const Ran offline = permille({"info", "tiny/other"}, with({"HF_HUB_OFFLINE=1"}));
    CHECK(offline.code == 1);
    CHECK(offline.err.find("HF_HUB_OFFLINE") != std::string::npos);

    // The other client, where it is installed: what we wrote it finds, what it wrote we find.
    const char* named = std::getenv("PERMILLE_PYTHON");
    const std::string python = named ? named : "python3";
    if (run_program(python, {"-c", "import huggingface_hub"}).code != 0) {
        WARN("without huggingface_hub (PERMILLE_PYTHON) its client is not asked");
        return;
    }
    const Ran client = run_program(python,
                                   {"-c", R"(
import huggingface_hub as hub, os, sys
for name in ["config.json", "vocab.json", "sentencepiece.bpe.model", "model.safetensors"]:
    found = hub.try_to_load_from_cache("tiny/model", name)
    assert isinstance(found, str) and os.path.getsize(found) > 0, (name, found)
assert hub.try_to_load_from_cache("tiny/model", "tokenizer.json") is hub._CACHED_NO_EXIST
assert hub.try_to_load_from_cache("tiny/model", "config.json", revision="v1").split("/")[-2] == sys.argv[1]
assert hub.hf_hub_download("tiny/model", "vocab.json", local_files_only=True)
info = next(repo for repo in hub.scan_cache_dir().repos if repo.repo_id == "tiny/model")
assert {ref for revision in info.revisions for ref in revision.refs} == {"main", "v1"} and not hub.scan_cache_dir().warnings
for name in ["config.json", "generation_config.json", "tokenizer_config.json", "vocab.json", "sentencepiece.bpe.model", "model.safetensors"]:
    hub.hf_hub_download("tiny/model", name, cache_dir=sys.argv[2])
)",
                                    FakeHub::kOther, (folder / "theirs").string()},
                                   with());
    INFO(client.err);
    REQUIRE(client.code == 0);
    const Ran theirs =
        permille({"info", FakeHub::kName, "--json"}, with({"HF_HUB_OFFLINE=1", "HF_HUB_CACHE=" + (folder / "theirs").string()}));
    INFO(theirs.err);
    REQUIRE(theirs.code == 0);
    CHECK(theirs.json().at("languages") == Json({"en", "it", "tr"}));
}

}  // namespace permille::test
