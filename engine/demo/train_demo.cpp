#include "demo/train_demo.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/error.h"
#include "core/unicode.h"
#include "demo/loss_curve.h"
#include "demo/sign_tokenizer.h"
#include "demo/signs.h"
#include "demo/training_state.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/resources.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "models/autoencoder.h"
#include "models/unet.h"
#include "schedulers/noise_schedule.h"
#include "text/clip_text_model.h"
#include "text/clip_tokenizer.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json DemoRecipe::to_json() const {
  return {
      {"schema", "glyphscope.demo-recipe/1"},
      {"name", name},
      {"seed", seed},
      {"signs", signs},
      {"prompt_tokens", prompt_tokens},
      {"autoencoder",
       {{"config", autoencoder}, {"steps", autoencoder_steps}, {"batch", autoencoder_batch}, {"learning_rate", autoencoder_rate}, {"kl_weight", kl_weight}}},
      {"denoiser",
       {{"config", unet},
        {"steps", denoiser_steps},
        {"batch", denoiser_batch},
        {"learning_rate", denoiser_rate},
        {"text_weight", text_weight},
        {"empty_prompt_share", empty_prompt_share}}},
      {"text_encoder", text_encoder},
      {"scheduler", scheduler}};
}

DemoRecipe demo_recipe(const std::string& name, bool tiny) {
  if (name != "sign-unet") reject("there is no demo model '" + name + "'", "", "There is: sign-unet");
  DemoRecipe recipe;
  recipe.name = name;
  const int width = tiny ? 16 : 128, groups = tiny ? 4 : 16;
  recipe.autoencoder = {{"_class_name", "AutoencoderKL"},
                        {"act_fn", "silu"},
                        {"block_out_channels", tiny ? std::vector{4, 4, 8, 8} : std::vector{16, 32, 64, 64}},
                        {"down_block_types", std::vector<std::string>(4, "DownEncoderBlock2D")},
                        {"up_block_types", std::vector<std::string>(4, "UpDecoderBlock2D")},
                        {"in_channels", 3},
                        {"out_channels", 3},
                        {"latent_channels", 8},
                        {"layers_per_block", 1},
                        {"norm_num_groups", tiny ? 4 : 8},
                        {"sample_size", 64},
                        {"mid_block_add_attention", false},
                        {"scaling_factor", 1.0},
                        {"force_upcast", false}};
  recipe.text_encoder = {{"architectures", {"CLIPTextModel"}},
                         {"dtype", "float32"},
                         {"model_type", "clip_text_model"},
                         {"hidden_act", "quick_gelu"},
                         {"hidden_size", width},
                         {"intermediate_size", 4 * width},
                         {"num_hidden_layers", tiny ? 1 : 3},
                         {"num_attention_heads", 4},
                         {"max_position_embeddings", recipe.prompt_tokens},
                         {"layer_norm_eps", 1e-5},
                         {"projection_dim", width}};
  recipe.unet = {{"_class_name", "UNet2DConditionModel"},
                 {"sample_size", 8},
                 {"in_channels", 8},
                 {"out_channels", 8},
                 {"layers_per_block", 2},
                 {"block_out_channels", {width, width}},
                 {"down_block_types", std::vector<std::string>(2, "CrossAttnDownBlock2D")},
                 {"up_block_types", std::vector<std::string>(2, "CrossAttnUpBlock2D")},
                 {"mid_block_type", "UNetMidBlock2DCrossAttn"},
                 {"cross_attention_dim", width},
                 {"attention_head_dim", 4},
                 {"norm_num_groups", groups},
                 {"flip_sin_to_cos", true},
                 {"freq_shift", 0},
                 {"act_fn", "silu"},
                 {"norm_eps", 1e-5}};
  recipe.scheduler = {{"_class_name", "DDIMScheduler"},
                      {"beta_schedule", "scaled_linear"},
                      {"beta_start", 0.00085},
                      {"beta_end", 0.012},
                      {"num_train_timesteps", 1000},
                      {"prediction_type", "v_prediction"},
                      {"clip_sample", false},
                      {"set_alpha_to_one", false},
                      {"steps_offset", 1},
                      {"timestep_spacing", "trailing"}};
  if (tiny) {
    recipe.signs = 64;
    recipe.autoencoder_steps = recipe.denoiser_steps = 6;
    recipe.autoencoder_batch = recipe.denoiser_batch = 4;
    recipe.checkpoint_every = recipe.curve_every = 2;
    recipe.report_seconds = 0;
  }
  return recipe;
}

