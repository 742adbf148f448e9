#include "tests/support/golden.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace glyphscope::testing {
namespace fs = std::filesystem;

namespace {
// Test models are so small that a second thread only waits; results stay the same on every machine, and in every run: LibTorch's own seed is another each
// time.
struct SameEverywhere : ::testing::Environment {
  void SetUp() override {
    torch::set_num_threads(1);
    at::manual_seed(1);
  }
};
// Before anything asks for a device: where there is a GPU, tests are still the CPU's, or the stand-in's.
[[maybe_unused]] const int kNoGpu = ::setenv("CUDA_VISIBLE_DEVICES", "", 1);
[[maybe_unused]] const auto* const kSameEverywhere = ::testing::AddGlobalTestEnvironment(new SameEverywhere);
}  // namespace

fs::path golden(const fs::path& name) { return fs::path(GLYPHSCOPE_GOLDEN) / name; }

double relative_error(const torch::Tensor& value, const torch::Tensor& reference) {
  if (value.sizes() != reference.sizes()) return std::numeric_limits<double>::infinity();
  const torch::Tensor a = value.cpu().to(torch::kFloat64), b = reference.cpu().to(torch::kFloat64);
  const double error = ((a - b).abs().max() / b.abs().max().clamp_min(1e-12)).item<double>();
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

bool same(const torch::Tensor& a, const torch::Tensor& b) { return torch::equal(a.cpu(), b.cpu()); }

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "glyphscope-test-XXXXXX").string();
  path_ = ::mkdtemp(name.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace glyphscope::testing
