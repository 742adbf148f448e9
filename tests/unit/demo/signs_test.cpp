#include "demo/signs.h"

#include <gtest/gtest.h>

#include "demo/sign_tokenizer.h"
#include "io/resources.h"
#include "tests/support/golden.h"
#include "text/clip_tokenizer.h"

namespace glyphscope {
namespace {

TEST(Signs, ThePixelCheckReadsEveryTrueDrawing) {
  const SignRenderer renderer;
  const SignSampler sampler({"BREAD", "LOVE", "TEA"}, {}, 0.1);
  for (int i = 0; i < 500; ++i) {
    Choice choice(derive_seed(9, 0, static_cast<std::uint64_t>(i)));
    const SignSpec spec = sampler.sample(choice);
    const SignAttributes seen = read_sign_attributes(renderer.render(spec).pixels);
    EXPECT_EQ(seen.sign, spec.sign) << spec.prompt();
    EXPECT_EQ(seen.wall, spec.wall) << spec.prompt();
    EXPECT_EQ(seen.round, spec.round) << spec.prompt();
  }
}

TEST(Signs, TheTextBoxHoldsTheInk) {
  const SignRenderer renderer;
  for (const char* word : {"WWWWW", "III", "QUIZ"}) {
    SignSpec spec{.round = false, .sign = 6, .wall = 2, .word = word, .row = 1}, blank = spec;
    blank.word = "";
    const SignImage with = renderer.render(spec), without = renderer.render(blank);
    torch::Tensor differs = (with.pixels != without.pixels).any(0);
    differs.slice(0, with.text.top, with.text.bottom).slice(1, with.text.left, with.text.right).fill_(false);
    EXPECT_FALSE(differs.any().item<bool>()) << word;
    EXPECT_EQ(without.text.right, 0);
  }
}

TEST(Signs, HeldOutWordsAreNeverDrawn) {
  const SignSampler sampler({"AAA", "BBB"}, {"AAA"}, 0);
  Choice choice(4);
  for (int i = 0; i < 2000; ++i) EXPECT_NE(sampler.sample(choice).word, "AAA");
}

TEST(Signs, TrainingAndTestWordsAreDisjoint) {
  std::set<std::string> seen;
  for (const char* list : {"words/train.txt", "words/localize.txt", "words/evaluate.txt"})
    for (const auto& word : read_word_list(resource(list))) {
      EXPECT_TRUE(seen.insert(word).second) << word;
      EXPECT_GE(word.size(), 3u);
      EXPECT_LE(word.size(), 5u);
    }
  EXPECT_GT(seen.size(), 5000u);
}

TEST(SignTokenizer, TemplateWordsAreOneTokenAndLettersNearlyAllOne) {
  testing::TemporaryFolder folder;
  const auto train = read_word_list(resource("words/train.txt"));
  write_sign_tokenizer(build_sign_vocabulary(train), 32, folder.path());
  const ClipTokenizer tokenizer = ClipTokenizer::load(folder.path());
  for (const auto& word : sign_template_words()) EXPECT_EQ(tokenizer.encode(word).size(), 1u) << word;
  size_t letters = 0, tokens = 0;
  for (const char* list : {"words/localize.txt", "words/evaluate.txt"})
    for (const auto& word : read_word_list(resource(list))) {
      letters += word.size();
      tokens += tokenizer.encode(word).size();
    }
  EXPECT_GE(static_cast<double>(tokens), 0.95 * static_cast<double>(letters)) << tokens << " tokens for " << letters << " letters";
  EXPECT_LE(tokenizer.encode(SignSpec{.round = false, .sign = 3, .wall = 4, .word = "QUICK", .row = 0}.prompt()).size(), 30u);
}

}  // namespace
}  // namespace glyphscope
