#include "tests/support/standin_device.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace permille::test {

namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;

struct Counted {
    std::mutex mutex;
    DeviceWork work;
};
Counted& counted() {
    static Counted all;
    return all;
}

void count_wait(const std::string& where) {
    Counted& all = counted();
    const std::lock_guard lock(all.mutex);
    ++all.work.waits;
    ++all.work.waited_in[where];
}

void count_upload() {
    Counted& all = counted();
    const std::lock_guard lock(all.mutex);
    ++all.work.uploads;
}

void count_launch(const std::string& name) { count_launches(name, 1); }

// ---- memory

// No processor reads from an address like this.
void* disguised(const void* address) {
    constexpr std::uintptr_t kDisguise = std::uintptr_t{1} << 62;
    return address ? reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(address) ^ kDisguise) : nullptr;
}

struct StandinAllocator : c10::DeviceAllocator {
    c10::DataPtr allocate(std::size_t size) override {
        void* memory = size > 0 ? std::aligned_alloc(64, (size + 63) / 64 * 64) : nullptr;
        return {disguised(memory), memory, &std::free, standin_device()};
    }
    void copy_data(void* to, const void* from, std::size_t size) const override { std::memcpy(disguised(to), disguised(from), size); }
    bool initialized() override { return true; }
    void emptyCache(c10::MempoolId_t) override {}
    void recordStream(const c10::DataPtr&, c10::Stream) override {}
    c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
        c10::CachingDeviceAllocator::DeviceStats stats;
        stats.reserved_bytes[0].current = unused;
        return stats;
    }
    void resetAccumulatedStats(c10::DeviceIndex) override {}
    void resetPeakStats(c10::DeviceIndex) override {}
    std::pair<std::size_t, std::size_t> getMemoryInfo(c10::DeviceIndex) override { return {static_cast<std::size_t>(free), kTotal}; }

    static constexpr std::size_t kTotal = std::size_t{1} << 36;
    std::int64_t free = std::int64_t{1} << 35, unused = 0;
};

// Memory of the host from which a card could copy while the host goes on.
struct PinnedAllocator : c10::Allocator {
    c10::DataPtr allocate(std::size_t size) override {
        void* memory = std::aligned_alloc(64, (size + 64) / 64 * 64);
        const std::lock_guard lock(mutex());
        pinned().insert(memory);
        return {memory, memory, &release, c10::Device(c10::kCPU)};
    }
    void copy_data(void* to, const void* from, std::size_t size) const override { std::memcpy(to, from, size); }
    static void release(void* memory) {
        const std::lock_guard lock(mutex());
        pinned().erase(memory);
        std::free(memory);
    }
    static bool holds(const void* memory) {
        const std::lock_guard lock(mutex());
        return pinned().count(const_cast<void*>(memory)) > 0;
    }
    static std::mutex& mutex() {
        static std::mutex guard;
        return guard;
    }
    static std::set<void*>& pinned() {
        static std::set<void*> list;
        return list;
    }
};

StandinAllocator device_allocator;
PinnedAllocator pinned_allocator;

// ---- random numbers

