// The demo models that ship.
#include <gtest/gtest.h>

#include "core/unicode.h"
#include "metrics/ocr.h"
#include "metrics/text_scores.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"

namespace glyphscope {
namespace {

// People type small letters: the sign says the word all the same, whatever the tokenizers make of case.
TEST(DemoModels, ReadSmallLettersAsCapitals) {
  const auto opened = open_model("demo:sign-mmdit");
  ASSERT_TRUE(opened) << opened.error().message();
  const auto reader = make_text_reader();
  Request request;
  const std::vector<std::string> words{"LOVE", "TIME", "BREAD", "SHUT", "APPLE", "SEA"};
  for (size_t i = 0; i < words.size(); ++i) {
    request.prompts.push_back("a round red sign that says \"" + fold_case(words[i]) + "\" on a blue wall");
    request.rows.push_back({static_cast<int>(i), 42 + i, {}});
  }
  const auto result = (*opened)->generate(request);
  ASSERT_TRUE(result) << result.error().message();
  int right = 0;
  for (size_t i = 0; i < words.size(); ++i) right += score_text(joined_text(reader->read(result->images[static_cast<std::int64_t>(i)])), words[i]).exact;
  EXPECT_GE(right, 5);
}

}  // namespace
}  // namespace glyphscope
