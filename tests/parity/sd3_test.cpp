// Stable Diffusion 3: MM-DiT, T5, its tokenizer and whole generations against diffusers and transformers; patched ones
// against joint attention processors that replay what they recorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "io/weights.h"
#include "models/mmdit.h"
#include "patching/prompt_taps.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/joint_parity.h"
#include "tests/support/pipeline_reference.h"
#include "text/t5_encoder.h"
#include "text/t5_tokenizer.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::kTolerance;
using testing::relative_error;

using MmDitParity = testing::JointParity<MmDit, MmDitConfig>;
TEST_P(MmDitParity, OutputEqualsTheReference) { expect_outputs(); }
TEST_P(MmDitParity, RecordedKeysAndValuesAreTheReferences) { expect_recorded_keys_and_values(); }
TEST_P(MmDitParity, PatchingInLockstepEqualsReplayingARecord) { expect_patched_in_lockstep(); }
TEST_P(MmDitParity, TapsThatPatchNothingChangeNoBit) { expect_no_bit_changed_by_an_empty_plan(); }

TEST_P(MmDitParity, PositionsAreTheReferences) {
  const torch::Tensor loaded = model->named_parameters()["pos_embed.pos_embed"].clone();
  model->fill_position_table();
  EXPECT_LT((model->named_parameters()["pos_embed.pos_embed"] - loaded).abs().max().item<double>(), 1e-6);
}

TEST_P(MmDitParity, WrongShapesAreNamed) {
  const Conditioning conditioning{get("embedding"), get("pooled")};
  auto message = [&](const torch::Tensor& sample, const Conditioning& c) { return testing::failure_of([&] { model->forward(sample, torch::zeros({2}), c); }); };
  EXPECT_THAT(message(torch::zeros({2, 4, 5, 6}), conditioning), ::testing::HasSubstr("multiples of 2"));
  EXPECT_THAT(message(torch::zeros({2, 4, 20, 4}), conditioning), ::testing::HasSubstr("10 x 2 patches exceeds the 9"));
  EXPECT_THAT(message(get("sample"), {torch::zeros({2, 3, 5}), get("pooled")}), ::testing::HasSubstr("[2, tokens, 28]"));
  EXPECT_THAT(message(get("sample"), {get("embedding")}), ::testing::HasSubstr("pooled prompt must be [2, 26]"));
}

INSTANTIATE_TEST_SUITE_P(Options, MmDitParity, ::testing::Values("mmdit_sd3", "mmdit_sd35"));

