// Prompt-to-Prompt of whole pipelines against attention processors that do it as its authors' program does; what it must leave alone.
#include <gtest/gtest.h>

#include "patching/token_groups.h"
#include "patching/word_tokens.h"
#include "tests/support/golden.h"
#include "tests/support/pipeline_reference.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

struct PromptToPromptParity : testing::PipelineReference, ::testing::WithParamInterface<const char*> {
  void SetUp() override {
    load(golden(GetParam()));
    maps = std::make_unique<SafetensorsFile>(golden("prompt_to_prompt.safetensors"));
    told = nlohmann::json::parse(maps->metadata().at("settings")).at(GetParam());
    request.steps = told.at("num_inference_steps");
    request.guidance = told.at("guidance_scale");
    request.prompts = {told.at("source"), told.at("targets").at("replace"), told.at("targets").at("refine")};
    how = {0, told.at("cross_share"), told.at("self_share"), told.at("self_tokens")};
  }
  Row row(int prompt) const { return {prompt, told.at("seed"), {}, -1, {}, how}; }

  std::unique_ptr<SafetensorsFile> maps;
  nlohmann::json told;
  PromptToPrompt how;
};

TEST_P(PromptToPromptParity, LatentsEqualTheReference) {
  for (const auto& [prompt, name] : {std::pair{1, "replace"}, {2, "refine"}}) {
    const torch::Tensor reference = maps->tensor(std::string(GetParam()) + "." + name);
    const Result drawn = run({row(prompt)});
    if (reference.size(-1) == 3)  // a picture in [0, 1], pixels last
      EXPECT_LT(relative_error((drawn.latents / 2 + 0.5).clamp(0, 1), reference.permute({0, 3, 1, 2})), 1e-4) << name;
    else
      EXPECT_LT(relative_error(drawn.latents, reference), 1e-4) << name;
  }
}

TEST_P(PromptToPromptParity, NoShareChangesNoBitAndCompanionsNone) {
  const Result plain = run({{0, 42, {}}, {1, 42, {}}});
  how.cross_share = how.self_share = 0;
  EXPECT_TRUE(torch::equal(run({{0, 42, {}}, row(1)}).latents, plain.latents));
  how.cross_share = how.self_share = 1;
  const Result both = run({{0, 42, {}}, row(1)});
  EXPECT_TRUE(torch::equal(both.latents[0], plain.latents[0]));
  EXPECT_FALSE(torch::equal(both.latents[1], plain.latents[1]));
  EXPECT_EQ(both.latents.size(0), 2);
}

// A prompt's maps in place of its own are its own.
TEST_P(PromptToPromptParity, OnesOwnMapsChangeNothing) {
  how.cross_share = how.self_share = 1;
  const torch::Tensor plain = run({{1, 42, {}}}).latents;
  how.source = 1;
  EXPECT_LT(relative_error(run({row(1)}).latents, plain), 1e-4);
}

