#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "pipelines/outcome.h"

namespace glyphscope {

struct ModelInfo;
struct Request;
struct Result;

/// What stands between the requests of a model and their images, where it is set: see Pipeline::set_policy.
class PromptPolicy {
 public:
  virtual ~PromptPolicy() = default;
  /// Draws of a resolved request what may be seen: an image a row, in order. `draw` draws any request as it is. Throws a Failure; then nothing is seen.
  virtual Result generate(const ModelInfo& model, const Request& request, const std::function<Result(const Request&)>& draw) = 0;
  /// Whether a picture into which an image was put, [3, H, W] uint8, may be seen.
  virtual bool allows(const ModelInfo& model, const torch::Tensor& picture) = 0;
  /// For documents: what makes images otherwise than their prompts say.
  virtual nlohmann::ordered_json describe() const = 0;
};

}  // namespace glyphscope
