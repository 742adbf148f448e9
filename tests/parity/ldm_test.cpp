// Latent diffusion text-to-image: tokenizer, BERT, both autoencoders and whole generations against diffusers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "io/weights.h"
#include "pipelines/pipeline.h"
#include "tests/support/golden.h"
#include "tests/support/pipeline_reference.h"
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

struct LdmParity : testing::PipelineReference, ::testing::WithParamInterface<const char*> {
  void SetUp() override {
    folder = golden("pipeline_ldm") / GetParam();
    load(folder);
  }
  std::filesystem::path folder;
};

TEST_P(LdmParity, TheTextEncoderEqualsTheReference) {
  torch::NoGradGuard no_grad;
  LdmBert bert(LdmBertConfig::parse(Config::read(folder / "bert" / "config.json")));
  load_weights(bert, Weights::find(folder / "bert"), {.placement = {testing::test_device()}, .rename = ldm_bert_key});
  const Tokens tokens = WordPieceTokenizer::load(folder / "tokenizer").tokenize(request.prompts[0], 77);
  EXPECT_LT(relative_error(bert.forward(torch::tensor(tokens.ids).unsqueeze(0)), expected->tensor("states")), 1e-4);
}

TEST_P(LdmParity, ImagesEqualTheReference) {
  expect({0, 42, {}}, "a");
  expect({1, 42, {}}, "b");
}

TEST_P(LdmParity, PatchedImageEqualsTheReferencesProcessor) {
  for (auto method : {PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep}) {
    request.method = method;
    expect({0, 42, plan()}, "patched");
  }
}

INSTANTIATE_TEST_SUITE_P(Autoencoders, LdmParity, ::testing::Values("kl", "vq"));

}  // namespace
}  // namespace glyphscope
