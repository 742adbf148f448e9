#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapt/finetune_settings.h"
#include "adapt/lora.h"
#include "adapt/lora_file.h"
#include "pipelines/adaptable_encoder.h"
#include "pipelines/trainable.h"

namespace glyphscope {

/// The adapter that a training makes: of a denoiser, and of the text encoders that are trained along. The pipeline must outlive it.
class TrainedAdapter {
 public:
  /// A new one, by the settings' plan, encoders and seed; it changes nothing yet. Throws a Failure for what the model does not have.
  TrainedAdapter(Pipeline& pipeline, Trainable& trainable, const FinetuneSettings& settings);
  ~TrainedAdapter() { detach(); }
  TrainedAdapter(const TrainedAdapter&) = delete;
  TrainedAdapter& operator=(const TrainedAdapter&) = delete;

  /// All that is learned.
  LoraModule& module() { return module_; }
  const Lora& denoiser() const { return adapter_.denoiser; }
  bool has_encoders() const { return !encoders_.empty(); }
  Adapter on_host() const;
  /// How many numbers are learned, and how many of them in encoders.
  std::int64_t parameters() const { return adapter_.denoiser.parameters() + encoder_parameters(); }
  std::int64_t encoder_parameters() const;

  /// While it is attached, the model computes with it, and encoders that are trained have gradients.
  void attach();
  void detach();
  bool is_attached() const { return !attached_.empty(); }

  /// In the format that holds it; atomic. metadata: of the denoiser's part.
  void write(const std::filesystem::path& file, std::map<std::string, std::string> metadata);

 private:
  Pipeline& pipeline_;
  Trainable& trainable_;
  double dropout_;
  std::vector<AdaptableEncoder*> encoders_;  // that are trained
  Adapter adapter_;
  LoraModule module_;
  std::vector<std::unique_ptr<AttachedLora>> attached_;
  std::unique_ptr<ReadingPrompts> reading_;  // where it trains encoders
};

}  // namespace glyphscope
