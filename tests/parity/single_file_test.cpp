// Checkpoints in a single file: golden/data/single_file/ holds the models of pipeline/, pipeline_sdxl/ and pipeline_sd3/ with
// their authors' keys, from which diffusers' own converters gave back what was there.
#include "pipelines/single_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "io/files.h"
#include "io/resources.h"
#include "models/autoencoder_kl.h"
#include "models/mmdit.h"
#include "models/unet.h"
#include "pipelines/clip_prompt.h"
#include "pipelines/pipeline.h"
#include "registry/model_needs.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "text/clip_text_model.h"
#include "text/clip_tokenizer.h"

namespace glyphscope {
namespace {
using ::testing::AllOf;
using testing::failure_of;
using testing::golden;
using ::testing::HasSubstr;
using testing::relative_error;

struct SingleFileOf : ::testing::TestWithParam<const char*> {
  std::filesystem::path file() const { return golden("single_file") / (std::string(GetParam()) + ".safetensors"); }
  std::filesystem::path folder() const { return golden(GetParam()); }
};

// Every tensor is the folder's, under the folder's name.
TEST_P(SingleFileOf, HoldsTheFoldersWeights) {
  const SingleFile checkpoint(file(), single_file_layouts());
  for (const char* component : {"unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"}) {
    ASSERT_EQ(checkpoint.has(component), std::filesystem::exists(folder() / component)) << component;
    if (!checkpoint.has(component)) continue;
    // transformers 5 leaves out a prefix that published files have.
    std::map<std::string, torch::Tensor> read;
    const Weights weights = checkpoint.weights(component, Config::read(folder() / component / "config.json"));
    for (const auto& [key, tensor] : weights.tensors()) read[bare_clip_key(key)] = tensor;
    const auto expected = Weights::find(folder() / component).tensors();
    EXPECT_EQ(read.size(), expected.size()) << component;
    for (const auto& [key, tensor] : expected) {
      const auto found = read.find(bare_clip_key(key));
      ASSERT_NE(found, read.end()) << component << " " << key;
      EXPECT_TRUE(torch::equal(found->second, tensor)) << component << " " << key;
    }
  }
}

TEST_P(SingleFileOf, DrawsWhatTheFolderDraws) {
  auto draw = [](const std::filesystem::path& source, const OpenOptions& options) {
    auto opened = open_model(source.string(), options);
    if (!opened) throw Failure(opened.error());
    Request request;
    request.prompts = {"a sign that says \"LOVE\""};
    request.rows = {{0, 7, {}}};
    request.steps = 2;
    auto result = (*opened)->generate(request);
    if (!result) throw Failure(result.error());
    return result->latents;
  };
  OpenOptions options;
  options.config = folder();
  const torch::Tensor one = draw(file(), options), other = draw(folder(), {});
  // Where weights lie otherwise in memory, matrix products may sum in another order.
  EXPECT_LT(relative_error(one, other), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Families, SingleFileOf, ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3"),
                         [](const auto& info) { return std::string(info.param); });

// A name alone, by the keys that tell families apart.
std::string family_with(const std::vector<std::string>& keys) {
  testing::TemporaryFolder folder;
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& key : keys) tensors[key] = torch::zeros({1});
  write_safetensors(folder / "model.safetensors", tensors);
  return SingleFile(folder / "model.safetensors", single_file_layouts()).configs();
}

TEST(SingleFile, FamiliesAreKnownByTheirKeys) {
  EXPECT_EQ(family_with({"cond_stage_model.transformer.text_model.embeddings.position_ids"}), "sd1");
  EXPECT_EQ(family_with({"cond_stage_model.model.ln_final.bias"}), "sd2");
  EXPECT_EQ(family_with({"conditioner.embedders.0.transformer.x", "conditioner.embedders.1.model.ln_final.bias"}), "sdxl");
  EXPECT_EQ(family_with({"conditioner.embedders.0.model.ln_final.bias"}), "sdxl-refiner");
  EXPECT_EQ(family_with({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.bias"}), "sd3");
  EXPECT_EQ(family_with({"model.diffusion_model.joint_blocks.0.x_block.attn2.qkv.bias"}), "sd3.5-medium");
  EXPECT_EQ(family_with({"model.diffusion_model.joint_blocks.37.x_block.attn.qkv.bias"}), "sd3.5-large");
}

// Stable Diffusion 2's authors keep the last layer that its pipeline does not use, and OpenCLIP's projection.
TEST(SingleFile, WhatIsNotUsedIsLeftOut) {
  testing::TemporaryFolder folder;
  std::map<std::string, torch::Tensor> tensors;
  for (const char* key : {"transformer.resblocks.1.ln_1.weight", "transformer.resblocks.2.ln_1.weight", "text_projection", "logit_scale", "ln_final.weight"})
    tensors["cond_stage_model.model." + std::string(key)] = torch::zeros({2, 2});
  write_safetensors(folder / "model.safetensors", tensors);
  const nlohmann::json config{{"num_hidden_layers", 2}, {"architectures", {"CLIPTextModel"}}};
  const auto read = SingleFile(folder / "model.safetensors", single_file_layouts()).weights("text_encoder", {config, "test"}).tensors();
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : read) keys.push_back(key);
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre("encoder.layers.1.layer_norm1.weight", "final_layer_norm.weight"));
}

// Published Stable Diffusion 3 files have CLIP-L without a projection, as diffusers then has it: one that changes nothing. Others have no
// encoder at all: those of the folder that --config names are taken.
TEST(SingleFile, WhatStableDiffusion3LeavesOutIsFilledIn) {
  testing::TemporaryFolder folder;
  const SafetensorsFile whole(golden("single_file") / "pipeline_sd3.safetensors");
  std::map<std::string, torch::Tensor> without_projection, without_encoders;
  for (const auto& [key, entry] : whole.entries()) {
    if (key != "text_encoders.clip_l.transformer.text_projection.weight") without_projection[key] = whole.tensor(key);
    if (!key.starts_with("text_encoders.")) without_encoders[key] = whole.tensor(key);
  }
  write_safetensors(folder / "model.safetensors", without_projection);
  const Config config = Config::read(golden("pipeline_sd3") / "text_encoder" / "config.json");
  const auto read = SingleFile(folder / "model.safetensors", single_file_layouts()).weights("text_encoder", config).tensors();
  EXPECT_TRUE(torch::equal(read.at("text_projection.weight"), torch::eye(config.integer("hidden_size", 0))));

  write_safetensors(folder / "bare.safetensors", without_encoders);
  OpenOptions options;
  const auto lone = open_model((folder / "bare.safetensors").string(), options);
  ASSERT_FALSE(lone);
  EXPECT_THAT(lone.error().message(), HasSubstr("\u2039config"));
  options.config = golden("pipeline_sd3");
  const auto opened = open_model((folder / "bare.safetensors").string(), options);
  EXPECT_TRUE(opened) << opened.error().message();
  // A T5 without its tokenizer is not used, so nothing of it is missing.
  EXPECT_TRUE(model_needs(find_model((golden("single_file") / "pipeline_sd3.safetensors").string())).missing.empty());
}

// Trainers say so by a key of the file; it wins over a configuration that is stock.
TEST(SingleFile, KeysOfTheFileSayHowItIsSampled) {
  testing::TemporaryFolder folder;
  const auto scheduler = [&](std::map<std::string, torch::Tensor> marks, const std::filesystem::path& config = golden("pipeline_sdxl")) {
    marks["conditioner.embedders.1.model.ln_final.bias"] = torch::zeros({1});
    write_safetensors(folder / "v.safetensors", marks);
    return find_model((folder / "v.safetensors").string(), {.config = config}).scheduler();
  };
  EXPECT_EQ(scheduler({}).text("prediction_type", "epsilon"), "epsilon");
  const Config v = scheduler({{"v_pred", torch::zeros({0})}});
  EXPECT_EQ(v.text("prediction_type", ""), "v_prediction");
  EXPECT_EQ(v.text("timestep_spacing", ""), "leading");
  const Config both = scheduler({{"v_pred", torch::zeros({0})}, {"ztsnr", torch::zeros({0})}});
  EXPECT_EQ(both.text("prediction_type", ""), "v_prediction");
  EXPECT_EQ(both.text("timestep_spacing", ""), "leading") << "of the folder that was named";
  EXPECT_EQ(scheduler({{"v_pred", torch::zeros({0})}, {"ztsnr", torch::zeros({0})}}, {}).text("timestep_spacing", ""), "trailing");
  EXPECT_TRUE(both.boolean("rescale_betas_zero_snr", false));
  // Playground v2.5's and CosXL's.
  const Config edm = scheduler({{"edm_mean", torch::zeros({1, 4, 1, 1})}, {"edm_std", torch::ones({1, 4, 1, 1})}});
  EXPECT_EQ(edm.text("_class_name", ""), "EDMDPMSolverMultistepScheduler");
  EXPECT_EQ(edm.number("sigma_max", 0), 80);
  const Config v_edm = scheduler({{"edm_vpred.sigma_max", torch::tensor(120.F)}, {"edm_vpred.sigma_min", torch::tensor(0.002F)}});
  EXPECT_EQ(v_edm.text("_class_name", ""), "EDMEulerScheduler");
  EXPECT_EQ(v_edm.text("prediction_type", ""), "v_prediction");
  EXPECT_EQ(v_edm.text("sigma_schedule", ""), "exponential");
  EXPECT_EQ(v_edm.number("sigma_max", 0), 120);
  EXPECT_EQ(v_edm.number("sigma_data", 0), 1);
  EXPECT_THAT(testing::failure_of([&] { scheduler({{"edm_mean", torch::zeros({4})}}); }), HasSubstr("'edm_std'"));
  EXPECT_THAT(testing::failure_of([&] {
                scheduler({{"edm_mean", torch::zeros({3})}, {"edm_std", torch::ones({4})}});
              }),
              HasSubstr("'edm_mean' holds 3 numbers, expected 4"));
  EXPECT_THAT(testing::failure_of([&] {
                scheduler({{"edm_mean", torch::full({4}, NAN)}, {"edm_std", torch::ones({4})}});
              }),
              HasSubstr("'edm_mean' holds numbers that are not finite"));
  EXPECT_EQ(scheduler({{"edm_vpred.sigma_max", torch::tensor(80.F)}}).number("sigma_min", 0), 0.002) << "as ComfyUI has it";
}

// The marks are the denoiser's: a file without encoders has them too.
TEST(SingleFile, MarksOfADenoiserAloneCount) {
  testing::TemporaryFolder folder;
  const SafetensorsFile whole(golden("single_file") / "pipeline_sdxl.safetensors");
  for (const std::string& begin : {std::string("model.diffusion_model."), std::string()}) {
    std::map<std::string, torch::Tensor> tensors{{"v_pred", torch::zeros({0})}, {"ztsnr", torch::zeros({0})}};
    for (const auto& [key, entry] : whole.entries())
      if (key.starts_with("model.diffusion_model.")) tensors[begin + key.substr(22)] = whole.tensor(key);
    write_safetensors(folder / "unet.safetensors", tensors);
    OpenOptions options;
    options.config = golden("pipeline_sdxl");
    EXPECT_EQ(find_model((folder / "unet.safetensors").string(), options).scheduler().text("prediction_type", ""), "v_prediction");
    const auto opened = open_model((folder / "unet.safetensors").string(), options);
    ASSERT_TRUE(opened) << opened.error().message();
    EXPECT_THAT((*opened)->info().notes, ::testing::Not(::testing::Contains(HasSubstr("v_pred"))));
  }
}

TEST(SingleFile, AuthorsNamesInAComponentsFolderAreNamed) {
  testing::TemporaryFolder folder;
  std::filesystem::copy(golden("pipeline_sdxl"), folder / "model", std::filesystem::copy_options::recursive);
  write_safetensors(folder / "model" / "unet" / "diffusion_pytorch_model.safetensors", {{"input_blocks.0.0.weight", torch::zeros({1})}});
  const auto opened = open_model((folder / "model").string(), {});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message(), AllOf(HasSubstr("the names of the model's authors"), HasSubstr("\u2039config")));
}

// The same as a folder says it.
TEST(SingleFile, PlaygroundsMarksDrawAsItsFolder) {
  testing::TemporaryFolder folder;
  const SafetensorsFile whole(golden("single_file") / "pipeline_sdxl.safetensors");
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [key, entry] : whole.entries()) tensors[key] = whole.tensor(key);
  const std::vector<float> mean{-1.5F, 2, -1.25F, 2.5F}, deviation{8.5F, 5.75F, 6.5F, 5.25F};
  tensors["edm_mean"] = torch::tensor(mean).view({1, 4, 1, 1});
  tensors["edm_std"] = torch::tensor(deviation).view({1, 4, 1, 1});
  write_safetensors(folder / "model.safetensors", tensors);
  std::filesystem::copy(golden("pipeline_sdxl"), folder / "as-folder", std::filesystem::copy_options::recursive);
  auto vae = read_json(golden("pipeline_sdxl") / "vae" / "config.json");
  vae["latents_mean"] = mean;
  vae["latents_std"] = deviation;
  vae["scaling_factor"] = 0.5;
  write_text(folder / "as-folder" / "vae" / "config.json", vae.dump());
  write_text(folder / "as-folder" / "scheduler" / "scheduler_config.json", R"({"_class_name": "EDMDPMSolverMultistepScheduler"})");
  const auto draw = [](const std::filesystem::path& model, const OpenOptions& options) {
    const auto opened = open_model(model.string(), options);
    if (!opened) throw Failure(opened.error());
    Request request;
    request.prompts = {"a sign that says \"LOVE\""};
    request.rows = {{0, 7, {}}};
    request.steps = 3;
    auto result = (*opened)->generate(request);
    if (!result) throw Failure(result.error());
    return *result;
  };
  OpenOptions options;
  options.config = golden("pipeline_sdxl");
  const Result one = draw(folder / "model.safetensors", options), other = draw(folder / "as-folder", {});
  EXPECT_LT(relative_error(one.latents, other.latents), 1e-5);
  EXPECT_GT(relative_error(one.latents, draw(golden("pipeline_sdxl"), {}).latents), 0.01);
}

TEST(SingleFile, WrongFilesAreNamed) {
  testing::TemporaryFolder folder;
  auto open = [&](const char* name, OpenOptions options = {}) {
    const auto opened = open_model((folder / name).string(), options);
    return opened ? std::string() : opened.error().message();
  };
  write_safetensors(folder / "lora.safetensors", {{"lora_unet_down.weight", torch::zeros({1})}});
  EXPECT_THAT(open("lora.safetensors"), HasSubstr("no checkpoint of a family"));
  write_text(folder / "model.ckpt", "x");
  EXPECT_THAT(open("model.ckpt"), HasSubstr("pickle"));
  write_text(folder / "model.onnx", "x");
  EXPECT_THAT(open("model.onnx"), HasSubstr("or a .safetensors or .gguf file was expected"));
  write_text(folder / "cut.safetensors", "x");
  EXPECT_THAT(open("cut.safetensors"), HasSubstr("cut.safetensors"));
  // Encoders alone: no U-Net. Keys nobody asks for, and tensors that cannot be divided.
  write_safetensors(folder / "encoder.safetensors", {{"cond_stage_model.transformer.text_model.x", torch::zeros({1})}});
  EXPECT_THAT(open("encoder.safetensors"), HasSubstr("missing 196"));
  std::map<std::string, torch::Tensor> tensors;
  const SafetensorsFile whole(golden("single_file") / "pipeline_sdxl.safetensors");
  for (const auto& [key, entry] : whole.entries()) tensors[key] = whole.tensor(key);
  OpenOptions options;
  options.config = golden("pipeline_sdxl");
  auto without = tensors;
  std::erase_if(without, [](const auto& item) { return item.first.starts_with("first_stage_model."); });
  write_safetensors(folder / "no-vae.safetensors", without);
  EXPECT_EQ(open("no-vae.safetensors", options), "") << "the folder has one";
  std::filesystem::copy(golden("pipeline_sdxl"), folder / "bare", std::filesystem::copy_options::recursive);
  std::filesystem::remove(folder / "bare" / "vae" / "diffusion_pytorch_model.safetensors");
  OpenOptions bare;
  bare.config = folder / "bare";
  EXPECT_THAT(open("no-vae.safetensors", bare), AllOf(HasSubstr("holds no vae"), HasSubstr("names a diffusers folder that has it")));
  // A denoiser alone, in either naming, takes the rest from the folder, and says so where there is none.
  auto alone = tensors;
  std::erase_if(alone, [](const auto& item) { return !item.first.starts_with("model.diffusion_model."); });
  write_safetensors(folder / "unet.safetensors", alone);
  EXPECT_EQ(open("unet.safetensors", options), "");
  EXPECT_THAT(open("unet.safetensors"), AllOf(HasSubstr("holds weights alone"), HasSubstr("\u2039config")));
  std::filesystem::copy(golden("pipeline_sdxl") / "unet" / "diffusion_pytorch_model.safetensors", folder / "diffusers.safetensors");
  EXPECT_EQ(open("diffusers.safetensors", options), "");
  EXPECT_THAT(open("diffusers.safetensors"), HasSubstr("a U-Net in diffusers' keys"));
  auto more = tensors;
  more["model.diffusion_model.control.weight"] = torch::zeros({1});
  write_safetensors(folder / "more.safetensors", more);
  EXPECT_EQ(open("more.safetensors", options), "");  // of something else that was saved along
  EXPECT_THAT((*open_model((folder / "more.safetensors").string(), options))->info().notes, ::testing::Contains(HasSubstr("are not used: control.weight")));
  more["model.diffusion_model.down_blocks.9.weight"] = torch::zeros({1});
  write_safetensors(folder / "more.safetensors", more);
  EXPECT_THAT(open("more.safetensors", options), HasSubstr("extra 2:"));
  auto odd = tensors;
  odd["conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_bias"] = torch::zeros({25});
  write_safetensors(folder / "odd.safetensors", odd);
  EXPECT_THAT(open("odd.safetensors", options), HasSubstr("cannot be divided"));
  // A folder has its own configurations.
  EXPECT_THAT(failure_of([&] {
                auto opened = open_model(golden("pipeline").string(), options);
                if (!opened) throw Failure(opened.error());
              }),
              HasSubstr("\u2039config"));
}

// Opens a transformer alone, with the rest of the folder pipeline_flux.
std::shared_ptr<Pipeline> with_flux_folder(const std::filesystem::path& file) {
  OpenOptions options;
  options.config = golden("pipeline_flux");
  auto opened = open_model(file.string(), options);
  EXPECT_TRUE(opened) << opened.error().message();
  return opened ? *opened : nullptr;
}

// FLUX.1's transformer as its authors name it (fused projections, shift before scale), as diffusers converts it: tests/golden/make_gguf.py.
TEST(SingleFile, AFluxTransformerAloneIsAsDiffusersConvertsIt) {
  const auto opened = with_flux_folder(golden("gguf") / "flux.safetensors");
  ASSERT_TRUE(opened);
  const auto expected = Weights(golden("gguf") / "flux_converted.safetensors").tensors(), got = parameter_map(opened->denoiser_module());
  ASSERT_EQ(expected.size(), got.size());
  for (const auto& [key, tensor] : expected) EXPECT_TRUE(torch::equal(tensor.to(torch::kFloat32), got.at(key))) << key;
}

// fp8 weights are multiplied by what stands beside them, one number or one a row; the scales are no weights of the model.
TEST(Weights, Fp8IsScaledAsTheFileSays) {
  const testing::TemporaryFolder folder;
  const torch::Tensor values = torch::linspace(-2, 2, 12).reshape({4, 3}), stored = values.to(torch::kFloat8_e4m3fn),
                      rows = torch::tensor({1.0F, 2.0F, 0.5F, 3.0F});
  const std::map<std::string, torch::Tensor> tensors{{"a.weight", stored},
                                                     {"a.scale_weight", torch::tensor(0.25F)},
                                                     {"a.scale_input", torch::tensor(7.0F)},
                                                     {"b.weight", values.to(torch::kFloat8_e5m2)},
                                                     {"b.weight_scale", rows},
                                                     {"c.weight", stored},
                                                     {"scaled_fp8", torch::zeros({2}).to(torch::kFloat8_e4m3fn)}};
  write_safetensors(folder / "model.safetensors", tensors);
  const auto read = Weights::find(folder.path()).tensors();
  ASSERT_EQ(read.size(), 3U);
  EXPECT_TRUE(torch::equal(read.at("a.weight"), stored.to(torch::kFloat32) * 0.25));
  EXPECT_TRUE(torch::equal(read.at("b.weight"), values.to(torch::kFloat8_e5m2).to(torch::kFloat32) * rows.unsqueeze(1)));
  EXPECT_TRUE(torch::equal(read.at("c.weight").to(torch::kFloat32), stored.to(torch::kFloat32)));
  auto wrong = tensors;
  wrong["b.weight_scale"] = torch::ones({3});
  write_safetensors(folder / "model.safetensors", wrong);
  EXPECT_THAT(failure_of([&] { Weights::find(folder.path()).tensors(); }),
              HasSubstr("'b.weight_scale' is [3], one number or one a row of [4, 3] was expected"));
}

// Numbers of parameters as diffusers and transformers count them in models of these configurations.
TEST(SingleFile, PublishedConfigurationsAreTheModelsOfTheirNames) {
  auto config = [](const std::string& path) { return Config::read(resource("configs") / path / "config.json"); };
  auto count = [](const torch::nn::Module& module) {
    std::int64_t out = 0;
    for (const auto& parameter : module.parameters())
      if (parameter.requires_grad()) out += parameter.numel();
    return out;
  };
  auto unet = [&](const std::string& family) { return UNet(UNetConfig::parse(config(family + "/unet"))); };
  auto mmdit = [&](const std::string& family) { return MmDit(MmDitConfig::parse(config(family + "/transformer"))); };
  auto clip = [&](const std::string& path) { return count(ClipTextModel(ClipTextConfig::parse(config(path)))); };
  EXPECT_EQ(count(unet("sd1")), 859'520'964);
  EXPECT_EQ(unet("sd1").sites().sites.size(), 16u);
  EXPECT_EQ(count(unet("sd2")), 865'910'724);
  EXPECT_EQ(count(unet("sd2-base")), 865'910'724);
  EXPECT_EQ(count(unet("sdxl")), 2'567'463'684);
  EXPECT_EQ(unet("sdxl").sites().sites.size(), 70u);
  EXPECT_EQ(count(unet("sdxl-refiner")), 2'259'526'660);
  EXPECT_EQ(count(mmdit("sd3")), 2'028'328'000);
  EXPECT_EQ(mmdit("sd3").sites().sites.size(), 24u);
  EXPECT_EQ(count(mmdit("sd3.5-medium")), 2'243'171'520);
  EXPECT_EQ(mmdit("sd3.5-medium").sites().sites.size(), 24u);
  EXPECT_EQ(count(mmdit("sd3.5-large")), 8'056'627'520);
  EXPECT_EQ(mmdit("sd3.5-large").sites().sites.size(), 38u);
  EXPECT_EQ(clip("sd1/text_encoder"), 123'060'480);
  EXPECT_EQ(clip("sd2/text_encoder"), 340'387'840);
  EXPECT_EQ(clip("sdxl/text_encoder_2"), 694'659'840);
  for (const char* family : {"sd1", "sd2", "sdxl", "sd3"})
    EXPECT_EQ(count(AutoencoderKl(AutoencoderConfig::parse(config(std::string(family) + "/vae")))), std::string(family) == "sd3" ? 83'819'683 : 83'653'863)
        << family;
  const ClipTokenizer tokenizer = ClipTokenizer::load(resource("configs/sd1/tokenizer"));
  // As transformers' CLIPTokenizer has it with OpenAI's vocabulary.
  EXPECT_THAT(tokenizer.encode("the cat"), ::testing::ElementsAre(518, 2368));
  EXPECT_EQ(tokenizer.tokenize("").ids.back(), 49407);
  EXPECT_EQ(ClipTokenizer::load(resource("configs/sd2/tokenizer")).tokenize("").ids.back(), 0);
}

}  // namespace
}  // namespace glyphscope
