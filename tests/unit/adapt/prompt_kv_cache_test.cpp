#include "adapt/prompt_kv_cache.h"
#include "adapt/new_lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/random.h"
#include "models/attention.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"

namespace glyphscope {
namespace {
using testing::relative_error;
using testing::SmallDenoiser;

struct PromptKv : ::testing::TestWithParam<const char*> {};

// The same output, from K and V that are made once; the bits do not depend on what has been kept already.
TEST_P(PromptKv, IsMadeOnce) {
  SmallDenoiser denoiser(GetParam());
  const auto generator = make_generator(3);
  const Lora lora = make_lora(denoiser.module(), denoiser.table(), {.sites = {0}, .rank = 2}, generator);
  torch::NoGradGuard no_grad;
  const torch::Tensor plain = denoiser.call();
  const std::int64_t batch = plain.size(0);
  std::vector<std::string> captions;
  for (std::int64_t row = 0; row < batch; ++row) captions.push_back("caption " + std::to_string(row));

  PromptKvCache all(denoiser.table(), lora), half(denoiser.table(), lora);
  all.set_rows(captions);
  const torch::Tensor first = denoiser.call(&all);
  EXPECT_LT(relative_error(first, plain), 1e-5);
  const std::uint64_t bytes = all.bytes();
  std::uint64_t expected = 0;
  for (const auto& item : denoiser.module().named_modules())
    if (const auto* attention = dynamic_cast<const Attention*>(item.value().get()); attention && attention->site > 0)
      expected += 2 * 4 * static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(attention->head_width() * attention->heads());
  EXPECT_GT(bytes, 0u);
  EXPECT_EQ(bytes % expected, 0u);  // as often as there are tokens
  EXPECT_TRUE(torch::equal(denoiser.call(&all), first));
  EXPECT_EQ(all.bytes(), bytes);
  EXPECT_EQ(PromptKvCache::bytes_needed(denoiser.table(), lora, batch, static_cast<std::int64_t>(bytes / expected)), bytes);
  // Rows of one caption, whose own K and V are kept from then on.
  half.set_rows(std::vector<std::string>(captions.size(), captions[0]));
  denoiser.call(&half);
  half.set_rows(captions);
  EXPECT_TRUE(torch::equal(denoiser.call(&half), first));

  // It is what was kept that is read: other names for the rows swap their prompts.
  if (batch < 2) return;
  std::swap(captions[0], captions[1]);
  all.set_rows(captions);
  EXPECT_FALSE(torch::equal(denoiser.call(&all), first));
  all.set_rows({"one"});
  EXPECT_THAT(testing::failure_of([&] { denoiser.call(&all); }), ::testing::HasSubstr("captions of the rows"));
}

INSTANTIATE_TEST_SUITE_P(Families, PromptKv, ::testing::Values("unet_sd1", "unet_sdxl", "unet_if1"));

// A site whose own K and V are trained is left to the layer.
TEST(PromptKvCache, LeavesTrainedSitesAlone) {
  SmallDenoiser denoiser("unet_sd1");
  auto bytes = [&](const LoraPlan& plan) {
    const Lora lora = make_lora(denoiser.module(), denoiser.table(), plan, make_generator(3));
    PromptKvCache cache(denoiser.table(), lora);
    torch::NoGradGuard no_grad;
    cache.set_rows(std::vector<std::string>(static_cast<size_t>(denoiser.call().size(0)), "one"));
    denoiser.call(&cache);
    return cache.bytes();
  };
  std::vector<int> sites;
  for (const auto& site : denoiser.table().sites) sites.push_back(site.index);
  EXPECT_EQ(bytes({.sites = sites, .projections = {"to_q", "to_k"}, .rank = 2}), 0u);
  EXPECT_EQ(bytes({.sites = sites, .projections = {"kv"}, .rank = 2}), 0u);
  EXPECT_GT(bytes({.sites = sites, .projections = {"to_q", "to_out.0"}, .rank = 2}), bytes({.sites = {0}, .rank = 2}));
}

}  // namespace
}  // namespace glyphscope
