// The U-Net against diffusers' UNet2DConditionModel (tests/golden/make_golden.py).
#include "models/unet.h"

#include <gtest/gtest.h>

#include "io/files.h"
#include "io/weights.h"
#include "patching/kv_recorder.h"
#include "patching/prompt_taps.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::kTolerance;
using testing::relative_error;

struct UNetParity : ::testing::TestWithParam<const char*> {
  void SetUp() override {
    const auto folder = golden(GetParam());
    unet = std::make_unique<UNet>(UNetConfig::parse(Config::read(folder / "config.json")));
    load_weights(*unet, Weights::find(folder), {.placement = {testing::test_device()}});
    expected = std::make_unique<SafetensorsFile>(folder / "expected.safetensors");
  }
  torch::Tensor get(const std::string& name) const { return expected->tensor(name).to(testing::test_device()); }
  // The prompt of that name, and SDXL's pooled prompt and sizes where the reference has them.
  Conditioning conditioning(const std::string& name, const std::string& prefix = "") const {
    const bool added = expected->entries().contains(prefix + "time_ids");
    if (!added) return {get(name)};
    return {.embedding = get(name), .pooled = get(prefix + "text_embeds"), .sizes = get(prefix + "time_ids")};
  }
  static Conditioning row_of(const Conditioning& all, std::int64_t row) {
    auto pick = [&](const torch::Tensor& tensor) { return tensor.defined() ? tensor.slice(0, row, row + 1) : tensor; };
    return {.embedding = pick(all.embedding), .pooled = pick(all.pooled), .sizes = pick(all.sizes), .prompt_mask = pick(all.prompt_mask)};
  }

  torch::Tensor patched(const PatchPlan& plan, const std::vector<const KvRecord*>& records = {}) const {
    const torch::Tensor own = get("encoder_hidden_states"), other = get("other_hidden_states");
    // Prompts 0 and 1 are the rows' own, 2 and 3 what they see instead.
    const PatchPlan second = with_prompt(plan, 3);
    PromptTaps taps(unet->sites(), {{own.slice(0, 0, 1)}, {own.slice(0, 1, 2)}, {other.slice(0, 0, 1)}, {other.slice(0, 1, 2)}}, {{0, &plan}, {1, &second}}, {},
                    records);
    return unet->forward(get("sample"), get("timestep"), conditioning("encoder_hidden_states"), &taps);
  }
  static PatchPlan with_prompt(const PatchPlan& plan, int prompt) {
    auto patches = plan.patches();
    for (auto& patch : patches) patch.prompt = prompt;
    return PatchPlan(patches);
  }

  torch::NoGradGuard no_grad;
  std::unique_ptr<UNet> unet;
  std::unique_ptr<SafetensorsFile> expected;
};

// Padding is not attended to; where a layer reads another prompt, that prompt's padding is what it leaves out.
TEST_P(UNetParity, APromptsMaskEqualsTheReference) {
  const torch::Tensor own = get("encoder_hidden_states"), other = get("other_hidden_states"), mask = get("mask"), other_mask = get("other_mask");
  Conditioning masked = conditioning("encoder_hidden_states");
  masked.prompt_mask = mask;
  EXPECT_LT(relative_error(unet->forward(get("sample"), get("timestep"), masked), get("masked.output")), kTolerance);

  const auto row = [](const torch::Tensor& states, const torch::Tensor& of, std::int64_t i) {
    return PromptStates{states.slice(0, i, i + 1), of.slice(0, i, i + 1)};
  };
  const PatchPlan first({{.site = 1, .prompt = 2}}), second({{.site = 1, .prompt = 3}});
  PromptTaps taps(unet->sites(), {row(own, mask, 0), row(own, mask, 1), row(other, other_mask, 0), row(other, other_mask, 1)}, {{0, &first}, {1, &second}}, {});
  EXPECT_LT(relative_error(unet->forward(get("sample"), get("timestep"), masked, &taps), get("masked_patched.output")), kTolerance);

  masked.prompt_mask = mask.slice(1, 1);
  EXPECT_THROW((void)unet->forward(get("sample"), get("timestep"), masked), Failure);
}

TEST_P(UNetParity, OutputEqualsTheReference) {
  EXPECT_LT(relative_error(unet->forward(get("sample"), get("timestep"), conditioning("encoder_hidden_states")), get("output")), kTolerance);
  EXPECT_LT(relative_error(unet->forward(get("square.sample"), get("square.timestep"), conditioning("square.encoder_hidden_states", "square.")),
                           get("square.output")),
            kTolerance);
}

