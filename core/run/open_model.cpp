#include "core/run/open_model.h"

#include "core/bases/find.h"
#include "core/nn/accelerators.h"
#include "core/nn/device.h"
#include "core/nn/threads.h"
#include "core/text/tokenizers.h"

namespace permille {
namespace fs = std::filesystem;

OpenModel open_model(const std::string& model, const DeviceSettings& settings, const EventSink& sink, const std::stop_token& stop) {
    OpenModel open;
    open.device = settings;
    use_threads(settings.threads);
    const at::Device device = parse_device(settings.device);
    if (const std::string& trouble = load_accelerators().trouble; settings.device == "auto" && !trouble.empty())
        log_to(sink, "on the CPU: " + trouble);
    const fs::path folder = find_model(model, sink, stop);
    const at::ScalarType type = parse_dtype(settings.dtype, device);
    open.device.dtype = dtype_name(type);  // what "auto" came to is recorded with the run
    open.base = load_base(folder, device, type, stop);
    if (!open.base->note.empty()) log_to(sink, folder.string() + ": " + open.base->note);
    open.tokenizer = load_tokenizer(folder);
    return open;
}

}  // namespace permille
