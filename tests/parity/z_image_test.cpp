// Z-Image: its transformer, its text encoder and whole generations against diffusers and transformers; patched ones against attention processors that replay
// what they recorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "models/z_image.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/joint_parity.h"
#include "tests/support/pipeline_reference.h"
#include "text/chat_tokenizer.h"
#include "text/decoder_text_model.h"

namespace glyphscope {
namespace {
using testing::golden;
using ::testing::HasSubstr;
using testing::relative_error;

using ZImageParity = testing::JointParity<ZImage, ZImageConfig>;
TEST_P(ZImageParity, OutputEqualsTheReference) { expect_outputs(); }
TEST_P(ZImageParity, RecordedKeysAndValuesAreTheReferences) { expect_recorded_keys_and_values(); }
TEST_P(ZImageParity, PatchingInLockstepEqualsReplayingARecord) { expect_patched_in_lockstep(); }
TEST_P(ZImageParity, TapsThatPatchNothingChangeNoBit) { expect_no_bit_changed_by_an_empty_plan(); }
INSTANTIATE_TEST_SUITE_P(Variants, ZImageParity, ::testing::Values("z_image"));

// Captions of 32 tokens and of one, which needs none and 31 that fill it up.
TEST_P(ZImageParity, CaptionsThatEndAtABlocksEndAndBeginAreTheReferences) {
  EXPECT_LT(relative_error(run(conditioning("full_")), get("full_output")), kTolerance);
}

// Captions that end in different blocks of 32 tokens in one batch: what fills up the shorter is not read.
TEST_P(ZImageParity, CaptionsOfDifferentLengthsGoTogether) {
  const Conditioning a = conditioning(), b = conditioning("other_");
  const auto row = [](const Conditioning& c, std::int64_t i) {
    return Conditioning{.embedding = c.embedding.narrow(0, i, 1), .prompt_mask = c.prompt_mask.narrow(0, i, 1)};
  };
  const Conditioning mixed = joined({row(a, 0), row(b, 1)});
  EXPECT_LT(relative_error(run(mixed), get("mixed_output")), kTolerance);
  Conditioning other = mixed;
  other.embedding = mixed.embedding.clone();
  other.embedding[0].slice(0, 32).fill_(7);
  EXPECT_TRUE(torch::equal(run(other), run(mixed)));
}

TEST(ZImage, WrongShapesAndConfigurationsAreNamed) {
  const ZImage model(ZImageConfig::parse(Config::read(golden("z_image") / "config.json")));
  const auto message = [&](const torch::Tensor& sample, const torch::Tensor& embedding, const torch::Tensor& mask = {}) {
    return testing::failure_of([&] { model.forward(sample, torch::zeros({2}), {.embedding = embedding, .prompt_mask = mask}); });
  };
  const torch::Tensor sample = torch::zeros({2, 4, 4, 6}), embedding = torch::zeros({2, 32, 20});
  EXPECT_THAT(message(torch::zeros({2, 4, 3, 4}), embedding), HasSubstr("even sides"));
  EXPECT_THAT(message(sample, torch::zeros({2, 30, 20})), HasSubstr("multiple of 32"));
  EXPECT_THAT(message(sample, torch::zeros({2, 32, 21})), HasSubstr("[2, tokens, 20]"));
  EXPECT_THAT(message(sample, embedding, torch::ones({2, 31}, torch::kBool)), HasSubstr("mask must be [2, 32]"));
  EXPECT_THAT(message(torch::zeros({2, 4, 2 * 513, 2}), embedding), HasSubstr("513 x 1 tokens"));
  const auto parse = [](const nlohmann::json& json) { return testing::failure_of([&] { ZImageConfig::parse({json, "config.json"}); }); };
  EXPECT_THAT(parse({{"axes_dims", {32, 48, 46}}}), HasSubstr("a head's width, 128"));
  EXPECT_THAT(parse({{"siglip_feat_dim", 1152}}), HasSubstr("reads pictures too"));
  EXPECT_THAT(parse({{"all_patch_size", {2, 4}}}), HasSubstr("all_patch_size"));
  EXPECT_THAT(parse({{"dim", 3841}}), HasSubstr("n_heads, 30"));
}

// Published: 30 blocks of one stream and 2 of each refiner; 6,154,908,736 parameters, as diffusers counts those of its defaults.
TEST(ZImage, ThePublishedConfigurationHas32Sites) {
  const ZImage model(ZImageConfig::parse({nlohmann::json::object(), "published"}));
  ASSERT_EQ(model.sites().sites.size(), 32u);
  EXPECT_EQ(model.sites().denoiser_parameters, 6'154'908'736);
  EXPECT_EQ(model.sites().sites[0].path, "context_refiner.0.attention");
  EXPECT_EQ(model.sites().sites[2].path, "layers.0.attention");
  EXPECT_EQ(model.sites().sites[2].kv_parameters, 29'491'200);
}

TEST(ZImage, ATurnOfAChatHasTheIdsOfTransformers) {
  const ChatTurn turn{"<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"};
  const ChatTokenizer now(golden("pipeline_z_image") / "tokenizer", turn), older(golden("tokenizer_qwen_older"), turn);
  EXPECT_EQ(now.trail(), older.trail());
  for (const auto& one : read_json(golden("pipeline_z_image") / "turns.json")) {
    const auto text = one.at("text").get<std::string>();
    const auto ids = one.at("ids").get<std::vector<std::int64_t>>();
    EXPECT_EQ(now.tokenize(text, 512).ids, ids) << text;
    EXPECT_EQ(older.tokenize(text, 512).ids, ids) << text;
  }
}

TEST(ZImage, ATokenizerThatIsNotQwensIsNamed) {
  const ChatTurn turn{"<|im_start|>user\n", "<|im_end|>\n"};
  const testing::TemporaryFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(golden("pipeline_z_image") / "tokenizer"))
    std::filesystem::copy_file(entry.path(), folder / entry.path().filename().string());
  write_text(folder / "chat_template.jinja", "{% for message in messages %}[INST] {{ message.content }} [/INST]{% endfor %}");
  EXPECT_THAT(testing::failure_of([&] { ChatTokenizer(folder.path(), turn); }), HasSubstr("the chat template is not Qwen's"));
  EXPECT_THAT(testing::failure_of([&] { ChatTokenizer(golden("tokenizer"), turn); }), HasSubstr("<|im_start|>"));
}

TEST(ZImage, TextEncodersThatAreNotReadAreNamed) {
  const auto parse = [](const nlohmann::json& json) { return testing::failure_of([&] { DecoderTextConfig::parse({json, "config.json"}); }); };
  EXPECT_THAT(parse({{"model_type", "gemma2"}}), HasSubstr("'gemma2'"));
  EXPECT_THAT(parse({{"use_sliding_window", true}}), HasSubstr("window"));
  EXPECT_THAT(parse({{"num_attention_heads", 6}, {"num_key_value_heads", 4}}), HasSubstr("no multiple"));
  EXPECT_THAT(parse({{"rope_scaling", {{"rope_type", "yarn"}}}}), HasSubstr("yarn"));
}

// All in one file, in its authors' keys as ComfyUI has it, and the transformer alone in diffusers' keys. Learned tokens may lack their one row, as ggml's files
// have them.
TEST(ZImage, SingleFilesDrawWhatTheFolderDraws) {
  torch::NoGradGuard no_grad;
  const auto folder = open_model(golden("pipeline_z_image").string());
  ASSERT_TRUE(folder);
  std::map<std::string, torch::Tensor> alone = Weights::find(golden("pipeline_z_image") / "transformer").tensors(), whole;
  const std::vector<std::pair<std::string, std::string>> renamed{
      {"all_x_embedder.2-1.", "x_embedder."}, {"all_final_layer.2-1.", "final_layer."}, {"to_out.0.", "out."}, {"norm_q.", "q_norm."}, {"norm_k.", "k_norm."}};
  for (const auto& [key, tensor] : alone) {
    std::string theirs = key;
    if (const size_t query = key.find("to_q"); query != std::string::npos) {
      const auto of = [&](const char* part) { return alone.at(std::string(key).replace(query, 4, part)); };
      whole["model.diffusion_model." + theirs.replace(query, 4, "qkv")] = torch::cat({tensor, of("to_k"), of("to_v")});
      continue;
    }
    if (key.find("to_k") != std::string::npos || key.find("to_v") != std::string::npos) continue;
    for (const auto& [ours, name] : renamed)
      if (const size_t at = theirs.find(ours); at != std::string::npos) theirs.replace(at, ours.size(), name);
    whole["model.diffusion_model." + theirs] = key.ends_with("pad_token") ? tensor.flatten() : tensor;
  }
  whole["model.diffusion_model.norm_final.weight"] = torch::ones({48});
  for (const auto& [key, tensor] : Weights::find(golden("pipeline_z_image") / "text_encoder").tensors())
    whole["text_encoders.qwen3_4b.transformer.model." + key] = tensor;
  const testing::TemporaryFolder files;
  write_safetensors(files / "alone.safetensors", alone);
  write_safetensors(files / "whole.safetensors", whole);
  Request request;
  request.prompts = {"a sign"};
  request.rows = {{0, 1, {}}};
  request.steps = 2;
  request.width = request.height = 16;
  const auto expected = (*folder)->generate(request);
  ASSERT_TRUE(expected) << expected.error().message();
  for (const char* name : {"alone.safetensors", "whole.safetensors"}) {
    OpenOptions options;
    options.config = golden("pipeline_z_image");
    const auto opened = open_model((files / name).string(), options);
    ASSERT_TRUE(opened) << opened.error().message();
    EXPECT_TRUE(torch::equal((*opened)->generate(request)->latents, expected->latents)) << name;
    EXPECT_FALSE(open_model((files / name).string())) << "its configurations are in no file";
  }
}

struct ZImagePipelineParity : testing::PipelineReference {
  void SetUp() override { load(golden("pipeline_z_image")); }
};

TEST_F(ZImagePipelineParity, ImagesEqualTheReference) {
  expect({0, 42, {}}, "a");
  expect({1, 42, {}}, "b");
}

TEST_F(ZImagePipelineParity, PatchedImageEqualsTheReferencesProcessor) { expect({0, 42, plan(), 0}, "patched"); }

TEST_F(ZImagePipelineParity, ANegativePromptActs) {
  request.negative = settings.at("prompt_b").get<std::string>();
  expect({0, 42, {}}, "negative");
}

// Guidance counts from 0: there the negative prompt is not read, and at 0.5 it is.
TEST_F(ZImagePipelineParity, GuidanceIsThePipelines) {
  request.guidance = 0;
  expect({0, 42, {}}, "unguided");
  EXPECT_EQ(pipeline->denoiser_rows(request), request.steps);
  request.guidance = 0.5;
  expect({0, 42, {}}, "little");
  EXPECT_EQ(pipeline->denoiser_rows(request), 2 * request.steps);
}

TEST_F(ZImagePipelineParity, RowsMayBeBatchedInAnyWay) {
  const std::vector<Row> rows{{0, 42, {}}, {1, 42, {}}, {0, 42, plan()}, {0, 7, {}}};
  const Result together = run(rows);
  request.rows_at_once = 1;
  EXPECT_LT(relative_error(run(rows).latents, together.latents), 1e-4);
}

// The prompts end in different blocks of 32 tokens: patches of tokens, heads and streams, half-strong ones, and safe guidance in three parts come to the same
// however rows are batched, and do something.
TEST_F(ZImagePipelineParity, PromptsOfDifferentLengthsArePatchedInEveryWay) {
  const Result plain = run({{0, 42, {}}});
  const auto differs = [&](const torch::Tensor& latents) { return testing::relative_error(latents, plain.latents[0]) > 1e-4; };
  std::vector<Row> rows;
  for (const SitePatch& patch : std::vector<SitePatch>{{.site = 3, .prompt = 1, .tokens = {TokenGroup::text}, .encoders = {TokenEncoder::chat}},
                                                       {.site = 2, .prompt = 1, .heads = {1}},
                                                       {.site = 3, .prompt = 1, .streams = Streams::key},
                                                       {.site = 2, .prompt = 1, .streams = Streams::value},
                                                       {.site = 3, .prompt = 1, .strength = 0.5},
                                                       {.site = 0, .prompt = 1}})
    for (const int own : {0, 1}) {
      SitePatch one = patch;
      one.prompt = 1 - own;
      rows.push_back({own, 42, PatchPlan({one})});
    }
  const Result together = run(rows);
  EXPECT_TRUE(together.latents.isfinite().all().item<bool>());
  for (size_t row = 0; row < rows.size(); row += 2) EXPECT_TRUE(differs(together.latents[static_cast<std::int64_t>(row)])) << row;
  request.rows_at_once = 1;
  EXPECT_LT(relative_error(run(rows).latents, together.latents), 1e-4);

  request.safe = SafeGuidance{.unwanted = settings.at("prompt_b").get<std::string>(), .warmup = 0};
  const std::vector<Row> safe{{0, 42, {}}, {1, 7, {}}};
  const Result alone = run(safe);
  EXPECT_TRUE(differs(alone.latents[0]));
  request.rows_at_once = 16;
  EXPECT_LT(relative_error(run(safe).latents, alone.latents), 1e-4);
}

// Gradients towards a prompt that ends in another block are numbers, and not all are 0.
TEST_F(ZImagePipelineParity, SitesAreEstimatedTowardsALongerPrompt) {
  for (const int own : {0, 1}) {
    request.rows = {{own, 42, {}}};
    const auto found = pipeline->attribute(request, {});
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_TRUE(found->effects.isfinite().all().item<bool>());
    EXPECT_GT(found->effects.abs().max().item<double>(), 1e-6);
  }
}

TEST_F(ZImagePipelineParity, WeightsOfWordsAreRefused) {
  request.prompts[0] = "a (neon:1.3) sign";
  request.rows = {{0, 42, {}}};
  EXPECT_THAT(pipeline->generate(request).error().message(), HasSubstr("knows no weights of words: 'neon'"));
}

// What is longer than the encoder reads is cut, as the pipeline cuts it, and said.
TEST_F(ZImagePipelineParity, AnEndlessPromptIsCutWithANote) {
  std::string prompt;
  for (int i = 0; i < 400; ++i) prompt += "sign number " + std::to_string(i) + " ";
  request.prompts[0] = prompt;
  const Result result = run({{0, 42, {}}});
  ASSERT_FALSE(result.notes.empty());
  EXPECT_THAT(result.notes.front(), HasSubstr("longer than the text encoder reads"));
}

}  // namespace
}  // namespace glyphscope