struct StandinGenerator : c10::GeneratorImpl {
    StandinGenerator()
        : c10::GeneratorImpl(standin_device(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
          host(at::detail::createCPUGenerator()) {}
    void set_current_seed(std::uint64_t value) override {
        host.set_current_seed(value);
        is_new = true;
    }
    void set_offset(std::uint64_t value) override { host.set_offset(value); }
    std::uint64_t get_offset() const override { return host.get_offset(); }
    std::uint64_t current_seed() const override { return host.current_seed(); }
    std::uint64_t seed() override { return set_current_seed(1), 1; }
    void set_state(const c10::TensorImpl& state) override { host.unsafeGetGeneratorImpl()->set_state(state); }
    c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return host.unsafeGetGeneratorImpl()->get_state(); }
    StandinGenerator* clone_impl() const override {
        auto* copy = new StandinGenerator;
        copy->host = host.clone();
        return copy;
    }
    mutable at::Generator host;
    bool is_new = false;  // seeded, and nothing was drawn since
};

const at::Generator& shared_generator() {
    static const at::Generator generator = at::make_generator<StandinGenerator>();
    return generator;
}

// ---- what libtorch asks of a device

struct StandinGuard final : c10::impl::DeviceGuardImplInterface {
    c10::DeviceType type() const override { return kType; }
    c10::Device exchangeDevice(c10::Device) const override { return standin_device(); }
    c10::Device getDevice() const override { return standin_device(); }
    void setDevice(c10::Device) const override {}
    void uncheckedSetDevice(c10::Device) const noexcept override {}
    c10::Stream getStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
    c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
    c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return getStream(device); }
    c10::Stream getNewStream(c10::Device device, int) const override { return getStream(device); }
    c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
    c10::DeviceIndex deviceCount() const noexcept override { return 1; }
    void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
    void block(void*, const c10::Stream&) const override {}
    bool queryEvent(void*) const override { return true; }
    void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
    void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
    void synchronizeDevice(c10::DeviceIndex) const override { count_wait("synchronize"); }
};

struct StandinHooks : at::PrivateUse1HooksInterface {
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return true; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    c10::DeviceIndex deviceCount() const override { return 1; }
    c10::DeviceIndex getCurrentDevice() const override { return 0; }
    c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
    c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
    const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return shared_generator(); }
    at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<StandinGenerator>(); }
    at::Device getDeviceFromPtr(void*) const override { return standin_device(); }
    bool isPinnedPtr(const void* memory) const override { return PinnedAllocator::holds(memory); }
    c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
};

// ---- operators

