#include "text/prompt_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <random>

#include "experiments/prompt_set.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "text/t5_tokenizer.h"
#include "text/word_piece_tokenizer.h"

namespace glyphscope {
namespace {
using testing::failure_of;
using testing::golden;
using ::testing::HasSubstr;

std::string shown(const std::string& prompt) {
  std::string out;
  const WeightedPrompt weighted = WeightedPrompt::parse(prompt);
  for (const auto& piece : weighted.pieces()) {
    char weight[16];
    std::snprintf(weight, sizeof weight, "%.3g", piece.weight);
    out += "[" + piece.text + "|" + weight + "]";
  }
  return out;
}

TEST(PromptWeights, AreReadAsUsersWriteThem) {
  EXPECT_EQ(shown("a sign"), "[a sign|1]");
  EXPECT_EQ(shown("a (red:1.2) sign"), "[a |1][red|1.2][ sign|1]");
  EXPECT_EQ(shown("a (red (big:2) sign:0.5)!"), "[a |1][red |0.5][big|1][ sign|0.5][!|1]");
  EXPECT_EQ(shown("( sign that says \"OPEN\" : 1.5 )"), "[ sign that says \"OPEN\" |1.5]");
  EXPECT_EQ(shown("(a:b:0)"), "[a:b|0]");
  EXPECT_EQ(shown(""), "[|1]");
}

TEST(PromptWeights, OtherParenthesesStayAsTheyAre) {
  for (const char* text : {"a sign (red)", "a sign (at: noon)", "(((", ")(:1", "a (b:) c", "(a:1.2", ":-) (:"})
    EXPECT_EQ(WeightedPrompt::parse(text).text(), text);
  EXPECT_EQ(shown("at \\(10:30\\) (x:2)"), "[at (10:30) |1][x|2]");
  EXPECT_EQ(shown("\\(x:2)"), "[(x:2)|1]");
}

// What is to be written is written as it stands, parentheses and all; and a quotation mark without its other is a character.
TEST(PromptWeights, QuotedParenthesesAreText) {
  EXPECT_EQ(shown("a sign that says \"SALE (50:1)\" here"), "[a sign that says \"SALE (50:1)\" here|1]");
  EXPECT_EQ(shown("a (sign that says \"(A:2)\":1.5)"), "[a |1][sign that says \"(A:2)\"|1.5]");
  EXPECT_EQ(shown("says \u201c(x:2)\u201d"), "[says \u201c(x:2)\u201d|1]");
  EXPECT_EQ(shown("5\" wide (red:2)"), "[5\" wide |1][red|2]");
  EXPECT_EQ(shown("(a \")\" b:2)"), "[a \")\" b|2]");
  EXPECT_EQ(quoted_text("says \"f(x:1.2)\""), "f(x:1.2)");
}

TEST(PromptWeights, AbsurdOnesAreNamed) {
  EXPECT_THAT(failure_of([] { WeightedPrompt::parse("a (big:11) sign"); }), HasSubstr("'big' is 11"));
  EXPECT_THAT(failure_of([] { WeightedPrompt::parse("a (big:-1) sign"); }), HasSubstr("'big'"));
  EXPECT_THAT(failure_of([] { WeightedPrompt::parse("((a:9):9)"); }), HasSubstr("'a' is 81"));
}

// A stranger's file may hold as many parentheses as it has room for.
TEST(PromptWeights, ThousandsOfParenthesesAreReadAtOnce) {
  const auto nested = [](size_t depth) {
    std::string out(depth, '(');
    out += "a";
    for (size_t i = 0; i < depth; ++i) out += ":1)";
    return out;
  };
  EXPECT_EQ(shown(nested(20)), "[a|1]");
  EXPECT_THAT(failure_of([&] { WeightedPrompt::parse(nested(20'000)); }), HasSubstr("nested deeper than"));
  EXPECT_EQ(WeightedPrompt::parse(std::string(50'000, '(')).text().size(), 50'000u);
  EXPECT_EQ(WeightedPrompt::parse(std::string(20'000, '(') + std::string(20'000, ')')).text().size(), 40'000u);
}

TEST(PromptWeights, ATokenMovesAlongItsDistanceFromTheEmptyPrompts) {
  const torch::Tensor states = torch::randn({1, 4, 3}), empty = torch::randn({1, 4, 3});
  const torch::Tensor moved = weighted_states(states, empty, {1, 0, 1.5, 1});
  EXPECT_TRUE(torch::equal(moved.select(1, 0), states.select(1, 0)));
  EXPECT_TRUE(torch::equal(moved.select(1, 1), empty.select(1, 1)));
  EXPECT_TRUE(torch::allclose(moved.select(1, 2) - empty.select(1, 2), 1.5 * (states.select(1, 2) - empty.select(1, 2)), 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(moved.select(1, 3), states.select(1, 3)));
}

// Of the ids' own tokens, and the ids are the plain text's.
template <class Tokenizer>
void expect_weights(const Tokenizer& tokenizer, const std::string& before, const std::string& word, const std::string& after) {
  const Tokens plain = tokenizer.tokenize(before + word + after, 30);
  const Tokens weighted = tokenizer.tokenize(WeightedPrompt::parse(before + "(" + word + ":1.5)" + after), 30);
  EXPECT_EQ(weighted.ids, plain.ids);
  EXPECT_TRUE(even(plain.weights));
  ASSERT_EQ(weighted.weights.size(), plain.ids.size());
  // The weighted ids are those that the text before does not have, up to the text after.
  std::vector<size_t> places;
  for (size_t i = 0; i < weighted.weights.size(); ++i)
    if (weighted.weights[i] == 1.5) places.push_back(i);
  const Tokens start = tokenizer.tokenize(before, 30);
  size_t same = 0;
  while (plain.ids[same] == start.ids[same]) ++same;
  ASSERT_FALSE(places.empty());
  EXPECT_EQ(places.front(), same);
  EXPECT_EQ(places.back() - places.front() + 1, places.size());
  const size_t filled = 30 - static_cast<size_t>(std::count(plain.ids.begin(), plain.ids.end(), plain.ids.back()));
  EXPECT_LT(places.back() + tokenizer.encode("wall").size(), filled);
}

TEST(PromptWeights, ReachTheTokensOfTheirWord) {
  expect_weights(ClipTokenizer::load(golden("tokenizer")), "a sign that says ", "open", " on a wall");
  expect_weights(ClipTokenizer::load(golden("tokenizer")), "a sign that says ", "\"open\"", " on a wall");
  expect_weights(T5Tokenizer::load(golden("tokenizer_t5")), "a sign that says ", "\"open\"", " on a wall");
  expect_weights(WordPieceTokenizer::load(golden("tokenizer_bert")), "a sign that says ", "\"open\"", " on a wall");
}

TEST(PromptWeights, TheQuotedWordIsReadWithoutThem) { EXPECT_EQ(quoted_text("a sign that says (\"LOVE\":1.3)"), "LOVE"); }

// Written as a prompt and read again, it is the same: of random texts of what the syntax is made of.
TEST(PromptWeights, AreWrittenAsTheyAreRead) {
  std::mt19937 random(3);
  const auto below = [&](int count) { return std::uniform_int_distribution<int>(0, count - 1)(random); };
  for (int i = 0; i < 2000; ++i) {
    std::vector<WeightedPrompt::Piece> pieces;
    for (int left = 1 + below(4); left > 0; --left) {
      WeightedPrompt::Piece piece{"", std::vector<double>{1, 0, 0.5, 1.25, 10}[static_cast<size_t>(below(5))]};
      for (int letters = 1 + below(6); letters > 0; --letters) piece.text += below(8) == 0 ? "\"b (a:2)\"" : std::string(1, "a:1.\\() "[below(8)]);
      pieces.push_back(piece);
    }
    const WeightedPrompt prompt(pieces), again = WeightedPrompt::parse(prompt.prompt());
    ASSERT_EQ(again.text(), prompt.text()) << prompt.prompt();
    for (size_t byte = 0; byte < prompt.text().size(); ++byte) ASSERT_EQ(again.weight_at(byte), prompt.weight_at(byte)) << prompt.prompt();
  }
}

struct PromptWeightsOf : ::testing::TestWithParam<const char*> {};

// A weight of one changes no bit; another one does.
TEST_P(PromptWeightsOf, OneIsNone) {
  const auto opened = open_model(golden(GetParam()).string());
  ASSERT_TRUE(opened) << opened.error().message();
  Request request;
  request.prompts = {"a sign that says OPEN", "a (sign:1) that says (OPEN:1.0)", "a sign that says (OPEN:1.5)"};
  request.rows = {{0, 3, {}}, {1, 3, {}}, {2, 3, {}}};
  request.steps = 2;
  const auto result = (*opened)->generate(request);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(torch::equal(result->latents[0], result->latents[1]));
  EXPECT_GT((result->latents[0] - result->latents[2]).abs().max().item<double>(), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Families, PromptWeightsOf, ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_if", "pipeline_ldm/kl"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

}  // namespace
}  // namespace glyphscope
