#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "io/config.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "patching/prompt_taps.h"
#include "tests/support/golden.h"

namespace glyphscope::testing {

/// A fixture around a denoiser of joint attention: the folder's model, and what the reference's own and recording attention
/// processors computed with it.
template <class Model, class ModelConfig>
class JointParity : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr double kTolerance = 1e-4;  // of the reference's largest magnitude

  void SetUp() override {
    const std::filesystem::path folder = golden(this->GetParam());
    model = std::make_unique<Model>(ModelConfig::parse(Config::read(folder / "config.json")));
    load_weights(*model, Weights::find(folder), {.placement = {testing::test_device()}});
    expected = std::make_unique<SafetensorsFile>(folder / "expected.safetensors");
  }
  torch::Tensor get(const std::string& name) const { return expected->tensor(name).to(testing::test_device()); }
  Conditioning conditioning(const std::string& prefix = "") const {
    const auto if_there = [&](const std::string& name) { return expected->entries().contains(name) ? get(name) : torch::Tensor(); };
    return {.embedding = get(prefix + "embedding"),
            .pooled = if_there(prefix + "pooled"),
            .guidance = if_there("time_ids"),
            .prompt_mask = if_there(prefix + "prompt_mask")};
  }
  torch::Tensor run(const Conditioning& c, Taps* taps = nullptr) const { return model->forward(get("sample"), get("timestep"), c, taps); }
  // Rows 0 and 1 are A's, 2 and 3 B's; the plan lets A's rows see B's.
  torch::Tensor patched(const PatchPlan& plan) const {
    LockstepTaps taps(model->sites(), {{&plan, {{1, 2}}}, {&plan, {{1, 3}}}, {}, {}}, {});
    const Conditioning a = conditioning(), b = conditioning("other_");
    const torch::Tensor sample = torch::cat({get("sample"), get("sample")}), timestep = torch::cat({get("timestep"), get("timestep")});
    return model->forward(sample, timestep, joined({a, b}), &taps).slice(0, 0, 2);
  }

  void expect_outputs() const {
    EXPECT_LT(relative_error(run(conditioning()), get("output")), kTolerance);
    EXPECT_LT(relative_error(run(conditioning("other_")), get("other_output")), kTolerance);
  }
  void expect_recorded_keys_and_values() const {
    for (std::int64_t row : {0, 1}) {
      KvRecorder recorder({.width_sum = 1, .tokens = 1}, 1 << 20, row, false);
      run(conditioning("other_"), &recorder);
      for (const auto& site : model->sites().sites) {
        const KeyValue& kv = recorder.record().at(site.index, 0);
        const std::string name = "other." + std::to_string(site.index);
        EXPECT_LT(relative_error(kv.key, get(name + ".key").slice(0, row, row + 1)), kTolerance) << site.path;
        EXPECT_LT(relative_error(kv.value, get(name + ".value").slice(0, row, row + 1)), kTolerance) << site.path;
      }
    }
  }
  void expect_patched_in_lockstep() const {
    for (const auto& site : model->sites().sites)
      EXPECT_LT(relative_error(patched(PatchPlan::at_sites({site.index}, 1)), get("patched." + std::to_string(site.index) + ".output")), kTolerance)
          << site.path;
    EXPECT_LT(relative_error(patched(PatchPlan({{.site = 1, .prompt = 1, .heads = {1}}})), get("patched_head.output")), kTolerance);
  }
  void expect_no_bit_changed_by_an_empty_plan() const {
    LockstepTaps taps(model->sites(), {{}, {}}, {});
    EXPECT_TRUE(torch::equal(run(conditioning(), &taps), run(conditioning())));
  }

  torch::NoGradGuard no_grad;
  std::unique_ptr<Model> model;
  std::unique_ptr<SafetensorsFile> expected;
};

}  // namespace glyphscope::testing