// The tensors of one call as the CPU sees them, over the same memory.
class Call {
public:
    at::Tensor on_host(const at::Tensor& tensor) {
        for (const Pair& pair : tensors_)
            if (pair.device.is_same(tensor)) return pair.host;
        const c10::Storage storage = host_of(tensor.storage());
        at::Tensor host =
            at::detail::make_tensor<c10::TensorImpl>(c10::Storage(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
        host.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
        tensors_.push_back({tensor, host});
        return host;
    }

    at::Tensor on_device(const at::Tensor& host) {
        if (!host.defined() || !host.is_cpu()) return host;
        for (const Pair& pair : tensors_)
            if (pair.host.is_same(host)) return pair.device;
        at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(device_of(host.storage()),
                                                                     c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), host.dtype());
        tensor.unsafeGetTensorImpl()->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
        return tensor;
    }

    // What the call did to the shapes and the memory of its arguments.
    void take_over() {
        for (const Storages& pair : storages_) {
            if (pair.host.data() == disguised(pair.device.data()) && pair.host.nbytes() == pair.device.nbytes()) continue;
            auto* own = pair.device.unsafeGetStorageImpl();
            own->set_data_ptr_noswap(wrapped(pair.host));
            own->set_nbytes(pair.host.nbytes());
        }
        for (const Pair& pair : tensors_) {
            auto* own = pair.device.unsafeGetTensorImpl();
            if (const c10::Storage storage = device_of(pair.host.storage()); !storage.is_alias_of(pair.device.storage()))
                own->set_storage_keep_dtype(storage);
            if (own->sizes() != pair.host.sizes() || own->strides() != pair.host.strides() ||
                own->storage_offset() != pair.host.storage_offset())
                own->set_sizes_and_strides(pair.host.sizes(), pair.host.strides(), pair.host.storage_offset());
        }
    }

private:
    struct Pair {
        at::Tensor device, host;
    };
    struct Storages {
        c10::Storage device, host;
    };

    static void release(void* storage) { delete static_cast<c10::Storage*>(storage); }

    static c10::DataPtr wrapped(const c10::Storage& host) {
        return {disguised(host.data()), new c10::Storage(host), &release, standin_device()};
    }

    c10::Storage host_of(const c10::Storage& device) {
        for (const Storages& pair : storages_)
            if (pair.device.unsafeGetStorageImpl() == device.unsafeGetStorageImpl()) return pair.host;
        c10::Storage host(c10::Storage::use_byte_size_t(), device.nbytes(),
                          c10::DataPtr(disguised(device.data()), new c10::Storage(device), &release, c10::Device(c10::kCPU)),
                          c10::GetAllocator(c10::kCPU), /*resizable=*/true);
        storages_.push_back({device, host});
        return host;
    }

    c10::Storage device_of(const c10::Storage& host) {
        for (const Storages& pair : storages_)
            if (pair.host.unsafeGetStorageImpl() == host.unsafeGetStorageImpl()) return pair.device;
        c10::Storage device(c10::Storage::use_byte_size_t(), host.nbytes(), wrapped(host), &device_allocator, /*resizable=*/true);
        storages_.push_back({device, host});
        return device;
    }

    std::vector<Pair> tensors_;
    std::vector<Storages> storages_;
};

// Where CUDA waits although tensors are all that comes back: the size of the result depends on the values.
bool waits_for_size(const std::string& name, const torch::jit::Stack& arguments) {
    static const std::set<std::string> names = {"aten::nonzero",    "aten::masked_select", "aten::_unique2",
                                                "aten::unique_dim", "aten::bincount",      "aten::unique_consecutive"};
    if (names.count(name)) return true;
    if (name == "aten::repeat_interleave") return arguments.size() == 2 && arguments[1].isNone();
    return false;
}

void compute(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
    const auto& schema = op.schema();
    const std::string name = schema.name();
    const std::size_t from = stack->size() - schema.arguments().size();
    const torch::jit::Stack given(stack->begin() + static_cast<std::ptrdiff_t>(from), stack->end());
    Call call;
    const auto moved = [&](const at::Tensor& tensor) {
        if (!tensor.defined()) return tensor;
        if (tensor.device().type() == kType) {
            if (tensor.scalar_type() == at::kBool && (name == "aten::index" || name == "aten::index_put_") &&
                !tensor.is_same(given[0].toTensor()))
                count_wait(name + " by a mask");
            return call.on_host(tensor);
        }
        TORCH_CHECK(tensor.is_cpu() && tensor.dim() == 0, name, ": a tensor ", tensor.sizes(), " on ", tensor.device(), " among those on ",
                    standin_device());
        return tensor;
    };
    for (std::size_t i = from; i < stack->size(); ++i) {
        c10::IValue& value = (*stack)[i];
        const c10::Argument& argument = schema.arguments()[i - from];
        if (value.isTensor()) {
            value = moved(value.toTensor());
        } else if (value.isTensorList()) {
            std::vector<at::Tensor> list;
            for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(moved(tensor));
            value = list;
        } else if (value.isOptionalTensorList()) {
            c10::List<std::optional<at::Tensor>> list;
            for (const auto& tensor : value.toOptionalTensorVector()) list.push_back(tensor ? std::optional(moved(*tensor)) : std::nullopt);
            value = list;
        } else if (value.isDevice()) {
            value = c10::Device(c10::kCPU);
        } else if (value.isGenerator()) {
            const at::Generator generator = value.toGenerator();
            TORCH_CHECK(generator.device().type() == kType, name, ": a generator of ", generator.device());
            value = static_cast<StandinGenerator*>(generator.unsafeGetGeneratorImpl())->host;
        } else if (argument.name() == "generator") {
            TORCH_CHECK(false, name, ": draws from the generator that all runs on the device share");
        }
    }
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
    bool waits = waits_for_size(name, given);
    for (std::size_t i = stack->size() - schema.returns().size(); i < stack->size(); ++i) {
        c10::IValue& value = (*stack)[i];
        if (value.isTensor()) {
            value = call.on_device(value.toTensor());
        } else if (value.isTensorList()) {
            std::vector<at::Tensor> list;
            for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(call.on_device(tensor));
            value = list;
        } else {
            waits = true;
        }
    }
    call.take_over();
    count_launch(name);
    if (waits) count_wait(name);
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>, std::optional<at::Device>,
                 std::optional<bool>, std::optional<at::MemoryFormat> format) {
    return at::detail::empty_generic(size, &device_allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), type.value_or(at::kFloat),
                                     format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
    return at::detail::empty_strided_generic(size, stride, &device_allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                             type.value_or(at::kFloat));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
    Call call;
    const bool down = to.is_cpu(), up = from.is_cpu();
    const bool pinned = (down && PinnedAllocator::holds(to.storage().data())) || (up && PinnedAllocator::holds(from.storage().data()));
    if (down && !(non_blocking && pinned)) count_wait("copy to the host");
    if (up && !(non_blocking && pinned)) count_wait("copy from the host");
    if (up) count_upload();
    if (!down && !up) count_launch("copy");
    const at::Tensor target = down ? to : call.on_host(to);
    target.copy_(up ? from : call.on_host(from));
    return to;
}

at::Scalar read_number(const at::Tensor& tensor) {
    count_wait("item");
    return Call().on_host(tensor).item();
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&compute>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
    library.impl("empty.memory_format", &empty);
    library.impl("empty_strided", &empty_strided);
    library.impl("_copy_from", &copy_from);
    library.impl("_local_scalar_dense", &read_number);
    library.impl("as_strided", &at::native::as_strided_tensorimpl);
    library.impl("view", &at::native::view);
    library.impl("view.dtype", &at::native::view_dtype);
    library.impl("_reshape_alias", &at::native::_reshape_alias);
    // Of these the CPU has no kernel of its own but CUDA has: one launch, not many.
    for (const char* name : {"native_layer_norm", "_foreach_norm.Scalar", "_foreach_mul_.Scalar", "_foreach_mul_.Tensor",
                             "_foreach_lerp_.Scalar", "_foreach_add_.Scalar", "_foreach_add_.Tensor", "_foreach_sub_.Scalar"})
        library.impl(name, torch::CppFunction::makeFromBoxedFunction<&compute>());
}

C10_REGISTER_GUARD_IMPL(PrivateUse1, StandinGuard)

const bool kRegistered = [] {
    static StandinHooks hooks;
    c10::register_privateuse1_backend("standin");
    at::RegisterPrivateUse1HooksInterface(&hooks);
    c10::SetAllocator(kType, &device_allocator);
    return true;
}();

}  // namespace

