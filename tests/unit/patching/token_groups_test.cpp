#include "patching/token_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/random.h"
#include "patching/word_tokens.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

using ::testing::HasSubstr;

// A tokenizer of letters: each that is no space is a token.
std::vector<std::int64_t> letters(const std::string& text) {
  std::vector<std::int64_t> out;
  for (const char c : text)
    if (c != ' ') out.push_back(c);
  return out;
}

WordTokens read(const std::string& text, std::int64_t begin = 0, std::int64_t length = 16) {
  return find_words(TokenEncoder::clip, text, begin, length, 1, letters);
}

std::string drawn(const std::vector<TokenGroup>& groups) {
  std::string out;
  for (const TokenGroup group : groups) out += group == TokenGroup::text ? 'T' : group == TokenGroup::words ? 'w' : group == TokenGroup::marks ? '|' : '.';
  return out;
}

TEST(TokenGroups, EachTokenIsInOne) {
  //                                                          begin a  "  O  N  E  "  b  end
  EXPECT_EQ(drawn(token_groups({read("a \"ONE\" b")}, {read("a \"ONE\" b")}, 16)), "|wwTTTww|.......");
  // Where the two differ in length, a place is of the text if it is of either's.
  EXPECT_EQ(drawn(token_groups({read("a \"ONE\" b")}, {read("a \"NINE\" b")}, 16)), "|wwTTTTww|......");
  EXPECT_EQ(drawn(token_groups({read("a wall")}, {read("a wall")}, 16)), "|wwwww|.........");
  // What does not fit is cut; no text is left where it does not begin.
  EXPECT_EQ(drawn(token_groups({read("a \"ONE\" b", 0, 6)}, {read("a \"ONE\" b", 0, 6)}, 6)), "|wwTT|");
  EXPECT_EQ(drawn(token_groups({read("abcdef \"ONE\"", 0, 6)}, {read("abcdef \"ONE\"", 0, 6)}, 6)), "|wwww|");
  // Two encoders one after the other, and what none reads.
  EXPECT_EQ(drawn(token_groups({read("\"A\"", 0, 6), read("\"A\"", 6, 6)}, {read("\"A\"", 0, 6), read("\"A\"", 6, 6)}, 14)), "|wTw|.|wTw|...");
}

// A token that a quote shares with the text is of the text.
TEST(TokenGroups, ATokenAcrossTheQuoteIsOfTheText) {
  const auto pairs = [](const std::string& text) {  // two letters a token
    std::vector<std::int64_t> out;
    for (size_t i = 0; i < text.size(); i += 2) out.push_back(text[i] * 256 + (i + 1 < text.size() ? text[i + 1] : 0));
    return out;
  };
  const WordTokens words = find_words(TokenEncoder::t5, "a\"ONE\"bc", 0, 12, 0, pairs);  // a" ON E" bc
  EXPECT_EQ(words.text_begin, 1);
  EXPECT_EQ(words.text_end, 3);
  const WordTokens odd = find_words(TokenEncoder::t5, "ab\"ONE\"c", 0, 12, 0, pairs);  // ab "O NE "c
  EXPECT_EQ(odd.text_begin, 1);
  EXPECT_EQ(odd.text_end, 3);
}

TEST(TokenGroups, NamesAreReadAsTheyAreWritten) {
  for (const TokenGroup group : all_token_groups()) EXPECT_EQ(parse_token_group(to_string(group)), group);
  for (const TokenEncoder encoder : {TokenEncoder::clip, TokenEncoder::t5, TokenEncoder::bert}) EXPECT_EQ(parse_token_encoder(to_string(encoder)), encoder);
  EXPECT_THAT(testing::failure_of([] { parse_token_group("quotes"); }), HasSubstr("text, words, marks and padding"));
  SitePatch patch{.site = 1, .prompt = 1, .tokens = {TokenGroup::padding, TokenGroup::text}, .encoders = {TokenEncoder::t5}};
  const PatchPlan plan({patch});
  EXPECT_EQ(PatchPlan::from_json(nlohmann::json(plan.to_json())), plan);
}

