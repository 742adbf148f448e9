// Tokenizer and text encoder against transformers' CLIPTokenizer and CLIPTextModel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "io/weights.h"
#include "tests/support/golden.h"
#include "text/clip_text_model.h"
#include "text/clip_tokenizer.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

TEST(TokenizerParity, IdsAreExact) {
  for (const char* name : {"tokenizer", "tokenizer_sd2"}) {
    const ClipTokenizer tokenizer = ClipTokenizer::load(golden(name));
    const auto cases = read_json(golden(name) / "expected.json");
    ASSERT_GT(cases.size(), 100u);
    for (const auto& one : cases) {
      const auto text = one["text"].get<std::string>();
      EXPECT_EQ(tokenizer.tokenize(text).ids, one["ids"].get<std::vector<std::int64_t>>()) << name << ": " << one["text"].dump();
    }
  }
}

TEST(Tokenizer, OneFileWillDo) {
  // transformers 5 writes tokenizer.json alone.
  const ClipTokenizer whole = ClipTokenizer::load(golden("pipeline") / "tokenizer"), parts = ClipTokenizer::load(golden("tokenizer"));
  for (const char* text : {"a sign that says \"LOVE\"", "it's <|endoftext|> over", ""}) EXPECT_EQ(whole.tokenize(text).ids, parts.tokenize(text).ids);
}

TEST(Tokenizer, SaysWhatIsCut) {
  const ClipTokenizer tokenizer = ClipTokenizer::load(golden("tokenizer"));
  std::string prompt;
  for (int i = 0; i < 30; ++i) prompt += "a ";
  const Tokens tokens = tokenizer.tokenize(prompt + "zebra");
  EXPECT_EQ(tokens.ids.size(), 20u);
  EXPECT_TRUE(tokens.cut.ends_with("zebra")) << tokens.cut;
  EXPECT_EQ(tokenizer.tokenize("a sign").cut, "");
}

TEST(Tokenizer, AnyBytesAreAText) {
  const ClipTokenizer tokenizer = ClipTokenizer::load(golden("tokenizer"));
  std::string bytes;
  for (int i = 1; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(tokenizer.tokenize(bytes).ids.size(), 20u);
  EXPECT_EQ(tokenizer.tokenize(std::string("a\0b", 3)).ids.size(), 20u);
}

TEST(Tokenizer, NamesTheMissingFile) {
  testing::TemporaryFolder folder;
  EXPECT_THAT(testing::failure_of([&] { ClipTokenizer::load(folder.path()); }).c_str(), ::testing::HasSubstr("vocab.json and merges.txt, are missing"));
  write_text(folder / "vocab.json", "{\"a\": -1}");
  write_text(folder / "merges.txt", "#version: 0.2\n");
  EXPECT_THAT(testing::failure_of([&] { ClipTokenizer::load(folder.path()); }).c_str(), ::testing::HasSubstr("the id of token 'a'"));
}

TEST(ClipParity, EncodesAsTheReference) {
  torch::NoGradGuard no_grad;
  for (const auto& [name, file] :
       {std::pair<std::string, std::string>{"clip", "model.safetensors"}, {"clip", "published.safetensors"}, {"clip_gelu", "model.safetensors"}}) {
    ClipTextModel model(ClipTextConfig::parse(Config::read(golden(name) / "config.json")));
    load_weights(model, Weights(golden(name) / file), {.placement = {testing::test_device()}, .rename = [](const std::string& key) {
                                                         return key.starts_with("text_model.") ? key.substr(11) : key;
                                                       }});
    const SafetensorsFile expected(golden(name) / "expected.safetensors");
    const TextEncoding encoding = model.forward(expected.tensor("input_ids"));
    EXPECT_LT(relative_error(encoding.embedding, expected.tensor("last_hidden_state")), 1e-4) << file;
    EXPECT_LT(relative_error(encoding.pooled, expected.tensor("pooled")), 1e-4) << file;
  }
}

TEST(ClipParity, ProjectsAndSkipsLayersAsTheReference) {
  torch::NoGradGuard no_grad;
  ClipTextModel model(ClipTextConfig::parse(Config::read(golden("clip_projection") / "config.json")));
  load_weights(model, Weights::find(golden("clip_projection")),
               {.placement = {testing::test_device()}, .rename = [](const std::string& key) { return key.starts_with("text_model.") ? key.substr(11) : key; }});
  const SafetensorsFile expected(golden("clip_projection") / "expected.safetensors");
  for (std::int64_t skip : {0, 1, 2}) {
    const TextEncoding encoding = model.forward(expected.tensor("input_ids"), skip);
    EXPECT_LT(relative_error(encoding.pooled, expected.tensor("text_embeds")), 1e-4) << skip;
    EXPECT_LT(relative_error(encoding.hidden, expected.tensor("hidden_states.-" + std::to_string(skip + 1))), 1e-4) << skip;
  }
  EXPECT_LT(relative_error(model.forward(expected.tensor("input_ids")).embedding, expected.tensor("last_hidden_state")), 1e-4);
  EXPECT_THAT(testing::failure_of([&] { model.forward(expected.tensor("input_ids"), 3); }), ::testing::HasSubstr("3 cannot be left out"));
}

TEST(ClipTextModel, RefusesIdsItDoesNotKnow) {
  torch::NoGradGuard no_grad;
  ClipTextModel model(ClipTextConfig::parse(Config::read(golden("clip") / "config.json")));
  EXPECT_THAT(testing::failure_of([&] {
                model.forward(torch::full({1, 4}, 5000, torch::kInt64));
              }).c_str(),
              ::testing::HasSubstr("the tokenizer gave the id 5000"));
}

}  // namespace
}  // namespace glyphscope
