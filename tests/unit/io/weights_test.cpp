// What stands in files of weights beside the weights themselves.
#include "io/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "io/safetensors.h"
#include "models/autoencoder_kl.h"
#include "models/layers.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::failure_of;
using testing::golden;
using ::testing::HasSubstr;

torch::Tensor text(const std::string& what) {
  torch::Tensor out = torch::empty({static_cast<std::int64_t>(what.size())}, torch::kUInt8);
  std::copy(what.begin(), what.end(), static_cast<char*>(out.data_ptr()));
  return out;
}

// What ComfyUI writes beside fp8 weights says nothing that the scales do not say.
TEST(WeightFiles, ComfysMarksOfFp8AreNoWeights) {
  const testing::TemporaryFolder folder;
  const fs::path file = folder / "a.safetensors";
  const torch::Tensor numbers = torch::randn({4, 4}).to(torch::kFloat8_e4m3fn), scale = torch::tensor({0.5F});
  write_safetensors(file, {{"a.weight", numbers}, {"a.weight_scale", scale}, {"a.comfy_quant", text("{\"format\": \"float8_e4m3fn\"}")}});
  const Weights weights(file);
  ASSERT_EQ(weights.entries().size(), 1u);
  EXPECT_TRUE(torch::equal(weights.entries().at("a.weight").read(), numbers.to(torch::kFloat32) * 0.5));
  write_safetensors(file, {{"a.weight", numbers}, {"a.comfy_quant", text("{\"format\": \"mxfp8\"}")}});
  EXPECT_THAT(failure_of([&] { Weights{file}; }), AllOf(HasSubstr("'a.comfy_quant'"), HasSubstr("\"mxfp8\""), HasSubstr("GGUF")));
  write_safetensors(file, {{"a.weight", numbers}, {"a.comfy_quant", text("{")}});
  EXPECT_THAT(failure_of([&] { Weights{file}; }), HasSubstr("nothing that can be read"));
}

TEST(WeightFiles, OtherWaysToQuantizeAreNamed) {
  const testing::TemporaryFolder folder;
  const fs::path file = folder / "a.safetensors";
  const torch::Tensor bytes = torch::zeros({4, 4}, torch::kUInt8), number = torch::ones({1});
  const auto refused = [&](const std::map<std::string, torch::Tensor>& tensors) {
    write_safetensors(file, tensors);
    return failure_of([&] { Weights{file}; });
  };
  EXPECT_THAT(refused({{"a.weight", bytes}, {"a.weight.quant_state.bitsandbytes__nf4", bytes}}), AllOf(HasSubstr("bitsandbytes in NF4"), HasSubstr("GGUF")));
  EXPECT_THAT(refused({{"a.weight", bytes}, {"a.weight_scale_2", number}}), HasSubstr("NVFP4"));
  EXPECT_THAT(refused({{"a.weight", torch::zeros({4, 4}, torch::kInt8)}, {"a.weight_scale", number}}), HasSubstr("integers (I8)"));
  EXPECT_THAT(refused({{"a.weight", torch::zeros({4, 4}).to(torch::kFloat8_e4m3fn)}, {"a.weight_scale_inv", number}}), HasSubstr("scales of blocks"));
  EXPECT_THAT(refused({{"a.qweight", bytes}}), HasSubstr("GPTQ or AWQ"));
}

// What is of something else is left out and told; what a part of the model has too much of says that the configuration is another's.
TEST(WeightFiles, WhatWasSavedAlongIsLeftOut) {
  const testing::TemporaryFolder folder;
  const auto names = [](const torch::nn::Module& module) { return parameter_map(module); };
  Linear one(4, 4);
  torch::nn::Module model;
  const auto layer = model.register_module("layer", std::make_shared<Linear>(4, 4));
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [name, parameter] : names(model)) tensors[name] = torch::randn(parameter.sizes());
  tensors["loss.discriminator.weight"] = torch::ones({2});
  tensors["model_ema.decay"] = torch::ones({1});
  write_safetensors(folder / "a.safetensors", tensors);
  EXPECT_THAT(load_weights(model, Weights(folder / "a.safetensors")), ElementsAre("loss.discriminator.weight", "model_ema.decay"));
  EXPECT_TRUE(torch::equal(layer->weight, tensors.at("layer.weight")));
  tensors["layer.second.weight"] = torch::ones({2});
  write_safetensors(folder / "a.safetensors", tensors);
  EXPECT_THAT(failure_of([&] { load_weights(model, Weights(folder / "a.safetensors")); }), AllOf(HasSubstr("extra 3:"), HasSubstr("layer.second.weight")));
}