// arXiv 2502.09935: 24 joint attention layers, layer 10 holds 0.23 % of the parameters.
TEST(MmDit, ThePublishedConfigurationHasThePapersSites) {
  const MmDit model(MmDitConfig::parse(Config::read(golden("../../configs/sd3/transformer/config.json"))));
  EXPECT_EQ(model.sites().denoiser_parameters, 2'028'328'000);
  ASSERT_EQ(model.sites().sites.size(), 24u);
  EXPECT_EQ(model.sites().sites[10].path, "transformer_blocks.10.attn");
  EXPECT_NEAR(model.sites().share({10}), 0.0023, 0.00005);
}

TEST(T5Parity, EncodesAsTheReference) {
  torch::NoGradGuard no_grad;
  for (const char* name : {"gated", "relu"}) {
    const auto folder = golden("t5") / name;
    T5Encoder model(T5Config::parse(Config::read(folder / "config.json")));
    load_weights(model, Weights::find(folder), {.placement = {testing::test_device()}, .rename = t5_key});
    const SafetensorsFile expected(folder / "expected.safetensors");
    EXPECT_LT(relative_error(model.forward(expected.tensor("ids")), expected.tensor("all")), kTolerance) << name;
    const torch::Tensor masked = model.forward(expected.tensor("ids"), expected.tensor("mask"));
    EXPECT_LT(relative_error(masked[0], expected.tensor("masked")[0]), kTolerance) << name;
    EXPECT_LT(relative_error(masked[1].slice(0, 0, 11), expected.tensor("masked")[1].slice(0, 0, 11)), kTolerance) << name;
  }
}

TEST(T5TokenizerParity, IdsAreExact) {
  const T5Tokenizer tokenizer = T5Tokenizer::load(golden("tokenizer_t5"));
  const auto cases = read_json(golden("tokenizer_t5") / "expected.json");
  ASSERT_GT(cases.size(), 1000u);
  for (const auto& one : cases) {
    auto ids = tokenizer.encode(one["text"].get<std::string>());
    ids.push_back(T5Tokenizer::kEnd);
    EXPECT_EQ(ids, one["ids"].get<std::vector<std::int64_t>>()) << one["text"].dump();
  }
}

TEST(T5Tokenizer, CutsPadsAndSaysWhatIsCut) {
  const T5Tokenizer tokenizer = T5Tokenizer::load(golden("tokenizer_t5"));
  const Tokens whole = tokenizer.tokenize("a sign", 30), cut = tokenizer.tokenize("a sign that says open and goodbye", 6);
  EXPECT_EQ(whole.cut, "");
  EXPECT_EQ(whole.ids.size(), 30u);
  EXPECT_EQ(whole.ids.back(), T5Tokenizer::kPad);
  EXPECT_EQ(cut.ids.size(), 6u);
  EXPECT_EQ(cut.ids.back(), T5Tokenizer::kEnd);
  EXPECT_TRUE(cut.cut.ends_with("goodbye")) << cut.cut;
  EXPECT_EQ(tokenizer.tokenize(std::string("\xff\xfe\0x", 4), 8).ids.size(), 8u);
  testing::TemporaryFolder folder;
  EXPECT_THAT(testing::failure_of([&] { T5Tokenizer::load(folder.path()); }), ::testing::HasSubstr("spiece.model or tokenizer.json is missing"));
  write_text(folder / "spiece.model", "no model");
  EXPECT_THAT(testing::failure_of([&] { T5Tokenizer::load(folder.path()); }), ::testing::HasSubstr("no SentencePiece model"));
}

// What transformers 5 writes of T5's tokenizer: tests/golden/make_tokenizer_json.py.
TEST(T5TokenizerParity, ATokenizerJsonAloneIsReadAsItsLibraryReadsIt) {
  const auto folder = golden("tokenizer_json") / "t5";
  const T5Tokenizer tokenizer = T5Tokenizer::load(folder);
  int count = 0, differ = 0;
  for (const auto& one : read_json(folder / "expected.json")) {
    const auto text = one[0].get<std::string>();
    ++count;
    if (tokenizer.encode(text) == one[1].get<std::vector<std::int64_t>>()) continue;
    if (++differ <= 5) ADD_FAILURE() << nlohmann::json(text) << "\n  " << one[1].dump() << "\n  " << nlohmann::json(tokenizer.encode(text)).dump();
  }
  EXPECT_EQ(count, 1000);
  EXPECT_EQ(differ, 0);
}

TEST(T5TokenizerParity, WhatATokenizerJsonIsNotIsNamed) {
  const testing::TemporaryFolder folder;
  const nlohmann::json good = read_json(golden("tokenizer_json") / "t5/tokenizer.json");
  const auto failure = [&](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json document = good;
    change(document);
    write_text(folder / "tokenizer.json", document.dump());
    return testing::failure_of([&] { T5Tokenizer::load(folder.path()); });
  };
  EXPECT_EQ(failure([](auto&) {}), "");
  EXPECT_THAT(failure([](auto& json) { json["model"]["type"] = "BPE"; }), ::testing::HasSubstr("of type 'BPE', Unigram was expected"));
  EXPECT_THAT(failure([](auto& json) { json["model"].erase("unk_id"); }), ::testing::HasSubstr("no unk_id"));
  EXPECT_THAT(failure([](auto& json) { json["model"]["unk_id"] = 100000; }), ::testing::HasSubstr("unk_id is 100000"));
  EXPECT_THAT(failure([](auto& json) { json["model"].erase("vocab"); }), ::testing::HasSubstr("vocab"));
  EXPECT_THAT(failure([](auto& json) { json["normalizer"] = {{"type", "Lowercase"}}; }), ::testing::HasSubstr("normalizer is of type 'Lowercase'"));
  EXPECT_THAT(failure([](auto& json) { json["pre_tokenizer"] = {{"type", "ByteLevel"}}; }), ::testing::HasSubstr("pre_tokenizer is of type 'ByteLevel'"));
  EXPECT_THAT(failure([](auto& json) { json["normalizer"]["precompiled_charsmap"] = "#"; }), ::testing::HasSubstr("no base64"));
}

struct Sd3Parity : testing::PipelineReference {
  void SetUp() override { load(golden("pipeline_sd3")); }
};

TEST_F(Sd3Parity, ImagesEqualTheReference) {
  expect({0, 42, {}}, "a");
  expect({1, 42, {}}, "b");
  request.negative = request.prompts[1];
  request.clip_skip = 1;
  expect({0, 42, {}}, "negative");
}

TEST_F(Sd3Parity, AnAbsentT5ReadsAsZeros) {
  testing::TemporaryFolder folder;
  std::filesystem::copy(golden("pipeline_sd3"), folder / "model", std::filesystem::copy_options::recursive);
  auto index = read_json(folder / "model" / "model_index.json");
  index["text_encoder_3"] = index["tokenizer_3"] = {nullptr, nullptr};
  write_json(folder / "model" / "model_index.json", index);
  open(folder / "model");
  expect({0, 42, {}}, "without_t5");
}

// diffusers cannot: so the fact is that zeroed weights, whose states are zeros, give the same picture.
TEST_F(Sd3Parity, AnAbsentClipReadsAsZerosWithANote) {
  testing::TemporaryFolder folder;
  const auto model = folder / "model";
  std::filesystem::copy(golden("pipeline_sd3"), model, std::filesystem::copy_options::recursive);
  // The first encoder is 16 wide and projects to 16, as published ones do. States of zeros: embeddings and biases zeroed.
  const auto file = model / "text_encoder" / "model.safetensors";
  std::map<std::string, torch::Tensor> zeros;
  {
    const SafetensorsFile weights(file);
    for (const auto& [key, entry] : weights.entries()) zeros[key] = torch::zeros(entry.shape);
  }
  write_safetensors(file, zeros);
  open(model);
  const Result zeroed = run({{0, 42, {}}});
  auto index = read_json(model / "model_index.json");
  index["text_encoder"] = index["tokenizer"] = {nullptr, nullptr};
  write_json(model / "model_index.json", index);
  open(model);
  const Result absent = run({{0, 42, {}}});
  EXPECT_LT(relative_error(absent.latents, zeroed.latents), 1e-5);
  ASSERT_EQ(absent.notes.size(), 1u);
  EXPECT_THAT(absent.notes[0], ::testing::HasSubstr("CLIP text encoder is missing"));
  index["text_encoder_2"] = index["tokenizer_2"] = index["text_encoder_3"] = index["tokenizer_3"] = {nullptr, nullptr};
  write_json(model / "model_index.json", index);
  const auto none = open_model(model.string());
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), ::testing::HasSubstr("no text encoder"));
}

