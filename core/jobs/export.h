// `permille adapter export`: an adapter in another program's layout. Torch-free face.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>

#include "core/base/events.h"

namespace permille {

// Writes the adapter as a folder of AdapterHub's library; name: under which that knows it. Throws Error(unsupported) for what it does not
// have, Error(config) when the adapter is another base's, Error(file) when `output` exists.
void export_to_adapterhub(const std::string& model, const std::filesystem::path& adapter, const std::filesystem::path& output,
                          const std::string& name, const EventSink& sink = {}, const std::stop_token& stop = {});

}  // namespace permille
