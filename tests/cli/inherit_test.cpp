// Models that start from the tests' own base, made by the program.
#include <algorithm>

#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace {

class Workplace {
public:
    Workplace() {
        write_text(folder / "pairs.tsv", "apri la porta\topen the door\nchiudi la finestra\tclose the window\n");
        std::string basque;
        for (const char* line : {"etxea mendi berde baten gainean dago", "fitxategi guztiak irekitzen ditugu leihoa itxi aurretik",
                                 "erabiltzailearen errore mezua da", "ireki fitxategia eta gorde aldaketak", "leiho berria itxi da",
                                 "mendiak eta etxeak berdeak dira", "aldaketak gorde nahi dituzu"})
            basque += std::string(line) + "\n";
        write_text(folder / "basque.txt", basque);
    }
    std::string place(const std::string& name) const { return (folder / name).string(); }
    std::vector<double> scores(const std::string& model) const {
        const Ran ran = permille({"score", "-m", model, "-s", "it", "-t", "en", "--input", place("pairs.tsv"), "--json"});
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        std::vector<double> list;
        for (const Json& pair : ran.json()) list.push_back(pair.at("logprob").get<double>());
        return list;
    }
    Json inherit(const std::vector<std::string>& more) const {
        std::vector<std::string> words = {"inherit", "-m", kBase, "--json"};
        words.insert(words.end(), more.begin(), more.end());
        const Ran ran = permille(words);
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        return ran.json();
    }
    const TemporaryFolder folder;
};

}  // namespace

TEST_CASE("layers are copied into a model of its own", "[cli]") {
    const Workplace work;
    const Json same = work.inherit({"--encoder-layers", "0-1", "--out", work.place("same")});
    CHECK(same.at("parameters") == 71808);
    CHECK(work.scores(work.place("same")) == work.scores(kBase));
    for (const char* file : {"vocab.json", "sentencepiece.bpe.model", "tokenizer_config.json", "generation_config.json"})
        CHECK(read_text(work.folder / "same" / file) == read_text(std::filesystem::path(kBase) / file));

    const Json deeper = work.inherit({"--encoder-layers", "4", "--decoder-layers", "1,0,1", "--out", work.place("deeper")});
    CHECK(deeper.at("encoder_layers") == Json({0, 0, 1, 1}));
    CHECK(deeper.at("decoder_layers") == Json({1, 0, 1}));
    const Json info = permille({"info", work.place("deeper"), "--json"}).json();
    CHECK(info.at("encoder_layers") == 4);
    CHECK(info.at("decoder_layers") == 3);
    CHECK(info.at("parameters") == deeper.at("parameters"));
    CHECK(work.scores(work.place("deeper")) != work.scores(kBase));

    // Back from there to the layers that it came from.
    std::vector<std::string> back = {"inherit", "-m",    work.place("deeper"), "--encoder-layers", "0,2", "--decoder-layers",
                                     "1-2",     "--out", work.place("back")};
    REQUIRE(permille(back).code == 0);
    CHECK(work.scores(work.place("back")) == work.scores(kBase));
    CHECK(read_text(work.folder / "back" / "model.safetensors") == read_text(work.folder / "same" / "model.safetensors"));

    const Json like = work.inherit({"--like", work.place("deeper"), "--out", work.place("like")});
    CHECK(like.at("encoder_layers") == Json({0, 0, 1, 1}));
    CHECK(like.at("decoder_layers") == Json({0, 1, 1}));
}

TEST_CASE("added pieces and languages leave the rest of the model as it was", "[cli]") {
    const Workplace work;
    const Json report = work.inherit(
        {"--language", "sw=it", "--language", "eu", "--text", work.place("basque.txt"), "--pieces", "90", "--out", work.place("more")});
    CHECK(report.at("added_pieces").get<int>() > 20);
    REQUIRE(report.at("added_languages").size() == 2);
    CHECK(report.at("vocab_size").get<int>() % 8 == 0);
    const Json info = permille({"info", work.place("more"), "--json"}).json();
    CHECK(info.at("languages") == Json({"en", "it", "sw", "tr", "eu"}));
    CHECK(info.at("vocab_size") == report.at("vocab_size"));
    CHECK(info.at("parameters") == 71808 + (report.at("vocab_size").get<int>() - 904) * 32);

    const auto count = [](const std::string& model, const std::string& text) {
        const Ran ran = permille({"tokenize", "-m", model, "-l", "en"}, {.input = text + "\n"});
        REQUIRE(ran.code == 0);
        return std::count(ran.out.begin(), ran.out.end(), ' ');
    };
    CHECK(count(work.place("more"), "fitxategi guztiak") < count(kBase, "fitxategi guztiak"));
    // The languages move with their rows; a text that the new pieces do not touch has the score that it had, but for the longer softmax.
    const auto before = work.scores(kBase), after = work.scores(work.place("more"));
    for (std::size_t i = 0; i < before.size(); ++i) {
        CHECK(after[i] < before[i]);
        CHECK(after[i] > before[i] - 3);
    }
    const Ran translated = permille({"translate", "-m", work.place("more"), "-s", "it", "-t", "eu", "--max-length", "8", "--json"},
                                    {.input = "apri la porta\n"});
    INFO(translated.err);
    REQUIRE(translated.code == 0);
    CHECK(translated.json()[0].at("ids")[1] == report.at("added_languages")[1].at("id"));
    CHECK(permille({"inherit", "-m", work.place("more"), "--language", "eu", "--out", work.place("again")}).code == 1);
}

