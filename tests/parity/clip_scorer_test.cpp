#include "metrics/clip_scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "io/safetensors.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using testing::golden;
using ::testing::HasSubstr;
using testing::relative_error;

TEST(ClipScorer, SeesAndReadsAsTheReference) {
  const ClipScorer clip(golden("clip_scores"));
  const SafetensorsFile expected(golden("clip_scores") / "expected.safetensors");
  const torch::Tensor features = expected.tensor("features"), alignment = expected.tensor("alignment");
  std::vector<torch::Tensor> images;
  for (int i = 0; i < 3; ++i) {
    images.push_back(expected.tensor("image." + std::to_string(i)));
    const torch::Tensor prepared = expected.tensor("prepared." + std::to_string(i));
    // Pillow rounds between its two passes, so a pixel may be one of 256 steps off; a step is at most 0.0152 of its deviation.
    EXPECT_LT((clip.prepare(images.back()) - prepared).abs().max().item<double>(), 0.0153) << i;
    EXPECT_LT(relative_error(clip.image_features(prepared.unsqueeze(0))[0], features[i]), 1e-5) << i;
    EXPECT_NEAR(clip.alignment(features[i], "a neon sign that says open"), alignment[i].item<double>(), 1e-6);
  }
  EXPECT_LT(relative_error(clip.features(images), features), 0.02);
  EXPECT_LT(relative_error(clip.text_features("a neon sign that says open"), expected.tensor("text_features")), 1e-5);
}

TEST(ClipScorer, SaysWhatIsWrong) {
  const testing::TemporaryFolder folder;
  EXPECT_THAT(testing::failure_of([&] { ClipScorer(folder / "nowhere"); }), HasSubstr("no such folder"));
  EXPECT_THAT(testing::failure_of([&] { ClipScorer(golden("clip")); }), HasSubstr("'CLIPTextModel'"));
  fs::copy(golden("clip_scores"), folder / "clip");
  auto config = read_json(folder / "clip/config.json");
  config["vision_config"]["patch_size"] = 7;
  write_json(folder / "clip/config.json", config);
  EXPECT_THAT(testing::failure_of([&] { ClipScorer(folder / "clip"); }), HasSubstr("does not divide into patches"));
  config["vision_config"]["patch_size"] = 4;
  write_json(folder / "clip/config.json", config);
  EXPECT_THAT(testing::failure_of([&] { ClipScorer(folder / "clip"); }), HasSubstr("patch_embedding.weight"));

  // A processor that does otherwise than is known here is refused, not passed over.
  const auto known = read_json(golden("clip_scores") / "preprocessor_config.json");
  const std::vector<std::pair<nlohmann::json, const char*>> others{{{{"do_center_crop", false}}, "do_center_crop"},
                                                                   {{{"resample", 2}}, "resample"},
                                                                   {{{"rescale_factor", 1.0}}, "rescale_factor"},
                                                                   {{{"size", {{"height", 32}, {"width", 32}}}}, "shortest_edge"},
                                                                   {{{"size", 16}}, "fewer pixels"},
                                                                   {{{"crop_size", 24}}, "crop_size"},
                                                                   {{{"image_mean", {0.5}}}, "image_mean"}};
  config["vision_config"]["patch_size"] = 8;
  write_json(folder / "clip/config.json", config);
  for (const auto& [change, what] : others) {
    auto processor = known;
    processor.update(change);
    write_json(folder / "clip/preprocessor_config.json", processor);
    EXPECT_THAT(testing::failure_of([&] { ClipScorer(folder / "clip"); }), HasSubstr(what));
  }
  write_json(folder / "clip/preprocessor_config.json", known);

  // Its image half alone: features, and no texts.
  auto vision = config["vision_config"];
  vision["architectures"] = {"CLIPVisionModelWithProjection"};
  vision["projection_dim"] = config["projection_dim"];
  write_json(folder / "clip/config.json", vision);
  const ClipScorer sees(folder / "clip"), whole(golden("clip_scores"));
  EXPECT_FALSE(sees.reads_text());
  const torch::Tensor prepared = torch::randn({2, 3, 32, 32});
  EXPECT_TRUE(torch::equal(sees.image_features(prepared), whole.image_features(prepared)));
  EXPECT_THAT(testing::failure_of([&] { sees.text_features("a"); }), HasSubstr("reads no text"));
}

}  // namespace
}  // namespace glyphscope
