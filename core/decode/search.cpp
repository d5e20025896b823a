#include "core/decode/search.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>

#include "core/base/error.h"
#include "core/models/seq2seq.h"
#include "core/nn/device.h"

namespace permille {

namespace {

std::string in_file(const char* name) {
    std::string where = "generation_config.json/";
    return where += name;
}

std::int64_t token(const Json& value, const std::string& where) {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0)
        throw Error(ErrorKind::config, where, value.dump() + " is not a token id");
    return value.get<std::int64_t>();
}

Tokens token_list(const Json& value, const std::string& where) {
    if (value.is_null()) return {};
    if (!value.is_array()) throw Error(ErrorKind::config, where, value.dump() + " is not a list of token ids", "write [5, 17]");
    Tokens tokens;
    for (const Json& item : value) tokens.push_back(token(item, where));
    return tokens;
}

std::vector<Tokens> word_lists(const Json& value, const std::string& where) {
    if (value.is_null()) return {};
    if (!value.is_array())
        throw Error(ErrorKind::config, where, value.dump() + " is not a list of lists of token ids", "write [[5], [17, 4]]");
    std::vector<Tokens> words;
    for (const Json& item : value) words.push_back(token_list(item, where));
    return words;
}

std::vector<Tokens> given_words(const std::string& text) {
    if (text.empty()) return {};
    Json value;
    try {
        value = parse_json(text, "bad_words_ids");
    } catch (const Error&) {
        throw Error(ErrorKind::config, "bad_words_ids", "'" + text + "' is not a list of lists of token ids", "write [[5], [17, 4]]");
    }
    return word_lists(value, "bad_words_ids");
}

// A token that may be missing; a list of one is that one, as some files have it.
std::optional<std::int64_t> forced(const Json& file, const char* name) {
    if (!file.contains(name) || file[name].is_null()) return std::nullopt;
    const Json& value = file[name];
    return token(value.is_array() && value.size() == 1 ? value[0] : value, in_file(name));
}

// What we do not do is refused where it would change the output, not passed over.
void refuse_unknown(const Json& file, bool sampling) {
    struct Unknown {
        const char* name;
        Json off;
        bool only_sampling;
    };
    static const std::vector<Unknown> list = {{"sequence_bias", nullptr, false},
                                              {"exponential_decay_length_penalty", nullptr, false},
                                              {"guidance_scale", 1, false},
                                              {"num_beam_groups", 1, false},
                                              {"diversity_penalty", 0, false},
                                              {"penalty_alpha", 0, false},
                                              {"constraints", nullptr, false},
                                              {"force_words_ids", nullptr, false},
                                              {"watermarking_config", nullptr, false},
                                              {"stop_strings", nullptr, false},
                                              {"typical_p", 1, true},
                                              {"min_p", 0, true},
                                              {"top_h", nullptr, true},
                                              {"epsilon_cutoff", 0, true},
                                              {"eta_cutoff", 0, true}};
    for (const Unknown& unknown : list) {
        if (!file.contains(unknown.name) || (unknown.only_sampling && !sampling)) continue;
        const Json& value = file[unknown.name];
        if (value.is_null() || value == unknown.off) continue;
        throw Error(ErrorKind::unsupported, in_file(unknown.name), value.dump() + " asks for something that is not done here",
                    "take the field out of the model's generation_config.json");
    }
}

}  // namespace

SearchSettings search_settings(const DecodingSettings& settings, const Json& generation_config, const Architecture& architecture) {
    const Json file = generation_config.is_object() ? generation_config : Json::object();
    SearchSettings search;
    search.beam_size = settings.beam_size;
    search.length_penalty = settings.length_penalty;
    search.max_length = settings.max_length;
    search.batch_tokens = settings.batch_tokens;
    search.early_stopping = settings.early_stopping == "true"    ? EarlyStopping::yes
                            : settings.early_stopping == "false" ? EarlyStopping::no
                                                                 : EarlyStopping::never;
    search.forced_first = settings.forced_bos_token_id >= 0 ? settings.forced_bos_token_id : forced(file, "forced_bos_token_id");
    search.forced_last = settings.forced_eos_token_id >= 0 ? settings.forced_eos_token_id : forced(file, "forced_eos_token_id");
    if (!search.forced_last) search.forced_last = architecture.forced_eos_id;

    LogitsRules& rules = search.rules;
    rules.min_length = settings.min_length;
    rules.no_repeat_ngram_size = settings.no_repeat_ngram_size;
    rules.encoder_no_repeat_ngram_size = settings.encoder_no_repeat_ngram_size;
    rules.repetition_penalty = settings.repetition_penalty;
    rules.encoder_repetition_penalty = settings.encoder_repetition_penalty;
    const auto listed = [&](const char* name) { return file.contains(name) ? file[name] : Json(); };
    rules.bad_words_ids = word_lists(listed("bad_words_ids"), in_file("bad_words_ids"));
    if (!architecture.generates_pad) rules.bad_words_ids.push_back({architecture.pad_id});
    for (Tokens& word : given_words(settings.bad_words_ids)) rules.bad_words_ids.push_back(std::move(word));
    rules.suppress_tokens = token_list(listed("suppress_tokens"), in_file("suppress_tokens"));
    rules.begin_suppress_tokens = token_list(listed("begin_suppress_tokens"), in_file("begin_suppress_tokens"));
    const Json renormalise = listed("renormalize_logits");
    rules.renormalize_logits = renormalise.is_boolean() && renormalise.get<bool>();

    search.truncation = {settings.temperature, settings.top_k, settings.top_p};
    search.seed = static_cast<std::uint64_t>(settings.sample_seed);
    refuse_unknown(file, settings.sample);
    return search;
}

