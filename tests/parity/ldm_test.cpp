// Latent diffusion text-to-image: tokenizer, BERT, both autoencoders and whole generations against diffusers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "io/weights.h"
#include "pipelines/pipeline.h"
#include "tests/support/golden.h"
#include "text/ldm_bert.h"
#include "text/word_piece_tokenizer.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

TEST(WordPieceParity, IdsAreExact) {
  const WordPieceTokenizer tokenizer = WordPieceTokenizer::load(golden("tokenizer_bert"));
  const auto cases = read_json(golden("tokenizer_bert") / "expected.json");
  ASSERT_GT(cases.size(), 1000u);
  for (const auto& one : cases) {
    const auto expected = one["ids"].get<std::vector<std::int64_t>>();
    const Tokens tokens = tokenizer.tokenize(one["text"].get<std::string>(), static_cast<std::int64_t>(expected.size()));
    EXPECT_EQ(tokens.ids, expected) << one["text"].dump();
    EXPECT_EQ(tokens.cut, "") << one["text"].dump();
  }
}

// transformers 5 writes tokenizer.json alone.
TEST(WordPieceTokenizer, OneFileWillDo) {
  testing::TemporaryFolder folder;
  const auto published = golden("pipeline_ldm") / "kl" / "tokenizer";
  std::filesystem::copy(published / "tokenizer.json", folder / "tokenizer.json");
  const WordPieceTokenizer whole = WordPieceTokenizer::load(folder.path()), parts = WordPieceTokenizer::load(published);
  for (const char* text : {"a sign that says \"Élan\"", "[SEP] newspapers!", ""}) EXPECT_EQ(whole.tokenize(text, 20).ids, parts.tokenize(text, 20).ids);
  write_text(folder / "tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 7}}}");
  EXPECT_THAT(testing::failure_of([&] { WordPieceTokenizer::load(folder.path()); }), ::testing::HasSubstr("no WordPiece tokenizer"));
}

TEST(WordPieceTokenizer, SaysWhatIsCutAndWhatIsMissing) {
  const WordPieceTokenizer tokenizer = WordPieceTokenizer::load(golden("tokenizer_bert"));
  EXPECT_EQ(tokenizer.tokenize("a sign that says newspaper", 5).cut, "says newspaper");
  EXPECT_EQ(tokenizer.tokenize(std::string("\xff\xfe\0x", 4), 8).ids.size(), 8u);
  testing::TemporaryFolder folder;
  EXPECT_THAT(testing::failure_of([&] { WordPieceTokenizer::load(folder.path()); }), ::testing::HasSubstr("vocab.txt is missing"));
  write_text(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n");
  EXPECT_THAT(testing::failure_of([&] { WordPieceTokenizer::load(folder.path()); }), ::testing::HasSubstr("no [SEP]"));
}

struct LdmParity : ::testing::TestWithParam<const char*> {
  void SetUp() override {
    folder = golden("pipeline_ldm") / GetParam();
    auto opened = open_model(folder.string());
    ASSERT_TRUE(opened) << opened.error().message();
    pipeline = *opened;
    expected = std::make_unique<SafetensorsFile>(folder / "expected.safetensors");
    settings = nlohmann::json::parse(expected->metadata().at("settings"));
    request.prompts = {settings.at("prompt_a").get<std::string>(), settings.at("prompt_b").get<std::string>()};
    request.steps = settings.at("num_inference_steps");
    request.guidance = settings.at("guidance_scale");
    request.width = settings.at("width");
    request.height = settings.at("height");
  }
  void expect(const Row& row, const std::string& name) {
    request.rows = {row};
    const auto result = pipeline->generate(request);
    ASSERT_TRUE(result) << result.error().message();
    const torch::Tensor reference = expected->tensor(name + ".image_u8")[0].permute({2, 0, 1});
    const torch::Tensor difference = (result->images[0].to(torch::kInt32) - reference.to(torch::kInt32)).abs();
    EXPECT_GE((difference <= 1).to(torch::kFloat64).mean().item<double>(), 0.999) << name;
  }

  std::filesystem::path folder;
  std::shared_ptr<Pipeline> pipeline;
  std::unique_ptr<SafetensorsFile> expected;
  nlohmann::json settings;
  Request request;
};

TEST_P(LdmParity, TheTextEncoderEqualsTheReference) {
  torch::NoGradGuard no_grad;
  LdmBert bert(LdmBertConfig::parse(Config::read(folder / "bert" / "config.json")));
  load_weights(bert, Weights::find(folder / "bert"), {.rename = ldm_bert_key});
  const Tokens tokens = WordPieceTokenizer::load(folder / "tokenizer").tokenize(request.prompts[0], 77);
  EXPECT_LT(relative_error(bert.forward(torch::tensor(tokens.ids).unsqueeze(0)), expected->tensor("states")), 1e-4);
}

TEST_P(LdmParity, ImagesEqualTheReference) {
  expect({0, 42, {}}, "a");
  expect({1, 42, {}}, "b");
}

TEST_P(LdmParity, PatchedImageEqualsTheReferencesProcessor) {
  const PatchPlan plan = PatchPlan::at_sites(settings.at("patched_sites").get<std::vector<int>>(), 1, settings.at("patched_from_step"));
  for (auto method : {PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep}) {
    request.method = method;
    expect({0, 42, plan}, "patched");
  }
}

INSTANTIATE_TEST_SUITE_P(Autoencoders, LdmParity, ::testing::Values("kl", "vq"));

}  // namespace
}  // namespace glyphscope
