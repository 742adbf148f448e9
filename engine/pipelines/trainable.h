#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "io/config.h"
#include "pipelines/family_model.h"

namespace glyphscope {

/// A model as it is trained: its denoiser, what this reads, and what it is to give. Not to be called in inference mode.
class Trainable {
 public:
  /// All must outlive it.
  Trainable(const Pipeline& pipeline, FamilyModel& model, const Config& scheduler) : pipeline_(pipeline), model_(model), scheduler_(scheduler) {}

  /// scheduler_config.json.
  const Config& scheduler_config() const { return scheduler_; }
  /// A prompt as the denoiser reads it, one row, without what it reads beside. Notes say what of it was cut. Throws a Failure.
  Conditioning condition(const std::string& prompt, std::vector<std::string>& notes) const;
  /// The same with its graph, where encoders are trained: see AdaptableEncoder::set_training.
  Conditioning condition_learning(const std::string& prompt) const;
  /// What the denoiser reads beside the caption of a picture, one row: Conditioning's other fields.
  Conditioning beside_caption(const PictureSize& size) const;
  /// Large encoders go at its end.
  ReadingPrompts reading_prompts() const { return ReadingPrompts(model_); }
  /// pixels: [B, 3, H, W] in [-1, 1].
  FamilyModel::Signal encode_pixels(const torch::Tensor& pixels) const { return model_.encode_pixels(pixels); }
  /// Where the denoiser computes.
  torch::Device device() const { return model_.placement().device; }
  /// noisy: [B, C, h, w]; timestep: [B] fp32, anywhere; conditioning: there -> the denoiser's output, [B, C, h, w]; of one that learns a variance, without it.
  torch::Tensor denoise(const torch::Tensor& noisy, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps = nullptr) const;

 private:
  const Pipeline& pipeline_;
  FamilyModel& model_;
  const Config& scheduler_;
};

}  // namespace glyphscope
