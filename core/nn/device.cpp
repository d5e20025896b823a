#include "core/nn/device.h"

#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <cstring>

#include "core/base/error.h"
#include "core/nn/accelerators.h"

namespace permille {

namespace {

bool cpu_has_bfloat16() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512bf16") != 0;
#else
    return false;
#endif
}

}  // namespace

at::Device parse_device(const std::string& device) {
    const Accelerators& found = load_accelerators();
    if (device == "cpu") return at::kCPU;
    if (device == "auto") return found.cuda_devices > 0 ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
    const std::string wrong = "'" + device + "' is not a device", names = "give auto, cpu, cuda or cuda:N";
    if (device != "cuda" && !device.starts_with("cuda:")) throw Error(ErrorKind::config, "--device", wrong, names);
    at::Device named(at::kCUDA, 0);
    try {
        if (device != "cuda") named = at::Device(device);
    } catch (const c10::Error&) {
        throw Error(ErrorKind::config, "--device", wrong, names);
    }
    if (found.cuda_devices == 0) {
        std::string none = "this machine has no CUDA device that libtorch can use";
        if (!found.trouble.empty()) none += ": " + found.trouble;
        throw Error(ErrorKind::config, "--device", none, "use --device cpu; see 'permille doctor'");
    }
    if (named.index() >= found.cuda_devices)
        throw Error(
            ErrorKind::config, "--device",
            "there is no " + named.str() + ": the last CUDA device of this machine is cuda:" + std::to_string(found.cuda_devices - 1),
            names);
    return named;
}

at::ScalarType parse_dtype(const std::string& dtype, at::Device device) {
    if (dtype == "float32") return at::kFloat;
    if (dtype == "bfloat16") return at::kBFloat16;
    if (dtype == "float16") {
        if (device.is_cpu())
            throw Error(ErrorKind::config, "--dtype", "float16 arithmetic is for CUDA devices", "use float32 or bfloat16 on the CPU");
        return at::kHalf;
    }
    if (dtype == "auto") return !device.is_cpu() || cpu_has_bfloat16() ? at::kBFloat16 : at::kFloat;
    throw Error(ErrorKind::config, "--dtype", "'" + dtype + "' is not a type", "give float32, bfloat16, float16 or auto");
}

std::string dtype_name(at::ScalarType type) { return type == at::kHalf ? "float16" : type == at::kBFloat16 ? "bfloat16" : "float32"; }

at::Tensor upload(const at::Tensor& host, const at::Device& device) {
    if (device.is_cpu()) return host;
    const at::Tensor pinned = at::empty(host.sizes(), host.options().pinned_memory(true)).copy_(host);
    return pinned.to(device, /*non_blocking=*/true);
}

void Uploads::send(const at::Device& device) {
    if (!device.is_cpu()) {
        constexpr std::size_t kAligned = 16;  // more than any type needs
        const auto room = [](const at::Tensor& tensor) { return (tensor.nbytes() + kAligned - 1) / kAligned * kAligned; };
        std::erase_if(tensors_, [](const at::Tensor* tensor) { return !tensor->defined(); });
        std::size_t bytes = 0;
        for (const at::Tensor* tensor : tensors_) bytes += room(*tensor);
        const at::Tensor pinned = at::empty({static_cast<std::int64_t>(bytes)}, at::TensorOptions(at::kByte).pinned_memory(true));
        std::size_t from = 0;
        for (const at::Tensor* tensor : tensors_) {
            const at::Tensor whole = tensor->contiguous();
            if (whole.nbytes() > 0) std::memcpy(pinned.data_ptr<std::uint8_t>() + from, whole.const_data_ptr(), whole.nbytes());
            from += room(whole);
        }
        const at::Tensor there = pinned.to(device, /*non_blocking=*/true);
        from = 0;
        for (at::Tensor* tensor : tensors_) {
            const auto place = static_cast<std::int64_t>(from), size = static_cast<std::int64_t>(tensor->nbytes());
            from += room(*tensor);
            *tensor = there.narrow(0, place, size).view(tensor->scalar_type()).view(tensor->sizes());
        }
    }
    tensors_.clear();
}

DeviceMemory device_memory(const at::Device& device) {
    c10::DeviceAllocator* allocator = c10::getDeviceAllocator(device.type());
    const c10::DeviceIndex index = device.has_index() ? device.index() : c10::DeviceIndex{0};
    const auto [free, total] = allocator->getMemoryInfo(index);
    const auto stats = allocator->getDeviceStats(index);
    constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const std::int64_t unused = stats.reserved_bytes[kAll].current - stats.allocated_bytes[kAll].current;
    return {static_cast<std::int64_t>(free) + unused, static_cast<std::int64_t>(total)};
}

}  // namespace permille