// Where there is one file and shards, the reference of each kind of model has a choice of its own.
TEST(WeightFiles, OfOneFileAndShardsEachLibrarysOwnAreTaken) {
  const testing::TemporaryFolder folder;
  for (const std::string stem : {"diffusion_pytorch_model", "model"}) {
    write_safetensors(folder / (stem + ".safetensors"), {{"a", torch::full({1}, 1.0F)}});
    write_safetensors(folder / (stem + "-00001-of-00001.safetensors"), {{"a", torch::full({1}, 2.0F)}});
    write_json(folder / (stem + ".safetensors.index.json"), {{"weight_map", {{"a", stem + "-00001-of-00001.safetensors"}}}});
    const auto taken = [&] { return Weights::find(folder.path()).entries().at("a").read().item<float>(); };
    EXPECT_EQ(taken(), stem == "model" ? 1 : 2) << stem;
    fs::remove(folder / (stem + "-00001-of-00001.safetensors"));
    EXPECT_EQ(taken(), 1) << "shards that are not there";
    fs::remove(folder / (stem + ".safetensors"));
    EXPECT_THAT(failure_of(taken), HasSubstr("the shard " + stem));
    fs::remove(folder / (stem + ".safetensors.index.json"));
  }
}

TEST(WeightFiles, ALinkThatLeadsNowhereIsNamed) {
  const testing::TemporaryFolder folder;
  fs::create_symlink("../blobs/0123", folder / "model.safetensors");
  EXPECT_THAT(failure_of([&] { Weights::find(folder.path()); }), AllOf(HasSubstr("leads nowhere"), HasSubstr("model.safetensors"), HasSubstr("Download")));
  fs::remove(folder / "model.safetensors");
  write_safetensors(folder / "t5xxl_fp16.safetensors", {{"a", torch::ones({1})}});
  EXPECT_THAT(failure_of([&] { Weights::find(folder.path()); }),
              AllOf(HasSubstr("no weights by their usual name"), HasSubstr("It holds t5xxl_fp16.safetensors")));
  fs::rename(folder / "t5xxl_fp16.safetensors", folder / "model-00001-of-00002.safetensors");
  EXPECT_THAT(failure_of([&] { Weights::find(folder.path()); }), HasSubstr("no index of them"));
}

// Latents with a mean and a deviation of each channel are those without, moved and scaled.
TEST(AutoencoderLatents, HaveTheirChannelsMeansAndDeviations) {
  const torch::NoGradGuard no_grad;
  const nlohmann::json plain = read_json(golden("vae") / "config.json");
  const auto open = [&](const nlohmann::json& config) {
    auto model = std::make_unique<AutoencoderKl>(AutoencoderConfig::parse({config, "config.json"}));
    load_weights(*model, Weights::find(golden("vae")), {.rename = [](const std::string& key) { return modern_autoencoder_key(key); }});
    return model;
  };
  const auto own = open(plain);
  const std::int64_t channels = own->latent_channels();
  nlohmann::json moved = plain;
  std::vector<double> mean, deviation;
  for (std::int64_t i = 0; i < channels; ++i) mean.push_back(0.1 * static_cast<double>(i) - 0.2), deviation.push_back(0.5 + static_cast<double>(i));
  moved["latents_mean"] = mean;
  moved["latents_std"] = deviation;
  const auto other = open(moved);
  const auto beside = [&](const std::vector<double>& numbers) { return torch::tensor(numbers, torch::kFloat32).view({1, -1, 1, 1}); };
  const double scale = own->config().scaling_factor;
  const torch::Tensor latents = torch::randn({2, channels, 8, 8}), pixels = torch::rand({1, 3, 32, 32}) * 2 - 1;
  EXPECT_LT(testing::relative_error(other->to_pixels(latents, torch::kFloat32, {}),
                                    own->to_pixels(latents * beside(deviation) + beside(mean) * scale, torch::kFloat32, {})),
            1e-5);
  const auto a = other->to_latents(pixels), b = own->to_latents(pixels);
  EXPECT_LT(testing::relative_error(a.mean, (b.mean - beside(mean) * scale) / beside(deviation)), 1e-5);
  EXPECT_LT(testing::relative_error(a.deviation, b.deviation / beside(deviation)), 1e-5);
  moved["latents_std"] = {1, 2};
  EXPECT_THAT(failure_of([&] { open(moved); }), AllOf(HasSubstr("latents_std"), HasSubstr("channels was expected")));
}

}  // namespace
}  // namespace glyphscope
