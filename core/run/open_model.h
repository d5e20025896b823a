// An open base with its tokenizer, as the jobs share it among themselves. Sees torch; not for the window or the command line.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "core/base/events.h"
#include "core/base/spec.h"
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

}  // namespace permille
