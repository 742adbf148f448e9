#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>

#include "io/safetensors.h"
#include "tests/support/test_device.h"

namespace glyphscope::testing {

/// A file or folder of tests/golden/data.
std::filesystem::path golden(const std::filesystem::path& name);

/// Largest difference over the reference's largest magnitude: what a parity test bounds.
double relative_error(const torch::Tensor& value, const torch::Tensor& reference);
/// Whether every bit is the same, wherever the tensors are.
bool same(const torch::Tensor& a, const torch::Tensor& b);
/// The bound for a denoiser's output in fp32.
inline constexpr double kTolerance = 1e-4;

/// A folder that is removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// What a call fails with, "" if it does not fail.
template <class Body>
std::string failure_of(Body&& body);

/// A demo model of seconds, trained on the spot: for tests that need a whole model folder whose output nobody looks at.
std::filesystem::path tiny_model();

}  // namespace glyphscope::testing

#include "core/error.h"

template <class Body>
std::string glyphscope::testing::failure_of(Body&& body) {
  try {
    body();
  } catch (const Failure& failure) {
    return failure.error().message();
  }
  return "";
}
