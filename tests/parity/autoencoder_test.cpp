// The autoencoder against diffusers' AutoencoderKL.
#include "models/autoencoder_kl.h"

#include <gtest/gtest.h>

#include "io/weights.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

std::unique_ptr<AutoencoderKl> load(const std::string& name) {
  auto model = std::make_unique<AutoencoderKl>(AutoencoderConfig::parse(Config::read(golden(name) / "config.json")));
  load_weights(*model, Weights::find(golden(name)), {.placement = {testing::test_device()}, .rename = modern_autoencoder_key});
  return model;
}

TEST(AutoencoderParity, CodesAsTheReference) {
  torch::NoGradGuard no_grad;
  for (const std::string name : {"vae", "vae_plain"}) {
    const auto model = load(name);
    const SafetensorsFile expected(golden(name) / "expected.safetensors");
    const LatentDistribution latent = model->encode(expected.tensor("image").to(testing::test_device()));
    EXPECT_LT(relative_error(latent.mean, expected.tensor("mean")), 1e-4) << name;
    EXPECT_LT(relative_error(latent.log_variance, expected.tensor("logvar")), 1e-4) << name;
    EXPECT_LT(relative_error(model->decode(expected.tensor("latent").to(testing::test_device())), expected.tensor("decoded")), 1e-4) << name;
  }
}

TEST(AutoencoderParity, TilesAsTheReference) {
  torch::NoGradGuard no_grad;
  const auto model = load("vae");
  model->tile_size = 32;
  const SafetensorsFile expected(golden("vae") / "expected.safetensors");
  for (const std::string name : {"tiled", "tiled2"}) {
    const LatentDistribution latent = model->encode(expected.tensor(name + ".image").to(testing::test_device()));
    EXPECT_LT(relative_error(latent.mean, expected.tensor(name + ".mean")), 1e-4) << name;
    EXPECT_LT(relative_error(model->decode(expected.tensor(name + ".latent").to(testing::test_device())), expected.tensor(name + ".decoded")), 1e-4) << name;
  }
}

TEST(Autoencoder, KeysOfOldCheckpointsAreKnown) {
  EXPECT_EQ(modern_autoencoder_key("decoder.mid_block.attentions.0.query.weight"), "decoder.mid_block.attentions.0.to_q.weight");
  EXPECT_EQ(modern_autoencoder_key("encoder.mid_block.attentions.0.proj_attn.bias"), "encoder.mid_block.attentions.0.to_out.0.bias");
  EXPECT_EQ(modern_autoencoder_key("decoder.mid_block.attentions.0.to_q.weight"), "decoder.mid_block.attentions.0.to_q.weight");
  EXPECT_EQ(modern_autoencoder_key("decoder.conv_in.weight"), "decoder.conv_in.weight");
}

TEST(Autoencoder, CancelStopsBetweenTiles) {
  torch::NoGradGuard no_grad;
  const auto model = load("vae");
  CancelToken cancel;
  cancel.cancel();
  EXPECT_THROW(model->decode(torch::zeros({1, 4, 8, 8}), cancel), Failure);
}

}  // namespace
}  // namespace glyphscope
