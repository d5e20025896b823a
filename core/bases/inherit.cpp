#include "core/bases/inherit.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <optional>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/base/whole_folder.h"
#include "core/bases/find.h"
#include "core/models/base_model.h"
#include "core/text/m2m100_extension.h"
#include "core/text/sentence_pieces.h"
#include "core/text/tokenizers.h"
#include "core/text/vocabulary_trainer.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

// The pieces of a vocabulary trained on the texts, in the order of their merges. place: of the new model, which no other process makes.
std::vector<std::string> pieces_of(const std::vector<fs::path>& texts, std::int64_t count, const fs::path& place,
                                   const std::stop_token& stop) {
    std::vector<std::string> lines;
    for (const fs::path& text : texts) {
        std::istringstream stream(read_text(text));
        for (std::string line; std::getline(stream, line);) lines.push_back(std::move(line));
    }
    VocabularySettings settings;
    settings.pieces = count;
    const fs::path file = fs::temp_directory_path() / ("permille-pieces-" + sha256(place.string()).substr(0, 16));
    train_vocabulary(lines, settings, file, stop);
    const SentencePieces model(file);
    std::error_code ignored;
    fs::remove(file, ignored);
    std::vector<std::string> pieces;
    for (std::int64_t id = 0; id < model.size(); ++id)
        if (id != model.unk_id() && !model.is_control(id)) pieces.push_back(model.piece(id));
    return pieces;
}

void check_widths(const Architecture& base, const Architecture& like, const std::string& base_name, const std::string& like_name) {
    const auto compare = [&](const char* name, const auto& ours, const auto& theirs) {
        std::ostringstream what;
        if (ours == theirs) return;
        what << "has " << name << ' ' << theirs << ", " << base_name << " has " << ours;
        throw Error(ErrorKind::config, like_name, what.str(), "layers can only be copied between models of the same family and widths");
    };
    compare("model_type", base.model_type, like.model_type);
    compare("d_model", base.d_model, like.d_model);
    compare("encoder_ffn_dim", base.encoder_ffn, like.encoder_ffn);
    compare("decoder_ffn_dim", base.decoder_ffn, like.decoder_ffn);
    compare("encoder_attention_heads", base.encoder_heads, like.encoder_heads);
    compare("decoder_attention_heads", base.decoder_heads, like.decoder_heads);
}

// "model.encoder.layers.3.fc1.weight" -> the same of the layer that it starts as.
std::string inherited_name(const std::string& name, const std::vector<std::int64_t>& encoder, const std::vector<std::int64_t>& decoder) {
    for (const auto& [stem, layers] : {std::pair{"model.encoder.layers.", &encoder}, std::pair{"model.decoder.layers.", &decoder}}) {
        if (!name.starts_with(stem)) continue;
        const std::string rest = name.substr(std::string(stem).size());
        const auto dot = rest.find('.');
        return stem + std::to_string(layers->at(static_cast<std::size_t>(std::stoll(rest.substr(0, dot))))) + rest.substr(dot);
    }
    return name;
}

// [rows, D]: each row the mean of those it starts as; where there are none N(0, std).
at::Tensor extended_table(const at::Tensor& table, const std::vector<std::vector<std::int64_t>>& sources, double std, std::uint64_t seed) {
    const at::Tensor old = table.to(at::kFloat);
    auto generator = at::detail::createCPUGenerator(seed);
    at::Tensor made = at::empty({static_cast<std::int64_t>(sources.size()), old.size(1)}, at::kFloat);
    made.normal_(0, std, generator);
    for (std::size_t i = 0; i < sources.size(); ++i) {
        at::Tensor row = made.select(0, static_cast<std::int64_t>(i));
        if (sources[i].size() == 1) row.copy_(old.select(0, sources[i].front()));
        else if (!sources[i].empty()) row.copy_(old.index_select(0, at::tensor(sources[i], at::kLong)).mean(0));
    }
    return made.to(table.scalar_type());
}

// Ids of tokens in a description, under names such as forced_bos_token_id and bad_words_ids.
void move_ids(Json& value, const ExtendedVocabulary& extended) {
    if (value.is_number_integer() && value.get<std::int64_t>() >= 0) value = extended.moved(value.get<std::int64_t>());
    else if (value.is_array())
        for (Json& item : value) move_ids(item, extended);
}
void move_all_ids(Json& description, const ExtendedVocabulary& extended) {
    for (auto& [name, value] : description.items())
        if (name.ends_with("_token_id") || name.ends_with("_ids") || name == "suppress_tokens" || name == "begin_suppress_tokens")
            move_ids(value, extended);
}

}  // namespace

Json InheritReport::to_json() const {
    Json languages = Json::array();
    for (const auto& [code, id] : added_languages) languages.push_back({{"code", code}, {"id", id}});
    return Json{
        {"folder", folder},         {"parameters", parameters},     {"encoder_layers", encoder_layers}, {"decoder_layers", decoder_layers},
        {"vocab_size", vocab_size}, {"added_pieces", added_pieces}, {"random_rows", random_rows},       {"added_languages", languages}};
}

std::vector<std::int64_t> spread_layers(std::int64_t from, std::int64_t to) {
    std::vector<std::int64_t> layers;
    for (std::int64_t i = 0; i < to; ++i)
        layers.push_back(to == 1 ? 0 : std::llround(static_cast<double>(i * (from - 1)) / static_cast<double>(to - 1)));
    return layers;
}

