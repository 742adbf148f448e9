#include "pipelines/stable_diffusion.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>

#include "io/files.h"
#include "io/weights.h"
#include "models/autoencoder.h"
#include "models/unet.h"
#include "patching/prompt_taps.h"
#include "pipelines/denoise.h"
#include "text/clip_text_model.h"
#include "text/clip_tokenizer.h"

namespace glyphscope {
namespace {

torch::ScalarType parse_dtype(const std::string& name) {
  // fp16 arithmetic is some 300 times slower than bf16 in the convolutions of a CPU, so "auto" computes in fp32 there.
  if (name == "auto" || name == "fp32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  if (name == "fp16") return torch::kFloat16;
  reject("unknown dtype '" + name + "'", "--dtype", "Known are auto, fp32, bf16 and fp16");
}

/// Both generations of latent U-Nets with CLIP encoders: one encoder whose last states are the prompt (1.x, 2.x), or one or
/// two whose penultimate states are, with a pooled prompt and sizes beside them (XL and its refiner).
class StableDiffusion : public Pipeline {
 public:
  StableDiffusion(const ModelFolder& model, const OpenOptions& options)
      : xl_(model.pipeline_class().starts_with("StableDiffusionXL")),
        aesthetic_(model.index().boolean("requires_aesthetics_score", false)),
        zero_negative_(xl_ && model.index().boolean("force_zeros_for_empty_prompt", true)),
        components_(find_components(model)),
        scheduler_config_(read_scheduler(model)),
        dtype_(parse_dtype(options.dtype)),
        unet_(UNetConfig::parse(Config::read(model / "unet" / "config.json"))),
        autoencoder_(AutoencoderConfig::parse(Config::read(model / "vae" / "config.json"))) {
    make_scheduler(scheduler_config_);  // an unknown one is an error now, not after minutes
    for (const char* number : {"", "_2"})
      if (has_component(std::string("text_encoder") + number)) encoders_.push_back(std::make_unique<Encoder>(model, number));
    check_fit(model);

    std::vector<std::filesystem::path> weight_files;
    auto load = [&](const std::string& component, torch::nn::Module& module, LoadOptions load_options) {
      const Weights weights = Weights::find(model / component);
      load_weights(module, weights, load_options);
      for (const auto& file : weights.files()) weight_files.push_back(file.path());
      std::int64_t count = 0;
      for (auto& parameter : module.parameters()) {
        parameter.set_requires_grad(false);
        count += parameter.numel();
      }
      info_.parameters.emplace_back(component, count);
    };
    for (const auto& encoder : encoders_)
      load(encoder->name, encoder->model,
           {.dtype = dtype_, .rename = [](const std::string& key) { return key.starts_with("text_model.") ? key.substr(11) : key; }});
    load("unet", unet_, {.dtype = dtype_});
    // XL's autoencoder overflows in fp16, and says so.
    const bool upcast = xl_ && dtype_ == torch::kFloat16 && Config::read(model / "vae" / "config.json").boolean("force_upcast", true);
    autoencoder_dtype_ = upcast ? torch::kFloat32 : dtype_;
    load("vae", autoencoder_, {.dtype = autoencoder_dtype_, .rename = modern_autoencoder_key});

    info_.family = xl_ ? "Stable Diffusion XL" : "Stable Diffusion 1.x / 2.x";
    info_.source = model.source();
    info_.folder = model.folder();
    info_.hash = model.hash(weight_files, components_);
    info_.dtype = torch::toString(dtype_);
    info_.table = unet_.sites();
    info_.size_multiple = autoencoder_.config().factor() * (std::int64_t{1} << (unet_.config().block_out_channels.size() - 1));
    info_.default_width = info_.default_height = unet_.config().sample_size * autoencoder_.config().factor();
    info_.default_guidance = xl_ ? 5.0 : 7.5;
    info_.scheduler = scheduler_config_.text("_class_name", "");
    // A model may say in recipe.json what it is best sampled with; ours do.
    if (std::filesystem::exists(model / "recipe.json")) {
      const Config recipe = Config::read(model / "recipe.json");
      info_.default_steps = recipe.size("sampling_steps", 20, 1, 1000);
      info_.default_guidance = recipe.number("sampling_guidance", 3.0);
    }
  }

  const ModelInfo& info() const override { return info_; }

 protected:
  Result run(const Request& request, const Observer& observer, const CancelToken& cancel) override;

 private:
  struct Encoder {
    Encoder(const ModelFolder& folder, const std::string& number)
        : name("text_encoder" + number),
          tokenizer(ClipTokenizer::load(folder / ("tokenizer" + number))),
          model(ClipTextConfig::parse(Config::read(folder / name / "config.json"))) {}
    std::string name;
    ClipTokenizer tokenizer;
    ClipTextModel model;
  };
  struct Prompt {
    torch::Tensor embedding, pooled;
  };

  // XL's refiner has no first text encoder.
  std::vector<std::string> find_components(const ModelFolder& model) const {
    std::vector<std::string> out{"unet", "vae"};
    for (const char* number : {"", "_2"})
      if (xl_ ? model.has(std::string("text_encoder") + number) : *number == 0)
        for (const char* part : {"text_encoder", "tokenizer"}) out.push_back(std::string(part) + number);
    out.push_back("scheduler");
    model.require(out);
    return out;
  }
  bool has_component(const std::string& name) const { return std::find(components_.begin(), components_.end(), name) != components_.end(); }

  Config read_scheduler(const ModelFolder& model) const {
    const Config config = Config::read(model / "scheduler" / "scheduler_config.json");
    if (xl_) return config;
    // diffusers' pipeline overrides these two, which old folders have wrong.
    nlohmann::json json = config.json();
    if (json.contains("steps_offset")) json["steps_offset"] = 1;
    if (json.contains("clip_sample")) json["clip_sample"] = false;
    return {json, config.where()};
  }

  void check_fit(const ModelFolder& model) const {
    const auto& unet = unet_.config();
    if (encoders_.empty()) reject("the model has no text encoder", model.folder().string());
    std::int64_t width = 0;
    for (const auto& encoder : encoders_) width += encoder->model.config().hidden_size;
    if (width != unet.cross_attention_dim)
      reject("the width of what the text encoders write is " + std::to_string(width) + ", the U-Net reads " + std::to_string(unet.cross_attention_dim),
             model.folder().string(), "text encoders and unet belong to different models");
    if (autoencoder_.config().latent_channels != unet.in_channels || unet.in_channels != unet.out_channels)
      reject("the autoencoder has " + std::to_string(autoencoder_.config().latent_channels) + " latent channels, the U-Net reads " +
                 std::to_string(unet.in_channels),
             model.folder().string(), "vae and unet belong to different models, or this is an inpainting model, which is not supported");
    const std::int64_t pooled = encoders_.back()->model.config().projection;
    const std::int64_t added = xl_ ? pooled + (aesthetic_ ? 5 : 6) * unet.addition_time_embed_dim : 0;
    if (added != unet.addition_width)
      reject("the pooled prompt and the sizes make " + std::to_string(added) + " numbers, the U-Net reads " + std::to_string(unet.addition_width),
             model.folder().string(), "text_encoder_2 and unet belong to different models");
  }

  Prompt encode(const std::string& prompt, std::int64_t clip_skip, std::vector<std::string>& notes) const {
    std::vector<torch::Tensor> parts;
    Prompt out;
    for (const auto& encoder : encoders_) {
      const Tokens tokens = encoder->tokenizer.tokenize(prompt, std::min(encoder->tokenizer.max_length(), encoder->model.config().max_positions));
      const std::string note = "The prompt is longer than the text encoder reads; this was cut off: \"" + tokens.cut + "\"";
      if (!tokens.cut.empty() && std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
      const TextEncoding one = encoder->model.forward(torch::tensor(tokens.ids).unsqueeze(0), xl_ ? clip_skip + 1 : clip_skip);
      parts.push_back(xl_ ? one.hidden : one.embedding);
      out.pooled = one.pooled;
    }
    out.embedding = torch::cat(parts, -1);
    return out;
  }

  // XL's sizes: as large as it is drawn, nothing cropped. The refiner reads an aesthetic score in place of the target size;
  // diffusers' defaults.
  torch::Tensor time_ids(const Request& request, bool negative) const {
    if (!xl_) return {};
    const auto height = static_cast<double>(request.height), width = static_cast<double>(request.width);
    return aesthetic_ ? torch::tensor({{height, width, 0.0, 0.0, negative ? 2.5 : 6.0}}) : torch::tensor({{height, width, 0.0, 0.0, height, width}});
  }

  // K and V that each prompt's own run gives, where a plan sees that prompt.
  std::vector<KvRecord> record(const Request& request, const std::vector<Prompt>& prompts) const;

  bool xl_, aesthetic_, zero_negative_;
  std::vector<std::string> components_;
  Config scheduler_config_;
  torch::ScalarType dtype_, autoencoder_dtype_ = torch::kFloat32;
  std::vector<std::unique_ptr<Encoder>> encoders_;
  UNet unet_;
  Autoencoder autoencoder_;
  ModelInfo info_;
};

std::vector<KvRecord> StableDiffusion::record(const Request& request, const std::vector<Prompt>& prompts) const {
  std::vector<KvRecord> records(request.prompts.size());
  std::vector<bool> wanted(request.prompts.size());
  for (const auto& row : request.rows)
    for (const auto& patch : row.plan.patches()) wanted[static_cast<size_t>(patch.prompt)] = true;
  KvRecorder::Size size{.tokens = prompts[0].embedding.size(1), .element_bytes = static_cast<std::int64_t>(torch::elementSize(dtype_))};
  for (const auto& site : info_.table.sites) size.width_sum += unet_.site_attention(site.index).to_k->weight.size(0);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    // Prompt K and V of a cross-attention layer depend on neither latent nor step: one forward pass records them all.
    KvRecorder recorder(size, request.record_budget, 0, /*depends_on_step=*/false);
    const auto& c = unet_.config();
    unet_.forward(torch::zeros({1, c.in_channels, c.sample_size, c.sample_size}, dtype_), torch::zeros({1}),
                  {prompts[i].embedding, prompts[i].pooled, time_ids(request, false)}, &recorder);
    records[i] = recorder.record();
  }
  return records;
}

Result StableDiffusion::run(const Request& request, const Observer& observer, const CancelToken& cancel) {
  const auto start = std::chrono::steady_clock::now();
  Result result;
  const double guidance = request.guidance;
  const bool guided = guidance > 1;
  const std::int64_t steps = request.steps;
  const std::int64_t factor = autoencoder_.config().factor();
  const std::int64_t height = request.height / factor, width = request.width / factor;
  const auto scheduler = make_scheduler(scheduler_config_, request.scheduler);

  std::vector<Prompt> prompts;
  for (const auto& prompt : request.prompts) prompts.push_back(encode(prompt, request.clip_skip, result.notes));
  std::vector<KvRecord> records;
  std::vector<const KvRecord*> sources;
  if (request.method == PatchMethod::recording) {
    records = record(request, prompts);
    for (const auto& one : records) sources.push_back(one.bytes() > 0 ? &one : nullptr);
  }
  const int negative = static_cast<int>(prompts.size());
  if (guided) {
    prompts.push_back(encode(request.negative, request.clip_skip, result.notes));
    if (zero_negative_ && request.negative.empty()) prompts.back() = {torch::zeros_like(prompts.back().embedding), torch::zeros_like(prompts.back().pooled)};
  }
  std::vector<torch::Tensor> embeddings;
  for (const auto& prompt : prompts) embeddings.push_back(prompt.embedding);

  const auto count = static_cast<std::int64_t>(request.rows.size());
  const std::int64_t batches = (count + request.rows_at_once - 1) / request.rows_at_once;
  std::vector<torch::Tensor> images, latents;
  for (std::int64_t begin = 0, batch = 0; begin < count; begin += request.rows_at_once, ++batch) {
    const std::int64_t end = std::min(begin + request.rows_at_once, count);
    std::vector<PromptTaps::Row> rows;
    std::vector<torch::Tensor> noise, pooled, sizes;
    auto add_row = [&](int prompt, const PatchPlan* plan, int pooled_prompt) {
      rows.push_back({prompt, plan});
      pooled.push_back(prompts[static_cast<size_t>(pooled_prompt)].pooled);
      sizes.push_back(time_ids(request, prompt == negative));
    };
    if (guided)
      for (std::int64_t i = begin; i < end; ++i) add_row(negative, nullptr, negative);
    for (std::int64_t i = begin; i < end; ++i) {
      const Row& row = request.rows[static_cast<size_t>(i)];
      add_row(row.prompt, &row.plan, row.pooled < 0 ? row.prompt : row.pooled);
      noise.push_back(row_noise(row.seed, {1, autoencoder_.config().latent_channels, height, width}));
    }
    const auto run = scheduler->begin(steps);
    PromptTaps taps(embeddings, rows, cancel, sources);
    std::vector<torch::Tensor> row_embeddings;
    for (const auto& row : rows) row_embeddings.push_back(embeddings[static_cast<size_t>(row.prompt)]);
    const Conditioning conditioning = xl_ ? Conditioning(torch::cat(row_embeddings), torch::cat(pooled), torch::cat(sizes)) : torch::cat(row_embeddings);
    const auto calls = static_cast<std::int64_t>(run->timesteps().size());

    DenoiseOptions options;
    options.guidance = guidance;
    options.cancel = cancel;
    // PNDM's one call more belongs to the step before it.
    options.before_call = [&](std::int64_t call) {
      taps.begin_step(static_cast<int>(calls > steps && call > 0 ? call - 1 : call));
      observer.progress({"denoising", batch * calls + call, batches * calls});
    };
    options.after_call = [&] { ++result.denoiser_calls; };
    const torch::Tensor latent = denoise(
        *run, torch::cat(noise),
        [&](const torch::Tensor& x, double t) { return unet_.forward(x.to(dtype_), torch::full({x.size(0)}, t), conditioning, &taps); }, options);
    latents.push_back(latent);
    const auto& c = autoencoder_.config();
    // A decoder's activations are far larger than its latents: only so many pixels at once.
    constexpr std::int64_t kPixelsAtOnce = 1 << 20;
    for (const auto& part : latent.split(std::max<std::int64_t>(1, kPixelsAtOnce / (request.width * request.height))))
      images.push_back(to_pixels(autoencoder_.decode((part / c.scaling_factor).to(autoencoder_dtype_), cancel)));
    observer.progress({"denoising", (batch + 1) * calls, batches * calls});
  }
  result.images = torch::cat(images);
  result.latents = torch::cat(latents);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace

std::shared_ptr<Pipeline> open_stable_diffusion(const ModelFolder& folder, const OpenOptions& options) {
  return std::make_shared<StableDiffusion>(folder, options);
}

}  // namespace glyphscope
