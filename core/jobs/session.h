// An open base with its tokenizer, as the jobs share it among themselves. Sees torch; not for the window or the command line.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"
#include "core/decode/search.h"
#include "core/jobs/model_job.h"
#include "core/models/base_model.h"
#include "core/text/tokenizer.h"

namespace permille {

struct OpenModel {
    std::shared_ptr<const BaseModel> base;
    std::shared_ptr<const Tokenizer> tokenizer;
    DeviceSettings device;
};

// Downloads the model when it has to. Throws Stopped when asked to stop.
OpenModel open_model(const std::string& model, const DeviceSettings& settings, const EventSink& sink = {},
                     const std::stop_token& stop = {});

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
