#include "core/nn/accelerators.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include <cstdlib>
#include <filesystem>
#include <typeinfo>

namespace permille {
namespace fs = std::filesystem;

namespace {

fs::path beside_libtorch() {
    Dl_info found{};
    if (!dladdr(reinterpret_cast<const void*>(&at::globalContext), &found) || !found.dli_fname) return {};
    std::error_code unresolved;
    const fs::path library = fs::canonical(found.dli_fname, unresolved);
    return unresolved ? fs::path() : library.parent_path() / "libtorch_cuda.so";
}

// What libtorch warns of while it looks for cards; it would go to standard error.
class Heard : public c10::WarningHandler {
public:
    void process(const c10::Warning& warning) override {
        if (!text_.empty()) text_ += "; ";
        text_ += warning.msg();
    }
    const std::string& text() const { return text_; }

private:
    std::string text_;
};

Accelerators load() {
    Accelerators found;
    const char* named = std::getenv("PERMILLE_LIBTORCH_CUDA");
    const fs::path file = named && *named ? fs::path(named) : beside_libtorch();
    std::error_code ignored;
    if (file.empty() || !fs::exists(file, ignored)) {
        if (named && *named) found.trouble = "PERMILLE_LIBTORCH_CUDA names " + file.string() + ", which is not there";
        return found;
    }
    if (!dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
        const char* message = dlerror();
        found.trouble = explain_loading(file.string(), message ? message : "");
        return found;
    }
    const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
    if (typeid(hooks) == typeid(at::CUDAHooksInterface)) {
        found.trouble = at::CUDAHooksRegistry()->Has("CUDAHooks")
                            ? "libtorch was asked for CUDA before " + file.string() +
                                  " was loaded; this is a mistake in Permille itself, please report it with what you did"
                            : file.string() + " is loaded but is not libtorch's CUDA part";
        return found;
    }
    Heard heard;
    const c10::WarningUtils::WarningHandlerGuard guard(&heard);
    try {
        if (hooks.hasCUDA()) found.cuda_devices = hooks.deviceCount();
    } catch (const c10::Error& error) {
        found.trouble = error.what_without_backtrace();
    }
    if (found.cuda_devices > 0) return found;
    const std::string reason = found.trouble.empty() ? heard.text() : found.trouble;
    found.trouble = "the CUDA part of libtorch is loaded but finds no card";
    if (!reason.empty()) found.trouble += ": " + reason;
    return found;
}

}  // namespace

std::string explain_loading(const std::string& file, const std::string& message) {
    const auto has = [&](const char* words) { return message.find(words) != std::string::npos; };
    const std::string said = message.substr(0, message.find(':'));
    if (has("cannot open shared object file") && said != file)
        return file + " needs " + said + ", which is not on this machine: install what is missing, or run packaging/setup.sh --cuda again";
    if (has("undefined symbol") || (has("version `") && has("not found")))
        return file + " is of another version than libtorch " TORCH_VERSION " of this program (" + message + ")";
    if (has("file too short") || has("ELF"))
        return file + " is not a whole library for this kind of machine (" + message + "): run packaging/setup.sh --cuda again";
    return file + " cannot be loaded: " + message;
}

const Accelerators& load_accelerators() {
    static const Accelerators found = load();
    return found;
}

}  // namespace permille
