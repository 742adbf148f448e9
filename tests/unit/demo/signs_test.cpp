#include "demo/signs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "demo/learned_text.h"
#include "demo/recipe.h"
#include "demo/sign_tokenizer.h"
#include "demo/sign_words.h"
#include "io/resources.h"
#include "tests/support/golden.h"
#include "text/clip_tokenizer.h"
#include "text/t5_tokenizer.h"

namespace glyphscope {
namespace {

struct SignsOf : ::testing::TestWithParam<SignData> {};

TEST_P(SignsOf, ThePixelCheckReadsEveryTrueDrawing) {
  const SignRenderer renderer;
  const SignSampler sampler({"BREAD", "LOVE", "TEA"}, {}, GetParam(), 0.1);
  for (int i = 0; i < 500; ++i) {
    Choice choice(derive_seed(9, 0, static_cast<std::uint64_t>(i)));
    const SignSpec spec = sampler.sample(choice);
    const SignAttributes seen = read_sign_attributes(renderer.render(spec, GetParam().side).pixels);
    EXPECT_EQ(seen.sign, spec.sign) << spec.prompt();
    EXPECT_EQ(seen.wall, spec.wall) << spec.prompt();
    EXPECT_EQ(seen.round, spec.round) << spec.prompt();
  }
}

INSTANTIATE_TEST_SUITE_P(Data, SignsOf, ::testing::Values(SignData{}, demo_recipe("sign-pixel").data),
                         [](const auto& info) { return "Side" + std::to_string(info.param.side); });

TEST(Signs, WordsAreAsLongAsTheDataSays) {
  const SignSampler sampler({"BREAD", "TEA"}, {}, {.shortest = 3, .longest = 3});
  Choice choice(8);
  for (int i = 0; i < 300; ++i)
    if (const auto word = sampler.sample(choice).word; !word.empty()) EXPECT_EQ(word.size(), 3u) << word;
  EXPECT_THAT(testing::failure_of([] { SignSampler({"BREAD"}, {}, {.shortest = 3, .longest = 4}); }), ::testing::HasSubstr("no word of the lengths"));
}

TEST(Signs, TheTextBoxHoldsTheInk) {
  const SignRenderer renderer;
  for (const char* word : {"WWWWW", "III", "QUIZ"}) {
    SignSpec spec{.round = false, .sign = 6, .wall = 2, .word = word, .row = 1, .style = {}}, blank = spec;
    blank.word = "";
    const SignImage with = renderer.render(spec), without = renderer.render(blank);
    torch::Tensor differs = (with.pixels != without.pixels).any(0);
    differs.slice(0, with.text.top, with.text.bottom).slice(1, with.text.left, with.text.right).fill_(false);
    EXPECT_FALSE(differs.any().item<bool>()) << word;
    EXPECT_EQ(without.text.right, 0);
  }
}

// Wherever it is told to stand, in whatever face and size.
TEST(Signs, TheTextStaysOnItsSign) {
  const SignRenderer renderer;
  using Font = TextStyle::Font;
  for (const char* word : {"WWWWW", "III", "QUIZ"}) {
    for (Font font : {Font::mono, Font::oblique, Font::sans, Font::serif}) {
      for (double size : {16.5, 18.5, 40.0}) {
        for (double far : {-20.0, 0.0, 20.0}) {
          const SignSpec spec{.round = false, .sign = 6, .wall = 2, .word = word, .row = 1, .style = {font, size, far, far}};
          const TextBox box = renderer.render(spec).text;
          EXPECT_GE(box.left, 2) << word;
          EXPECT_LE(box.right, 62) << word;
          EXPECT_GE(box.top, 16 + 4) << word;
          EXPECT_LE(box.bottom, 16 + 32 - 1) << word;  // Q's tail hangs below the line
        }
      }
    }
  }
}

TEST(Signs, PlainSignsDifferFromVariedOnesInTheirStyleAlone) {
  const SignSampler plain({"BREAD", "TEA"}, {}, {.styles = SignStyles::plain}), varied({"BREAD", "TEA"}, {});
  bool any = false;
  for (int i = 0; i < 50; ++i) {
    Choice first(derive_seed(2, 0, static_cast<std::uint64_t>(i))), second = first;
    const SignSpec a = plain.sample(first), b = varied.sample(second);
    EXPECT_EQ(a.prompt(), b.prompt());
    EXPECT_EQ(a.row, b.row);
    EXPECT_EQ(a.style.dx, 0);
    any = any || b.style.dx != 0 || b.style.font != TextStyle::Font::mono;
  }
  EXPECT_TRUE(any);
}

TEST(Signs, HeldOutWordsAreNeverDrawn) {
  const SignSampler sampler({"AAA", "BBB"}, {"AAA"}, {}, 0);
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

// Pairs that share words are no independent ones: a study of 16 would report on four.
TEST(Signs, AStudyHasWordsEnoughOfEveryLength) {
  for (const auto& [shortest, longest] : {std::pair{3, 3}, {4, 4}, {3, 5}}) {
    SignData data;
    data.shortest = shortest;
    data.longest = longest;
    const auto words = localization_words(data, 16);
    EXPECT_GE(std::set<std::string>(words.begin(), words.end()).size(), 32u) << shortest;
    for (const auto& word : words) EXPECT_TRUE(static_cast<int>(word.size()) >= shortest && static_cast<int>(word.size()) <= longest) << word;
  }
  EXPECT_EQ(localization_words({}, 1), sign_words({}, resource("words/localize.txt")));
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
  EXPECT_LE(tokenizer.encode(SignSpec{.round = false, .sign = 3, .wall = 4, .word = "QUICK", .row = 0, .style = {}}.prompt()).size(), 30u);
}

TEST(SignTokenizer, T5sPiecesAreTemplateWordsAndSingleCharacters) {
  testing::TemporaryFolder folder;
  write_sign_pieces(24, folder.path());
  const T5Tokenizer tokenizer = T5Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.max_length(), 24);
  const auto space = tokenizer.encode("a");  // the space before, and the letter
  ASSERT_EQ(space.size(), 2u);
  std::set<std::int64_t> seen;
  for (const auto& word : sign_template_words()) {
    const auto ids = tokenizer.encode(word);
    ASSERT_EQ(ids.size(), 1u) << word;
    EXPECT_TRUE(seen.insert(ids[0]).second) << word;
  }
  for (char c = '!'; c <= '~'; ++c) {
    const auto ids = tokenizer.encode(std::string(1, c));
    ASSERT_EQ(ids.size(), 2u) << c;
    EXPECT_TRUE(seen.insert(ids[1]).second) << c;
  }
  EXPECT_EQ(static_cast<std::int64_t>(seen.size()) + 4, sign_piece_count());  // padding, end, unknown, space
  const std::string longest = SignSpec{.round = false, .sign = 3, .wall = 4, .word = "QUICK", .row = 0, .style = {}}.prompt();
  EXPECT_EQ(tokenizer.tokenize(longest, 24).cut, "");
}

TEST(LearnedText, NamesWhatTheModelWasNeverTaught) {
  const LearnedText signs{3, 5};
  EXPECT_EQ(note_on_learned(signs, {"SEA", "bread", ""}), "");
  EXPECT_THAT(note_on_learned(signs, {"LOVE", "FLOWERS"}), ::testing::HasSubstr("3 to 5 letters, A to Z: \"FLOWERS\""));
  for (const char* text : {"GO", "TWO WO", "A4 B", "MÜSLI", "X-RAY"}) EXPECT_NE(note_on_learned(signs, {text}), "") << text;
}

}  // namespace
}  // namespace glyphscope
