#include "pipelines/flux_pipeline.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "models/flux.h"
#include "pipelines/batched_pipeline.h"
#include "pipelines/clip_prompt.h"
#include "pipelines/t5_prompt.h"

namespace glyphscope {
namespace {

constexpr std::int64_t kT5Tokens = 512;  // diffusers' max_sequence_length

std::vector<std::string> find_components(const ModelFolder& model) {
  std::vector<std::string> out{"transformer", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler"};
  model.require(out);
  return out;
}

// diffusers' pipeline gives the scheduler even steps of its own.
Config read_scheduler(const ModelFolder& model) {
  const Config config = model.scheduler();
  nlohmann::json json = config.json();
  json["even_sigmas"] = true;
  return {json, config.where()};
}

class FluxPipeline : public LatentPipeline {
 public:
  FluxPipeline(const ModelFolder& model, const OpenOptions& options, std::vector<std::string> components)
      : LatentPipeline(model, options, read_scheduler(model), std::move(components)),
        clip_(model, ""),
        t5_(model, "_2", options),
        flux_(FluxConfig::parse(Config::read(model / "transformer" / "config.json"))) {
    check_fit(model);
    load("text_encoder", clip_.model, dtype(), bare_clip_key);
    load(t5_);
    load("transformer", flux_, dtype());
    load_autoencoder(dtype());
    info_.default_steps = 28;
    info_.default_guidance = 3.5;
    info_.methods = {PatchMethod::lockstep};
    constexpr std::int64_t kSampleSize = 128;  // diffusers' default_sample_size
    describe("FLUX.1", flux_.sites(), kSampleSize, 2);
  }

  torch::nn::Module& denoiser_module() override { return flux_; }

 protected:
  void prompts_read() override { t5_.release(); }
  Prompt encode(const std::string& prompt, std::int64_t, std::vector<std::string>& notes) const override {
    const torch::Tensor embedding = t5_.encode(prompt, {.most_tokens = kT5Tokens}, notes).to(dtype());
    std::vector<std::string> unused;  // CLIP's pooled state sums the prompt up: what does not fit it is not lost
    return {embedding, clip_.encode(prompt, 0, unused).pooled};
  }

  std::vector<WordTokens> words(const std::string& prompt) const override { return {t5_.words(prompt, {.most_tokens = kT5Tokens})}; }
  bool guides_by_halves() const override { return false; }
  std::int64_t tokens(const Request& request) const override { return request.width * request.height / (4 * factor() * factor()); }
  torch::Tensor time_ids(const Request& request, bool) const override { return flux_.config().guidance ? torch::full({1}, request.guidance) : torch::Tensor(); }
  void check(const Request& request) const override {
    BatchedPipeline::check(request);
    if (request.negative && !request.negative->empty()) reject("this model has no negative prompt: it reads its guidance as a number", "--negative");
  }
  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return flux_.forward(latent, timestep, conditioning, taps);
  }

 private:
  void check_fit(const ModelFolder& model) const {
    const auto& c = flux_.config();
    auto fit = [&](std::int64_t writes, std::int64_t reads, const std::string& what) {
      if (writes != reads)
        reject(what + " is " + std::to_string(writes) + " wide, the transformer reads " + std::to_string(reads), model.folder().string(),
               "The components belong to different models");
    };
    fit(clip_.model.config().hidden_size, c.pooled_projection_dim, "the pooled prompt");
    fit(t5_.width(), c.joint_attention_dim, "what T5 writes");
    fit(autoencoder().config().latent_channels, c.latent_channels(), "the autoencoder's latent");
  }

  ClipPrompt clip_;
  mutable T5Prompt t5_;  // its weights come and go
  Flux flux_;
};

}  // namespace

std::shared_ptr<Pipeline> open_flux(const ModelFolder& folder, const OpenOptions& options) {
  return std::make_shared<FluxPipeline>(folder, options, find_components(folder));
}

}  // namespace glyphscope
