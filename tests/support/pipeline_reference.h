#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "pipelines/pipeline.h"

namespace glyphscope::testing {

/// A fixture around one whole pipeline of tests/golden/data: the model, what diffusers drew with it, and the request that
/// asks for the same.
class PipelineReference : public ::testing::Test {
 protected:
  /// Opens the folder and reads its expected.safetensors. To be called from SetUp.
  void load(const std::filesystem::path& folder);
  /// Opens another model in its place.
  void open(const std::filesystem::path& folder);

  Result run(const std::vector<Row>& rows);
  /// One row's picture is the reference's of that name: within 1/255 in 99.9 % of the pixels; and its latents, where the
  /// reference has them, within 1e-4 of the largest.
  void expect(const Row& row, const std::string& name);
  /// The reference's patch: its sites see prompt B from its first step on.
  PatchPlan plan() const;

  std::shared_ptr<Pipeline> pipeline;
  std::unique_ptr<SafetensorsFile> expected;
  nlohmann::json settings;
  Request request;
};

}  // namespace glyphscope::testing
