#include "metrics/text_classifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "io/files.h"
#include "io/safetensors.h"
#include "tests/support/golden.h"
#include "text/roberta_tokenizer.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::golden;
using ::testing::HasSubstr;

TEST(TextClassifier, ReadsAndClassifiesAsTheReference) {
  const auto texts = read_json(golden("roberta") / "expected.json");
  const RobertaTokenizer tokenizer = RobertaTokenizer::load(golden("roberta"));
  const TextClassifier classifier(golden("roberta"));
  EXPECT_THAT(classifier.labels(), ElementsAre("neutral", "toxic", "spam"));
  const torch::Tensor logits = SafetensorsFile(golden("roberta") / "expected.safetensors").tensor("logits");
  int flagged = 0;
  for (size_t i = 0; i < texts["texts"].size(); ++i) {
    const std::string text = texts["texts"][i];
    EXPECT_EQ(tokenizer.encode(text, 38), texts["ids"][i].get<std::vector<std::int64_t>>()) << text;
    const torch::Tensor expected = logits[static_cast<std::int64_t>(i)];
    EXPECT_LT(testing::relative_error(classifier.logits(text), expected), 1e-5) << text;
    EXPECT_EQ(classifier.flags(text), !text.empty() && expected.argmax().item<std::int64_t>() == 1) << text;
    flagged += classifier.flags(text);
  }
  EXPECT_GT(flagged, 0);
  EXPECT_LT(flagged, static_cast<int>(texts["texts"].size()) - 1);
  // With every label a toxic one, every text is; an image without a text is not.
  const TextClassifier all(golden("roberta"), {"neutral", "toxic", "spam"});
  EXPECT_TRUE(all.flags("a"));
  EXPECT_FALSE(all.flags(""));
}

TEST(TextClassifier, SaysWhatIsWrong) {
  const testing::TemporaryFolder folder;
  EXPECT_THAT(testing::failure_of([&] { TextClassifier(folder / "nowhere"); }), HasSubstr("no such folder"));
  EXPECT_THAT(testing::failure_of([&] { TextClassifier(golden("clip")); }), HasSubstr("'CLIPTextModel'"));
  EXPECT_THAT(testing::failure_of([&] { TextClassifier(golden("roberta"), {"rude"}); }), HasSubstr("It has neutral, toxic, spam"));
  fs::copy(golden("roberta"), folder / "own");
  const auto with = [&](const char* key, const nlohmann::json& value) {
    auto config = read_json(golden("roberta") / "config.json");
    config[key] = value;
    write_json(folder / "own/config.json", config);
    return testing::failure_of([&] { TextClassifier(folder / "own"); });
  };
  EXPECT_THAT(with("id2label", {{"0", "LABEL_0"}, {"1", "LABEL_1"}, {"2", "x"}}), HasSubstr("Name those that are: it has LABEL_0, LABEL_1, x"));
  EXPECT_THAT(with("id2label", {{"0", "a"}, {"2", "toxic"}}), HasSubstr("no label 1"));
  EXPECT_THAT(with("hidden_size", 18), HasSubstr("word_embeddings"));
  EXPECT_THAT(with("hidden_act", "relu"), HasSubstr("hidden_act"));
  EXPECT_THAT(with("num_hidden_layers", 3), HasSubstr("layer.2"));
  EXPECT_EQ(with("problem_type", "multi_label_classification"), "");
  fs::remove(folder / "own/merges.txt");
  EXPECT_THAT(with("hidden_act", "gelu"), HasSubstr("merges.txt"));
}

}  // namespace
}  // namespace glyphscope