TEST_P(PromptToPromptParity, WhatCannotBeIsRefused) {
  how.source = 7;
  request.rows = {row(1)};
  EXPECT_NE(pipeline->generate(request).error().message().find("prompt 7"), std::string::npos);
  how = {0, 1.5, 0, 0};
  request.rows = {row(1)};
  EXPECT_NE(pipeline->generate(request).error().message().find("between 0 and 1"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Families, PromptToPromptParity, ::testing::Values("pipeline", "pipeline_sd3", "pipeline_if"));

// Where every word's tokens are, told by hand.
TEST(WordTokens, AreFoundCutAndAligned) {
  // A token for every letter.
  const auto letters = [](const std::string& text) {
    std::vector<std::int64_t> ids;
    for (const char letter : text)
      if (letter != ' ') ids.push_back(letter);
    return ids;
  };
  const WordTokens a = find_words(TokenEncoder::clip, " ab  c ", 0, 8, 1, letters), longer = find_words(TokenEncoder::clip, "ab cdef ghij", 0, 8, 1, letters);
  EXPECT_EQ(a.words, (std::vector<std::string>{"ab", "c"}));
  EXPECT_EQ(a.first, (std::vector<std::int64_t>{1, 3, 4}));
  EXPECT_EQ(longer.first, (std::vector<std::int64_t>{1, 3, 7, 7}));
  EXPECT_EQ(longer.ids.size(), 6u);
  // "c" stands for "xy": its attention is spread over both; the end moves along.
  const TokenAlignment spread = align_tokens({a}, {find_words(TokenEncoder::clip, "ab xy", 0, 8, 1, letters)}, 9);
  EXPECT_EQ(spread.map[3][3].item<float>(), 0.5f);
  EXPECT_EQ(spread.map[3][4].item<float>(), 0.5f);
  EXPECT_EQ(spread.map[4][5].item<float>(), 1.0f);
  EXPECT_EQ(spread.map[8][8].item<float>(), 1.0f);  // of no encoder
  EXPECT_EQ(spread.shared.min().item<float>(), 1.0f);
  // More words: what both have is shared, the rest is not.
  const TokenAlignment more = align_tokens({a}, {find_words(TokenEncoder::clip, "x ab c", 0, 8, 1, letters)}, 8);
  EXPECT_EQ(more.shared[1].item<float>(), 0.0f);
  EXPECT_EQ(more.map[1][2].item<float>() + more.map[3][4].item<float>(), 2.0f);
}

// Of prompts whose embeddings end in different places: what the longer has beyond is its own, unless a token of the shorter stands for it. All attention to a
// token that has counterparts comes from tokens that the source has.
TEST(WordTokens, OfPromptsOfDifferentLengthsAreAligned) {
  const auto letters = [](const std::string& text) {
    std::vector<std::int64_t> ids;
    for (const char letter : text)
      if (letter != ' ') ids.push_back(letter);
    return ids;
  };
  const WordTokens shorter = find_words(TokenEncoder::chat, "ab \"c\"", 0, 8, 1, letters, 2),
                   longer = find_words(TokenEncoder::chat, "xy zu \"vwqr\" ab", 0, 16, 1, letters, 2);
  for (const auto& [from, to] : {std::pair(shorter, longer), std::pair(longer, shorter)}) {
    const TokenAlignment found = align_tokens({from}, {to}, 16);
    int free = 0;
    for (std::int64_t j = 0; j < to.length; ++j) {
      const double given = found.map.slice(0, 0, from.length).select(1, j).sum().item<double>();
      EXPECT_EQ(given > 0, found.shared[j].item<float>() == 1.0f) << j;
      free += found.shared[j].item<float>() == 0.0f ? 1 : 0;
    }
    EXPECT_EQ(found.map.slice(0, from.length).slice(1, 0, to.length).sum().item<double>(), 0);
    if (to.length > from.length) EXPECT_GE(free, 8);
  }
  // And their groups: what is of either prompt's text, words or marks is, up to the longer's end.
  for (const auto& [own, seen] : {std::pair(shorter, longer), std::pair(longer, shorter)}) {
    const auto groups = token_groups({own}, {seen}, 16);
    EXPECT_EQ(groups[0], TokenGroup::marks);
    EXPECT_EQ(groups[8], TokenGroup::text);    // w
    EXPECT_EQ(groups[12], TokenGroup::words);  // b
    EXPECT_EQ(groups[13], TokenGroup::marks);
    EXPECT_EQ(groups[14], TokenGroup::marks);
    EXPECT_EQ(groups[15], TokenGroup::padding);
    const auto replaced = replaced_tokens({own}, {seen}, 16, {TokenGroup::text}, {TokenEncoder::chat});
    EXPECT_TRUE(replaced[8]);
    EXPECT_FALSE(replaced[12]);
  }
}

}  // namespace
}  // namespace glyphscope
