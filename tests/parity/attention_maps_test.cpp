// Where a picture looks among its prompt's tokens: what is recorded, against the softmax of what diffusers hands to attention (make_attention_maps.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "patching/look_taps.h"
#include "patching/prompt_taps.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"

namespace glyphscope {
namespace {

using testing::golden;
using testing::relative_error;
using testing::SmallDenoiser;

TEST(AttentionMaps, AreDiffusers) {
  const SafetensorsFile expected(golden("attention_maps.safetensors"));
  size_t checked = 0;
  for (const char* name : {"unet_sd1", "unet_sdxl", "unet_if1", "mmdit_sd35", "flux_dev", "z_image"}) {
    SmallDenoiser denoiser(name);
    for (const bool first_head : {false, true})
      for (const int row : {0, 1}) {
        LockstepTaps beneath(denoiser.table(), {{}, {}}, {});
        AttentionRecord record;
        record.steps = record.ranges = 1;
        for (size_t site = 0; first_head && site < denoiser.table().sites.size(); ++site) record.heads[static_cast<int>(site)] = {0};
        constexpr std::int64_t kTokens = 200;  // each a word of its own
        LookTaps taps(beneath, {{row, &record, torch::eye(kTokens).to(testing::test_device()), 1.0, name == std::string("z_image") ? 15 : 0}});
        denoiser.call(&taps);
        for (const Site& site : denoiser.table().sites) {
          const std::string key = std::string(name) + "." + std::to_string(site.index) + (first_head ? ".first_head" : "");
          SCOPED_TRACE(key);
          ASSERT_EQ(expected.entries().contains(key), record.found.contains(site.index));
          if (!expected.entries().contains(key)) continue;
          const torch::Tensor theirs = expected.tensor(key)[row];  // [points, tokens]
          const torch::Tensor ours = record.found.at(site.index).mean(0).flatten(1).t();
          ASSERT_EQ(ours.size(0), theirs.size(0));
          EXPECT_LT(relative_error(ours.slice(1, 0, theirs.size(1)), theirs), 2e-5);
          ++checked;
        }
      }
  }
  EXPECT_EQ(checked, 2 * expected.entries().size());
}

// In a whole generation: recording changes no bit of the picture; shares of words are shares, and with the tokens between them at most all.
TEST(AttentionMaps, OfAWholePictureChangeNothingAndAreShares) {
  for (const char* name : {"pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_flux", "pipeline_if", "pipeline_z_image"}) {
    SCOPED_TRACE(name);
    const auto opened = open_model(golden(name).string());
    ASSERT_TRUE(opened) << opened.error().message();
    Request request;
    request.prompts = {"a sign that says \"open\""};
    request.steps = 3;
    request.rows = {{0, 1, {}}};
    const auto plain = (*opened)->generate(request);
    ASSERT_TRUE(plain) << plain.error().message();
    const auto record = std::make_shared<AttentionRecord>();
    request.rows[0].look = record;
    const auto looked = (*opened)->generate(request);
    ASSERT_TRUE(looked) << looked.error().message();
    EXPECT_TRUE(torch::equal(looked->latents, plain->latents));
    EXPECT_EQ(record->words.size(), 5);
    EXPECT_EQ(record->ranges, 3);
    ASSERT_FALSE(record->found.empty());
    for (const auto& [index, site] : record->found)
      for (size_t range = 0; range < 3; ++range) {
        SCOPED_TRACE(std::to_string(index) + ", " + std::to_string(range));
        const torch::Tensor maps = site.mean(range);
        ASSERT_TRUE(maps.defined());
        EXPECT_EQ(maps.sizes(), (at::IntArrayRef{5, site.height, site.width}));
        EXPECT_GE(maps.min().item<double>(), 0);
        EXPECT_LE(maps.sum(0).max().item<double>(), 1 + 1e-5);
        EXPECT_GT(maps.sum().item<double>(), 0);
      }
    // Of one site and one range alone: what was recorded there before.
    const auto some = std::make_shared<AttentionRecord>();
    const int site = record->found.rbegin()->first;
    some->sites = {site};
    some->most_numbers = 1;
    request.rows[0].look = some;
    ASSERT_TRUE((*opened)->generate(request));
    EXPECT_EQ(some->ranges, 1);
    ASSERT_EQ(some->found.size(), 1);
    torch::Tensor sum = torch::zeros_like(some->found.at(site).mean(0));
    for (size_t range = 0; range < 3; ++range) sum += record->found.at(site).mean(range) / 3;
    EXPECT_LT(relative_error(some->found.at(site).mean(0), sum), 1e-4);
  }
}

}  // namespace
}  // namespace glyphscope
