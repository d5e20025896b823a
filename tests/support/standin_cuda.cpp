// Stands in for libtorch_cuda.so where a test runs the program: a library that, once loaded, tells libtorch of CUDA devices, as many as
// STANDIN_CUDA_DEVICES says. It computes nothing.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/util/Exception.h>

#include <cstdlib>

namespace at {  // where the registry's macro expects it

struct StandinCuda : CUDAHooksInterface {
    explicit StandinCuda(CUDAHooksArgs) {}
    void init() const override {}
    bool hasCUDA() const override { return deviceCount() > 0; }
    DeviceIndex deviceCount() const override {
        const char* count = std::getenv("STANDIN_CUDA_DEVICES");
        if (count && *count == '0') TORCH_WARN("the stand-in has no driver");
        return static_cast<DeviceIndex>(count ? std::atoi(count) : 1);
    }
};

C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, StandinCuda)

}  // namespace at
