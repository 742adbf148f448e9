// What only a run on the stand-in device shows: what goes between host and device, and what happens where the device has no memory left or is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/devices.h"
#include "device/memory_plan.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "models/autoencoder_kl.h"
#include "models/block_stream.h"
#include "models/unet.h"
#include "registry/model_needs.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/stand_in_device.h"
#include "text/clip_text_model.h"

namespace glyphscope {
namespace {
using testing::golden;
using ::testing::HasSubstr;
namespace stand_in = testing::stand_in;

struct OnStandIn : ::testing::TestWithParam<const char*> {
  void SetUp() override {
    if (testing::test_device().is_cpu()) GTEST_SKIP() << "a run with GLYPHSCOPE_TEST_DEVICE=standin";
  }
  void TearDown() override {
    stand_in::set_memory(std::uint64_t{64} << 30);
    stand_in::lose_after(-1);
  }
};
struct StandIn : OnStandIn {};

// As many rows as wanted, each patched at these sites from its second step on, so that what patches ask for changes on the way.
Request request_of(int rows, const std::vector<int>& sites, std::int64_t steps, const ModelInfo& model) {
  Request request;
  request.prompts = {"a sign that says \"one\"", "a sign that says \"two\""};
  for (int i = 0; i < rows; ++i) request.rows.push_back({0, static_cast<std::uint64_t>(i), PatchPlan::at_sites(sites, 1, 1)});
  request.steps = steps;
  request.width = request.height = 4 * model.size_multiple;
  return request;
}

TEST_P(OnStandIn, PicturesAreTheCpus) {
  const std::string source = golden(GetParam()).string();
  const auto there = *open_model(source, {.device = "standin"}), here = *open_model(source, {.device = "cpu"});
  EXPECT_EQ(there->info().device, "standin");
  EXPECT_EQ(there->info().device_label, "standin:0");
  EXPECT_EQ(here->info().device, "cpu");
  EXPECT_EQ(there->info().hash, here->info().hash);
  const Request request = request_of(2, {0, 1}, 3, here->info());
  const auto a = there->generate(request), b = here->generate(request);
  ASSERT_TRUE(a) << a.error().message();
  ASSERT_TRUE(b) << b.error().message();
  EXPECT_TRUE(a->images.device().is_cpu() && a->latents.device().is_cpu()) << "results are the host's";
  // DeepFloyd IF learns a variance, whose exponential enlarges the last digits.
  EXPECT_LT(testing::relative_error(a->latents, b->latents), there->info().family.starts_with("DeepFloyd") ? 5e-4 : 1e-4);
  EXPECT_LE((a->images.to(torch::kInt32) - b->images.to(torch::kInt32)).abs().max().item<int>(), 1);
}

// Copies and waits are the run's, not each row's or each site's; and none belongs to a denoiser call.
TEST_P(OnStandIn, CopiesGrowNeitherWithRowsNorWithSitesNorWithSteps) {
  const auto pipeline = *open_model(golden(GetParam()).string());
  const auto traffic = [&](int rows, const std::vector<int>& sites, std::int64_t steps) {
    const Request request = request_of(rows, sites, steps, pipeline->info());
    const auto warm = pipeline->generate(request);  // prompts are remembered
    EXPECT_TRUE(warm) << warm.error().message();
    stand_in::reset_traffic();
    const auto result = pipeline->generate(request);
    EXPECT_TRUE(result) << result.error().message();
    return stand_in::traffic();
  };
  const auto least = traffic(1, {0}, 3), rows = traffic(4, {0}, 3), sites = traffic(1, {0, 1, 2}, 3), steps = traffic(1, {0}, 6);
  for (const auto& [name, more] : {std::pair("rows", rows), std::pair("sites", sites)}) {
    EXPECT_EQ(more.to_device, least.to_device) << name;
    EXPECT_EQ(more.to_host, least.to_host) << name;
    EXPECT_EQ(more.waits, least.waits) << name;
  }
  // A scheduler that draws noise at each step draws it on the host.
  const bool draws = pipeline->info().scheduler == "DDPMScheduler";
  EXPECT_EQ(steps.to_device - least.to_device, draws ? 3 : 0);
  EXPECT_EQ(steps.waits, least.waits) << "the host waits at the end of a run, not at its steps";
  EXPECT_LE(least.waits, least.to_device + 4) << "a copy to the device before it begins may wait";
}

// With memory for so many bytes beside what computing takes at least.
std::shared_ptr<Pipeline> opened_in(const std::string& source, std::uint64_t bytes) {
  const std::uint64_t memory = MemoryPlan::kWorkBytes + bytes;
  stand_in::set_memory(stand_in::memory_used() + memory);
  auto pipeline = open_model(source, {.device = "standin", .memory = memory});
  stand_in::set_memory(std::uint64_t{64} << 30);
  if (!pipeline) throw Failure(pipeline.error());
  return *pipeline;
}

// A model that is larger than the device draws the same pictures, bit for bit: of each block's weights its own are there when it computes. They are copied from
// pinned memory, for which nobody waits.
TEST_P(OnStandIn, BlocksThatAreStreamedDrawTheSame) {
  const std::string source = golden(GetParam()).string();
  const auto needs = *model_needs(source, {});
  MemoryPlan plan{.components = needs.components, .keeps_encoders = false};
  const std::uint64_t whole = plan.reading_bytes();
  plan.streams = true;
  plan.resident = 0;
  const std::uint64_t least = plan.reading_bytes();
  ASSERT_LT(least, whole);
  const auto there = *open_model(source, {.device = "standin"});
  const Request request = request_of(2, {0, 1}, 3, there->info());
  const auto expected = there->generate(request);
  ASSERT_TRUE(expected) << expected.error().message();
  for (const std::uint64_t memory : {least, (least + whole) / 2}) {
    const MemoryPlan planned = plan_memory(needs.components, {.device = "standin", .memory = MemoryPlan::kWorkBytes + memory});
    ASSERT_TRUE(planned.streams);
    const std::uint64_t now = stand_in::memory_used();
    const auto streamed = opened_in(source, memory);
    // What is there is what was planned, but for gaps between tensors; what stays of blocks is at most its share.
    const std::uint64_t used = stand_in::memory_used() - now, gaps = 64 << 10;
    EXPECT_LE(used, planned.reading_bytes() + gaps);
    EXPECT_GE(used + gaps, plan.reading_bytes());
    std::vector<stand_in::Traffic> traffic;
    for (const std::int64_t steps : {3, 3, 6}) {
      Request each = request;
      each.steps = steps;
      stand_in::reset_traffic();
      const auto result = streamed->generate(each);
      ASSERT_TRUE(result) << result.error().message();
      traffic.push_back(stand_in::traffic());
      if (steps == 3) EXPECT_TRUE(torch::equal(result->latents, expected->latents));
    }
    EXPECT_GT(traffic[2].to_device, traffic[1].to_device) << "nothing was streamed";
    EXPECT_EQ(traffic[2].waits, traffic[1].waits);
    // Prompts that are new, for which encoders that went are loaded again.
    Request other = request;
    other.prompts[0] = "a house";
    const auto streamed_other = streamed->generate(other), expected_other = there->generate(other);
    ASSERT_TRUE(streamed_other) << streamed_other.error().message();
    EXPECT_TRUE(torch::equal(streamed_other->latents, expected_other->latents));
  }
}

// What is kept quantized draws what the CPU draws of it, whether its blocks stay or are streamed; and only where numbers can be formed is it kept.
TEST_F(StandIn, QuantizedWeightsDrawTheCpusPictures) {
  OpenOptions by;
  by.config = golden("pipeline_flux");
  const std::string source = (golden("gguf") / "flux.gguf").string();
  by.device = "cpu";
  const auto here = *open_model(source, by);
  by.device = "standin";
  const auto there = *open_model(source, by);
  const Request request = request_of(2, {0, 1}, 2, here->info());
  const auto expected = here->generate(request), drawn = there->generate(request);
  ASSERT_TRUE(expected) << expected.error().message();
  ASSERT_TRUE(drawn) << drawn.error().message();
  EXPECT_LT(testing::relative_error(drawn->latents, expected->latents), 1e-4);

  const auto needs = *model_needs(source, by);
  MemoryPlan plan = plan_memory(needs.components, by.place());
  plan.keeps_encoders = false;
  const std::uint64_t whole = plan.reading_bytes();
  plan.streams = true;
  plan.resident = 0;
  ASSERT_LT(plan.reading_bytes(), whole);
  by.memory = MemoryPlan::kWorkBytes + plan.reading_bytes();
  const auto opened = open_model(source, by);
  ASSERT_TRUE(opened) << opened.error().message();
  const auto& streamed = *opened;
  stand_in::reset_traffic();
  const auto again = streamed->generate(request);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_GT(stand_in::traffic().to_device, 0u);
  EXPECT_TRUE(torch::equal(again->latents, drawn->latents));
}

INSTANTIATE_TEST_SUITE_P(Families, OnStandIn,
                         ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_if", "pipeline_flux", "pipeline_z_image", "pipeline_ldm/kl",
                                           "pipeline_ldm/vq"));

TEST_F(StandIn, AutoTakesTheDeviceThatHoldsTheModelElseTheCpu) {
  const std::string source = golden("pipeline").string();
  const auto there = *open_model(source);
  EXPECT_EQ(there->info().device, "standin");
  EXPECT_THAT(there->info().why_device, HasSubstr("free, the model takes at least"));
  stand_in::set_memory(stand_in::memory_used() + (std::uint64_t{1} << 20));
  const auto here = *open_model(source);
  EXPECT_EQ(here->info().device, "cpu");
  EXPECT_THAT(here->info().why_device, HasSubstr("standin:0 has 1 MiB free"));
  const auto refused = open_model(source, {.device = "standin"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(refused.error().message(), HasSubstr("the model needs at least"));
}

// SDXL's components, by its published configurations.
std::vector<ComponentSize> sdxl() {
  std::vector<ComponentSize> out;
  const auto add = [&](const std::string& name, const torch::nn::Module& module, bool reads_prompts, bool wide) {
    std::int64_t parameters = 0;
    for (const auto& parameter : module.parameters()) parameters += parameter.numel();
    const BlockSizes blocks = name == "vae" ? BlockSizes{} : block_sizes(module);
    out.push_back({name, parameters, wide, reads_prompts, blocks.parameters, blocks.largest});
  };
  const auto config = [](const std::string& name) { return Config::read(golden("../../configs/sdxl") / name / "config.json"); };
  for (const char* name : {"text_encoder", "text_encoder_2"}) add(name, ClipTextModel(ClipTextConfig::parse(config(name))), true, false);
  add("unet", UNet(UNetConfig::parse(config("unet"))), false, false);
  add("vae", AutoencoderKl(AutoencoderConfig::parse(config("vae"))), false, true);
  return out;
}

// Whatever memory there is, what a plan has on the device fits, with room to compute; more memory never moves more away.
TEST_F(StandIn, PlansFitTheMemoryThereIs) {
  const std::vector<ComponentSize> components = sdxl();
  EXPECT_EQ(memory_text(plan_memory(components, {.device = "standin", .memory = std::uint64_t{32} << 30}).reading_bytes()), "12.9 GiB");
  constexpr std::uint64_t kStep = std::uint64_t{250} << 20, kMost = std::uint64_t{18} << 30;
  std::set<std::string> ways;
  double resident = 0;
  for (std::uint64_t memory = kStep; memory <= kMost; memory += kStep) {
    const auto plan = attempt([&] { return plan_memory(components, {.device = "standin", .memory = memory}); });
    if (!plan) {
      EXPECT_EQ(plan.error().code, ErrorCode::out_of_memory);
      EXPECT_THAT(plan.error().message(), HasSubstr("the model needs at least 1.7 GiB of standin:0, which has " + memory_text(memory) + " to give"));
      EXPECT_TRUE(ways.empty()) << "less memory was enough";
      continue;
    }
    EXPECT_LE(std::max(plan->reading_bytes(), plan->drawing_bytes()) + MemoryPlan::kWorkBytes, memory);
    const double stays = plan->streams ? plan->resident : 1;
    EXPECT_GE(stays, resident);
    resident = stays;
    ways.insert(plan->streams ? "streams" : plan->keeps_encoders ? "all" : "encoders go");
    if (plan->streams) EXPECT_THAT(plan->shortage(), HasSubstr("of the model's weights stay in the host's memory, and are copied to standin:0"));
  }
  EXPECT_EQ(ways, (std::set<std::string>{"streams", "encoders go", "all"}));
}

// Where rows do not fit together, fewer are drawn at once, to the same pictures; where one does not fit, the numbers are said.
TEST_F(StandIn, WhatDoesNotFitIsDrawnInParts) {
  const auto pipeline = *open_model(golden("pipeline").string());
  const Request request = request_of(8, {0}, 2, pipeline->info());
  const auto peak_of = [&](int rows) {
    Request some = request;
    some.rows.resize(static_cast<size_t>(rows));
    forget_peak_memory(testing::test_device());
    EXPECT_TRUE(pipeline->generate(some));
    return peak_memory(testing::test_device());
  };
  const std::uint64_t two = peak_of(2), four = peak_of(4), eight = peak_of(8);
  ASSERT_LT(two, four);
  ASSERT_LT(four, eight);
  const auto whole = pipeline->generate(request);
  std::vector<Progress> told;
  stand_in::set_memory((four + eight) / 2);
  const std::int64_t refusals = stand_in::refusals();
  const auto parts = pipeline->generate(request, {.progress = [&](const Progress& p) { told.push_back(p); }});
  ASSERT_TRUE(parts) << parts.error().message();
  EXPECT_LT(testing::relative_error(parts->latents, whole->latents), 1e-4);
  EXPECT_EQ(stand_in::refusals(), refusals) << "what one row takes is known before";
  EXPECT_THAT(parts->notes, ::testing::Contains(::testing::ContainsRegex("holds [3-5] of these rows at once")));
  EXPECT_LE(parts->denoiser_calls, 3 * whole->denoiser_calls);
  EXPECT_EQ(told.back().done, told.back().total);
  stand_in::set_memory(stand_in::memory_used() + 100'000);
  const auto none = pipeline->generate(request);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(none.error().message(), HasSubstr("does not fit into the memory of standin:0"));
}

// Where a picture does not fit into the decoder, it goes through it in tiles; that is said, and what was drawn is the same.
TEST_F(StandIn, PicturesAreDecodedInTilesThatFit) {
  const auto pipeline = *open_model(golden("pipeline_sdxl").string());
  Request request = request_of(2, {0}, 2, pipeline->info());
  request.width = request.height = 256;
  const auto whole = pipeline->generate(request);
  ASSERT_TRUE(whole) << whole.error().message();
  EXPECT_THAT(whole->notes, ::testing::IsEmpty());
  request.rows_at_once = 1;
  std::uint64_t memory = stand_in::memory_used() + (std::uint64_t{1} << 30);
  Expected<Result> tiled = pipeline->generate(request);
  // As little as still does.
  for (Expected<Result> less = tiled; less && memory > stand_in::memory_used() + (1 << 20);) {
    tiled = less;
    memory -= memory / 8;
    stand_in::set_memory(memory);
    less = pipeline->generate(request);
  }
  EXPECT_THAT(tiled->notes, ::testing::Contains(::testing::ContainsRegex("decoded in tiles of [0-9]+ pixels a side, not 512")));
  EXPECT_LT(testing::relative_error(tiled->latents, whole->latents), 1e-4);
  EXPECT_LT((tiled->images.to(torch::kFloat32) - whole->images.to(torch::kFloat32)).abs().mean().item<double>(), 8) << "of 255";
}

// Where memory is short T5 is there only while prompts are read; the pictures are the same.
TEST_F(StandIn, T5GoesWhereMemoryIsShort) {
  const auto drawn = [](std::uint64_t memory) {
    const std::uint64_t before = stand_in::memory_used();
    stand_in::set_memory(before + memory);
    const auto pipeline = *open_model(golden("pipeline_sd3").string(), {.device = "standin"});
    const auto result = pipeline->generate(request_of(1, {0}, 2, pipeline->info()));
    EXPECT_TRUE(result) << result.error().message();
    return std::pair(stand_in::memory_used() - before, result->latents);
  };
  const auto roomy = drawn(std::uint64_t{8} << 30), tight = drawn(std::uint64_t{1} << 30);
  EXPECT_LT(tight.first, roomy.first);
  EXPECT_TRUE(torch::equal(tight.second, roomy.second));
}

// Weights of which fp32 and bf16 make numbers, but fp16 does not.
TEST_F(StandIn, WhatOverflowsInFp16IsSaid) {
  const testing::TemporaryFolder folder;
  const auto model = folder / "model";
  std::filesystem::copy(golden("pipeline"), model, std::filesystem::copy_options::recursive);
  const auto file = model / "unet" / "diffusion_pytorch_model.safetensors";
  std::map<std::string, torch::Tensor> weights;
  for (const auto& [key, value] : Weights(file).tensors()) weights[key] = value.clone();
  for (const char* key : {"conv_in.weight", "conv_in.bias"}) weights[key] *= 3e4 / weights[key].abs().max();
  std::filesystem::remove(file);
  write_safetensors(file, weights);
  const auto drawn = [&](const char* dtype) {
    const auto pipeline = *open_model(model.string(), {.device = "standin", .dtype = dtype});
    return pipeline->generate(request_of(1, {0}, 2, pipeline->info()));
  };
  EXPECT_TRUE(drawn("fp32"));
  EXPECT_TRUE(drawn("bf16"));
  const auto overflown = drawn("fp16");
  ASSERT_FALSE(overflown);
  EXPECT_THAT(overflown.error().message(), HasSubstr("in fp16 the denoiser's output is not a number"));
  EXPECT_THAT(overflown.error().message(), HasSubstr("need a wider one"));
}

TEST_F(StandIn, ALostDeviceIsSaid) {
  const auto pipeline = *open_model(golden("pipeline").string());
  stand_in::lose_after(200);
  const auto lost = pipeline->generate(request_of(1, {0}, 3, pipeline->info()));
  ASSERT_FALSE(lost);
  EXPECT_THAT(lost.error().message(), HasSubstr("the device failed: stand-in device: the device was lost"));
  stand_in::lose_after(-1);
  EXPECT_TRUE(pipeline->generate(request_of(1, {0}, 3, pipeline->info())));
}

TEST_F(StandIn, DeviceMemoryIsNoPlaceForTheHost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const torch::Tensor there = torch::ones({3}).to(testing::test_device());
  EXPECT_DEATH(
      {
        volatile float read = *there.data_ptr<float>();
        (void)read;
      },
      "the host touched device memory");
  EXPECT_THROW((void)(there + torch::ones({3})), c10::Error);
  EXPECT_EQ((there + 1).sum().item<float>(), 6);
}

TEST_F(StandIn, PeakMemoryIsKnown) {
  forget_peak_memory(testing::test_device());
  const std::uint64_t before = peak_memory(testing::test_device());
  { const torch::Tensor large = torch::empty({1 << 20}, torch::TensorOptions(testing::test_device())); }
  EXPECT_GE(peak_memory(testing::test_device()), before + (4u << 20));
}

}  // namespace
}  // namespace glyphscope