TEST_CASE("a recipe goes on from a model that is there", "[cli]") {
    const Workplace work;
    write_text(work.folder / "toy.tsv", toy_text());
    const RunOptions options{.environment = {"PERMILLE_HOME=" + work.place("home")}};
    const Ran imported = permille({"data", "import", work.place("toy.tsv"), "-s", "it", "-t", "en", "-n", "toy", "--test-sentences", "6",
                                   "--valid-sentences", "6", "--held-out-percent", "20"},
                                  options);
    INFO(imported.err);
    REQUIRE(imported.code == 0);
    work.inherit({"--encoder-layers", "3", "--language", "eu", "--out", work.place("start")});
    const std::string recipe = "pretrain: on\nstart: " + work.place("start") +
                               "\ndirections: [{corpus: toy, source: it, target: en}]\nepoch_examples: 100\ntraining: {updates: 3, "
                               "warmup_updates: 0, batch_tokens: 200, learning_rate: 0.01, validate_every: 0, checkpoint_every: 0}\n";
    write_text(work.folder / "on.yaml", recipe);
    const Ran ran = permille({"pretrain", work.place("on.yaml"), "--out", work.place("on"), "--threads", "1"}, options);
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const Json before = permille({"info", work.place("start"), "--json"}).json(),
               after = permille({"info", work.place("on"), "--json"}).json();
    for (const char* fact : {"parameters", "encoder_layers", "vocab_size", "languages"}) CHECK(after.at(fact) == before.at(fact));
    const auto old = work.scores(work.place("start")), scores = work.scores(work.place("on"));
    for (std::size_t i = 0; i < old.size(); ++i) {
        CHECK(scores[i] != old[i]);
        CHECK(std::abs(scores[i] - old[i]) < 25);  // three updates, not a new model
    }
    CHECK(read_json(work.folder / "on" / "config.json").at("permille").at("start") == work.place("start"));

    for (const char* section : {"model: {d_model: 32}", "vocabulary: {pieces: 800}"}) {
        write_text(work.folder / "on.yaml", recipe + section + "\n");
        const Ran refused = permille({"pretrain", work.place("on.yaml"), "--out", work.place("refused")}, options);
        CHECK(refused.code == 1);
        CHECK(refused.err.find("permille inherit") != std::string::npos);
        CHECK_FALSE(std::filesystem::exists(work.place("refused")));
    }
    write_text(work.folder / "on.yaml", "start: " + work.place("none") + recipe.substr(recipe.find("\ndirections")) + "pretrain: on\n");
    CHECK(permille({"pretrain", work.place("on.yaml"), "--out", work.place("refused")}, options).code == 1);
    CHECK_FALSE(std::filesystem::exists(work.place("refused")));
}

TEST_CASE("what cannot be inherited is refused and leaves nothing behind", "[cli]") {
    const Workplace work;
    const std::string out = work.place("out");
    const auto refused = [&](const std::vector<std::string>& more, int code, const std::string& word) {
        std::vector<std::string> words = {"inherit", "-m", kBase, "--json", "--out", out};
        words.insert(words.end(), more.begin(), more.end());
        const Ran ran = permille(words);
        INFO(ran.err);
        REQUIRE(ran.code == code);
        CHECK(ran.err.find(word) != std::string::npos);
        CHECK(ran.out.empty());
        CHECK_FALSE(std::filesystem::exists(out));
        CHECK_FALSE(std::filesystem::exists(out + ".part"));
    };
    refused({}, 2, "nothing is to be changed");
    refused({"--encoder-layers", "0,2"}, 1, "layer 2 is not one of the base's 2");
    refused({"--encoder-layers", "x"}, 1, "names no layers");
    refused({"--like", kBase, "--encoder-layers", "2"}, 2, "--like");
    refused({"--language", "it"}, 1, "already");
    refused({"--language", "eu=xx"}, 1, "xx");
    refused({"--text", work.place("none.txt")}, 1, "none.txt");
    refused({"--text", work.place("basque.txt"), "--pieces", "5000"}, 1, "fewer pieces");
    refused({"--text", work.place("basque.txt"), "--pieces", "3"}, 2, "--pieces");

    const std::string wide = work.place("wide");
    std::filesystem::create_directory(wide);
    Json config = read_json(kBase + "/config.json");
    config["encoder_ffn_dim"] = 128;
    write_json(wide + "/config.json", config);
    refused({"--like", wide}, 1, "encoder_ffn_dim 128");
    config["model_type"] = "marian";
    write_json(wide + "/config.json", config);
    refused({"--like", wide}, 1, "marian");

    const Ran there = permille({"inherit", "-m", kBase, "--encoder-layers", "1", "--out", work.folder.path().string()});
    CHECK(there.code == 1);
    CHECK(there.err.find("exists already") != std::string::npos);
}

}  // namespace permille::test
