// Lines of text through a model: tokens, search, text again. Sees torch.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"
#include "core/decode/search.h"
#include "core/decode/translation.h"
#include "core/run/open_model.h"

namespace permille {

// How translations into a language are searched for: the settings with what the model's files and its tokenizer ask for.
SearchSettings search_for(const OpenModel& model, const std::string& target_language, const DecodingSettings& settings);

// Lines without text give empty translations. Throws Stopped when asked to stop, Error naming the line when one is not UTF-8.
std::vector<Translation> translate_lines(const OpenModel& model, const Attachment* attachment, const std::vector<std::string>& lines,
                                         const std::string& source_language, const std::string& target_language,
                                         const DecodingSettings& settings, std::int64_t n_best, const EventSink& sink,
                                         std::stop_token stop);
// The same with a task's own attachment, one translation per task; `source` is the place of its line.
std::vector<Translation> translate_lines(const OpenModel& model, const std::vector<SearchTask>& tasks,
                                         const std::vector<std::string>& lines, const std::string& source_language,
                                         const std::string& target_language, const DecodingSettings& settings, std::int64_t n_best,
                                         const EventSink& sink, std::stop_token stop);

}  // namespace permille
