#include "core/run/translate.h"

#include <algorithm>
#include <chrono>

#include "core/base/error.h"
#include "core/base/stopped.h"
#include "core/decode/beam.h"
#include "core/decode/sample.h"

namespace permille {

namespace {

bool blank(const std::string& line) {
    return std::all_of(line.begin(), line.end(), [](unsigned char letter) { return std::isspace(letter); });
}

}  // namespace

SearchSettings search_for(const OpenModel& model, const std::string& target_language, const DecodingSettings& settings) {
    SearchSettings search = search_settings(settings, generation_config(model.base->folder), model.base->network->architecture());
    const DecoderStart begin = model.tokenizer->decoder_start(model.tokenizer->target_language(target_language));
    if (begin.token >= 0) search.start = begin.token;
    if (begin.forced && settings.forced_bos_token_id < 0) search.forced_first = begin.forced;
    return search;
}

std::vector<Translation> translate_lines(const OpenModel& model, const Attachment* attachment, const std::vector<std::string>& lines,
                                         const std::string& source_language, const std::string& target_language,
                                         const DecodingSettings& settings, std::int64_t n_best, const EventSink& sink,
                                         std::stop_token stop) {
    return translate_lines(model, one_task_each(lines.size(), attachment), lines, source_language, target_language, settings, n_best, sink,
                           std::move(stop));
}

std::vector<Translation> translate_lines(const OpenModel& model, const std::vector<SearchTask>& tasks,
                                         const std::vector<std::string>& lines, const std::string& source_language,
                                         const std::string& target_language, const DecodingSettings& settings, std::int64_t n_best,
                                         const EventSink& sink, std::stop_token stop) {
    const Tokenizer& tokenizer = *model.tokenizer;
    const ModelLanguage &source = tokenizer.source_language(source_language), &target = tokenizer.target_language(target_language);
    SearchSettings search = search_for(model, target_language, settings);
    search.n_best = settings.sample ? n_best : std::min(n_best, settings.beam_size);

    std::vector<Tokens> sources;
    std::vector<std::optional<std::size_t>> source_of(lines.size());  // lines without text stay without translation
    for (std::size_t i = 0; i < lines.size(); ++i) {
        throw_if_stopped(stop);
        if (blank(lines[i])) continue;
        try {
            sources.push_back(tokenizer.encode_source(lines[i], source, target));
        } catch (const Error& error) {
            throw Error(error.kind(), "line " + std::to_string(i + 1), error.found(), error.fix());
        }
        source_of[i] = sources.size() - 1;
    }
    std::vector<SearchTask> searched;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        if (!source_of.at(tasks[i].source)) continue;
        searched.push_back({*source_of[tasks[i].source], tasks[i].attachment});
        places.push_back(i);
    }
    const auto started = std::chrono::steady_clock::now();
    const auto total = static_cast<std::int64_t>(searched.size());
    const auto progress = [&](std::int64_t done) {
        if (!sink) return;
        const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        sink(Progress{"translating", done, total, elapsed / static_cast<double>(done) * static_cast<double>(total - done)});
    };
    const Seq2Seq& network = *model.base->network;
    const auto found = settings.sample ? sample(network, searched, sources, search, stop, progress)
                                       : beam_search(network, searched, sources, search, stop, progress);
    std::vector<Translation> translations(tasks.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        std::vector<Translation> all;
        for (const Candidate& candidate : found[i]) all.push_back({tokenizer.decode(candidate.ids), candidate.ids, candidate.score, {}});
        if (all.empty()) continue;
        Translation& best = translations[places[i]];
        best = all.front();
        if (n_best > 1) best.alternatives = std::move(all);
    }
    return translations;
}

}  // namespace permille