namespace {

enum Stream : std::uint64_t { kSpecs = 1, kAutoencoder = 2, kDenoiser = 3, kWeights = 4 };

class DemoTrainer {
 public:
  DemoTrainer(const DemoRecipe& recipe, const fs::path& out, const std::function<void(const DemoProgress&)>& report, const CancelToken& cancel)
      : recipe_(recipe),
        checkpoints_(out / "checkpoint"),
        model_(out / "model"),
        report_(report),
        cancel_(cancel),
        curve_(out / "training.csv", recipe.curve_every),
        sampler_(make_sampler()),
        autoencoder_(AutoencoderConfig::parse({recipe.autoencoder, "recipe"})),
        text_(ClipTextConfig::parse({text_config(), "recipe"})),
        unet_(UNetConfig::parse({recipe.unet, "recipe"})) {
    claim();
    at::Generator generator = make_generator(derive_seed(recipe.seed, kWeights, 0));
    initialize(autoencoder_, generator);
    initialize(text_, generator);
    initialize(unet_, generator);
    scale_embeddings();
    autoencoder_state_ =
        std::make_unique<TrainingState>(std::vector<std::pair<std::string, torch::nn::Module*>>{{"autoencoder", &autoencoder_}}, TrainingState::Options{});
    denoiser_state_ = std::make_unique<TrainingState>(std::vector<std::pair<std::string, torch::nn::Module*>>{{"text_encoder", &text_}, {"unet", &unet_}},
                                                      TrainingState::Options{});
  }

  void run() {
    write_sign_tokenizer(vocabulary_, recipe_.prompt_tokens, model_ / "tokenizer");
    if (fs::exists(autoencoder_file())) autoencoder_state_->load(autoencoder_file());
    if (fs::exists(denoiser_file())) denoiser_state_->load(denoiser_file());
    if (fs::exists(latents_file())) scaling_factor_ = read_scaling_factor();
    curve_.go_back("autoencoder", autoencoder_state_->step());
    curve_.go_back("denoiser", denoiser_state_->step());
    train_autoencoder();
    encode_signs();
    train_denoiser();
  }

  /// Writes the averaged model as a diffusers folder.
  void write_model() const {
    auto half = [](const std::map<std::string, torch::Tensor>& tensors, const std::string& prefix) {
      std::map<std::string, torch::Tensor> out;
      for (const auto& [key, value] : tensors) out[prefix + key] = value.to(torch::kFloat16);
      return out;
    };
    auto component = [&](const char* folder, const ordered_json& config, const char* file, const std::map<std::string, torch::Tensor>& tensors) {
      fs::create_directories(model_ / folder);
      write_safetensors(model_ / folder / file, tensors, {{"format", "pt"}});
      write_json(model_ / folder / "config.json", config);
    };
    ordered_json autoencoder = recipe_.autoencoder;
    autoencoder["scaling_factor"] = scaling_factor_;
    component("vae", autoencoder, "diffusion_pytorch_model.safetensors", half(autoencoder_state_->average("autoencoder"), ""));
    component("text_encoder", text_config(), "model.safetensors", half(denoiser_state_->average("text_encoder"), "text_model."));
    component("unet", recipe_.unet, "diffusion_pytorch_model.safetensors", half(denoiser_state_->average("unet"), ""));
    for (const char* stage : {"autoencoder", "denoiser"}) write_png(checkpoints_.parent_path() / (std::string(stage) + "-loss.png"), curve_.draw(stage));
    fs::create_directories(model_ / "scheduler");
    write_json(model_ / "scheduler" / "scheduler_config.json", recipe_.scheduler);
    write_json(model_ / "recipe.json", recipe_.to_json());
    write_json(model_ / "model_index.json", {{"_class_name", "StableDiffusionPipeline"},
                                             {"_diffusers_version", "0.42.1"},
                                             {"feature_extractor", {nullptr, nullptr}},
                                             {"image_encoder", {nullptr, nullptr}},
                                             {"requires_safety_checker", false},
                                             {"safety_checker", {nullptr, nullptr}},
                                             {"scheduler", {"diffusers", recipe_.scheduler["_class_name"]}},
                                             {"text_encoder", {"transformers", "CLIPTextModel"}},
                                             {"tokenizer", {"transformers", "CLIPTokenizer"}},
                                             {"unet", {"diffusers", "UNet2DConditionModel"}},
                                             {"vae", {"diffusers", "AutoencoderKL"}}});
  }

 private:
  fs::path autoencoder_file() const { return checkpoints_ / "autoencoder.safetensors"; }
  fs::path latents_file() const { return checkpoints_ / "latents.safetensors"; }
  fs::path denoiser_file() const { return checkpoints_ / "denoiser.safetensors"; }

