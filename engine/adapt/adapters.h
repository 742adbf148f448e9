#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapt/lora_file.h"
#include "pipelines/pipeline.h"

namespace glyphscope {

/// The networks of a model that a file may change; of its text encoders those are loaded that the file has a part for. Throws a Failure.
AdapterTarget adapter_target(Pipeline& pipeline, const std::string& file);

/// An adapter at work in a model, its text encoders too, until it is destroyed. The model must have no other one for its text encoders.
class AttachedAdapter {
 public:
  /// The pipeline and the adapter must outlive it. Throws a Failure; then nothing is attached.
  AttachedAdapter(Pipeline& pipeline, const Adapter& adapter, double strength = 1);
  ~AttachedAdapter();
  AttachedAdapter(const AttachedAdapter&) = delete;
  AttachedAdapter& operator=(const AttachedAdapter&) = delete;

 private:
  void detach();
  AttachedLora denoiser_;
  std::vector<AdaptableEncoder*> encoders_;
};

/// The same pipeline with adapters attached to its denoiser and text encoders, for as long as what is returned lives. Each is named as FILE,
/// FILE:STRENGTH or, by sites, FILE:0.8,5=0.3,7-9=0. Notes say what of the files is not used. Throws a Failure.
std::shared_ptr<Pipeline> attach_adapters(std::shared_ptr<Pipeline> pipeline, const std::vector<std::string>& adapters, std::vector<std::string>& notes);

}  // namespace glyphscope