class PatchedTokens : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto opened = open_model(testing::golden(GetParam()).string());
    ASSERT_TRUE(opened);
    pipeline = *opened;
    request.steps = 2;
    request.guidance = 4;
    request.prompts = {"says \"one\"", "it says \"seventy\" here"};
  }
  std::vector<SitePatch> everywhere(const std::vector<TokenGroup>& tokens, const std::vector<TokenEncoder>& encoders = {}) const {
    std::vector<SitePatch> out;
    for (const auto& site : pipeline->info().table.sites) out.push_back({.site = site.index, .prompt = 1, .heads = {}, .tokens = tokens, .encoders = encoders});
    return out;
  }
  torch::Tensor draw(const std::vector<std::vector<SitePatch>>& plans) {
    request.rows = {{0, 42, {}}};
    for (const auto& plan : plans) request.rows.push_back({0, 42, PatchPlan(plan)});
    const auto drawn = pipeline->generate(request);
    EXPECT_TRUE(drawn) << drawn.error().message();
    return drawn->images;
  }
  std::shared_ptr<Pipeline> pipeline;
  Request request;
};

// All groups together are all tokens, bit for bit; and so are all encoders.
TEST_P(PatchedTokens, AllGroupsAreAllTokens) {
  const torch::Tensor images =
      draw({everywhere({}), everywhere(all_token_groups()), everywhere({}, pipeline->info().encoders), everywhere({TokenGroup::text})});
  EXPECT_TRUE(torch::equal(images[2], images[1]));
  EXPECT_TRUE(torch::equal(images[3], images[1]));
  EXPECT_FALSE(torch::equal(images[1], images[0]));
  EXPECT_FALSE(torch::equal(images[4], images[0]));
  EXPECT_FALSE(torch::equal(images[4], images[1]));
}

// Of two patches of one site the later one counts at the heads where both apply, and no tokens of the earlier one are left there.
TEST_P(PatchedTokens, ALaterPatchOverridesAnEarlierOne) {
  const auto twice = [&](const std::vector<TokenGroup>& first, const std::vector<TokenGroup>& then) {
    auto out = everywhere(first);
    for (const auto& patch : everywhere(then)) out.push_back(patch);
    return out;
  };
  const std::vector<TokenGroup> text{TokenGroup::text}, words{TokenGroup::words};
  const torch::Tensor images = draw({everywhere(text), twice(words, text), twice(text, {}), everywhere({})});
  EXPECT_TRUE(torch::equal(images[2], images[1]));
  EXPECT_TRUE(torch::equal(images[3], images[4]));
}

// Patched with its own prompt's tokens, a picture stays as it is.
TEST_P(PatchedTokens, OnesOwnTokensChangeNothing) {
  request.prompts[1] = request.prompts[0];
  const torch::Tensor images = draw({everywhere({TokenGroup::text}), everywhere({TokenGroup::padding})});
  EXPECT_TRUE(torch::equal(images[1], images[0]));
  EXPECT_TRUE(torch::equal(images[2], images[0]));
}

TEST_P(PatchedTokens, WhatIsNotThereIsRefused) {
  request.rows = {{0, 42, PatchPlan(everywhere({}, {TokenEncoder::bert}))}};
  if (std::string(GetParam()) != "pipeline_ldm/kl") EXPECT_THAT(pipeline->generate(request).error().message(), HasSubstr("no tokens of bert"));
  request.prompts[1] = "a wall without words";
  request.rows = {{0, 42, PatchPlan(everywhere({TokenGroup::text}))}};
  EXPECT_THAT(pipeline->generate(request).error().message(), HasSubstr("a wall without words"));
}

INSTANTIATE_TEST_SUITE_P(Families, PatchedTokens,
                         ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_flux", "pipeline_z_image", "pipeline_if", "pipeline_ldm/kl"));

}  // namespace
}  // namespace glyphscope
