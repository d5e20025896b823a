// The stand-in device itself: it computes what the CPU computes, refuses what a card refuses, and counts.
#include <ATen/Context.h>

#include "core/nn/backward.h"
#include "core/nn/device.h"
#include "core/nn/dropout.h"
#include "tests/support/standin_device.h"
#include "tests/support/tensors.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

template <class Function>
void require_refused(Function&& work, const std::string& word) {
    try {
        work();
    } catch (const c10::Error& error) {
        INFO(error.what_without_backtrace());
        REQUIRE(std::string(error.what_without_backtrace()).find(word) != std::string::npos);
        return;
    }
    FAIL("it was let pass");
}

}  // namespace

TEST_CASE("the stand-in device computes what the CPU computes", "[device]") {
    const at::Tensor x = at::arange(12, at::kFloat).view({3, 4}) / 7, w = at::arange(8, at::kFloat).view({2, 4}) / 5 - 1;
    const at::Tensor there = x.to(standin_device()), weight = w.to(standin_device()).set_requires_grad(true);
    REQUIRE(there.device() == standin_device());
    const at::Tensor own = w.clone().set_requires_grad(true);
    const auto work = [](const at::Tensor& rows, const at::Tensor& matrix) {
        const at::Tensor y = at::layer_norm(at::linear(rows, matrix), {2});
        return at::cat({y.t().contiguous(), at::softmax(y, 1).t()}, 1).slice(1, 1).square().sum();
    };
    const at::Tensor here_sum = work(x, own), there_sum = work(there, weight);
    require_close(there_sum, here_sum, 1e-6);
    permille::backward(here_sum);
    permille::backward(there_sum);
    REQUIRE(weight.grad().device() == standin_device());
    require_close(weight.grad(), own.grad(), 1e-6);
    at::Tensor view = there.narrow(0, 1, 2);
    view.zero_();
    REQUIRE(there.to(at::kCPU).sum().item<float>() == x[0].sum().item<float>());
    const auto [values, places] = at::topk(there, 2, 1);
    require_same(places[0].to(at::kCPU), at::tensor({3, 2}, at::kLong));
}

TEST_CASE("the stand-in device refuses tensors of another device and the shared generator", "[device]") {
    const at::Tensor here = at::ones({3}), there = here.to(standin_device());
    require_refused([&] { there + here; }, "device");
    require_refused([&] { at::cat({there, here}); }, "");
    require_refused([&] { there.index_select(0, at::tensor({1}, at::kLong)); }, "");
    require_refused([&] { at::mm(there.view({1, 3}), here.view({3, 1})); }, "");
    require_refused([&] { there.clone().bernoulli_(0.5); }, "share");
    require_close(there + at::scalar_tensor(2), here + 2, 0);  // a number may come along
    at::Generator generator = at::globalContext().getAcceleratorHooksInterface(at::kPrivateUse1).getNewGenerator(0);
    generator.set_current_seed(3);
    const at::Tensor drawn = at::zeros({100}, there.options()).bernoulli_(0.5, generator);
    generator.set_current_seed(3);
    require_same(at::zeros({100}, there.options()).bernoulli_(0.5, generator).to(at::kCPU), drawn.to(at::kCPU));
}

TEST_CASE("several tensors go to a device in one copy, as they are", "[device]") {
    at::Tensor ids = at::tensor({3, -1, 5}, at::kLong), keep = at::tensor({1, 0, 1, 1, 0}, at::kInt).to(at::kBool).view({1, 5}), none;
    at::Tensor starts = at::tensor({0, 7}, at::kInt), nothing = at::empty({0}, at::kLong),
               turned = at::arange(6, at::kFloat).view({2, 3}).t();
    const std::vector<at::Tensor> want = {ids, keep, starts, nothing, turned};
    const auto send = [&](const at::Device& device) {
        std::vector<at::Tensor> list = {ids, keep, starts, nothing, turned, none};
        Uploads uploads;
        for (at::Tensor& tensor : list) uploads.add(tensor);
        uploads.send(device);
        REQUIRE_FALSE(list.back().defined());
        list.pop_back();
        return list;
    };
    const auto here = send(at::kCPU);
    reset_device_work();
    const auto there = send(standin_device());
    REQUIRE(device_work().uploads == 1);
    REQUIRE(device_work().waits == 0);
    REQUIRE(device_work().launches == 0);
    for (std::size_t i = 0; i < want.size(); ++i) {
        REQUIRE(here[i].is_same(want[i]));
        REQUIRE(there[i].device() == standin_device());
        REQUIRE(there[i].scalar_type() == want[i].scalar_type());
        REQUIRE(there[i].is_contiguous());
        require_same(there[i].to(at::kCPU), want[i].contiguous());
    }
}

TEST_CASE("the memory of a device is what its driver and libtorch's allocator have left", "[device]") {
    set_standin_memory(3000, 500);
    REQUIRE(device_memory(standin_device()).free == 3500);
    REQUIRE(device_memory(standin_device()).total == std::int64_t{1} << 36);
    set_standin_memory(std::int64_t{1} << 35, 0);
}

TEST_CASE("the generator that all share draws for a stream when it was put there for the call", "[device]") {
    const auto drawn = [](std::uint64_t stream) {
        const auto only = shared_generator_at(stream, standin_device());
        return take_shared_seed();
    };
    REQUIRE(drawn(5) == 5);
    REQUIRE(drawn(0xffffffffffffffffULL) == 0xffffffffffffffffULL);
    require_refused([] { take_shared_seed(); }, "share");
}

TEST_CASE("the stand-in device counts launches, waits and uploads", "[device]") {
    const at::Tensor here = at::ones({3});
    reset_device_work();
    const at::Tensor there = here.to(standin_device());
    REQUIRE(device_work().uploads == 1);
    REQUIRE(device_work().waits == 1);  // until the copy is made
    require_same(upload(here, standin_device()).to(at::kCPU), here);
    reset_device_work();
    upload(here, standin_device());
    REQUIRE(device_work().uploads == 1);
    const at::Tensor sum = (there * 2).sum();
    REQUIRE(device_work().launches == 2);
    REQUIRE(device_work().waits == 0);
    REQUIRE(sum.item<float>() == 6);
    REQUIRE(device_work().waits == 1);
    there.to(at::kCPU);
    there.nonzero();
    REQUIRE(at::equal(there, there));
    REQUIRE(device_work().waits == 4);
    REQUIRE(device_work().waited_in.at("item") == 1);
}
