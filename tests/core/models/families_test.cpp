// What tells the families apart: their configs, published sizes, tables and searches.
#include <cstdlib>

#include "core/base/files.h"
#include "core/decode/beam.h"
#include "core/text/tokenizers.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;
namespace fs = std::filesystem;

namespace {

Json transformer(std::int64_t width, std::int64_t layers, std::int64_t heads, std::int64_t ffn, std::int64_t vocabulary,
                 std::int64_t positions) {
    return {{"d_model", width},
            {"encoder_layers", layers},
            {"decoder_layers", layers},
            {"encoder_attention_heads", heads},
            {"decoder_attention_heads", heads},
            {"encoder_ffn_dim", ffn},
            {"decoder_ffn_dim", ffn},
            {"vocab_size", vocabulary},
            {"max_position_embeddings", positions}};
}

Json with(Json config, const Json& more) {
    config.update(more);
    return config;
}

// With the fields of the published configs that transformers does not look at, where they say something else than the model is.
Json mbart(std::int64_t vocabulary, const Json& more = Json::object()) {
    const Json published = {{"model_type", "mbart"},
                            {"activation_function", "gelu"},
                            {"scale_embedding", true},
                            {"attention_dropout", 0.0},
                            {"normalize_before", true},
                            {"normalize_embedding", true},
                            {"static_position_embeddings", false},
                            {"add_bias_logits", false},
                            {"classif_dropout", 0.0},
                            {"forced_eos_token_id", 2},
                            {"pad_token_id", 1},
                            {"output_past", true},
                            {"num_beams", 5},
                            {"max_length", 200},
                            {"gradient_checkpointing", false}};
    return with(with(transformer(1024, 12, 16, 4096, vocabulary, 1024), published), more);
}

Json opus_en_de() {
    return with(transformer(512, 6, 8, 2048, 58101, 512), {{"model_type", "marian"},
                                                           {"activation_function", "swish"},
                                                           {"scale_embedding", true},
                                                           {"attention_dropout", 0.0},
                                                           {"pad_token_id", 58100},
                                                           {"bos_token_id", 0},
                                                           {"eos_token_id", 0},
                                                           {"decoder_start_token_id", 58100},
                                                           {"bad_words_ids", {{58100}}},
                                                           {"num_beams", 6},
                                                           {"max_length", 512},
                                                           {"static_position_embeddings", true},
                                                           {"normalize_before", false},
                                                           {"normalize_embedding", false},
                                                           {"add_bias_logits", false},
                                                           {"add_final_layer_norm", false}});
}

Architecture describe(const Json& config) { return find_family(config, "config.json").describe(config, "config.json"); }

}  // namespace

TEST_CASE("folders with only a config give the published parameter counts", "[models]") {
    const auto m2m = [](std::int64_t layers, std::int64_t ffn, std::int64_t vocabulary, std::int64_t width = 1024) {
        return with(transformer(width, layers, 16, ffn, vocabulary, 1024), {{"model_type", "m2m_100"}});
    };
    const std::vector<std::pair<Json, std::int64_t>> published = {
        {mbart(250054, {{"decoder_start_token_id", 2}}), 610879488},  // mBART-50-large
        {mbart(250054, {{"activation_function", "relu"}}), 610879488},
        {mbart(250027, {{"task_specific_params", {{"translation_en_to_ro", {{"decoder_start_token_id", 250020}}}}}}),
         610851840},  // mBART-25
        {m2m(12, 4096, 128112), 483905536},
        {m2m(24, 8192, 128112), 1239470080},
        {m2m(12, 4096, 256206), 615073792},         // NLLB-200 600M
        {m2m(24, 8192, 256206), 1370638336},        // 1.3B
        {m2m(24, 8192, 256206, 2048), 3344863232},  // 3.3B
        {opus_en_de(), 73886208},
    };
    const TemporaryFolder folder;
    for (const auto& [config, count] : published) {
        INFO(config.dump());
        write_json(folder / "config.json", config);
        REQUIRE(describe_model(folder.path()).layout.parameter_count() == count);
    }
}

