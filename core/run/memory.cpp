#include "core/run/memory.h"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/util/Flags.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <malloc.h>

#include <fstream>
#include <mutex>
#include <string>

#include "core/models/seq2seq.h"

C10_DECLARE_int(caffe2_log_level);

namespace permille {

namespace {

// Bytes that libtorch's allocators hand out and take back, as they tell its profiler. Backward passes take it along to their threads.
class Account : public c10::MemoryReportingInfoBase {
public:
    void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device device) override {
        const std::lock_guard lock(mutex_);
        std::int64_t& now = device.is_cpu() ? host_ : device_;
        now += size;
        std::int64_t& peak = device.is_cpu() ? host_peak_ : device_peak_;
        peak = std::max(peak, now);
    }
    bool memoryProfilingEnabled() const override { return true; }
    std::int64_t peak(bool host) const {
        const std::lock_guard lock(mutex_);
        return host ? host_peak_ : device_peak_;
    }

private:
    mutable std::mutex mutex_;
    std::int64_t host_ = 0, host_peak_ = 0, device_ = 0, device_peak_ = 0;
};

// Counts nothing.
class Silence : public c10::MemoryReportingInfoBase {
public:
    void reportMemoryUsage(void*, std::int64_t, std::size_t, std::size_t, c10::Device) override {}
    bool memoryProfilingEnabled() const override { return false; }
};

std::int64_t resident() {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line))
        if (line.rfind("VmRSS:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
    return 0;
}

// Of the process before its first run.
std::int64_t program_bytes() {
    static const std::int64_t bytes = resident();
    return bytes;
}

}  // namespace

struct MemoryMark::State {
    std::shared_ptr<Account> account = std::make_shared<Account>();
    c10::DebugInfoGuard guard{c10::DebugInfoKind::PROFILER_STATE, account};
    std::int64_t program = program_bytes();
    std::int64_t weights = 0;
    bool on_host = true;
};

MemoryMark::MemoryMark() {
    // Once, as several workers begin at the same time. Errors alone: libtorch would tell people of every tensor that was there before the
    // counting began.
    [[maybe_unused]] static const int level = FLAGS_caffe2_log_level = 2;
#ifdef __GLIBC__
    malloc_trim(0);  // what earlier work has freed goes back to the system
#endif
    state_ = std::make_unique<State>();
}
MemoryMark::~MemoryMark() = default;

void MemoryMark::add_base(const Seq2Seq& base) {
    for (const at::Tensor& weight : base.weights()) state_->weights += static_cast<std::int64_t>(weight.nbytes());
    state_->on_host = base.device().is_cpu();
}

std::int64_t MemoryMark::peak() const {
    return (state_->on_host ? state_->program : 0) + state_->weights + state_->account->peak(state_->on_host);
}

struct SharedMemory::State {
    c10::DebugInfoGuard guard{c10::DebugInfoKind::PROFILER_STATE, std::make_shared<Silence>()};
};

SharedMemory::SharedMemory() : state_(std::make_unique<State>()) {}
SharedMemory::~SharedMemory() = default;

}  // namespace permille
