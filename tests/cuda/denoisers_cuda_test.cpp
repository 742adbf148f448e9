// The denoisers, patching and adapters on a GPU, against the references and against the CPU. Needs a GPU, and fails without one.
#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/types.h>

#include "adapt/lora.h"
#include "adapt/new_lora.h"
#include "core/random.h"
#include "models/block_stream.h"
#include "patching/prompt_taps.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;
using testing::SmallDenoiser;

constexpr double kTolerance = 1e-4;  // of the reference's largest magnitude, as on the CPU

struct DenoisersCuda : ::testing::TestWithParam<const char*> {
  void SetUp() override {
    ASSERT_TRUE(torch::cuda::is_available()) << "no GPU on this machine";
    at::globalContext().setAllowTF32CuDNN(false);  // whole fp32, as the references were computed
    at::globalContext().setAllowTF32CuBLAS(false);
  }
};

TEST_P(DenoisersCuda, OutputEqualsTheReference) {
  torch::NoGradGuard no_grad;
  const SafetensorsFile expected(golden(GetParam()) / "expected.safetensors");
  EXPECT_LT(relative_error(SmallDenoiser(GetParam(), torch::kFloat32, torch::kCUDA).call().cpu(), expected.tensor("output")), kTolerance);
}

// The first row sees the second's prompt in half of the heads of every second site.
TEST_P(DenoisersCuda, PatchingDoesWhatItDoesOnTheCpu) {
  torch::NoGradGuard no_grad;
  const auto patched = [&](torch::Device device, double strength) {
    const SmallDenoiser denoiser(GetParam(), torch::kFloat32, device);
    std::vector<SitePatch> patches;
    for (int site = 0; site < static_cast<int>(denoiser.table().sites.size()); site += 2)
      patches.push_back({.site = site, .prompt = 1, .heads = {0}, .strength = strength});
    const PatchPlan plan(patches);
    LockstepTaps taps(denoiser.table(), {{&plan, {{1, 1}}}, {}}, {});
    return denoiser.call(&taps).cpu();
  };
  const torch::Tensor plain = SmallDenoiser(GetParam(), torch::kFloat32, torch::kCUDA).call().cpu();
  for (double strength : {1.0, 0.5}) {
    const torch::Tensor here = patched(torch::kCUDA, strength);
    EXPECT_LT(relative_error(here, patched(torch::kCPU, strength)), kTolerance);
    EXPECT_GT(relative_error(here, plain), 1e-3) << "the patch must matter";
    EXPECT_TRUE(torch::equal(here.slice(0, 1), plain.slice(0, 1))) << "an unpatched row keeps every bit";
  }
}

// Blocks whose weights are copied to the GPU as they compute: call after call, as a copy that comes too early or too late shows now and then only.
TEST_P(DenoisersCuda, BlocksThatAreStreamedComputeTheSame) {
  torch::NoGradGuard no_grad;
  const torch::Device device(torch::kCUDA, 0);
  SmallDenoiser denoiser(GetParam(), torch::kFloat32, device);
  const torch::Tensor expected = denoiser.call();
  for (const double resident : {0.5, 0.0}) {
    const BlockStream stream(denoiser.module(), device, resident);
    EXPECT_GT(stream.blocks(), 0u);
    std::vector<torch::Tensor> outputs;
    for (int call = 0; call < 50; ++call) outputs.push_back(denoiser.call());
    for (const auto& output : outputs) EXPECT_TRUE(torch::equal(output, expected));
  }
}

TEST_P(DenoisersCuda, AdaptersGradientsEqualTheCpus) {
  const auto gradients = [&](torch::Device device, bool streamed) {
    SmallDenoiser denoiser(GetParam(), torch::kFloat32, device);
    at::Generator generator = make_generator(1);
    Lora lora = make_lora(denoiser.module(), denoiser.table(), {.every_attention = true, .rank = 2, .alpha = 1.5}, generator);
    for (auto& [path, layer] : lora.layers) {
      layer.b.copy_(torch::randn(layer.b.sizes(), generator) * 0.3);
      layer.a = layer.a.to(device).set_requires_grad(true);
      layer.b = layer.b.to(device).set_requires_grad(true);
    }
    const AttachedLora attached(denoiser.module(), lora);
    std::optional<BlockStream> stream;
    if (streamed) stream.emplace(denoiser.module(), torch::Device(device.type(), 0), 0);
    const torch::Tensor out = denoiser.call();
    (out * torch::randn(out.sizes(), make_generator(2)).to(device)).sum().backward();
    std::map<std::string, torch::Tensor> all;
    for (const auto& [path, layer] : lora.layers) {
      if (layer.a.grad().defined()) all[path + " A"] = layer.a.grad().cpu();
      if (layer.b.grad().defined()) all[path + " B"] = layer.b.grad().cpu();
    }
    return all;
  };
  const auto reference = gradients(torch::kCPU, false);
  ASSERT_FALSE(reference.empty());
  for (const bool streamed : {false, true}) {
    const auto here = gradients(torch::kCUDA, streamed);
    ASSERT_EQ(here.size(), reference.size());
    for (const auto& [path, gradient] : reference)
      EXPECT_LT(relative_error(here.at(path), gradient), 10 * kTolerance) << path << (streamed ? ", streamed" : "");
  }
}

INSTANTIATE_TEST_SUITE_P(Small, DenoisersCuda,
                         ::testing::Values("unet_sd1", "unet_sd2", "unet_sdxl", "unet_if1", "mmdit_sd3", "mmdit_sd35", "flux_schnell", "flux_dev"));

}  // namespace
}  // namespace glyphscope
