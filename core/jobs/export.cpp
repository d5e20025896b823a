#include "core/jobs/export.h"

#include "core/base/error.h"
#include "core/bases/find.h"
#include "core/models/base_model.h"
#include "core/peft/adapter_file.h"
#include "core/peft/adapterhub.h"

namespace permille {

void export_to_adapterhub(const std::string& model, const std::filesystem::path& adapter, const std::filesystem::path& output,
                          const std::string& name, const EventSink& sink, const std::stop_token& stop) {
    if (std::filesystem::exists(output))
        throw Error(ErrorKind::file, output.string(), "exists already", "name a folder that does not exist yet");
    const auto base = load_base(find_model(model, sink, stop), at::kCPU, at::kFloat, stop);
    save_adapterhub(output, load_adapter(adapter, *base), *base, name);
}

}  // namespace permille