TEST_CASE("mBART and Marian are what their published configs say", "[models]") {
    const Architecture large = describe(mbart(250054));
    CHECK(large.activation == Activation::gelu);
    CHECK(large.pre_norm);
    CHECK(large.embedding_norm);
    CHECK(large.positions == Positions::learned);
    CHECK(large.position_offset == 2);
    CHECK(large.decoder_start_id == 2);  // said nowhere
    CHECK(large.forced_eos_id == 2);
    CHECK(large.start_of(std::vector<int>{7, 2, 250003}) == 250003);
    CHECK(describe(mbart(250027, {{"decoder_start_token_id", 250020}})).decoder_start_id == 250020);
    CHECK_FALSE(describe(mbart(250027, {{"forced_eos_token_id", nullptr}})).forced_eos_id);

    const Architecture opus = describe(opus_en_de());
    CHECK(opus.activation == Activation::swish);
    CHECK_FALSE(opus.pre_norm);
    CHECK_FALSE(opus.embedding_norm);
    CHECK(opus.positions == Positions::marian);
    CHECK(opus.logits_bias);
    CHECK(opus.decoder_start_id == 58100);
    CHECK_FALSE(opus.generates_pad);
    CHECK(opus.start_of(std::vector<int>{7, 0}) == 58100);
    Json bare = opus_en_de();
    for (const char* name : {"pad_token_id", "decoder_start_token_id", "eos_token_id", "bos_token_id"}) bare.erase(name);
    CHECK(describe(bare).pad_id == 58100);
    CHECK(describe(bare).decoder_start_id == 58100);
    CHECK(describe(bare).eos_id == 0);
}

TEST_CASE("two vocabularies make two tables, the projection is the decoder's", "[models]") {
    const Json config =
        with(opus_en_de(), {{"share_encoder_decoder_embeddings", false}, {"vocab_size", 60000}, {"decoder_vocab_size", 58101}});
    const Architecture a = describe(config);
    CHECK(a.source_vocabulary() == 60000);
    CHECK(a.vocab_size == 58101);
    CHECK(make_layout(a).parameter_count() == 73886208 + 60000 * 512);
    const Json untied = with(config, {{"tie_word_embeddings", false}});
    CHECK(make_layout(describe(untied)).parameter_count() == 73886208 + (60000 + 58101) * 512);
    CHECK(make_layout(describe(with(opus_en_de(), {{"tie_word_embeddings", false}}))).parameter_count() == 73886208 + 58101 * 512);

    // Any of the tied names will do.
    const TemporaryFolder folder;
    const auto base = golden_model("marian_separate");
    const auto pairs = golden_pairs("marian_separate");
    const at::Tensor want = logits_of(*base->network, base->network->inference(), batch_of(*base->network, pairs));
    fs::copy_file(golden("marian_separate/config.json"), folder / "config.json");
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (const auto& [name, tensor] : read_safetensors(golden("marian_separate/model.safetensors")))
        tensors.emplace_back(name == "model.decoder.embed_tokens.weight" ? "lm_head.weight" : name, tensor);
    tensors.emplace_back("model.encoder.embed_positions.weight", at::zeros({64, 21}));  // as older conversions stored it
    write_safetensors(folder / "model.safetensors", tensors);
    const auto again = load_base(folder.path(), at::kCPU, at::kFloat);
    require_same(logits_of(*again->network, again->network->inference(), batch_of(*again->network, pairs)), want);
    REQUIRE(again->network->logits_bias().defined());
}

TEST_CASE("a projection of its own is used and trained", "[models]") {
    const Family& family = find_family({{"model_type", "mbart"}}, "test");
    Architecture a = tiny_architecture(family);
    a.tied_projection = false;
    const auto untied = tiny_model(family.describe(family.config(a), "test"));
    const int index = untied->layout().parameter("lm_head.weight");
    REQUIRE(index > 0);
    const Forward forward = untied->inference();
    REQUIRE(untied->output_weight(forward).is_same(untied->weights()[static_cast<std::size_t>(index)]));
    const Attached attached = attach_method(find_method_by_id("full", ""), *untied, Json::object(), 1);
    REQUIRE(attached.trainable() == untied->layout().parameter_count());
}

TEST_CASE("a bias of another vocabulary is refused, one of zeros costs nothing", "[models]") {
    const Architecture a = tiny_architecture(find_family({{"model_type", "marian"}}, "test"));
    const auto weights = random_weights(make_layout(a), 1);
    require_error([&] { Seq2Seq(a, weights, at::ones({49}), at::kFloat); }, ErrorKind::tensor, {"final_logits_bias", "49", "50"});
    REQUIRE_FALSE(Seq2Seq(a, weights, at::zeros({50}), at::kFloat).logits_bias().defined());
    REQUIRE(Seq2Seq(a, weights, at::ones({50}), at::kFloat).logits_bias().defined());
}