// Both halves of guidance are patched, as in the reference's record of a whole run of B.
TEST_F(Sd3Parity, PatchedImageEqualsTheReferencesProcessor) { expect({0, 42, plan()}, "patched"); }

TEST_F(Sd3Parity, RowsMayBeBatchedInAnyWay) {
  const std::vector<Row> rows{{0, 42, {}}, {1, 42, {}}, {0, 42, plan()}, {0, 7, PatchPlan::at_sites({0}, 1)}, {1, 7, PatchPlan::at_sites({2}, 0, 3)}};
  const Result together = run(rows);
  EXPECT_EQ(together.images.size(0), 5) << "rows that only lend their K and V are not returned";
  request.rows_at_once = 1;
  EXPECT_LT(relative_error(run(rows).latents, together.latents), kTolerance);
}

TEST_F(Sd3Parity, InjectionIsRefusedWithTheWayOut) {
  request.method = PatchMethod::injection;
  request.rows = {{0, 42, plan()}};
  const auto result = pipeline->generate(request);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message(), ::testing::HasSubstr("cannot patch by injection"));
}

// Where K and V depend on the prompt alone, all three methods are one.
TEST(PatchMethods, LockstepEqualsInjectionInAUNet) {
  for (const char* name : {"pipeline", "pipeline_sdxl"}) {
    const auto opened = open_model(golden(name).string());
    ASSERT_TRUE(opened);
    Request request;
    request.prompts = {"a neon sign that says open", "a golden cat"};
    request.rows = {{0, 42, PatchPlan::at_sites({1, 2}, 1, 1)}};
    request.steps = 4;
    request.guidance = 3;
    request.width = request.height = 32;
    const auto injected = (*opened)->generate(request);
    request.method = PatchMethod::lockstep;
    const auto lockstep = (*opened)->generate(request);
    ASSERT_TRUE(injected && lockstep);
    EXPECT_LT(relative_error(lockstep->latents, injected->latents), kTolerance) << name;
  }
}

}  // namespace
}  // namespace glyphscope
