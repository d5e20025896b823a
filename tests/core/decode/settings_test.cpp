#include "core/decode/search.h"

#include <set>

#include "core/base/files.h"
#include "tests/support/runs.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

TEST_CASE("new decoding settings leave the key of a run that does not use them as it was", "[decode]") {
    RunSpec spec = some_run();
    spec.budget_percent = 2;
    REQUIRE(spec.key() == "2a0f49014340a57c67bc408eb8e48f60");  // of version 1, kept in tests/golden/store/version1.db
    spec.method = "none";
    REQUIRE(spec.key() == "b70c0a68a872434708fa66716e2ed24a");
    std::set<std::string> keys = {spec.key()};
    for (const Field& field : DecodingSettings::fields().list()) {
        RunSpec other = spec;
        const Json value = field.type == FieldType::boolean  ? Json(true)
                           : field.type == FieldType::choice ? Json(field.choices.back())
                           : field.type == FieldType::text   ? Json("[[5]]")
                           : field.max == 1.0                ? Json(0.5)
                                                             : Json(3);
        DecodingSettings::fields().apply(other.decoding, Json{{field.name, value}}, "test");
        INFO(field.name);
        if (field.name == "batch_tokens") CHECK(other.key() == spec.key());
        else CHECK(keys.insert(other.key()).second);
    }
}

TEST_CASE("what is given goes before the model's generation_config.json, and that before our defaults", "[decode]") {
    const TemporaryFolder folder;
    REQUIRE(DecodingSettings::of_model(folder.path()).beam_size == 5);
    REQUIRE(DecodingSettings::of_model(folder.path()).early_stopping == "true");

    write_text(folder / "generation_config.json", R"({"num_beams": 6, "max_length": 512, "length_penalty": 0.8, "no_repeat_ngram_size": 3,
        "bad_words_ids": [[58100]], "forced_eos_token_id": 0, "renormalize_logits": true, "early_stopping": null})");
    DecodingSettings settings = DecodingSettings::of_model(folder.path());
    CHECK(settings.beam_size == 6);
    CHECK(settings.max_length == 512);
    CHECK(settings.length_penalty == 0.8);
    CHECK(settings.no_repeat_ngram_size == 3);
    CHECK(settings.early_stopping == "false");  // transformers' own, as the file describes a search without naming it
    CHECK_FALSE(settings.sample);
    DecodingSettings::fields().apply(settings, Json{{"beam_size", "2"}, {"early_stopping", "never"}}, "");
    CHECK(settings.beam_size == 2);
    CHECK(settings.max_length == 512);

    Architecture architecture;
    architecture.forced_eos_id = 7;
    const SearchSettings search = search_settings(settings, generation_config(folder.path()), architecture);
    CHECK(search.beam_size == 2);
    CHECK(search.early_stopping == EarlyStopping::never);
    CHECK(search.forced_last == 0);
    CHECK(search.rules.bad_words_ids == std::vector<Tokens>{{58100}});
    CHECK(search.rules.renormalize_logits);
    CHECK(search_settings(settings, Json::object(), architecture).forced_last == 7);
    settings.forced_eos_token_id = 9;
    settings.forced_bos_token_id = 8;
    CHECK(search_settings(settings, generation_config(folder.path()), architecture).forced_last == 9);
    CHECK(search_settings(settings, generation_config(folder.path()), architecture).forced_first == 8);
}

TEST_CASE("older checkpoints have the settings of generation in config.json", "[decode]") {
    const TemporaryFolder folder;
    write_text(folder / "config.json", R"({"num_beams": 4, "max_length": 300, "early_stopping": true, "min_new_tokens": 5})");
    const DecodingSettings settings = DecodingSettings::of_model(folder.path());
    CHECK(settings.beam_size == 4);
    CHECK(settings.max_length == 300);
    CHECK(settings.early_stopping == "true");
    CHECK(settings.min_length == 6);
    write_text(folder / "generation_config.json", R"({"do_sample": true, "temperature": 0.7})");
    const DecodingSettings sampling = DecodingSettings::of_model(folder.path());
    CHECK(sampling.sample);
    CHECK(sampling.top_k == 50);
    CHECK(sampling.temperature == 0.7);
    CHECK(sampling.beam_size == 5);
}

TEST_CASE("a generation_config.json that is wrong or asks for what is not done is an error that names the field", "[decode]") {
    const TemporaryFolder folder;
    write_text(folder / "generation_config.json", R"({"num_beams": 0})");
    require_error([&] { DecodingSettings::of_model(folder.path()); }, ErrorKind::config, {"generation_config.json", "beam_size"});
    const Architecture architecture;
    const DecodingSettings settings;
    const auto make = [&](const Json& file, const DecodingSettings& given) {
        return [&, file] { search_settings(given, file, architecture); };
    };
    require_error(make({{"bad_words_ids", {1, 2}}}, settings), ErrorKind::config, {"generation_config.json/bad_words_ids"});
    require_error(make({{"suppress_tokens", {-1}}}, settings), ErrorKind::config, {"suppress_tokens", "-1"});
    require_error(make({{"forced_eos_token_id", "x"}}, settings), ErrorKind::config, {"forced_eos_token_id"});
    require_error(make({{"diversity_penalty", 0.5}}, settings), ErrorKind::unsupported, {"diversity_penalty"});
    CHECK_NOTHROW(make({{"diversity_penalty", 0.0}, {"num_beam_groups", 1}, {"typical_p", 0.9}, {"sequence_bias", nullptr}}, settings)());
    DecodingSettings sampling;
    sampling.sample = true;
    require_error(make({{"typical_p", 0.9}}, sampling), ErrorKind::unsupported, {"typical_p"});
    DecodingSettings words;
    words.bad_words_ids = "5, 6";
    require_error(make(Json::object(), words), ErrorKind::config, {"bad_words_ids"});
    require_error([&] { LogitsProcessors({.bad_words_ids = {{60}}}, 2, 50, false); }, ErrorKind::config, {"bad_words_ids", "60", "50"});
}