TEST_P(UNetParity, SitesAreInForwardOrder) {
  const auto paths = nlohmann::json::parse(expected->metadata().at("site_paths"));
  ASSERT_EQ(paths.size(), unet->sites().sites.size());
  for (size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(unet->sites().sites[i].path, paths[i].get<std::string>());
}

TEST_P(UNetParity, RecordedKeysAndValuesAreTheReferences) {
  for (std::int64_t row : {0, 1}) {
    KvRecorder recorder({.width_sum = 1, .tokens = 1}, 1 << 20, row, false);
    unet->forward(get("sample"), get("timestep"), conditioning("encoder_hidden_states"), &recorder);
    for (const auto& site : unet->sites().sites) {
      const KeyValue& kv = recorder.record().at(site.index, 0);
      EXPECT_LT(relative_error(kv.key, get("site." + std::to_string(site.index) + ".key").slice(0, row, row + 1)), kTolerance) << site.path;
      EXPECT_LT(relative_error(kv.value, get("site." + std::to_string(site.index) + ".value").slice(0, row, row + 1)), kTolerance) << site.path;
    }
  }
}

TEST_P(UNetParity, PatchingEachSiteEqualsTheReferencesProcessor) {
  for (const auto& site : unet->sites().sites) {
    const torch::Tensor reference = get("patched." + std::to_string(site.index) + ".output");
    EXPECT_LT(relative_error(patched(PatchPlan::at_sites({site.index}, 2)), reference), kTolerance) << site.path;
    EXPECT_GT(relative_error(get("output"), reference), kTolerance) << "the reference's patch changes something at " << site.path;
  }
}

TEST_P(UNetParity, PatchingFromRecordsEqualsInjection) {
  std::vector<KvRecord> records;
  for (std::int64_t row : {0, 1}) {
    KvRecorder recorder({.width_sum = 1, .tokens = 1}, 1 << 20, row, false);
    unet->forward(get("sample"), get("timestep"), conditioning("other_hidden_states"), &recorder);
    records.push_back(recorder.record());
  }
  for (const auto& site : unet->sites().sites) {
    const auto recorded = patched(PatchPlan::at_sites({site.index}, 2), {nullptr, nullptr, &records[0], &records[1]});
    EXPECT_LT(relative_error(recorded, get("patched." + std::to_string(site.index) + ".output")), kTolerance) << site.path;
  }
}

TEST_P(UNetParity, HeadsAndStreamsAreChosen) {
  EXPECT_LT(relative_error(patched(PatchPlan({{.site = 1, .prompt = 2, .heads = {1}}})), get("patched_heads.output")), kTolerance);
  EXPECT_LT(relative_error(patched(PatchPlan({{.site = 2, .prompt = 2, .heads = {}, .streams = Streams::value}})), get("patched_value_only.output")),
            kTolerance);
}

TEST_P(UNetParity, TapsThatPatchNothingChangeNoBit) {
  const torch::Tensor own = get("encoder_hidden_states"), x = get("sample"), t = get("timestep");
  const Conditioning all = conditioning("encoder_hidden_states");
  // The same batch shape: one row, whose prompt is projected alone in both.
  for (std::int64_t row : {0, 1}) {
    PromptTaps taps(unet->sites(), {{own.slice(0, row, row + 1)}}, {{0, nullptr}}, {});
    const auto with = unet->forward(x.slice(0, row, row + 1), t.slice(0, row, row + 1), row_of(all, row), &taps);
    EXPECT_TRUE(torch::equal(with, unet->forward(x.slice(0, row, row + 1), t.slice(0, row, row + 1), row_of(all, row))));
  }
}

TEST_P(UNetParity, PatchingEverySiteGivesTheOtherPromptsOutput) {
  std::vector<int> all;
  for (const auto& site : unet->sites().sites) all.push_back(site.index);
  const auto other = unet->forward(get("sample"), get("timestep"), conditioning("other_hidden_states"));
  EXPECT_LT(relative_error(patched(PatchPlan::at_sites(all, 2)), other), 1e-5);
}

TEST_P(UNetParity, BatchedEqualsOneByOne) {
  const torch::Tensor x = get("sample"), t = get("timestep");
  const Conditioning all = conditioning("encoder_hidden_states");
  const auto together = unet->forward(x, t, all);
  for (std::int64_t row : {0, 1})
    EXPECT_LT(relative_error(unet->forward(x.slice(0, row, row + 1), t.slice(0, row, row + 1), row_of(all, row)), together.slice(0, row, row + 1)), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Options, UNetParity, ::testing::Values("unet_sd1", "unet_sd2", "unet_sdxl"));

// Distilled shapes, and guidance that is read as a number.
TEST(UNetVariants, EqualTheReference) {
  torch::NoGradGuard no_grad;
  for (const auto& [name, sites] : {std::pair("no_middle", 6), {"resnet_middle", 6}, {"nested", 16}, {"guidance", 7}}) {
    SCOPED_TRACE(name);
    const auto folder = golden("unet_variants") / name;
    UNet unet(UNetConfig::parse(Config::read(folder / "config.json")));
    load_weights(unet, Weights::find(folder));
    const SafetensorsFile expected(folder / "expected.safetensors");
    Conditioning conditioning{.embedding = expected.tensor("encoder_hidden_states")};
    if (expected.entries().contains("guidance")) conditioning.guidance = expected.tensor("guidance");
    EXPECT_LT(relative_error(unet.forward(expected.tensor("sample"), expected.tensor("timestep"), conditioning), expected.tensor("output")), kTolerance);
    EXPECT_EQ(unet.sites().sites.size(), static_cast<size_t>(sites));
  }
}

}  // namespace
}  // namespace glyphscope
