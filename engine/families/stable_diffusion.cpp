#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "core/option.h"
#include "device/placement.h"
#include "models/unet.h"
#include "pipelines/clip_prompt.h"
#include "pipelines/family.h"
#include "pipelines/kohya_names.h"
#include "pipelines/latent_pipeline.h"
#include "pipelines/original_keys.h"

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

// XL's autoencoder overflows in fp16, and says so.
bool is_wide(const ModelFolder& model, const std::string& component, const Config& config) {
  return is_xl(model) && component == "vae" && config.boolean("force_upcast", true);
}

// What is read beside the latents, by its channels.
const char* kind_of_input(std::int64_t beside) { return beside == 5 ? "an inpainting" : beside == 4 ? "a picture-editing (InstructPix2Pix)" : nullptr; }

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
  StableDiffusion(const ModelFolder& model, const Opening& opening, std::vector<std::string> components)
      : LatentPipeline(model, opening, read_scheduler(model), std::move(components)),
        xl_(is_xl(model)),
        aesthetic_(model.index().boolean("requires_aesthetics_score", false)),
        zero_negative_(xl_ && model.index().boolean("force_zeros_for_empty_prompt", true)),
        unet_(UNetConfig::parse(model.config("unet"))) {
    for (const std::string number : {"", "_2"})
      if (has_component("text_encoder" + number)) encoders_.push_back(std::make_unique<ClipPrompt>(model, number, opening));
    check_fit(model);
    for (const auto& encoder : encoders_) load(*encoder);
    load("unet", unet_);
    load_autoencoder();
    info_.default_guidance = reads_guidance() ? 8.5 : xl_ ? 5.0 : 7.5;
    if (reads_guidance()) info_.default_steps = 4;
    info_.methods = {PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep};
    // So does diffusers: U-Nets saved before 0.9 claim the size of their first training, not of their last.
    std::int64_t sample_size = unet_.config().sample_size;
    int major = 1, minor = 0;
    const std::string saved = model.config("unet").text("_diffusers_version", "");
    if (!xl_ && std::sscanf(saved.c_str(), "%d.%d", &major, &minor) == 2 && major == 0 && minor < 9) sample_size = std::max<std::int64_t>(sample_size, 64);
    describe(xl_ ? "Stable Diffusion XL" : "Stable Diffusion 1.x / 2.x", unet_.sites(), sample_size,
             std::int64_t{1} << (unet_.config().block_out_channels.size() - 1));
  }

  torch::nn::Module& denoiser_module() override { return unet_; }

  Conditioning beside_caption(const PictureSize& size, const Request& request) const override {
    if (!xl_ || aesthetic_) return beside_prompt(request, false);
    std::vector<double> ids;
    for (auto number : {size.original_height, size.original_width, size.top, size.left, size.height, size.width}) ids.push_back(static_cast<double>(number));
    Conditioning out = beside_prompt(request, false);
    out.sizes = torch::tensor(ids, on_host(torch::kFloat64)).to(torch::kFloat32).unsqueeze(0);
    return out;
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

  // Models distilled with guidance (arXiv 2310.04378) read it as a number.
  bool reads_guidance() const { return unet_.config().guidance_width > 0; }
  bool guides_by_halves() const override { return !reads_guidance(); }
  bool reads_prompts_at_sites_alone() const override { return !xl_ && unet_.config().pooling_heads == 0; }

  std::vector<WordTokens> words(const std::string& prompt) const override { return {encoders_.front()->words(prompt)}; }

  Prompt encode_negative(const Request& request, std::vector<std::string>& notes) const override {
    Prompt out = encode(request.negative.value_or(""), 0, notes);
    if (zero_negative_ && !request.negative) out = {torch::zeros_like(out.embedding), torch::zeros_like(out.pooled)};
    return out;
  }

  // XL's sizes: as large as it is drawn, nothing cropped. The refiner reads an aesthetic score in place of the target size;
  // diffusers' defaults.
  Conditioning beside_prompt(const Request& request, bool negative) const override {
    Conditioning out = sizes(request, negative);
    if (reads_guidance()) out.guidance = torch::full({1}, request.guidance, on_host());
    return out;
  }

  Conditioning sizes(const Request& request, bool negative) const {
    if (!xl_) return {};
    const auto height = static_cast<double>(request.height), width = static_cast<double>(request.width);
    return {.sizes = aesthetic_ ? torch::tensor({{height, width, 0.0, 0.0, negative ? 2.5 : 6.0}}, on_host())
                                : torch::tensor({{height, width, 0.0, 0.0, height, width}}, on_host())};
  }

  void check(const Request& request) const override {
    BatchedPipeline::check(request);
    if (reads_guidance() && request.negative && !request.negative->empty())
      reject("this model has no negative prompt: it reads its guidance as a number", option(Option::negative));
  }

  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return unet_.forward(latent, timestep, conditioning, taps);
  }

 private:
  void check_fit(const ModelFolder& model) const {
    const auto& unet = unet_.config();
    if (encoders_.empty()) reject("the model has no text encoder", model.folder().string());
    std::int64_t width = 0;
    for (const auto& encoder : encoders_) width += encoder->config().hidden_size;
    if (width != unet.cross_attention_dim)
      reject("the width of what the text encoders write is " + std::to_string(width) + ", the U-Net reads " + std::to_string(unet.cross_attention_dim),
             model.folder().string(), "text encoders and unet belong to different models");
    const std::int64_t channels = autoencoder().latent_channels();
    if (const char* kind = kind_of_input(unet.in_channels - channels))
      reject(std::string("this is ") + kind + " model: its U-Net reads " + std::to_string(unet.in_channels) + " channels, the latents' and others beside them",
             model.folder().string(), "Models that draw from a prompt alone are supported; use the one that it was trained from");
    if (channels != unet.in_channels || unet.in_channels != unet.out_channels)
      reject("the autoencoder has " + std::to_string(channels) + " latent channels, the U-Net reads " + std::to_string(unet.in_channels),
             model.folder().string(), "vae and unet belong to different models");
    const std::int64_t pooled = encoders_.back()->config().projection;
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

namespace {

void refuse_other_inputs(const Weights& file) {
  auto first = file.entries().find("model.diffusion_model.input_blocks.0.0.weight");
  if (first == file.entries().end()) first = file.entries().find("input_blocks.0.0.weight");
  if (first == file.entries().end() || first->second.shape.size() != 4) return;
  const std::int64_t channels = first->second.shape[1];
  if (const char* kind = kind_of_input(channels - 4))
    reject(std::string("this is ") + kind + " model: its U-Net reads " + std::to_string(channels) + " channels, the latents' and others beside them",
           file.where(), "Models that draw from a prompt alone are supported; use the one that it was trained from");
}

SingleFileLayout layout(const char* models, const char* mark, const char* configs, std::vector<SingleFileLayout::Place> encoders) {
  SingleFileLayout out{models,
                       mark,
                       [configs](const Weights& file) {
                         refuse_other_inputs(file);
                         return configs;
                       },
                       {{"unet", "model.diffusion_model.", unet_keys}, {"vae", "first_stage_model.", autoencoder_keys}}};
  out.places.insert(out.places.end(), encoders.begin(), encoders.end());
  return out;
}

// The numbers that a key holds, `count` of them. Throws a Failure if they are others.
std::vector<double> marked_numbers(const Weights& file, const std::string& key, std::int64_t count) {
  const auto entry = file.entries().find(key);
  if (entry == file.entries().end())
    reject("the key '" + key + "' is missing, which goes with others of its schedule", file.where(), "The file is damaged, or was cut");
  const torch::Tensor numbers = entry->second.read().to(torch::kFloat64).flatten();
  if (!numbers.isfinite().all().item<bool>()) reject("'" + key + "' holds numbers that are not finite", file.where(), "The file is damaged");
  if (numbers.numel() != count)
    reject(
        "'" + key + "' holds " + std::to_string(numbers.numel()) + " numbers, expected " + std::to_string(count) + (count > 1 ? ", one for each channel" : ""),
        file.where());
  return {numbers.data_ptr<double>(), numbers.data_ptr<double>() + count};
}

constexpr const char* kMarks[] = {"v_pred", "ztsnr", "edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min"};

// Marks that trainers leave in models which are to be sampled otherwise than their keys tell. Sources: diffusers' single_file_utils for Playground v2.5; the
// settings of CosXL's authors, whose file has the ends of its schedule.
nlohmann::json marked_components(const Weights& file) {
  nlohmann::json out = nlohmann::json::object();
  const auto marked = [&](const char* key) { return file.entries().contains(key); };
  if (marked("v_pred")) out["scheduler"]["prediction_type"] = "v_prediction";
  if (marked("ztsnr")) out["scheduler"]["rescale_betas_zero_snr"] = true;
  const nlohmann::json edm{{"sigma_min", 0.002}, {"rho", 7.0}, {"final_sigmas_type", "zero"}};
  if (marked("edm_mean") || marked("edm_std")) {
    out["scheduler"] = edm;
    out["scheduler"].update({{"_class_name", "EDMDPMSolverMultistepScheduler"},
                             {"prediction_type", "epsilon"},
                             {"sigma_schedule", "karras"},
                             {"sigma_data", 0.5},
                             {"sigma_max", 80.0}});
    for (const double deviation : marked_numbers(file, "edm_std", 4))
      if (deviation <= 0) reject("'edm_std' holds " + std::to_string(deviation) + ", a deviation over 0 was expected", file.where(), "The file is damaged");
    out["vae"] = {{"latents_mean", marked_numbers(file, "edm_mean", 4)}, {"latents_std", marked_numbers(file, "edm_std", 4)}, {"scaling_factor", 0.5}};
  } else if (marked("edm_vpred.sigma_max") || marked("edm_vpred.sigma_min")) {
    out["scheduler"] = edm;
    out["scheduler"].update(
        {{"_class_name", "EDMEulerScheduler"}, {"prediction_type", "v_prediction"}, {"sigma_schedule", "exponential"}, {"sigma_data", 1.0}});
    out["scheduler"]["sigma_max"] = marked_numbers(file, "edm_vpred.sigma_max", 1)[0];
    if (marked("edm_vpred.sigma_min")) out["scheduler"]["sigma_min"] = marked_numbers(file, "edm_vpred.sigma_min", 1)[0];
    if (out["scheduler"]["sigma_min"] <= 0 || out["scheduler"]["sigma_min"] >= out["scheduler"]["sigma_max"])
      reject("'edm_vpred.sigma_min' and 'edm_vpred.sigma_max' are no ends of a schedule: 0 < sigma_min < sigma_max was expected", file.where(),
             "The file is damaged");
  }
  return out;
}

std::vector<SingleFileLayout> layouts() {
  SingleFileLayout xl =
      layout("Stable Diffusion XL", "conditioner.embedders.1.model.", "sdxl",
             {{"text_encoder", "conditioner.embedders.0.transformer.", same_keys}, {"text_encoder_2", "conditioner.embedders.1.model.", open_clip_keys}});
  std::vector<SingleFileLayout> out{
      xl,
      layout("Stable Diffusion XL refiner", "conditioner.embedders.0.model.", "sdxl-refiner",
             {{"text_encoder_2", "conditioner.embedders.0.model.", open_clip_keys}}),
      layout("Stable Diffusion 2.x", "cond_stage_model.model.", "sd2", {{"text_encoder", "cond_stage_model.model.", open_clip_keys}}),
      layout("Stable Diffusion 1.x", "cond_stage_model.transformer.", "sd1", {{"text_encoder", "cond_stage_model.transformer.", same_keys}}),
      // Of any of them, without the encoders.
      layout("Stable Diffusion's U-Net", "model.diffusion_model.input_blocks.", "", {}),
      {.models = "Stable Diffusion's U-Net",
       .mark = "input_blocks.",
       .configs =
           [](const Weights& file) {
             refuse_other_inputs(file);
             return "";
           },
       .places = {{"unet", "", unet_keys}}}};
  for (auto& one : out) {
    one.configured = marked_components;
    one.marks.assign(std::begin(kMarks), std::end(kMarks));
  }
  return out;
}

}  // namespace

namespace family {

// CLIP text encoders, latent U-Net, KL autoencoder. Source: diffusers `StableDiffusionPipeline` and `StableDiffusionXLPipeline`. The XL refiner opens too,
// and draws from noise like the base.
Family stable_diffusion() {
  return {.classes = {{"StableDiffusionPipeline", "Stable Diffusion 1.x and 2.x"},
                      {"StableDiffusionImg2ImgPipeline", "the same, saved from its picture-to-picture pipeline"},
                      {"LatentConsistencyModelPipeline", "latent consistency models"},
                      {.name = "StableDiffusionXLPipeline", .models = "Stable Diffusion XL", .reads_pooled_prompt = true},
                      {.name = "StableDiffusionXLImg2ImgPipeline", .models = "Stable Diffusion XL refiner", .reads_pooled_prompt = true}},
          .open = [](const ModelFolder& model, const Opening& opening,
                     const Pipeline*) { return std::make_shared<StableDiffusion>(model, opening, find_components(model)); },
          .single_files = layouts(),
          .is_wide = is_wide,
          .kohya_places = transformer_places};
}

}  // namespace family

}  // namespace glyphscope
