// What signs can differ by, against the drawings that are the truth.
#include "demo/sign_attributes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/random.h"
#include "demo/sign_words.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

using testing::failure_of;
using ::testing::HasSubstr;

// A demo model, as far as pairs are made for it.
ModelInfo demo_model(const char* name) {
  const auto opened = open_model(std::string("demo:") + name);
  EXPECT_TRUE(opened) << opened.error().message();
  return (*opened)->info();
}

// The sign that such a prompt asks for, drawn as it may be.
torch::Tensor draw(const std::string& prompt, std::uint64_t seed) {
  SignRenderer renderer;
  Choice choice(seed);
  SignSpec spec = SignSampler::with_word(quoted_text(prompt), choice);
  for (const bool round : {false, true})
    for (int sign = 0; sign < 8; ++sign)
      for (int wall = 0; wall < 8; ++wall) {
        spec.round = round;
        spec.sign = sign;
        spec.wall = wall;
        if (sign != wall && spec.prompt() == prompt) return renderer.render(spec).pixels;
      }
  ADD_FAILURE() << "no sign has the prompt " << prompt;
  return {};
}

// Each pair differs in its attribute and in nothing else, and true drawings of A and B are told apart by just that.
TEST(SignAttributes, AreToldFromDrawings) {
  const ModelInfo model = demo_model("sign-unet");
  const auto pairs = attribute_pairs(model, {"all"}, 12, 42);
  EXPECT_EQ(pairs.size(), 12 * sign_attributes().size());
  std::map<std::string, int> count;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const PromptPair& pair = pairs[i];
    SCOPED_TRACE(pair.attribute + ": " + pair.source + " | " + pair.target);
    ++count[pair.attribute];
    EXPECT_NE(pair.source, pair.target);
    EXPECT_EQ(pair.source_text != pair.target_text, pair.attribute == "word" || pair.attribute == "length");
    for (const bool b : {false, true}) {
      Scores scores;
      score_attribute(pair, draw(b ? pair.target : pair.source, i), b ? pair.target_text : pair.source_text, scores);
      EXPECT_EQ(scores.at("source_attribute"), b ? 0 : 1);
      EXPECT_EQ(scores.at("target_attribute"), b ? 1 : 0);
    }
    // What the other attributes are of is alike.
    const torch::Tensor a = draw(pair.source, i), b = draw(pair.target, i);
    const SignAttributes seen_a = read_sign_attributes(a), seen_b = read_sign_attributes(b);
    EXPECT_EQ(seen_a.sign != seen_b.sign, pair.attribute == "sign-colour");
    EXPECT_EQ(seen_a.wall != seen_b.wall, pair.attribute == "wall-colour");
    EXPECT_EQ(seen_a.round != seen_b.round, pair.attribute == "shape");
  }
  for (const auto& attribute : sign_attributes()) EXPECT_EQ(count[attribute], 12) << attribute;
  // The i-th pairs of all attributes have one sign in common.
  for (size_t i = 0; i < 12; ++i) {
    std::set<std::string> sources;
    for (size_t attribute = 0; attribute < sign_attributes().size(); ++attribute) sources.insert(pairs[attribute * 12 + i].source);
    EXPECT_EQ(sources.size(), 1u);
  }
}

TEST(SignAttributes, AreOfSignsAlone) {
  const ModelInfo model = demo_model("sign-pixel");
  EXPECT_THAT(failure_of([&] { attribute_pairs(model, {"smell"}, 4, 1); }), HasSubstr("unknown attribute 'smell'"));
  EXPECT_THAT(failure_of([&] { attribute_pairs(model, {"length"}, 4, 1); }), HasSubstr("words of one length"));
  std::set<std::string> made;
  for (const auto& pair : attribute_pairs(model, {"all"}, 4, 1)) made.insert(pair.attribute);
  EXPECT_FALSE(made.contains("length"));
  EXPECT_EQ(made.size(), sign_attributes().size() - 1);
  const auto other = open_model(testing::golden("pipeline").string());
  ASSERT_TRUE(other);
  EXPECT_THAT(failure_of([&] { attribute_pairs((*other)->info(), {"shape"}, 4, 1); }), HasSubstr("only demo models draw signs"));
  Scores scores;
  score_attribute({"a", "b", "", "", ""}, torch::zeros({3, 64, 64}, torch::kUInt8), "", scores);
  EXPECT_TRUE(scores.empty());
  const PromptPair pair{"a round red sign that says \"ON\" on a blue wall", "a square red sign that says \"ON\" on a blue wall", "ON", "ON", "shape"};
  EXPECT_THAT(failure_of([&] { score_attribute(pair, torch::zeros({3, 128, 128}, torch::kUInt8), "", scores); }), HasSubstr("128x128"));
}

}  // namespace
}  // namespace glyphscope
