#pragma once

#include <filesystem>

#include "models/conditioning.h"
#include "patching/kv_recorder.h"
#include "patching/map_taps.h"
#include "patching/taps.h"
#include "patching/word_tokens.h"
#include "pipelines/components.h"
#include "pipelines/denoise.h"
#include "pipelines/model_folder.h"
#include "pipelines/pipeline.h"
#include "pipelines/trainable.h"

namespace glyphscope {

/// The dtype that OpenOptions::dtype names. Throws a Failure.
torch::ScalarType parse_dtype(const std::string& name);

/// What all families share: rows in batches with both halves of guidance, taps by patching method, the denoising loop. A
/// family says how a prompt becomes a conditioning, what its denoiser is, and how its output becomes pixels.
class BatchedPipeline : public Pipeline, public Trainable {
 public:
  const Config& scheduler_config() const override { return scheduler_config_; }
  Conditioning condition(const std::string& prompt, std::vector<std::string>& notes) override;
  Conditioning beside_caption(const PictureSize& size) const override;
  Signal encode_pixels(const torch::Tensor& pixels) const override { return {pixels, {}}; }
  torch::Tensor denoise(const torch::Tensor& noisy, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override;

 protected:
  /// A prompt as the denoiser reads it: embedding [1, T, width] and pooled [1, width], the latter where the family has one.
  struct Prompt {
    torch::Tensor embedding, pooled;
  };
  /// Reads the scheduler; a family loads its components, and then calls describe(). Throws a Failure.
  BatchedPipeline(const ModelFolder& model, const OpenOptions& options, const Config& scheduler, std::vector<std::string> components);

  void check(const Request& request) const override;
  Result run(const Request& request, const Observer& observer, const CancelToken& cancel) final;

  Trajectory run_inversion(const Inversion& inversion, const Request& request, const Observer& observer, const CancelToken& cancel) override;

  virtual Prompt encode(const std::string& prompt, std::int64_t clip_skip, std::vector<std::string>& notes) const = 0;
  /// Where a prompt's words are, for each encoder whose tokens sites read.
  virtual std::vector<WordTokens> words(const std::string& prompt) const = 0;
  /// Whether guidance takes an unconditional half; not where the denoiser reads it as a number.
  virtual bool guides_by_halves() const { return true; }
  /// Tokens of a picture, for schedules that depend on them.
  virtual std::int64_t tokens(const Request&) const { return 0; }
  /// What the unconditional half reads.
  virtual Prompt encode_negative(const Request& request, std::vector<std::string>& notes) const { return encode(request.negative.value_or(""), 0, notes); }
  /// What the denoiser reads beside a prompt, one row: Conditioning's other fields. negative: for the unconditional half.
  virtual Conditioning beside_prompt(const Request&, bool negative) const {
    (void)negative;
    return {};
  }
  /// Conditioning::picture of these pictures, [B, 3, h, w] uint8, for rows whose noises these are.
  virtual torch::Tensor enlarged(const torch::Tensor& pictures, const Request&, RowNoise&) const { return pictures; }
  /// latent [B, C, h, w] in the run's dtype, timestep [B] -> the denoiser's output.
  virtual torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const = 0;
  /// The prompt as a site gets it: what taps project. Other than the embedding where the denoiser projects it first.
  virtual torch::Tensor site_embedding(const Prompt& prompt) const { return prompt.embedding; }
  /// Channels of what is denoised, and pixels a side for each of its points.
  virtual std::int64_t channels() const = 0;
  virtual std::int64_t factor() const = 0;
  /// What was denoised -> images [B, 3, H, W] in [-1, 1].
  virtual torch::Tensor decode(const torch::Tensor& latent, const CancelToken& cancel) const = 0;

  /// Loads its weights, which info() then counts: see Components. Throw a Failure.
  void load(
      const std::string& component, torch::nn::Module& module, torch::ScalarType dtype,
      const std::function<std::string(const std::string&)>& rename = [](const std::string& key) { return key; }) {
    components_.load(component, module, dtype, rename);
  }
  void load(T5Prompt& t5) { components_.load(t5); }
  /// The rest of info(): what all families derive alike. latent_multiple: of which latents' sides must be multiples.
  void describe(const std::string& family, const SiteTable& table, std::int64_t sample_size, std::int64_t latent_multiple);
  bool has_component(const std::string& name) const { return components_.has(name); }

  const ModelFolder& folder() const { return components_.folder(); }
  torch::ScalarType dtype() const { return dtype_; }

 private:
  struct Batch;
  struct RunPrompts;
  struct Drawn;
  // Whether a row's arithmetic is too small to be shared among threads.
  bool is_small(const Request& request) const;
  // Throws a Failure that says by whose fault the denoiser's output is no number: a file's, an adapter's, the dtype's; returns if by none of them.
  void find_bad_numbers() const;
  Drawn draw_batch(const Request& request, const RunPrompts& read, size_t begin, size_t end, const std::function<void(std::int64_t)>& called,
                   const CancelToken& cancel) const;
  void check_paths(const Request& request) const;
  std::unique_ptr<Scheduler> scheduler_of(const Request& request) const;
  static Batch make_batch(const Request& request, size_t begin, size_t end);
  // Of members that take others' attention maps, whose part of the batch begins at row `first`; tokens: of a prompt.
  std::vector<MapTaps::Row> aligned_maps(const Request& request, const Batch& batch, std::int64_t first, std::int64_t tokens) const;
  Conditioning conditioned(const Prompt& prompt, const Request& request, bool negative) const;
  std::vector<KvRecord> record(const Request& request, const std::vector<Prompt>& prompts) const;

  Components components_;
  Config scheduler_config_;
  torch::ScalarType dtype_;
};

}  // namespace glyphscope
