#include "adapt/trained_adapter.h"

#include <torch/types.h>

#include <algorithm>
#include <utility>

#include "adapt/new_lora.h"
#include "core/random.h"

namespace glyphscope {

namespace {

constexpr std::uint64_t kStart = 11;  // the stream of the settings' seed that it begins with

std::vector<AdaptableEncoder*> trained_encoders(Pipeline& pipeline, const std::vector<std::string>& components) {
  std::vector<AdaptableEncoder*> out;
  for (AdaptableEncoder* encoder : pipeline.text_encoders())
    if (std::find(components.begin(), components.end(), encoder->component()) != components.end()) out.push_back(encoder);
  return out;
}

Adapter make_adapter(Pipeline& pipeline, const std::vector<AdaptableEncoder*>& encoders, const FinetuneSettings& settings) {
  const auto generator = [&](std::uint64_t number) { return make_generator(derive_seed(settings.seed, kStart, number)); };
  Adapter out{make_lora(pipeline.denoiser_module(), pipeline.info().table, settings.plan, generator(0)), {}};
  std::uint64_t number = 0;
  for (AdaptableEncoder* encoder : encoders) out.encoders[encoder->component()] = make_encoder_lora(encoder->network(), settings.plan, generator(++number));
  return out;
}

}  // namespace

TrainedAdapter::TrainedAdapter(Pipeline& pipeline, Trainable& trainable, const FinetuneSettings& settings)
    : pipeline_(pipeline),
      trainable_(trainable),
      dropout_(settings.dropout),
      encoders_(trained_encoders(pipeline, settings.text_encoders)),
      adapter_(make_adapter(pipeline, encoders_, settings)),
      module_(adapter_.denoiser) {
  for (auto& [component, lora] : adapter_.encoders) module_.add(lora, component + ".");
}

Adapter TrainedAdapter::on_host() const {
  Adapter out{adapter_.denoiser.to(torch::kCPU), {}};
  for (const auto& [component, lora] : adapter_.encoders) out.encoders[component] = lora.to(torch::kCPU);
  return out;
}

std::int64_t TrainedAdapter::encoder_parameters() const {
  std::int64_t out = 0;
  for (const auto& [component, lora] : adapter_.encoders) out += lora.parameters();
  return out;
}

void TrainedAdapter::attach() {
  attached_.push_back(std::make_unique<AttachedLora>(pipeline_.denoiser_module(), adapter_.denoiser, 1, dropout_));
  for (AdaptableEncoder* encoder : encoders_) {
    attached_.push_back(std::make_unique<AttachedLora>(encoder->network(), adapter_.encoders.at(encoder->component()), 1, dropout_));
    encoder->set_training(true);
  }
  // Encoders that are not trained stay too: captions are read again at each step.
  if (!encoders_.empty()) reading_.reset(new ReadingPrompts(trainable_.reading_prompts()));
}

void TrainedAdapter::detach() {
  reading_.reset();
  for (AdaptableEncoder* encoder : encoders_) encoder->set_training(false);
  attached_.clear();
}

void TrainedAdapter::write(const std::filesystem::path& file, std::map<std::string, std::string> metadata) {
  adapter_.denoiser.metadata = std::move(metadata);
  torch::NoGradGuard no_grad;
  AdapterTarget target{pipeline_.denoiser_module(), pipeline_.info().table};
  for (AdaptableEncoder* encoder : pipeline_.text_encoders()) {
    const bool trained = adapter_.encoders.contains(encoder->component());
    target.encoders.push_back({encoder->component(), encoder->is_t5(), trained ? &encoder->network() : nullptr});
  }
  write_adapter(file, adapter_, fitting_format(adapter_, target), target);
}

}  // namespace glyphscope
