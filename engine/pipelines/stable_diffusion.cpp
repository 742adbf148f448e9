#include "pipelines/stable_diffusion.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "models/unet.h"
#include "pipelines/batched_pipeline.h"
#include "pipelines/clip_prompt.h"

namespace glyphscope {
namespace {

bool is_xl(const ModelFolder& model) { return model.pipeline_class().starts_with("StableDiffusionXL"); }

// XL's refiner has no first text encoder.
std::vector<std::string> find_components(const ModelFolder& model) {
  std::vector<std::string> out{"unet", "vae"};
  for (const std::string number : {"", "_2"})
    if (is_xl(model) ? model.has("text_encoder" + number) : number.empty())
      for (const char* part : {"text_encoder", "tokenizer"}) out.push_back(part + number);
  out.push_back("scheduler");
  model.require(out);
  return out;
}

Config read_scheduler(const ModelFolder& model) {
  Config config = model.scheduler();
  if (is_xl(model)) return config;
  // diffusers' pipeline overrides these two, which old folders have wrong, or not at all.
  nlohmann::json json = config.json();
  json["steps_offset"] = 1;
  json["clip_sample"] = false;
  return {json, config.where()};
}

/// Both generations of latent U-Nets with CLIP encoders: one encoder whose last states are the prompt (1.x, 2.x), or one or
/// two whose penultimate states are, with a pooled prompt and sizes beside them (XL and its refiner).
class StableDiffusion : public LatentPipeline {
 public:
  StableDiffusion(const ModelFolder& model, const OpenOptions& options, std::vector<std::string> components)
      : LatentPipeline(model, options, read_scheduler(model), std::move(components)),
        xl_(is_xl(model)),
        aesthetic_(model.index().boolean("requires_aesthetics_score", false)),
        zero_negative_(xl_ && model.index().boolean("force_zeros_for_empty_prompt", true)),
        unet_(UNetConfig::parse(Config::read(model / "unet" / "config.json"))) {
    for (const std::string number : {"", "_2"})
      if (has_component("text_encoder" + number)) encoders_.push_back(std::make_unique<ClipPrompt>(model, number));
    check_fit(model);
    for (const auto& encoder : encoders_) load(encoder->name, encoder->model, dtype(), bare_clip_key);
    load("unet", unet_, dtype());
    // XL's autoencoder overflows in fp16, and says so.
    const bool upcast = xl_ && dtype() == torch::kFloat16 && Config::read(model / "vae" / "config.json").boolean("force_upcast", true);
    load_autoencoder(upcast ? torch::kFloat32 : dtype());
    info_.default_guidance = xl_ ? 5.0 : 7.5;
    info_.methods = {PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep};
    // So does diffusers: U-Nets saved before 0.9 claim the size of their first training, not of their last.
    std::int64_t sample_size = unet_.config().sample_size;
    int major = 1, minor = 0;
    const std::string saved = Config::read(model / "unet" / "config.json").text("_diffusers_version", "");
    if (!xl_ && std::sscanf(saved.c_str(), "%d.%d", &major, &minor) == 2 && major == 0 && minor < 9) sample_size = std::max<std::int64_t>(sample_size, 64);
    describe(xl_ ? "Stable Diffusion XL" : "Stable Diffusion 1.x / 2.x", unet_.sites(), sample_size,
             std::int64_t{1} << (unet_.config().block_out_channels.size() - 1));
  }

  torch::nn::Module& denoiser_module() override { return unet_; }

  torch::Tensor size_ids(const PictureSize& size) const override {
    if (!xl_ || aesthetic_) return BatchedPipeline::size_ids(size);
    std::vector<double> ids;
    for (auto number : {size.original_height, size.original_width, size.top, size.left, size.height, size.width}) ids.push_back(static_cast<double>(number));
    return torch::tensor(ids).to(torch::kFloat32).unsqueeze(0);
  }

 protected:
  Prompt encode(const std::string& prompt, std::int64_t clip_skip, std::vector<std::string>& notes) const override {
    std::vector<torch::Tensor> parts;
    Prompt out;
    for (const auto& encoder : encoders_) {
      const TextEncoding one = encoder->encode(prompt, xl_ ? clip_skip + 1 : clip_skip, notes);
      parts.push_back(xl_ ? one.hidden : one.embedding);
      if (xl_) out.pooled = one.pooled;
    }
    out.embedding = torch::cat(parts, -1);
    return out;
  }

  std::vector<WordTokens> words(const std::string& prompt) const override { return {encoders_.front()->words(prompt)}; }

  Prompt encode_negative(const Request& request, std::vector<std::string>& notes) const override {
    Prompt out = encode(request.negative.value_or(""), 0, notes);
    if (zero_negative_ && !request.negative) out = {torch::zeros_like(out.embedding), torch::zeros_like(out.pooled)};
    return out;
  }

  // XL's sizes: as large as it is drawn, nothing cropped. The refiner reads an aesthetic score in place of the target size;
  // diffusers' defaults.
  torch::Tensor time_ids(const Request& request, bool negative) const override {
    if (!xl_) return {};
    const auto height = static_cast<double>(request.height), width = static_cast<double>(request.width);
    return aesthetic_ ? torch::tensor({{height, width, 0.0, 0.0, negative ? 2.5 : 6.0}}) : torch::tensor({{height, width, 0.0, 0.0, height, width}});
  }

  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return unet_.forward(latent, timestep, conditioning, taps);
  }

 private:
  void check_fit(const ModelFolder& model) const {
    const auto& unet = unet_.config();
    if (encoders_.empty()) reject("the model has no text encoder", model.folder().string());
    std::int64_t width = 0;
    for (const auto& encoder : encoders_) width += encoder->model.config().hidden_size;
    if (width != unet.cross_attention_dim)
      reject("the width of what the text encoders write is " + std::to_string(width) + ", the U-Net reads " + std::to_string(unet.cross_attention_dim),
             model.folder().string(), "text encoders and unet belong to different models");
    const std::int64_t channels = autoencoder().config().latent_channels;
    if (channels != unet.in_channels || unet.in_channels != unet.out_channels)
      reject("the autoencoder has " + std::to_string(channels) + " latent channels, the U-Net reads " + std::to_string(unet.in_channels),
             model.folder().string(), "vae and unet belong to different models, or this is an inpainting model, which is not supported");
    const std::int64_t pooled = encoders_.back()->model.config().projection;
    const std::int64_t added = xl_ ? pooled + (aesthetic_ ? 5 : 6) * unet.addition_time_embed_dim : 0;
    if (added != unet.addition_width)
      reject("the pooled prompt and the sizes make " + std::to_string(added) + " numbers, the U-Net reads " + std::to_string(unet.addition_width),
             model.folder().string(), "text_encoder_2 and unet belong to different models");
  }

  bool xl_, aesthetic_, zero_negative_;
  std::vector<std::unique_ptr<ClipPrompt>> encoders_;
  UNet unet_;
};

}  // namespace

std::shared_ptr<Pipeline> open_stable_diffusion(const ModelFolder& folder, const OpenOptions& options) {
  return std::make_shared<StableDiffusion>(folder, options, find_components(folder));
}

}  // namespace glyphscope
