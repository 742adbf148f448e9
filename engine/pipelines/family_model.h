#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "device/placement.h"
#include "models/conditioning.h"
#include "patching/taps.h"
#include "patching/word_tokens.h"
#include "pipelines/denoise.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// How large a picture is that is learned from, in pixels. SDXL reads all of it.
struct PictureSize {
  std::int64_t height = 0, width = 0;
  std::int64_t original_height = 0, original_width = 0;  ///< Before it was scaled.
  std::int64_t top = 0, left = 0;                        ///< What was cut off after it was scaled.
};

/// A family's own part of a pipeline: how it reads a prompt, what its denoiser is, how pixels become what is denoised and back. What all families share
/// (batches, guidance, patching, inversion, training) is written against this.
class FamilyModel {
 public:
  virtual ~FamilyModel() = default;

  /// A prompt as the denoiser reads it, on the device: embedding [1, T, width]; where the family has them, pooled [1, width] and the mask of padding, bool [1,
  /// T].
  struct Prompt {
    torch::Tensor embedding, pooled, mask;
  };
  /// Notes say what of it was cut. Throws a Failure.
  virtual Prompt encode(const std::string& prompt, std::int64_t clip_skip, std::vector<std::string>& notes) const = 0;
  /// What the unconditional half reads.
  virtual Prompt encode_negative(const Request& request, std::vector<std::string>& notes) const { return encode(request.negative.value_or(""), 0, notes); }
  /// No more prompts for now: large encoders may go.
  virtual void prompts_read() {}
  /// Where a prompt's words are, for each encoder whose tokens sites read.
  virtual std::vector<WordTokens> words(const std::string& prompt) const = 0;
  /// The prompt as a site gets it: what taps project. Other than the embedding where the denoiser projects it first.
  virtual torch::Tensor site_embedding(const Prompt& prompt) const { return prompt.embedding; }

  /// What the denoiser reads beside a prompt, one row, born on the host: Conditioning's other fields. negative: for the unconditional half.
  virtual Conditioning beside_prompt(const Request&, bool negative) const {
    (void)negative;
    return {};
  }
  /// The same beside the caption of a picture that is learned from. request: for one of this size, resolved.
  virtual Conditioning beside_caption(const PictureSize&, const Request& request) const { return beside_prompt(request, false); }
  /// Conditioning::picture of these pictures, [B, 3, h, w] uint8, for rows whose noises these are; on the host.
  virtual torch::Tensor enlarged(const torch::Tensor& pictures, const Request&, RowNoise&) const { return pictures; }
  /// latent [B, C, h, w] in the run's dtype, timestep [B] -> the denoiser's output.
  virtual torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const = 0;
  /// Whether the denoiser reads a prompt at its sites and nowhere else: rows that see the same there are one picture.
  virtual bool reads_prompts_at_sites_alone() const { return false; }
  /// Whether guidance takes an unconditional half; not where the denoiser reads it as a number.
  virtual bool guides_by_halves() const { return true; }
  /// Tokens of a picture, for schedules that depend on them.
  virtual std::int64_t tokens(const Request&) const { return 0; }

  /// Channels of what is denoised, and pixels a side for each of its points.
  virtual std::int64_t channels() const = 0;
  virtual std::int64_t factor() const = 0;
  /// What was denoised -> images [B, 3, H, W] in [-1, 1], on the device. Notes say how, where memory is short.
  virtual torch::Tensor decode(const torch::Tensor& latent, std::vector<std::string>& notes, const CancelToken& cancel) const = 0;
  /// What is to be denoised, as it is distributed: [B, C, h, w] fp32 each, scaled as the denoiser has it, on the device. The deviation is undefined where there
  /// is none.
  struct Signal {
    torch::Tensor mean, deviation;
  };
  /// pixels: [B, 3, H, W] in [-1, 1], anywhere.
  virtual Signal encode_pixels(const torch::Tensor& pixels) const { return {pixels.to(placement_.device), {}}; }

  /// Where the denoiser computes, and in what.
  const Placement& placement() const { return placement_; }
  torch::ScalarType dtype() const { return placement_.dtype; }
  /// All that the denoiser reads of a prompt in a request, one row; what is beside the prompt is still on the host.
  Conditioning conditioned(const Prompt& prompt, const Request& request, bool negative) const;

 protected:
  explicit FamilyModel(const Placement& placement) : placement_(placement) {}

 private:
  Placement placement_;
};

/// While one lives prompts are read; large encoders go however that ends.
class ReadingPrompts {
 public:
  explicit ReadingPrompts(FamilyModel& model) : model_(model) {}
  ~ReadingPrompts() { model_.prompts_read(); }
  ReadingPrompts(const ReadingPrompts&) = delete;
  ReadingPrompts& operator=(const ReadingPrompts&) = delete;

 private:
  FamilyModel& model_;
};

}  // namespace glyphscope
