// DeepFloyd IF's U-Nets, with added K and V, against diffusers' UNet2DConditionModel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "io/weights.h"
#include "models/unet.h"
#include "patching/kv_recorder.h"
#include "patching/prompt_taps.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/pipeline_reference.h"

namespace glyphscope {
namespace fs = std::filesystem;
namespace {
using testing::golden;
using testing::kTolerance;
using testing::relative_error;

struct IfUNetParity : ::testing::TestWithParam<const char*> {
  void SetUp() override {
    unet = std::make_unique<UNet>(UNetConfig::parse(Config::read(golden(GetParam()) / "config.json")));
    load_weights(*unet, Weights::find(golden(GetParam())), {.placement = {testing::test_device()}});
    expected = std::make_unique<SafetensorsFile>(golden(GetParam()) / "expected.safetensors");
  }
  torch::Tensor get(const std::string& name) const { return expected->tensor(name).to(testing::test_device()); }
  // The prompt of that name; pooled is what the U-Net pools, if not the prompt.
  Conditioning conditioning(const std::string& name, const torch::Tensor& pooled = {}) const {
    return {.embedding = get(name), .pooled = pooled, .noise_level = expected->entries().contains("time_ids") ? get("time_ids") : torch::Tensor()};
  }
  torch::Tensor patched(const PatchPlan& plan, const torch::Tensor& pooled = {}) const {
    // Taps hand a site what the U-Net has projected, never the raw prompt.
    const torch::Tensor own = unet->project_prompt(get("encoder_hidden_states")), other = unet->project_prompt(get("other_hidden_states"));
    auto patches = plan.patches();
    for (auto& patch : patches) patch.prompt = 3;
    const PatchPlan second(patches);
    PromptTaps taps(unet->sites(), {{own.slice(0, 0, 1)}, {own.slice(0, 1, 2)}, {other.slice(0, 0, 1)}, {other.slice(0, 1, 2)}}, {{0, &plan}, {1, &second}},
                    {});
    return unet->forward(get("sample"), get("timestep"), conditioning("encoder_hidden_states", pooled), &taps);
  }