  // The checkpoints' folder is of one recipe and one vocabulary; only how long to train may differ.
  void claim() {
    ordered_json recipe = recipe_.to_json();
    recipe["autoencoder"].erase("steps");
    recipe["denoiser"].erase("steps");
    std::string tokens;
    for (const auto& token : vocabulary_.tokens) tokens += token + "\n";
    const ordered_json document{{"recipe", recipe}, {"vocabulary_sha256", sha256_text(tokens)}};
    const fs::path file = checkpoints_ / "recipe.json";
    if (!fs::exists(file)) {
      fs::create_directories(checkpoints_);
      write_json(file, document);
    } else if (read_json(file) != nlohmann::json(document)) {
      reject("the checkpoints are of another recipe, seed or vocabulary", checkpoints_.string(), "Choose another --out, or the recipe in its recipe.json");
    }
  }

  SignSampler make_sampler() {
    std::vector<std::string> words = read_word_list(resource("words/train.txt"));
    vocabulary_ = build_sign_vocabulary(words);
    auto capitals = [](std::string word) {
      std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      return word;
    };
    std::set<std::string> held_out;
    for (const char* list : {"words/localize.txt", "words/evaluate.txt"})
      for (const auto& word : read_word_list(resource(list))) held_out.insert(capitals(word));
    for (auto& word : words) word = capitals(word);
    return {std::move(words), std::move(held_out)};
  }

  ordered_json text_config() const {
    ordered_json config = recipe_.text_encoder;
    const size_t count = vocabulary_.tokens.size();
    config["vocab_size"] = count;
    config["bos_token_id"] = count - 2;
    config["eos_token_id"] = config["pad_token_id"] = count - 1;
    return config;
  }

  // CLIP's embeddings start at a standard deviation of 0.02, not PyTorch's 1. Source: transformers `CLIPPreTrainedModel._init_weights`.
  void scale_embeddings() {
    torch::NoGradGuard no_grad;
    for (auto& item : text_.named_parameters())
      if (item.key().find("embedding.weight") != std::string::npos) item.value().mul_(0.02);
  }

  SignSpec spec(std::uint64_t stream, std::uint64_t index) const {
    Choice choice(derive_seed(recipe_.seed, stream, index));
    return sampler_.sample(choice);
  }

  static torch::Tensor to_signal(const torch::Tensor& pixels) { return (pixels.to(torch::kFloat32) / 127.5 - 1).contiguous(torch::MemoryFormat::ChannelsLast); }

  // Reports once a second or so, saves, and stops when asked to: the loop both stages share.
  void loop(TrainingState& state, std::int64_t steps, std::int64_t batch, const std::string& stage, const fs::path& file,
            const std::function<double(std::int64_t)>& step) {
    using clock = std::chrono::steady_clock;
    double loss = 0;
    std::int64_t since = 0;
    constexpr double kSaveSeconds = 600;  // no more than this is lost to a power cut
    auto reported = clock::now(), saved = reported;
    curve_.start();
    while (state.step() < steps) {
      auto save = [&] {
        state.save(file);
        curve_.save();
        saved = clock::now();
      };
      if (cancel_.cancelled()) {
        save();
        cancel_.check();
      }
      const double value = step(state.step());
      if (!std::isfinite(value)) {
        throw Failure({ErrorCode::internal, "the loss is not finite at step " + std::to_string(state.step()) + " of stage " + stage, file.string(),
                       "The checkpoint holds the last good weights; lower the learning rate"});
      }
      loss += value;
      ++since;
      curve_.add(stage, state.step(), value);
      const double seconds = std::chrono::duration<double>(clock::now() - reported).count();
      if (seconds > recipe_.report_seconds || state.step() == steps) {
        report_({stage, state.step(), steps, loss / static_cast<double>(since), static_cast<double>(since * batch) / seconds});
        loss = 0, since = 0, reported = clock::now();
      }
      if (state.step() % recipe_.checkpoint_every == 0 || std::chrono::duration<double>(clock::now() - saved).count() > kSaveSeconds) save();
    }
    state.save(file);
    curve_.save();
  }

  // Warm-up, constant, then a linear fall to zero over the last third.
  static double rate(double top, std::int64_t step, std::int64_t steps, std::int64_t warmup) {
    const double s = static_cast<double>(step), n = static_cast<double>(steps);
    return top * std::min({1.0, (s + 1) / static_cast<double>(warmup), std::max(0.0, 3 * (1 - s / n))});
  }