std::vector<SearchTask> one_task_each(std::size_t sources, const Attachment* attachment) {
    std::vector<SearchTask> tasks(sources);
    for (std::size_t i = 0; i < sources; ++i) tasks[i] = {i, attachment};
    return tasks;
}

std::vector<Share> shares_of(const std::vector<SearchTask>& batch) {
    std::vector<Share> shares;
    for (const SearchTask& task : batch) {
        if (shares.empty() || shares.back().attachment != task.attachment) shares.push_back({task.attachment, 0});
        ++shares.back().sentences;
    }
    return shares;
}

namespace {

// The attachments of the tasks, in an order in which neighbours share most of the base: those with own copies of its parameters are last.
std::vector<const Attachment*> attachments_of(const std::vector<SearchTask>& tasks) {
    std::vector<const Attachment*> list;
    for (const SearchTask& task : tasks)
        if (std::find(list.begin(), list.end(), task.attachment) == list.end()) list.push_back(task.attachment);
    const auto copies = [](const Attachment* attachment) {
        if (!attachment) return std::ptrdiff_t{0};
        return std::count_if(attachment->parameters.begin(), attachment->parameters.end(), [](const auto& own) { return own.defined(); });
    };
    std::stable_sort(list.begin(), list.end(), [&](auto a, auto b) { return copies(a) < copies(b); });
    return list;
}

using Places = std::vector<std::size_t>;

// Places of tasks in batches. What fills batches by itself stays by itself, for a mixed batch gains nothing but when it saves others; what
// is left of all attachments is mixed.
std::vector<Places> batches_of(const Seq2Seq& model, const std::vector<SearchTask>& tasks, const std::vector<Tokens>& sources,
                               const SearchSettings& settings, std::int64_t hypotheses) {
    const bool limited = !model.device().is_cpu();
    const std::int64_t longest = std::min(settings.max_length, model.architecture().max_positions);
    const std::int64_t bytes = limited ? device_memory(model.device()).free / 2 : 0;
    const auto length = [&](std::size_t task) { return sources[tasks[task].source].size(); };
    const auto cut = [&](Places places, std::vector<Places>& batches, Places* rest) {
        std::stable_sort(places.begin(), places.end(), [&](auto a, auto b) { return length(a) > length(b); });
        for (std::size_t from = 0; from < places.size();) {
            const auto tokens = static_cast<std::int64_t>(length(places[from]));
            std::int64_t most = settings.batch_tokens / std::max<std::int64_t>(1, tokens * hypotheses);
            if (limited) most = std::min(most, bytes / (hypotheses * model.bytes_per_hypothesis(hypotheses, tokens, longest)));
            const auto size = static_cast<std::size_t>(std::max<std::int64_t>(1, most)), to = from + size;
            const auto begin = places.begin() + static_cast<std::ptrdiff_t>(from);
            const auto end = places.begin() + static_cast<std::ptrdiff_t>(std::min(to, places.size()));
            if (rest && to > places.size()) rest->insert(rest->end(), begin, end);
            else batches.emplace_back(begin, end);
            from = to;
        }
    };
    std::vector<Places> batches, mixed;
    Places rest;
    const auto attachments = attachments_of(tasks);
    for (const Attachment* attachment : attachments) {
        Places own;
        for (std::size_t i = 0; i < tasks.size(); ++i)
            if (tasks[i].attachment == attachment) own.push_back(i);
        cut(std::move(own), batches, &rest);
    }
    cut(std::move(rest), mixed, nullptr);
    for (Places& batch : mixed) {
        Places& sorted = batches.emplace_back();
        for (const Attachment* attachment : attachments)
            std::copy_if(batch.begin(), batch.end(), std::back_inserter(sorted), [&](auto i) { return tasks[i].attachment == attachment; });
    }
    return batches;
}

}  // namespace

std::vector<std::vector<Candidate>> search_in_batches(const Seq2Seq& model, const std::vector<SearchTask>& tasks,
                                                      const std::vector<Tokens>& sources, const SearchSettings& settings,
                                                      std::int64_t hypotheses, const BatchDone& done, const SearchBatch& search) {
    const c10::InferenceMode guard;
    const LogitsProcessors processors(settings.rules, model.architecture().eos_id, model.architecture().vocab_size,
                                      settings.forced_first.has_value());
    std::vector<std::vector<Candidate>> results(tasks.size());
    std::int64_t finished = 0;
    for (const Places& places : batches_of(model, tasks, sources, settings, hypotheses)) {
        std::vector<SearchTask> batch;
        for (const auto place : places) batch.push_back(tasks[place]);
        auto found = search(batch, processors);
        for (std::size_t i = 0; i < places.size(); ++i) results[places[i]] = std::move(found[i]);
        if (done) done(finished += static_cast<std::int64_t>(places.size()));
    }
    return results;
}

}  // namespace permille