  torch::NoGradGuard no_grad;
  std::unique_ptr<UNet> unet;
  std::unique_ptr<SafetensorsFile> expected;
};

TEST_P(IfUNetParity, OutputEqualsTheReference) {
  EXPECT_LT(relative_error(unet->forward(get("sample"), get("timestep"), conditioning("encoder_hidden_states")), get("output")), kTolerance);
  EXPECT_LT(relative_error(unet->forward(get("sample"), get("timestep"), conditioning("other_hidden_states")), get("other_output")), kTolerance);
}

TEST_P(IfUNetParity, APromptsMaskEqualsTheReference) {
  Conditioning masked = conditioning("encoder_hidden_states");
  if (expected->entries().contains("mask")) {
    masked.prompt_mask = get("mask");
    EXPECT_LT(relative_error(unet->forward(get("sample"), get("timestep"), masked), get("masked.output")), kTolerance);
    return;
  }
  // diffusers takes no mask where a layer leaves out the pixels' own keys, as stage II's do. There it is as if the padding's keys and values were cut off.
  static constexpr std::int64_t kKept = 4;
  struct Cut : Taps {
    KeyValue prompt_kv(int, const PromptStates& prompt, const Project& project) override {
      const KeyValue all = project(prompt);
      return {all.key.slice(2, 0, kKept), all.value.slice(2, 0, kKept)};
    }
  } cut;
  const torch::Tensor wanted = unet->forward(get("sample"), get("timestep"), masked, &cut);
  masked.prompt_mask = torch::ones(masked.embedding.sizes().slice(0, 2), masked.embedding.options().dtype(torch::kBool));
  masked.prompt_mask.slice(1, kKept).fill_(false);
  const torch::Tensor output = unet->forward(get("sample"), get("timestep"), masked);
  EXPECT_LT(relative_error(output, wanted), 1e-5);
  EXPECT_GT(relative_error(output, get("output")), kTolerance);
}

TEST_P(IfUNetParity, SitesAreInForwardOrder) {
  const auto paths = nlohmann::json::parse(expected->metadata().at("site_paths"));
  ASSERT_EQ(paths.size(), unet->sites().sites.size());
  for (size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(unet->sites().sites[i].path, paths[i].get<std::string>());
}

TEST_P(IfUNetParity, RecordedKeysAndValuesAreTheReferences) {
  for (std::int64_t row : {0, 1}) {
    KvRecorder recorder({.width_sum = 1, .tokens = 1}, 1 << 20, row, false);
    unet->forward(get("sample"), get("timestep"), conditioning("encoder_hidden_states"), &recorder);
    for (const auto& site : unet->sites().sites) {
      const KeyValue& kv = recorder.record().at(site.index, 0);
      const std::string name = "site." + std::to_string(site.index);
      EXPECT_LT(relative_error(kv.key, get(name + ".key").slice(0, row, row + 1)), kTolerance) << site.path;
      EXPECT_LT(relative_error(kv.value, get(name + ".value").slice(0, row, row + 1)), kTolerance) << site.path;
    }
  }
}

TEST_P(IfUNetParity, PatchingEachSiteEqualsTheReferencesProcessor) {
  for (const auto& site : unet->sites().sites)
    EXPECT_LT(relative_error(patched(PatchPlan::at_sites({site.index}, 2)), get("patched." + std::to_string(site.index) + ".output")), kTolerance) << site.path;
  EXPECT_LT(relative_error(patched(PatchPlan({{.site = 1, .prompt = 2, .heads = {1, 2}}})), get("patched_heads.output")), kTolerance);
}

// Every site, and B's prompt to pool: nothing of A is left.
TEST_P(IfUNetParity, PatchingEverySiteAndThePooledPromptGivesTheOtherOutput) {
  std::vector<int> all;
  for (const auto& site : unet->sites().sites) all.push_back(site.index);
  EXPECT_LT(relative_error(patched(PatchPlan::at_sites(all, 2), get("other_hidden_states")), get("other_output")), kTolerance);
  EXPECT_GT(relative_error(patched(PatchPlan::at_sites(all, 2)), get("other_output")), 1e-3) << "A's pooled prompt still acts";
}

INSTANTIATE_TEST_SUITE_P(Stages, IfUNetParity, ::testing::Values("unet_if1", "unet_if2"));

// arXiv 2502.09935: 22 added-KV attention layers; layer 17 holds 0.21 % of the parameters by the pixels' own to_k and to_v,
// 0.28 % by the prompt's add_k_proj and add_v_proj, which are what is patched and what Site counts.
TEST(IfUNet, ThePublishedConfigurationHasThePapersSites) {
  const UNet unet(UNetConfig::parse(Config::read(golden("../../configs/if-i-xl/unet/config.json"))));
  ASSERT_EQ(unet.sites().sites.size(), 22u);
  EXPECT_NEAR(unet.sites().share({17}), 0.0028, 0.00005);
  std::int64_t own = 0;
  for (const auto& projection : {unet.site_attention(17).to_k, unet.site_attention(17).to_v})
    for (const auto& parameter : projection->parameters()) own += parameter.numel();
  EXPECT_NEAR(static_cast<double>(own) / static_cast<double>(unet.sites().denoiser_parameters), 0.0021, 0.00005);
}

struct IfParity : testing::PipelineReference, ::testing::WithParamInterface<const char*> {
  void SetUp() override {
    load(golden(GetParam()));
    if (!expected->entries().contains("picture")) return;
    request.pictures = expected->tensor("picture").unsqueeze(0);
    request.noise_level = settings.at("noise_level");
  }
  // Pixels are what is denoised: they can be held to the float images too.
  void expect(const Row& row, const std::string& name) {
    PipelineReference::expect(row, name);
    const torch::Tensor image = (run({row}).latents / 2 + 0.5).clamp(0, 1).permute({0, 2, 3, 1});
    // Another device sums in another order.
    EXPECT_LT(relative_error(image, expected->tensor(name + ".image")), kTolerance * (testing::test_device().is_cpu() ? 1 : 2)) << name;
  }
};

TEST_P(IfParity, ImagesEqualTheReference) {
  const auto paths = settings.at("site_paths");
  for (size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(pipeline->info().table.sites.at(i).path, paths[i].get<std::string>());
  expect({0, 42, {}}, "a");
  expect({1, 42, {}}, "b");
  request.negative = request.prompts[1];
  expect({0, 42, {}}, "negative");
}

TEST_P(IfParity, PatchedImageEqualsTheReferencesProcessor) {
  for (auto method : {PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep}) {
    request.method = method;
    expect({0, 42, plan()}, "patched");
  }
}

// Each row draws its steps' noise from a generator of its own, so A, B and the patched row share it.
TEST_P(IfParity, RowsMayBeBatchedInAnyWay) {
  const std::vector<Row> rows{{0, 42, {}}, {1, 42, {}}, {0, 42, plan()}, {0, 7, {}, 1}};
  const Result together = run(rows);
  request.rows_at_once = 1;
  // Wider than elsewhere: at its first steps this schedule divides by the square root of an alpha of 1e-8.
  EXPECT_LT(relative_error(run(rows).latents, together.latents), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Stages, IfParity, ::testing::Values("pipeline_if", "pipeline_if2"));

// A picture for each row, or one for all; what does not fit is named.
TEST(IfSecondStage, EnlargesEachRowsPicture) {
  const auto opened = open_model(golden("pipeline_if2").string());
  ASSERT_TRUE(opened) << opened.error().message();
  Request request;
  request.prompts = {"a sign that says open", "a cat"};
  request.steps = 2;
  const torch::Tensor one = torch::randint(0, 256, {1, 3, 4, 4}, torch::kUInt8), other = 255 - one;
  auto latents = [&](const torch::Tensor& pictures, const std::vector<Row>& rows) {
    request.pictures = pictures;
    request.rows = rows;
    const auto result = (*opened)->generate(request);
    EXPECT_TRUE(result) << result.error().message();
    return result->latents;
  };
  const PatchPlan plan = PatchPlan::at_sites({0, 2}, 1);
  const torch::Tensor both = latents(torch::cat({one, other}), {{0, 1, {}}, {0, 1, plan}});
  EXPECT_LT(relative_error(both[0], latents(one, {{0, 1, {}}})[0]), 1e-3);
  EXPECT_LT(relative_error(both[1], latents(other, {{0, 1, plan}})[0]), 1e-3);
  EXPECT_GT(relative_error(both[0], latents(other, {{0, 1, {}}})[0]), 0.01);
  request.method = PatchMethod::lockstep;
  EXPECT_LT(relative_error(latents(torch::cat({one, other}), {{0, 1, {}}, {0, 1, plan}}), both), 1e-3);
  EXPECT_TRUE(torch::equal(latents(one, {{0, 1, {}}, {0, 1, {}}})[0], latents(one, {{0, 1, {}}, {0, 1, {}}})[1]));

  auto error = [&](const torch::Tensor& pictures, std::int64_t level) {
    request.pictures = pictures;
    request.noise_level = level;
    request.rows = {{0, 1, {}}, {0, 1, {}}, {0, 1, {}}};
    const auto result = (*opened)->generate(request);
    return result ? std::string() : result.error().message();
  };
  EXPECT_THAT(error({}, 250), ::testing::HasSubstr("\u2039image"));
  EXPECT_THAT(error(torch::cat({one, other}), 250), ::testing::HasSubstr("[3, 3, height, width]"));
  EXPECT_THAT(error(one, 1000), ::testing::HasSubstr("\u2039noise-level"));
  const auto first = open_model(golden("pipeline_if").string());
  request.pictures = one;
  request.noise_level = 250;
  EXPECT_THAT((*first)->generate(request).error().message(), ::testing::HasSubstr("does not enlarge"));
}

// Both stages as one model: the second gets what the first drew with its row's own prompt and seed, and is not patched.
TEST(IfCascade, IsTheSecondStageOfWhatTheFirstDrew) {
  const std::string first = golden("pipeline_if").string(), second = golden("pipeline_if2").string();
  const auto small = open_model(first), large = open_model(second), both = open_model(first, {.upscaler = second});
  ASSERT_TRUE(both) << both.error().message();
  const ModelInfo& info = (*both)->info();
  EXPECT_EQ(info.table.sites.size(), (*small)->info().table.sites.size());
  EXPECT_NE(info.hash, (*small)->info().hash);

  const PatchPlan plan = PatchPlan::at_sites({0, 2}, 1);
  Request request;
  request.prompts = {"a sign that says open", "a sign that says shut"};
  request.negative = "blurred";
  request.steps = 3;
  request.upscale_steps = 2;
  request.noise_level = 100;
  request.rows = {{0, 1, {}}, {1, 1, {}}, {0, 1, plan}, {0, 2, {}}};
  request.rows_at_once = 3;
  std::vector<Progress> progress;
  const auto got = (*both)->generate(request, {.progress = [&](const Progress& p) { progress.push_back(p); }});
  ASSERT_TRUE(got) << got.error().message();
  std::int64_t last = 0;
  for (const auto& one : progress) {
    EXPECT_EQ(one.total, 2 * (3 + 2));
    EXPECT_GE(one.done, last);
    last = one.done;
  }
  EXPECT_EQ(last, 2 * (3 + 2));

  Request drawing = request, enlarging = request;
  drawing.upscale_steps = enlarging.upscale_steps = 0;
  const auto drawn = (*small)->generate(drawing);
  ASSERT_TRUE(drawn) << drawn.error().message();
  enlarging.pictures = drawn->images;
  enlarging.steps = 2;
  for (auto& row : enlarging.rows) row.plan = {};
  const auto expected = (*large)->generate(enlarging);
  ASSERT_TRUE(expected) << expected.error().message();
  EXPECT_TRUE(torch::equal(got->images, expected->images));
  EXPECT_TRUE(torch::equal(got->latents, drawn->latents));
  EXPECT_FALSE(torch::equal(got->images[0], got->images[2]));

  const auto document = describe_image(info, (*both)->resolve(request), request.rows[2]);
  EXPECT_EQ(document["settings"]["enlarges"].dump(), R"({"noise_level":100,"steps":2})");
  EXPECT_EQ(document["upscaler"]["model_hash"], (*large)->info().hash);
}

// The published stages have one T5, of several gigabytes: it is loaded once, if the second has its own copy or none.
TEST(IfCascade, StagesShareTheTextEncoder) {
  const testing::TemporaryFolder folder;
  const std::string first = golden("pipeline_if").string();
  const auto count = [&](const fs::path& second) {
    const auto opened = open_model(first, {.upscaler = second.string()});
    EXPECT_TRUE(opened) << opened.error().message();
    std::int64_t encoders = 0;
    for (const auto& [name, parameters] : (*opened)->info().parameters) encoders += name.ends_with("text_encoder");
    return encoders;
  };
  const fs::path copy = folder / "copy";
  fs::copy(golden("pipeline_if2"), copy, fs::copy_options::recursive);
  for (const char* part : {"text_encoder", "tokenizer"}) {
    fs::remove_all(copy / part);
    fs::copy(golden("pipeline_if") / part, copy / part);
  }
  EXPECT_EQ(count(copy), 1);
  for (const char* part : {"text_encoder", "tokenizer"}) fs::remove_all(copy / part);
  EXPECT_EQ(count(copy), 1);
  EXPECT_FALSE(open_model(copy.string())) << "alone it has nothing to read prompts with";
}

// A file more beside the same weights is no other encoder; other weights are.
TEST(IfCascade, OtherFilesBesideTheEncoderDoNotMatter) {
  const testing::TemporaryFolder folder;
  const fs::path copy = folder / "copy";
  fs::copy(golden("pipeline_if2"), copy, fs::copy_options::recursive);
  for (const char* part : {"text_encoder", "tokenizer"}) {
    fs::remove_all(copy / part);
    fs::copy(golden("pipeline_if") / part, copy / part);
  }
  write_text(copy / "tokenizer/added_tokens.json", "{}");
  const auto one = open_model(golden("pipeline_if").string(), {.upscaler = copy.string()}),
             two = open_model(golden("pipeline_if").string(), {.upscaler = golden("pipeline_if2").string()});
  ASSERT_TRUE(one) << one.error().message();
  ASSERT_TRUE(two) << two.error().message();
  EXPECT_EQ((*one)->info().parameters.size() + 1, (*two)->info().parameters.size());
}

// The second stage draws as many times larger as the two were made for.
TEST(IfCascade, EnlargesByTheRatioOfBothSizes) {
  const testing::TemporaryFolder folder;
  const fs::path large = folder / "large";
  fs::copy(golden("pipeline_if2"), large, fs::copy_options::recursive);
  auto config = read_json(large / "unet/config.json");
  config["sample_size"] = 32;
  write_json(large / "unet/config.json", config);
  const auto opened = open_model(golden("pipeline_if").string(), {.upscaler = large.string()});
  ASSERT_TRUE(opened) << opened.error().message();
  Request request;
  request.prompts = {"a sign"};
  request.rows = {{0, 1, {}}};
  request.steps = request.upscale_steps = 1;
  request.width = 16;
  const auto result = (*opened)->generate(request);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->images.sizes(), (std::vector<std::int64_t>{1, 3, 32, 64}));
  EXPECT_EQ(result->latents.sizes(), (std::vector<std::int64_t>{1, 3, 8, 16}));
  fs::rename(large, folder / "small");
  auto small = read_json(golden("pipeline_if") / "unet/config.json");
  fs::copy(golden("pipeline_if"), folder / "first", fs::copy_options::recursive);
  small["sample_size"] = 64;
  write_json(folder / "first/unet/config.json", small);
  EXPECT_THAT(open_model((folder / "first").string(), {.upscaler = (folder / "small").string()}).error().message(),
              ::testing::HasSubstr("draws larger pictures"));
}

TEST(IfCascade, RefusesWhatDoesNotGoTogether) {
  const std::string first = golden("pipeline_if").string(), second = golden("pipeline_if2").string();
  EXPECT_THAT(open_model(first, {.upscaler = first}).error().message(), ::testing::HasSubstr("does not enlarge"));
  EXPECT_THAT(open_model(second, {.upscaler = second}).error().message(), ::testing::HasSubstr("first stage draws from a prompt alone"));
  EXPECT_THAT(open_model(first, {.upscaler = "/nowhere"}).error().message(), ::testing::HasSubstr("/nowhere"));
  Request request;
  request.prompts = {"a"};
  request.rows = {{0, 1, {}}};
  request.upscale_steps = 2;
  EXPECT_THAT((*open_model(first))->generate(request).error().message(), ::testing::HasSubstr("\u2039upscale-steps"));
  request.noise_level = 5000;
  EXPECT_THAT((*open_model(first, {.upscaler = second}))->generate(request).error().message(), ::testing::HasSubstr("\u2039noise-level"));
}

}  // namespace
}  // namespace glyphscope