at::Device standin_device() { return at::Device(kType, 0); }

void set_standin_memory(std::int64_t free, std::int64_t unused) {
    device_allocator.free = free;
    device_allocator.unused = unused;
}

at::Tensor standin_as_host(const at::Tensor& tensor) {
    TORCH_CHECK(tensor.device().type() == kType, "a tensor on ", tensor.device(), " among those on ", standin_device());
    return Call().on_host(tensor);
}

at::Tensor standin_from_host(const at::Tensor& host) { return Call().on_device(host); }

void count_launches(const std::string& name, std::int64_t launches) {
    Counted& all = counted();
    const std::lock_guard lock(all.mutex);
    all.work.launches += launches;
    all.work.launched[name] += launches;
}

std::uint64_t take_shared_seed() {
    at::Generator generator = shared_generator();
    const std::lock_guard lock(generator.mutex());
    auto* own = static_cast<StandinGenerator*>(generator.unsafeGetGeneratorImpl());
    TORCH_CHECK(own->is_new, "draws from the generator that all runs on the device share, which was not seeded for it");
    own->is_new = false;
    return own->current_seed();
}

DeviceWork device_work() {
    Counted& all = counted();
    const std::lock_guard lock(all.mutex);
    return all.work;
}

void reset_device_work() {
    Counted& all = counted();
    const std::lock_guard lock(all.mutex);
    all.work = {};
}

}  // namespace permille::test
