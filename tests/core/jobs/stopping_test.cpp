// Everything that takes long, asked to stop before it begins: it leaves at the first place where it looks, and leaves nothing behind.
#include <functional>
#include <map>

#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/bases/inherit.h"
#include "core/jobs/data.h"
#include "core/jobs/export.h"
#include "core/jobs/merge.h"
#include "core/models/base_model.h"
#include "core/moe/moefy.h"
#include "core/peft/adapter_file.h"
#include "core/run/pretrain.h"
#include "core/run/texts.h"
#include "core/run/train.h"
#include "core/text/tokenizers.h"
#include "core/text/vocabulary_trainer.h"
#include "tests/support/models.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace fs = std::filesystem;

namespace {

// Paths and contents of what lies below a folder.
std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> found;
    std::error_code code;
    for (const fs::path& path : entries_below(folder, code)) found[path.string()] = fs::is_regular_file(path) ? read_text(path) : "";
    REQUIRE_FALSE(code);
    return found;
}

std::stop_token asked_already() {
    std::stop_source source;
    source.request_stop();
    return source.get_token();
}

}  // namespace

TEST_CASE("work that was asked to stop before it began does nothing and leaves nothing", "[jobs]") {
    const TemporaryFolder folder;
    write_text(folder / "text.tsv", toy_text());
    write_text(folder / "lines.txt", "apri il documento\nchiudi la pagina\n");
    write_text(folder / "packages/app/po/it.po", "msgid \"Open the file now.\"\nmsgstr \"Apri subito il file.\"\n");
    write_text(folder / "base.yaml", "pretrain: tiny\ndirections: [{corpus: none, source: it, target: en}]\n");
    write_text(folder / "recipe.yaml", "recipe: tiny\npackages:\n  - {package: app, licence: MIT}\npairs: [it-en]\n");
    const auto base = golden_model();
    save_adapter(folder / "adapter", attach_method(find_method_by_id("lora", ""), *base->network, {{"rank", 2}}, 1), *base, {});
    const std::string model = base->folder.string();
    const TextInput text{"tsv", {folder / "text.tsv"}, "it", "en"};
    const ImportRequest import{.name = "toy", .text = text, .home = folder / "home"};
    import_corpus(import);
    const fs::path corpus = folder / "home/corpora/toy";
    const auto tokenizer = load_tokenizer(kBase);
    const std::vector<Row> rows = read_rows(folder / "text.tsv", Split::train, "it", "en", 0);
    const std::stop_token stop = asked_already();

    TrainRequest training{.base = kBase, .method = "bitfit", .train_texts = folder / "text.tsv", .valid_texts = folder / "text.tsv"};
    training.source_language = "it";
    training.target_language = "en";
    training.output = folder / "trained";
    MoefyRequest experts{.base = kBase, .texts = folder / "text.tsv", .test_texts = folder / "text.tsv", .active = {1}};
    experts.source_language = "it";
    experts.target_language = "en";
    experts.settings.experts = 2;
    experts.output = folder / "experts";
    ImportRequest again = import;
    again.replace = true;

    const std::map<std::string, std::function<void()>> works = {
        {"hashing a file", [&] { sha256_of_file(folder / "text.tsv", stop); }},
        {"checking a corpus", [&] { Corpus::load(corpus, true, stop); }},
        {"importing over a corpus", [&] { import_corpus(again, {}, stop); }},
        {"writing over a corpus",
         [&] {
             CorpusInfo info = Corpus::load(corpus, false).info();
             write_corpus(corpus, info, {rows, rows, rows}, stop);
         }},
        {"cleaning", [&] { clean_text(text, {}, folder / "clean.tsv", {}, stop); }},
        {"splitting", [&] { split_text(text, {}, folder / "parts", {}, stop); }},
        {"cutting text into tokens", [&] { token_pairs(*tokenizer, rows, "it", "en", stop); }},
        {"training a vocabulary",
         [&] {
             train_vocabulary({"one two three", "four"}, {.pieces = 40}, folder / "pieces", stop);
         }},
        {"merging", [&] { merge_adapter(model, folder / "adapter", folder / "merged", "float32", {}, stop); }},
        {"exporting", [&] { export_to_adapterhub(kBase, folder / "adapter", folder / "exported", "pair", {}, stop); }},
        {"saving a model",
         [&] { save_model(folder.path(), base->config, base->network->layout(), base->network->weights(), at::kFloat, {}, stop); }},
    };
    const auto before = contents(folder.path());
    for (const auto& [name, work] : works) {
        INFO(name);
        CHECK_THROWS_AS(work(), Stopped);
        CHECK(contents(folder.path()) == before);
    }
    // These say it in their report.
    CHECK(build_recipe({(folder / "recipe.yaml").string(), folder / "packages", folder / "home"}, {}, stop).empty());
    CHECK(train_adapter(training, {}, stop).stopped);
    CHECK(inherit({.base = kBase, .encoder_layers = "1", .output = folder / "inherited"}, {}, stop).stopped);
    CHECK(moefy(experts, {}, stop).stopped);
    CHECK(contents(folder.path()) == before);
    CHECK(pretrain(folder / "base.yaml", folder / "work", folder / "made", {}, 0, {}, stop).stopped);
    CHECK_FALSE(fs::exists(folder / "made"));
}

TEST_CASE("opening a base that is open nowhere stops while its weights are hashed", "[jobs]") {
    const TemporaryFolder folder;
    const fs::path copy = folder / "base";
    fs::copy(golden("m2m100"), copy, fs::copy_options::recursive);
    CHECK_THROWS_AS(load_base(copy, at::kCPU, at::kFloat, asked_already()), Stopped);
    CHECK(load_base(copy, at::kCPU, at::kFloat)->fingerprint == golden_base().fingerprint);  // nothing half-open stays behind
}

}  // namespace permille::test
