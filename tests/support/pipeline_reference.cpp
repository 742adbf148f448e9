#include "tests/support/pipeline_reference.h"

#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope::testing {

void PipelineReference::open(const std::filesystem::path& folder) {
  auto opened = open_model(folder.string());
  ASSERT_TRUE(opened) << opened.error().message();
  pipeline = *opened;
}

void PipelineReference::load(const std::filesystem::path& folder) {
  ASSERT_NO_FATAL_FAILURE(open(folder));
  expected = std::make_unique<SafetensorsFile>(folder / "expected.safetensors");
  settings = nlohmann::json::parse(expected->metadata().at("settings"));
  request.prompts = {settings.at("prompt_a").get<std::string>(), settings.at("prompt_b").get<std::string>()};
  request.steps = settings.at("num_inference_steps");
  request.guidance = settings.at("guidance_scale");
  request.width = settings.at("width");
  request.height = settings.at("height");
}

Result PipelineReference::run(const std::vector<Row>& rows) {
  request.rows = rows;
  const auto result = pipeline->generate(request);
  EXPECT_TRUE(result) << result.error().message();
  return *result;
}

void PipelineReference::expect(const Row& row, const std::string& name) {
  SCOPED_TRACE(name);
  const Result result = run({row});
  ASSERT_EQ(result.images.size(0), 1);
  if (expected->entries().contains(name + ".latents")) EXPECT_LT(relative_error(result.latents, expected->tensor(name + ".latents")), 1e-4);
  const torch::Tensor reference = expected->tensor(name + ".image_u8")[0].permute({2, 0, 1});
  ASSERT_EQ(result.images[0].sizes(), reference.sizes());
  const torch::Tensor difference = (result.images[0].to(torch::kInt32) - reference.to(torch::kInt32)).abs();
  EXPECT_GE((difference <= 1).to(torch::kFloat64).mean().item<double>(), 0.999);
}

PatchPlan PipelineReference::plan() const {
  return PatchPlan::at_sites(settings.at("patched_sites").get<std::vector<int>>(), 1, settings.at("patched_from_step"));
}

}  // namespace glyphscope::testing