  void train_autoencoder() {
    const std::int64_t batch = recipe_.autoencoder_batch;
    loop(*autoencoder_state_, recipe_.autoencoder_steps, batch, "autoencoder", autoencoder_file(), [&](std::int64_t step) {
      std::vector<torch::Tensor> pixels, weights;
      for (std::int64_t i = 0; i < batch; ++i) {
        const SignImage image = renderer_.render(spec(kAutoencoder, static_cast<std::uint64_t>(step * batch + i)));
        pixels.push_back(image.pixels);
        torch::Tensor weight = torch::ones({1, SignRenderer::kSize, SignRenderer::kSize});
        weight.slice(1, image.text.top, image.text.bottom).slice(2, image.text.left, image.text.right).fill_(2);
        weights.push_back(weight);
      }
      at::Generator generator = make_generator(derive_seed(recipe_.seed, kAutoencoder, 1'000'000'000 + static_cast<std::uint64_t>(step)));
      const torch::Tensor target = to_signal(torch::stack(pixels));
      const LatentDistribution latent = autoencoder_.encode(target.to(torch::kBFloat16));
      const torch::Tensor noise = torch::randn(latent.mean.sizes(), generator).to(torch::kBFloat16);
      const torch::Tensor error = autoencoder_.decode(latent.sample(noise)).to(torch::kFloat32) - target;
      const torch::Tensor loss =
          (torch::stack(weights) * (error.pow(2) + 0.2 * error.abs())).mean() + recipe_.kl_weight * latent.kl().to(torch::kFloat32).mean();
      loss.backward();
      autoencoder_state_->update(rate(recipe_.autoencoder_rate, step, recipe_.autoencoder_steps, 100));
      return loss.item<double>();
    });
  }

  // The mean latents of the data set, bf16, scaled to a standard deviation of 1; and its prompts.
  void encode_signs() {
    torch::InferenceMode inference;
    const ClipTokenizer tokenizer = ClipTokenizer::load(model_ / "tokenizer");
    ids_ = torch::empty({recipe_.signs, recipe_.prompt_tokens}, torch::kInt64);
    text_boxes_.resize(static_cast<size_t>(recipe_.signs));
    const Tokens empty = tokenizer.tokenize("");
    empty_ids_ = torch::tensor(empty.ids);
    auto with_spec = [&](std::int64_t i) {
      SignSpec sign = spec(kSpecs, static_cast<std::uint64_t>(i));
      ids_[i] = torch::tensor(tokenizer.tokenize(sign.prompt()).ids);
      return sign;
    };
    const bool have = fs::exists(latents_file());
    constexpr std::int64_t kBatch = 100;
    std::vector<torch::Tensor> parts;
    if (!have) autoencoder_state_->use_average(true);
    for (std::int64_t begin = 0; begin < recipe_.signs; begin += kBatch) {
      cancel_.check();
      const std::int64_t end = std::min(begin + kBatch, recipe_.signs);
      std::vector<torch::Tensor> pixels;
      for (std::int64_t i = begin; i < end; ++i) {
        const SignImage image = renderer_.render(with_spec(i));
        text_boxes_[static_cast<size_t>(i)] = image.text;
        if (!have) pixels.push_back(image.pixels);
      }
      if (!have) {
        parts.push_back(autoencoder_.encode(to_signal(torch::stack(pixels)).to(torch::kBFloat16)).mean.contiguous());
        if (begin % 2000 == 0) report_({"latents", begin, recipe_.signs, 0, 0});
      }
    }
    if (!have) {
      const torch::Tensor raw = torch::cat(parts);
      write_safetensors(latents_file(), {{"latents", raw}}, {{"scaling_factor", std::to_string(1 / raw.to(torch::kFloat32).std().item<double>())}});
      autoencoder_state_->use_average(false);
    }
    const SafetensorsFile file(latents_file());
    latents_ = file.tensor("latents");
    if (latents_.size(0) != recipe_.signs) reject("the latents are of another recipe", latents_file().string(), "Delete the file to make them again");
    scaling_factor_ = read_scaling_factor();
  }

  double read_scaling_factor() const { return std::stod(SafetensorsFile(latents_file()).metadata().at("scaling_factor")); }

  void train_denoiser() {
    const NoiseSchedule schedule = NoiseSchedule::parse({recipe_.scheduler, "recipe"});
    const torch::Tensor alpha = schedule.alphas_cumprod.sqrt(), sigma = (1 - schedule.alphas_cumprod).sqrt();
    const torch::Tensor density = logit_normal_density(alpha, sigma);
    const std::int64_t batch = recipe_.denoiser_batch, factor = autoencoder_.config().factor();
    loop(*denoiser_state_, recipe_.denoiser_steps, batch, "denoiser", denoiser_file(), [&](std::int64_t step) {
      at::Generator generator = make_generator(derive_seed(recipe_.seed, kDenoiser, static_cast<std::uint64_t>(step)));
      const torch::Tensor rows = torch::randint(recipe_.signs, {batch}, generator, torch::kInt64);
      const torch::Tensor clean = latents_.index_select(0, rows).to(torch::kFloat32) * scaling_factor_;
      torch::Tensor ids = ids_.index_select(0, rows);
      const torch::Tensor empty = torch::rand({batch}, generator) < recipe_.empty_prompt_share;
      ids.index_put_({empty}, empty_ids_);
      const torch::Tensor t = torch::multinomial(density, batch, true, generator);
      const torch::Tensor noise = torch::randn(clean.sizes(), generator);
      const torch::Tensor a = alpha.index_select(0, t).view({batch, 1, 1, 1}), s = sigma.index_select(0, t).view({batch, 1, 1, 1});
      const torch::Tensor noisy = (a * clean + s * noise).to(torch::kBFloat16).contiguous(torch::MemoryFormat::ChannelsLast);

      torch::Tensor weight = torch::ones({batch, 1, clean.size(2), clean.size(3)});
      auto row = rows.accessor<std::int64_t, 1>();
      for (std::int64_t i = 0; i < batch; ++i) {
        const TextBox& box = text_boxes_[static_cast<size_t>(row[i])];
        if (box.right > 0)
          weight[i]
              .slice(1, box.top / factor, (box.bottom + factor - 1) / factor)
              .slice(2, box.left / factor, (box.right + factor - 1) / factor)
              .fill_(recipe_.text_weight);
      }

      const torch::Tensor embedding = text_.forward(ids).embedding;
      const torch::Tensor output = unet_.forward(noisy, t.to(torch::kFloat32), embedding).to(torch::kFloat32);
      const torch::Tensor target = schedule.prediction == Prediction::v ? a * noise - s * clean : noise;
      const torch::Tensor loss = (weight * (output - target).pow(2)).sum() / (weight.sum() * clean.size(1));
      loss.backward();
      denoiser_state_->update(rate(recipe_.denoiser_rate, step, recipe_.denoiser_steps, 200));
      return loss.item<double>();
    });
  }

  // Timesteps as Stable Diffusion 3 draws them (arXiv 2403.03206, section 3.1: logit-normal), carried over to this schedule
  // by the share of noise sigma / (alpha + sigma): the middle, where letters are decided, gets the most steps.
  static torch::Tensor logit_normal_density(const torch::Tensor& alpha, const torch::Tensor& sigma) {
    const torch::Tensor share = sigma / (alpha + sigma), logit = (share / (1 - share)).log();
    const torch::Tensor density = (-0.5 * logit.pow(2)).exp() / (share * (1 - share));
    const torch::Tensor width = torch::cat({share.slice(0, 0, 1), share.slice(0, 1) - share.slice(0, 0, -1)});
    return density * width / (density * width).sum();
  }

  const DemoRecipe& recipe_;
  fs::path checkpoints_, model_;
  const std::function<void(const DemoProgress&)>& report_;
  CancelToken cancel_;
  LossCurve curve_;
  SignVocabulary vocabulary_;
  SignSampler sampler_;
  SignRenderer renderer_;
  Autoencoder autoencoder_;
  ClipTextModel text_;
  UNet unet_;
  std::unique_ptr<TrainingState> autoencoder_state_, denoiser_state_;
  torch::Tensor latents_, ids_, empty_ids_;
  std::vector<TextBox> text_boxes_;
  double scaling_factor_ = 1;
};

}  // namespace

void train_demo(const DemoRecipe& recipe, const fs::path& out, bool resume, const std::function<void(const DemoProgress&)>& report, const CancelToken& cancel) {
  OutputFolder folder(out);
  const bool checkpoints = fs::exists(out / "checkpoint") && !fs::is_empty(out / "checkpoint");
  if (checkpoints && !resume) reject("the folder holds checkpoints already", out.string(), "Pass --resume to go on with them, or choose another --out");
  if (!checkpoints && fs::exists(out / "model")) reject("the folder holds a model whose checkpoints are gone", out.string(), "Choose another --out");
  DemoTrainer trainer(recipe, out, report, cancel);
  try {
    trainer.run();
  } catch (const Failure& failure) {
    if (failure.error().code == ErrorCode::cancelled) trainer.write_model();
    throw;
  }
  trainer.write_model();
}

}  // namespace glyphscope
