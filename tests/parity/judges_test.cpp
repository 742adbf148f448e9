// Models of the user's that score pictures, against transformers and the package lpips.
#include "metrics/judges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/files.h"
#include "io/safetensors.h"
#include "metrics/lpips.h"
#include "metrics/vision_transformer.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using testing::failure_of;
using testing::golden;
using ::testing::HasSubstr;
using testing::relative_error;

TEST(VisionTransformer, SeesAsTheReference) {
  for (const char* name : {"dinov2", "dinov2_gated", "vit"}) {
    SCOPED_TRACE(name);
    const fs::path folder = golden("dino") / name;
    const VisionTransformer model(folder);
    const SafetensorsFile expected(folder / "expected.safetensors");
    for (int i = 0; i < 3; ++i) {
      const std::string number = std::to_string(i);
      const torch::Tensor prepared = expected.tensor("prepared." + number);
      // Pillow rounds between its two passes, so a pixel may be one of 256 steps off; a step is at most 0.0175 of ImageNet's deviations.
      EXPECT_LT((model.prepare(expected.tensor("image." + number)) - prepared).abs().max().item<double>(), 0.0176) << i;
      EXPECT_LT(relative_error(model.features(prepared.unsqueeze(0))[0], expected.tensor("features." + number)), 1e-5) << i;
    }
  }
}

TEST(VisionTransformer, SaysWhatIsWrong) {
  const testing::TemporaryFolder folder;
  EXPECT_THAT(failure_of([&] { VisionTransformer(folder / "nowhere"); }), HasSubstr("no such folder"));
  EXPECT_THAT(failure_of([&] { VisionTransformer(golden("clip_scores")); }), HasSubstr("'CLIPModel'"));
  fs::copy(golden("dino") / "dinov2", folder / "dino");
  const auto known = read_json(folder / "dino/config.json");
  for (const auto& [key, value, said] :
       {std::tuple("patch_size", nlohmann::json(13), "does not divide"), {"hidden_act", "relu", "hidden_act"}, {"mlp_ratio", 3, "fc1"}}) {
    auto config = known;
    config[key] = value;
    write_json(folder / "dino/config.json", config);
    EXPECT_THAT(failure_of([&] { VisionTransformer(folder / "dino"); }), HasSubstr(said));
  }
  write_json(folder / "dino/config.json", known);
  auto processor = read_json(folder / "dino/preprocessor_config.json");
  processor["do_center_crop"] = false;
  write_json(folder / "dino/preprocessor_config.json", processor);
  EXPECT_THAT(failure_of([&] { VisionTransformer(folder / "dino"); }), HasSubstr("do_center_crop"));
}

// A folder of LPIPS whose weights are drawn as tests/golden/make_golden.py draws them: from one seed, by the order of their names.
void write_lpips(const fs::path& folder, const std::string& net, std::uint64_t seed) {
  struct Layer {
    int slice, number;
    std::int64_t in, out, kernel;
  };
  const std::vector<Layer> alex{{1, 0, 3, 64, 11}, {2, 3, 64, 192, 5}, {3, 6, 192, 384, 3}, {4, 8, 384, 256, 3}, {5, 10, 256, 256, 3}};
  const std::vector<Layer> vgg{{1, 0, 3, 64, 3},     {1, 2, 64, 64, 3},    {2, 5, 64, 128, 3},   {2, 7, 128, 128, 3},  {3, 10, 128, 256, 3},
                               {3, 12, 256, 256, 3}, {3, 14, 256, 256, 3}, {4, 17, 256, 512, 3}, {4, 19, 512, 512, 3}, {4, 21, 512, 512, 3},
                               {5, 24, 512, 512, 3}, {5, 26, 512, 512, 3}, {5, 28, 512, 512, 3}};
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const Layer& one : net == "alex" ? alex : vgg) {
    const std::string name = "net.slice" + std::to_string(one.slice) + "." + std::to_string(one.number);
    shapes[name + ".weight"] = {one.out, one.in, one.kernel, one.kernel};
    shapes[name + ".bias"] = {one.out};
    shapes["lin" + std::to_string(one.slice - 1) + ".model.1.weight"] = {1, one.out, 1, 1};
  }
  torch::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [name, shape] : shapes) {
    const torch::Tensor values = torch::randn(shape, generator);
    tensors[name] = shape.size() > 1 ? values / std::sqrt(static_cast<double>(values[0].numel())) : values * 0.1;
  }
  fs::create_directories(folder);
  write_safetensors(folder / "model.safetensors", tensors);
  write_json(folder / "config.json", {{"architectures", {"LPIPS"}}, {"net", net}});
}

