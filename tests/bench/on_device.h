// What a bench does on the device that its request names.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/base/json.h"
#include "core/models/base_model.h"
#include "core/nn/device.h"

namespace permille::bench {

// The request's "model" on its "device", in its "dtype".
inline std::shared_ptr<const BaseModel> open_base(const Json& request) {
    const at::Device device = parse_device(request.at("device").get<std::string>());
    return load_base(request.at("model").get<std::string>(), device, parse_dtype(request.at("dtype").get<std::string>(), device));
}

// Waits until a card has done what it was given, and notes in "device_peak_bytes" what its tensors took at their peak since the last call.
// Nothing on the CPU, where the process's memory is measured.
inline void finish(Json& measured, const at::Device& device) {
    if (device.is_cpu()) return;
    c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
    c10::DeviceAllocator& allocator = *c10::getDeviceAllocator(device.type());
    const auto bytes = allocator.getDeviceStats(device.index()).allocated_bytes;
    measured["device_peak_bytes"] = bytes[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
    allocator.resetPeakStats(device.index());
}

}  // namespace permille::bench