std::vector<std::int64_t> parse_layers(const std::string& text, std::int64_t count, const std::string& where) {
    const auto fail = [&](const std::string& what) {
        throw Error(
            ErrorKind::config, where, what,
            "give the base's layers, from 0 to " + std::to_string(count - 1) + ", such as 0,2-3, or how many there shall be, such as 6");
    };
    const auto number = [&](const std::string& digits) {
        if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos)
            fail("'" + text + "' names no layers");
        return std::stoll(digits);
    };
    if (text.empty()) return spread_layers(count, count);
    std::vector<std::int64_t> layers;
    if (text.find_first_of(",-") == std::string::npos) {
        if (number(text) < 1 || number(text) > 1000) fail("'" + text + "' layers are none or too many");
        return spread_layers(count, number(text));
    }
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        const auto dash = part.find('-');
        const std::int64_t first = number(part.substr(0, dash)), last = dash == std::string::npos ? first : number(part.substr(dash + 1));
        if (last < first) fail("'" + part + "' goes backwards");
        if (last >= count) fail("layer " + std::to_string(last) + " is not one of the base's " + std::to_string(count));
        for (std::int64_t layer = first; layer <= last; ++layer) layers.push_back(layer);
    }
    if (layers.empty()) fail("'" + text + "' names no layers");
    return layers;
}

namespace {

void inherit(const InheritRequest& request, InheritReport& report, const EventSink& sink, const std::stop_token& stop) {
    const at::NoGradGuard guard;
    const fs::path place = free_place(request.output);
    const fs::path folder = find_model(request.base, sink, stop);
    ModelDescription description = describe_model(folder);
    const Family& family = find_family(description.config, folder.string());
    at::Tensor bias;
    const std::vector<at::Tensor> weights = load_weights(folder, family, description, &bias);
    const Layout& old = description.layout;
    Architecture made = description.architecture;
    if (request.like.empty()) {
        report.encoder_layers = parse_layers(request.encoder_layers, made.encoder_layers, "encoder-layers");
        report.decoder_layers = parse_layers(request.decoder_layers, made.decoder_layers, "decoder-layers");
    } else {
        const Architecture like = describe_model(find_model(request.like, sink, stop)).architecture;
        check_widths(made, like, request.base, request.like);
        report.encoder_layers = spread_layers(made.encoder_layers, like.encoder_layers);
        report.decoder_layers = spread_layers(made.decoder_layers, like.decoder_layers);
    }
    made.encoder_layers = static_cast<std::int64_t>(report.encoder_layers.size());
    made.decoder_layers = static_cast<std::int64_t>(report.decoder_layers.size());

    std::optional<ExtendedVocabulary> extended;
    std::vector<AddedLanguage> languages;
    for (const auto& [code, like] : request.languages) languages.push_back({code, like});
    if (!languages.empty() || !request.texts.empty()) {
        if (made.source_vocab_size)
            throw Error(ErrorKind::unsupported, folder.string(), "has two tables of embeddings",
                        "only a shared vocabulary can be extended");
        std::vector<std::string> pieces;
        if (!request.texts.empty()) {
            log_to(sink, "training a vocabulary of " + std::to_string(request.pieces) + " pieces");
            pieces = pieces_of(request.texts, request.pieces, place, stop);
        }
        extended = extended_m2m100_vocabulary(folder, made.vocab_size, pieces, languages);
        made.vocab_size = extended->rows;
        report.added_pieces = static_cast<std::int64_t>(extended->pieces.size());
        for (std::size_t i = 0; i < languages.size(); ++i) report.added_languages.emplace_back(languages[i].code, extended->languages[i]);
        for (const auto& source : extended->sources) report.random_rows += source.empty() ? 1 : 0;
    }

    const Layout layout = make_layout(made);
    const Json spread = description.config.value("init_std", Json(0.02));
    std::vector<at::Tensor> values;
    for (const ParameterSpec& spec : layout.parameters) {
        const int from = old.parameter(inherited_name(spec.name, report.encoder_layers, report.decoder_layers));
        PERMILLE_ASSERT(from >= 0);
        throw_if_stopped(stop);
        at::Tensor value = weights[static_cast<std::size_t>(from)];
        if (extended && spec.role == ParameterRole::embedding)
            value = extended_table(value, extended->sources, spread.is_number() ? spread.get<double>() : 0.02,
                                   static_cast<std::uint64_t>(request.seed));
        values.push_back(value);
    }
    Json config = description.config;
    config.erase("torch_dtype");  // the older name of what save_model writes
    if (extended) move_all_ids(config, *extended);
    config["encoder_layers"] = made.encoder_layers;
    config["decoder_layers"] = made.decoder_layers;
    if (config.contains("num_hidden_layers")) config["num_hidden_layers"] = made.encoder_layers;
    config["vocab_size"] = made.vocab_size;
    if (config.contains("permille")) config.erase("permille");  // says how the base was trained
    if (!bias.defined() && made.logits_bias) bias = at::zeros({made.vocab_size});

    make_whole_folder(place, [&](const fs::path& part) {
        save_model(part, config, layout, values, values.front().scalar_type(), bias, stop);
        if (fs::exists(folder / "generation_config.json")) {
            Json generation = read_json(folder / "generation_config.json");
            if (extended && generation.is_object()) move_all_ids(generation, *extended);
            write_json(part / "generation_config.json", generation);
        }
        if (extended) save_extended_m2m100(folder, *extended, languages, part);
        else copy_tokenizer(folder, part);
    });
    report.folder = place.string();
    report.parameters = layout.parameter_count();
    report.vocab_size = made.vocab_size;
}

}  // namespace

InheritReport inherit(const InheritRequest& request, const EventSink& sink, const std::stop_token& stop) {
    InheritReport report;
    try {
        inherit(request, report, sink, stop);
    } catch (const Stopped&) {
        report.stopped = true;
    }
    return report;
}

}  // namespace permille
