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

const std::vector<std::string> kComponents{"unet", "vae", "text_encoder", "tokenizer", "scheduler"};

class StableDiffusion : public Pipeline {
 public:
  StableDiffusion(const ModelFolder& model, const OpenOptions& options)
      : scheduler_config_(read_scheduler(model)),
        dtype_(parse_dtype(options.dtype)),
        tokenizer_(ClipTokenizer::load(model / "tokenizer")),
        text_encoder_(ClipTextConfig::parse(Config::read(model / "text_encoder" / "config.json"))),
        unet_(UNetConfig::parse(Config::read(model / "unet" / "config.json"))),
        autoencoder_(AutoencoderConfig::parse(Config::read(model / "vae" / "config.json"))) {
    make_scheduler(scheduler_config_);  // an unknown one is an error now, not after minutes
    check_fit(model);

    std::vector<std::filesystem::path> weight_files;
    auto load = [&](const char* component, torch::nn::Module& module, LoadOptions load_options) {
      const Weights weights = Weights::find(model / component);
      load_options.dtype = dtype_;
      load_weights(module, weights, load_options);
      for (const auto& file : weights.files()) weight_files.push_back(file.path());
      std::int64_t count = 0;
      for (auto& parameter : module.parameters()) {
        parameter.set_requires_grad(false);
        count += parameter.numel();
      }
      info_.parameters.emplace_back(component, count);
    };
    load("text_encoder", text_encoder_, {.rename = [](const std::string& key) { return key.starts_with("text_model.") ? key.substr(11) : key; }});
    load("unet", unet_, {});
    load("vae", autoencoder_, {.rename = modern_autoencoder_key});

    info_.family = "Stable Diffusion 1.x / 2.x";
    info_.source = model.source();
    info_.folder = model.folder();
    info_.hash = model.hash(weight_files, kComponents);
    info_.dtype = torch::toString(dtype_);
    info_.table = unet_.sites();
    info_.size_multiple = autoencoder_.config().factor() * (std::int64_t{1} << (unet_.config().block_out_channels.size() - 1));
    info_.default_width = info_.default_height = unet_.config().sample_size * autoencoder_.config().factor();
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
  // diffusers' pipeline overrides these two, which old folders have wrong.
  static Config read_scheduler(const ModelFolder& model) {
    model.require(kComponents);
    const Config config = Config::read(model / "scheduler" / "scheduler_config.json");
    nlohmann::json json = config.json();
    if (json.contains("steps_offset")) json["steps_offset"] = 1;
    if (json.contains("clip_sample")) json["clip_sample"] = false;
    return {json, config.where()};
  }

  void check_fit(const ModelFolder& model) const {
    if (text_encoder_.config().hidden_size != unet_.config().cross_attention_dim)
      reject("the text encoder's width is " + std::to_string(text_encoder_.config().hidden_size) + ", the U-Net reads " +
                 std::to_string(unet_.config().cross_attention_dim),
             model.folder().string(), "text_encoder and unet belong to different models");
    if (autoencoder_.config().latent_channels != unet_.config().in_channels || unet_.config().in_channels != unet_.config().out_channels)
      reject("the autoencoder has " + std::to_string(autoencoder_.config().latent_channels) + " latent channels, the U-Net reads " +
                 std::to_string(unet_.config().in_channels),
             model.folder().string(), "vae and unet belong to different models, or this is an inpainting model, which is not supported");
  }

  torch::Tensor encode(const std::string& prompt, std::vector<std::string>& notes) const {
    const Tokens tokens = tokenizer_.tokenize(prompt, std::min(tokenizer_.max_length(), text_encoder_.config().max_positions));
    if (!tokens.cut.empty()) notes.push_back("The prompt is longer than the text encoder reads; this was cut off: \"" + tokens.cut + "\"");
    return text_encoder_.forward(torch::tensor(tokens.ids).unsqueeze(0)).embedding;
  }

  // K and V that each prompt's own run gives, where a plan sees that prompt.
  std::vector<KvRecord> record(const Request& request, const std::vector<torch::Tensor>& embeddings) const;

  Config scheduler_config_;
  torch::ScalarType dtype_;
  ClipTokenizer tokenizer_;
  ClipTextModel text_encoder_;
  UNet unet_;
  Autoencoder autoencoder_;
  ModelInfo info_;
};

std::vector<KvRecord> StableDiffusion::record(const Request& request, const std::vector<torch::Tensor>& embeddings) const {
  std::vector<KvRecord> records(request.prompts.size());
  std::vector<bool> wanted(request.prompts.size());
  for (const auto& row : request.rows)
    for (const auto& patch : row.plan.patches()) wanted[static_cast<size_t>(patch.prompt)] = true;
  KvRecorder::Size size{.tokens = embeddings[0].size(1), .element_bytes = static_cast<std::int64_t>(torch::elementSize(dtype_))};
  for (const auto& site : info_.table.sites) size.width_sum += unet_.site_attention(site.index).to_k->weight.size(0);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    // Prompt K and V of a cross-attention layer depend on neither latent nor step: one forward pass records them all.
    KvRecorder recorder(size, request.record_budget, 0, /*depends_on_step=*/false);
    const auto& c = unet_.config();
    unet_.forward(torch::zeros({1, c.in_channels, c.sample_size, c.sample_size}, dtype_), torch::zeros({1}), embeddings[i], &recorder);
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

  std::vector<torch::Tensor> embeddings;
  for (const auto& prompt : request.prompts) embeddings.push_back(encode(prompt, result.notes));
  std::vector<KvRecord> records;
  std::vector<const KvRecord*> sources;
  if (request.method == PatchMethod::recording) {
    records = record(request, embeddings);
    for (const auto& one : records) sources.push_back(one.bytes() > 0 ? &one : nullptr);
  }
  const int negative = static_cast<int>(embeddings.size());
  if (guided) embeddings.push_back(encode(request.negative, result.notes));

  const auto count = static_cast<std::int64_t>(request.rows.size());
  const std::int64_t batches = (count + request.rows_at_once - 1) / request.rows_at_once;
  std::vector<torch::Tensor> images, latents;
  for (std::int64_t begin = 0, batch = 0; begin < count; begin += request.rows_at_once, ++batch) {
    const std::int64_t end = std::min(begin + request.rows_at_once, count);
    std::vector<PromptTaps::Row> rows;
    std::vector<torch::Tensor> noise;
    if (guided)
      for (std::int64_t i = begin; i < end; ++i) rows.push_back({negative, nullptr});
    for (std::int64_t i = begin; i < end; ++i) {
      const Row& row = request.rows[static_cast<size_t>(i)];
      rows.push_back({row.prompt, &row.plan});
      noise.push_back(row_noise(row.seed, {1, autoencoder_.config().latent_channels, height, width}));
    }
    const auto run = scheduler->begin(steps);
    PromptTaps taps(embeddings, rows, cancel, sources);
    std::vector<torch::Tensor> row_embeddings;
    for (const auto& row : rows) row_embeddings.push_back(embeddings[static_cast<size_t>(row.prompt)]);
    const torch::Tensor embedding = torch::cat(row_embeddings);
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
        *run, torch::cat(noise), [&](const torch::Tensor& x, double t) { return unet_.forward(x.to(dtype_), torch::full({x.size(0)}, t), embedding, &taps); },
        options);
    latents.push_back(latent);
    const auto& c = autoencoder_.config();
    // A decoder's activations are far larger than its latents: only so many pixels at once.
    constexpr std::int64_t kPixelsAtOnce = 1 << 20;
    for (const auto& part : latent.split(std::max<std::int64_t>(1, kPixelsAtOnce / (request.width * request.height))))
      images.push_back(to_pixels(autoencoder_.decode((part / c.scaling_factor).to(dtype_), cancel)));
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
