#include "pipelines/model_folder.h"

#include <gtest/gtest.h>

#include "io/files.h"
#include "pipelines/pipeline.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

// Two models that draw other pictures must not share a hash: resumed runs and metadata rely on it.
TEST(ModelHash, CoversConfigurationsAndVocabulary) {
  testing::TemporaryFolder folder;
  const auto model = folder / "model";
  std::filesystem::copy(testing::tiny_model(), model, std::filesystem::copy_options::recursive);
  auto hash = [&] {
    auto opened = open_model(model.string());
    EXPECT_TRUE(opened);
    return (*opened)->info().hash;
  };
  const std::string before = hash();
  EXPECT_EQ(before.size(), 64u);
  write_text(model / "README.md", "no part of the model");
  EXPECT_EQ(hash(), before);
  auto scheduler = read_json(model / "scheduler" / "scheduler_config.json");
  scheduler["beta_end"] = 0.013;
  write_json(model / "scheduler" / "scheduler_config.json", scheduler);
  const std::string other = hash();
  EXPECT_NE(other, before);
  const std::string merges = read_text(model / "tokenizer" / "merges.txt");
  write_text(model / "tokenizer" / "merges.txt", merges.substr(0, merges.rfind('\n', merges.size() - 2) + 1));
  EXPECT_NE(hash(), other);
}

}  // namespace
}  // namespace glyphscope