TEST(Lpips, MeasuresAsTheReference) {
  const testing::TemporaryFolder folder;
  const SafetensorsFile expected(golden("lpips.safetensors"));
  for (const auto& [net, seed] : {std::pair("alex", 840), {"vgg", 841}}) {
    SCOPED_TRACE(net);
    write_lpips(folder / net, net, static_cast<std::uint64_t>(seed));
    const Lpips lpips(folder / net);
    const auto first = lpips.features(expected.tensor("image.0"));
    for (int i = 0; i < 3; ++i) {
      const double distance = lpips.distance(first, lpips.features(expected.tensor("image." + std::to_string(i))));
      EXPECT_NEAR(distance, expected.tensor(net)[i].item<double>(), 1e-5 * std::abs(expected.tensor(net)[1].item<double>())) << i;
    }
  }
  EXPECT_THAT(failure_of([&] { Lpips(folder / "alex").features(torch::zeros({3, 20, 64}, torch::kUInt8)); }), HasSubstr("64x20"));
  write_json(folder / "alex/config.json", {{"architectures", {"LPIPS"}}, {"net", "squeeze"}});
  EXPECT_THAT(failure_of([&] { Lpips(folder / "alex"); }), HasSubstr("net is 'squeeze'"));
  EXPECT_THAT(failure_of([&] { Lpips(golden("clip_scores")); }), HasSubstr("architectures"));
}

TEST(Judges, ScoreWhatTheirModelsSee) {
  const testing::TemporaryFolder folder;
  write_lpips(folder / "lpips", "alex", 840);
  const SafetensorsFile pictures(golden("lpips.safetensors"));
  const torch::Tensor a = pictures.tensor("image.0"), b = pictures.tensor("image.1");
  Judges all({golden("clip_scores"), golden("dino") / "vit", folder / "lpips", /*reader=*/false});
  const auto scores_of = [&](const torch::Tensor& image, const torch::Tensor& source, const std::string& prompt) {
    Scores out;
    all.score({image, source, prompt, "OPEN", "SALE", {}}, out);
    return out;
  };
  const Scores own = scores_of(a, a, "a neon sign that says open"), other = scores_of(b, a, "a neon sign that says open");
  EXPECT_NEAR(own.at("clip_i"), 1, 1e-6);
  EXPECT_NEAR(own.at("dino_distance"), 0, 1e-6);
  EXPECT_EQ(own.at("lpips"), 0);
  EXPECT_LT(other.at("clip_i"), 1);
  EXPECT_GT(other.at("dino_distance"), 0);
  // CLIPScore, arXiv 2104.08718: 2.5 times the cosine, where that is over 0.
  for (const Scores& scores : {own, other}) EXPECT_EQ(scores.at("clip_t"), 2.5 * std::max(0.0, scores.at("clip_t_cosine")));
  for (const auto& [key, value] : other) {
    const ScoreInfo* info = find_score(key);
    ASSERT_TRUE(info && info->if_asked) << key;
    // The network's weights are drawn by chance: its distance may be under 0.
    if (key != "lpips") EXPECT_TRUE(value >= info->low && value <= info->high) << key;
  }
  // Another source, and the first again: nothing is taken from the one before.
  EXPECT_NEAR(scores_of(a, b, "a neon sign that says open").at("lpips"), other.at("lpips"), 1e-6);
  const Scores again = scores_of(b, a, "");
  EXPECT_FALSE(again.contains("clip_t"));
  EXPECT_EQ(again.at("lpips"), other.at("lpips"));
  EXPECT_EQ(all.describe().size(), 3u);
  Judges none({.reader = false});
  EXPECT_TRUE(none.describe().is_null());
  Scores nothing;
  none.score({a, b, "x", "OPEN", "SALE", {}}, nothing);
  EXPECT_TRUE(nothing.empty());
}

}  // namespace
}  // namespace glyphscope
