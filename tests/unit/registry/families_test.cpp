#include "registry/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/random.h"
#include "io/files.h"
#include "models/layers.h"
#include "models/unet.h"
#include "pipelines/batched_pipeline.h"
#include "registry/model_needs.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using ::testing::HasSubstr;

// All that a family is, in one file that nothing else names: pixels from a U-Net of three sites, prompts read by their letters.
class Invented : public BatchedPipeline {
 public:
  Invented(const ModelFolder& model, const Opening& opening)
      : BatchedPipeline(model, opening, model.scheduler(), {"unet", "scheduler"}), unet_(UNetConfig::parse(Config::read(model / "unet" / "config.json"))) {
    load("unet", unet_);
    info_.methods = {PatchMethod::injection};
    describe("An invented family", unet_.sites(), unet_.config().sample_size, 1);
  }
  torch::nn::Module& denoiser_module() override { return unet_; }

 protected:
  Prompt encode(const std::string& prompt, std::int64_t, std::vector<std::string>&) const override {
    torch::Tensor states = torch::zeros({1, 16, unet_.config().cross_attention_dim});
    for (size_t i = 0; i < std::min<size_t>(prompt.size(), 16); ++i) states[0][static_cast<std::int64_t>(i)][prompt[i] % states.size(2)] = 3;
    return {states, {}};
  }
  std::vector<WordTokens> words(const std::string&) const override { return {}; }
  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return unet_.forward(latent, timestep, conditioning, taps);
  }
  std::int64_t channels() const override { return 3; }
  std::int64_t factor() const override { return 1; }
  torch::Tensor decode(const torch::Tensor& latent, std::vector<std::string>&, const CancelToken&) const override { return latent; }

 private:
  UNet unet_;
};

Family invented() {
  return {.classes = {{"InventedPipeline", "an invented family"}},
          .open = [](const ModelFolder& model, const Opening& opening, const Pipeline*) { return std::make_shared<Invented>(model, opening); }};
}

void write_invented_model(const std::filesystem::path& folder) {
  for (const char* component : {"unet", "scheduler"}) std::filesystem::create_directories(folder / component);
  write_json(folder / "model_index.json",
             {{"_class_name", "InventedPipeline"}, {"unet", {"diffusers", "UNet2DConditionModel"}}, {"scheduler", {"diffusers", "DDIMScheduler"}}});
  write_json(folder / "scheduler" / "scheduler_config.json", {{"_class_name", "DDIMScheduler"}});
  const nlohmann::ordered_json unet{{"_class_name", "UNet2DConditionModel"},
                                    {"sample_size", 32},
                                    {"in_channels", 3},
                                    {"out_channels", 3},
                                    {"layers_per_block", 1},
                                    {"block_out_channels", {8}},
                                    {"down_block_types", {"DownBlock2D"}},
                                    {"up_block_types", {"CrossAttnUpBlock2D"}},
                                    {"cross_attention_dim", 8},
                                    {"attention_head_dim", 2},
                                    {"norm_num_groups", 4}};
  write_json(folder / "unet" / "config.json", unet);
  UNet module(UNetConfig::parse(Config::read(folder / "unet" / "config.json")));
  initialize(module, make_generator(1));
  write_safetensors(folder / "unet" / "diffusion_pytorch_model.safetensors", parameter_map(module));
}

TEST(Families, EachIsOneFileThatNothingElseNames) {
  testing::TemporaryFolder folder;
  write_invented_model(folder / "model");
  const auto refused = open_model((folder / "model").string());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), ::testing::AllOf(HasSubstr("InventedPipeline are not supported"), HasSubstr("FluxPipeline (FLUX.1)")));

  add_family(invented());
  const auto needs = model_needs((folder / "model").string());
  ASSERT_TRUE(needs) << needs.error().message();
  EXPECT_TRUE(needs->missing.empty());
  const auto opened = open_model((folder / "model").string());
  ASSERT_TRUE(opened) << opened.error().message();
  Pipeline& pipeline = **opened;
  EXPECT_EQ(pipeline.info().family, "An invented family");
  EXPECT_EQ(pipeline.info().table.sites.size(), 3u);
  Request request;
  request.prompts = {"a sign that says \"one\"", "a wall that says \"two\""};
  request.rows = {{0, 42, {}}, {1, 42, {}}, {0, 42, PatchPlan::at_sites({0, 1, 2}, 1)}};
  request.steps = 3;
  const auto drawn = pipeline.generate(request);
  ASSERT_TRUE(drawn) << drawn.error().message();
  EXPECT_EQ(drawn->images.sizes(), (std::vector<std::int64_t>{3, 3, 32, 32}));
  EXPECT_FALSE(torch::equal(drawn->images[0], drawn->images[1]));
  EXPECT_TRUE(torch::equal(drawn->images[2], drawn->images[1])) << "at all its sites it sees the other prompt";
}

// What opens a model, and what an error lists, is what the folder of families holds.
TEST(Families, NoTwoClaimAClassOrAFile) {
  std::set<std::string> classes, marks;
  for (const auto& family : families()) {
    EXPECT_FALSE(family.classes.empty());
    EXPECT_TRUE(family.open);
    for (const auto& one : family.classes) EXPECT_TRUE(classes.insert(one.name).second) << one.name;
    for (const auto& one : family.single_files) EXPECT_TRUE(marks.insert(one.mark).second) << one.mark;
  }
  for (const char* known : {"StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline", "IFPipeline",
                            "IFSuperResolutionPipeline", "LDMTextToImagePipeline"})
    EXPECT_TRUE(classes.contains(known)) << known;
}

}  // namespace
}  // namespace glyphscope
