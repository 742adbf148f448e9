#include "device/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "device/cuda.h"
#include "device/devices.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::failure_of;
using ::testing::HasSubstr;

// SDXL's sizes.
const std::vector<ComponentSize> kComponents{{.name = "text_encoder", .parameters = 123'060'480, .reads_prompts = true},
                                             {.name = "text_encoder_2", .parameters = 694'659'840, .reads_prompts = true},
                                             {.name = "unet", .parameters = 2'567'463'684},
                                             {.name = "vae", .parameters = 83'653'863, .wide = true}};

TEST(MemoryPlan, CountsWhatIsThereAtOnce) {
  MemoryPlan plan{.dtype = torch::kFloat16, .components = kComponents};
  const std::uint64_t denoiser = 2 * std::uint64_t{2'567'463'684}, vae = 4 * std::uint64_t{83'653'863}, text = 2 * std::uint64_t{123'060'480 + 694'659'840};
  EXPECT_EQ(plan.reading_bytes(), denoiser + vae + text);
  EXPECT_EQ(plan.drawing_bytes(), denoiser + vae + text);
  plan.keeps_encoders = false;
  EXPECT_EQ(plan.drawing_bytes(), denoiser + vae);
  EXPECT_EQ(plan.placement("vae").dtype, torch::kFloat32) << "it overflows in fp16";
  EXPECT_EQ(plan.placement("unet").dtype, torch::kFloat16);
  plan.dtype = torch::kBFloat16;
  EXPECT_EQ(plan.placement("vae").dtype, torch::kBFloat16);
}

TEST(MemoryPlan, OnTheCpuNothingIsRefused) {
  const MemoryPlan plan = plan_memory(kComponents, {.device = "cpu"});
  EXPECT_TRUE(plan.device.is_cpu());
  EXPECT_EQ(plan.dtype, torch::kFloat32);
  EXPECT_TRUE(plan.reason.empty());
  EXPECT_EQ(plan.placement("unet").device, torch::kCPU);
}

TEST(MemoryPlan, ErrorsSayWhatThereIs) {
  EXPECT_THAT(failure_of([] { plan_memory(kComponents, {.device = "tpu"}); }), HasSubstr("there is no device 'tpu'"));
  EXPECT_THAT(failure_of([] { plan_memory(kComponents, {.device = "tpu"}); }), HasSubstr("There are: cpu"));
  EXPECT_THAT(failure_of([] { plan_memory(kComponents, {.device = "cpu:1:2"}); }), HasSubstr("there is no device 'cpu:1:2'"));
  EXPECT_THAT(failure_of([] { plan_memory(kComponents, {.dtype = "fp8"}); }), HasSubstr("unknown dtype 'fp8'"));
  if (open_cuda().opened) GTEST_SKIP() << "there is a GPU";
  EXPECT_THAT(failure_of([] { plan_memory(kComponents, {.device = "cuda"}); }), HasSubstr(open_cuda().why_not));
  EXPECT_THAT(failure_of([] { plan_memory(kComponents, {.device = "cuda:7"}); }), HasSubstr(open_cuda().why_not));
}

}  // namespace
}  // namespace glyphscope