TEST_CASE("our config of an architecture says what transformers' does", "[models]") {
    for (const std::string& name : golden_models()) {
        const Json theirs = read_json(golden(name + "/config.json"));
        const Family& family = find_family(theirs, name);
        const Json ours = family.config(family.describe(theirs, name));
        std::size_t compared = 0;
        for (const auto& [key, value] : ours.items()) {
            if (!theirs.contains(key) || theirs[key].is_null()) continue;
            INFO(name << ", " << key);
            CHECK(value == theirs[key]);
            ++compared;
        }
        CHECK(compared >= 20);
    }
}

TEST_CASE("configs of mBART and Marian that make no sense name the field", "[models]") {
    const auto refused = [](const Json& config, const std::string& field) {
        INFO(field);
        require_error([&] { describe(config); }, ErrorKind::config, {"config.json/" + field});
    };
    refused(mbart(250054, {{"d_model", 1000}}), "d_model");
    refused(mbart(250054, {{"pad_token_id", 250054}}), "pad_token_id");
    refused(mbart(250054, {{"decoder_start_token_id", -2}}), "decoder_start_token_id");
    refused(mbart(250054, {{"forced_eos_token_id", 1 << 30}}), "forced_eos_token_id");
    refused(mbart(250054, {{"activation_function", "gelu_new"}}), "activation_function");
    refused(mbart(250054, {{"tie_word_embeddings", 1}}), "tie_word_embeddings");
    refused(mbart(250054, {{"vocab_size", "many"}}), "vocab_size");
    refused(with(opus_en_de(), {{"vocab_size", 58100}}), "pad_token_id");
    refused(with(opus_en_de(), {{"eos_token_id", 58101}}), "eos_token_id");
    refused(with(opus_en_de(), {{"share_encoder_decoder_embeddings", "no"}}), "share_encoder_decoder_embeddings");
    refused(with(opus_en_de(), {{"share_encoder_decoder_embeddings", false}, {"decoder_vocab_size", 0}}), "decoder_vocab_size");
    refused(with(opus_en_de(), {{"share_encoder_decoder_embeddings", false}, {"decoder_vocab_size", 100}}), "pad_token_id");
}

TEST_CASE("greedy and beam search of every family equal transformers' generate", "[models][golden]") {
    const std::string name = GENERATE("marian", "marian_separate", "mbart25", "mbart50");
    const auto base = golden_model(name);
    const Json file = read_json(golden(name + "/decode.json"));
    const auto sources = file["sources"].get<std::vector<std::vector<std::int64_t>>>();
    for (const Json& test : file["cases"]) {
        const Architecture& a = base->network->architecture();
        SearchSettings settings;
        settings.start = test["decoder_start"].get<std::int64_t>();
        settings.beam_size = test["beam_size"].get<std::int64_t>();
        settings.n_best = settings.beam_size;
        settings.max_length = test["max_length"].get<std::int64_t>();
        settings.forced_last = test["forced_last"].get<std::int64_t>();
        if (!test["forced_first"].is_null()) settings.forced_first = test["forced_first"].get<std::int64_t>();
        if (!a.generates_pad) settings.rules.bad_words_ids = {{a.pad_id}};
        const auto got = beam_search(*base->network, nullptr, sources, settings);
        for (std::size_t i = 0; i < sources.size(); ++i) {
            INFO(name << ", beam " << settings.beam_size << ", at most " << settings.max_length << ", start " << *settings.start
                      << ", sentence " << i);
            REQUIRE(got[i].size() == test["ids"][i].size());
            for (std::size_t k = 0; k < got[i].size(); ++k) {
                INFO("candidate " << k << ": " << Json(got[i][k].ids).dump() << " " << got[i][k].score << ", expected "
                                  << test["ids"][i][k].dump());
                REQUIRE(got[i][k].ids == test["ids"][i][k].get<std::vector<std::int64_t>>());
                if (!test["scores"].is_null())
                    REQUIRE_THAT(got[i][k].score, Catch::Matchers::WithinAbs(test["scores"][i][k].get<double>(), 2e-5));
            }
        }
    }
}

// Hidden: writes every golden model, with our own config, for tests/golden/make/check_saved.py to open in transformers.
TEST_CASE("golden models are saved for transformers", "[.][save]") {
    const char* folder = std::getenv("PERMILLE_EXPORT");
    REQUIRE(folder);
    for (const std::string& name : golden_models()) {
        const auto base = golden_model(name);
        const Seq2Seq& model = *base->network;
        const fs::path place = fs::path(folder) / name;
        save_model(place, find_family(base->config, name).config(model.architecture()), model.layout(), model.weights(), at::kFloat,
                   model.logits_bias());
        copy_tokenizer(golden(name), place);
    }
}
