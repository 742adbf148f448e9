#include "demo/train_demo.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "adapt/noise_path.h"
#include "adapt/training_state.h"
#include "core/error.h"
#include "core/option.h"
#include "core/unicode.h"
#include "demo/loss_curve.h"
#include "demo/network.h"
#include "demo/sign_tokenizer.h"
#include "demo/signs.h"
#include "device/devices.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "io/resources.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "models/autoencoder_kl.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

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
        network_(DemoNetwork::make(recipe, vocabulary_)) {
    at::Generator generator = make_generator(derive_seed(recipe.seed, kWeights, 0));
    if (!recipe.autoencoder.is_null()) {
      autoencoder_ = std::make_unique<AutoencoderKl>(AutoencoderConfig::parse({recipe.autoencoder, "recipe"}));
      initialize(*autoencoder_, generator);
    }
    network_->initialize(generator);
    if (!recipe.init.empty()) start_from(recipe.init);
    if (autoencoder_) {
      if (!recipe.autoencoder_from.empty()) load_weights(*autoencoder_, Weights::find(recipe.autoencoder_from / "vae"));
      const std::vector<std::pair<std::string, torch::nn::Module*>> modules{{"autoencoder", autoencoder_.get()}};
      autoencoder_->to(recipe.device);
      autoencoder_state_ = std::make_unique<TrainingState>(modules, TrainingState::Options{});
    } else if (!recipe.autoencoder_from.empty()) {
      reject(recipe.name + " has no autoencoder", option(Option::autoencoder));
    }
    std::vector<std::pair<std::string, torch::nn::Module*>> parts;
    for (const auto& part : network_->parts()) {
      part.module->to(recipe.device);
      parts.emplace_back(part.folder, part.module.get());
    }
    denoiser_state_ = std::make_unique<TrainingState>(parts, TrainingState::Options{});
    claim();
  }

  void run() {
    network_->write_tokenizers(model_);
    if (autoencoder_ && fs::exists(autoencoder_file())) autoencoder_state_->load(autoencoder_file());
    if (fs::exists(denoiser_file())) denoiser_state_->load(denoiser_file());
    if (fs::exists(latents_file())) read_scale();
    if (autoencoder_) curve_.go_back("autoencoder", autoencoder_state_->step());
    curve_.go_back("denoiser", denoiser_state_->step());
    if (autoencoder_ && recipe_.autoencoder_from.empty()) train_autoencoder();
    draw_signs();
    train_denoiser();
  }

  /// Writes the averaged model as a diffusers folder.
  void write_model() const {
    ordered_json index{{"_class_name", recipe_.pipeline}, {"_diffusers_version", "0.42.1"}};
    auto write = [&](const DemoNetwork::Part& part, const TrainingState& state, const std::string& name) {
      std::map<std::string, torch::Tensor> tensors;
      for (const auto& [key, value] : state.average(name)) tensors[part.file_key(key)] = value.to(torch::kFloat16);
      fs::create_directories(model_ / part.folder);
      write_safetensors(model_ / part.folder / part.file(), tensors, {{"format", "pt"}});
      write_json(model_ / part.folder / "config.json", part.config);
      index[part.folder] = part.config.contains("_class_name") ? ordered_json{"diffusers", part.config["_class_name"]}
                                                               : ordered_json{"transformers", part.config["architectures"][0]};
    };
    if (autoencoder_) {
      ordered_json config = recipe_.autoencoder;
      config["scaling_factor"] = scale_.factor;
      if (config.contains("shift_factor")) config["shift_factor"] = scale_.shift;
      write({"vae", nullptr, config}, *autoencoder_state_, "autoencoder");
    }
    for (const auto& part : network_->parts()) write(part, *denoiser_state_, part.folder);
    for (const auto& [folder, type] : network_->tokenizers()) index[folder] = {"transformers", type};
    for (const char* stage : {"autoencoder", "denoiser"})
      if (curve_.has(stage)) write_figure(curve_.figure(stage), {}, checkpoints_.parent_path() / (std::string(stage) + "-loss.png"), nullptr);
    fs::create_directories(model_ / "scheduler");
    write_json(model_ / "scheduler" / "scheduler_config.json", recipe_.scheduler);
    index["scheduler"] = {"diffusers", recipe_.scheduler["_class_name"]};
    // What this pipeline can have, and this model has not.
    static const std::map<std::string, std::vector<std::string>> absent = {
        {"StableDiffusionPipeline", {"feature_extractor", "image_encoder", "safety_checker"}},
        {"StableDiffusion3Pipeline", {"feature_extractor", "image_encoder", "text_encoder_2", "tokenizer_2"}},
        {"IFPipeline", {"feature_extractor", "safety_checker", "watermarker"}}};
    for (const auto& name : absent.at(recipe_.pipeline)) index[name] = {nullptr, nullptr};
    if (recipe_.pipeline != "StableDiffusion3Pipeline") index["requires_safety_checker"] = false;
    write_json(model_ / "recipe.json", recipe_.to_json());
    write_json(model_ / "model_index.json", index);
  }

 private:
  fs::path autoencoder_file() const { return checkpoints_ / "autoencoder.safetensors"; }
  fs::path latents_file() const { return checkpoints_ / "latents.safetensors"; }
  fs::path denoiser_file() const { return checkpoints_ / "denoiser.safetensors"; }

  // The checkpoints' folder is of one recipe and one vocabulary; only how long to train may differ.
  void claim() {
    ordered_json recipe = recipe_.to_json();
    for (const char* trained : {"autoencoder", "denoiser"})
      if (recipe.contains(trained)) recipe[trained] = without_key(recipe[trained], "steps");
    std::string tokens;
    for (const auto& token : vocabulary_.tokens) tokens += token + "\n";
    const ordered_json document{{"recipe", recipe}, {"vocabulary_sha256", sha256_text(tokens)}, {"device", device_kind(recipe_.device)}};
    claim_folder(checkpoints_ / "recipe.json", document, "the checkpoints are of another recipe, seed or vocabulary");
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
    return {std::move(words), std::move(held_out), recipe_.data};
  }

  void start_from(const fs::path& model) {
    if (const fs::path file = model / "tokenizer" / "vocab.json"; fs::exists(file)) {
      ordered_json vocabulary;
      for (size_t i = 0; i < vocabulary_.tokens.size(); ++i) vocabulary[vocabulary_.tokens[i]] = i;
      if (read_json(file) != nlohmann::json(vocabulary)) reject("the model to start from has another vocabulary", file.string());
    }
    if (autoencoder_) load_weights(*autoencoder_, Weights::find(model / "vae"));
    for (const auto& part : network_->parts()) part.load(model);
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
      const torch::Tensor target = to_signal(torch::stack(pixels).to(recipe_.device));
      const LatentDistribution latent = autoencoder_->encode(target.to(torch::kBFloat16));
      const torch::Tensor noise = torch::randn(latent.mean.sizes(), generator).to(latent.mean.options());
      const torch::Tensor error = autoencoder_->decode(latent.sample(noise)).to(torch::kFloat32) - target;
      const torch::Tensor loss =
          (torch::stack(weights).to(recipe_.device) * (error.pow(2) + 0.2 * error.abs())).mean() + recipe_.kl_weight * latent.kl().to(torch::kFloat32).mean();
      loss.backward();
      autoencoder_state_->update(rate(recipe_.autoencoder_rate, step, recipe_.autoencoder_steps, 100));
      return loss.item<double>();
    });
  }

  // The data set: its prompts, where their text is, and what is denoised: mean latents in bf16, or pixels in [-1, 1].
  void draw_signs() {
    torch::InferenceMode inference;
    empty_ids_ = torch::tensor(network_->tokenize(""));
    ids_ = torch::empty({recipe_.signs, empty_ids_.size(0)}, torch::kInt64);
    text_boxes_.resize(static_cast<size_t>(recipe_.signs));
    const bool have = autoencoder_ && fs::exists(latents_file());
    constexpr std::int64_t kBatch = 100;
    std::vector<torch::Tensor> parts;
    if (autoencoder_ && !have) autoencoder_state_->use_average(true);
    for (std::int64_t begin = 0; begin < recipe_.signs; begin += kBatch) {
      cancel_.check();
      const std::int64_t end = std::min(begin + kBatch, recipe_.signs);
      std::vector<torch::Tensor> pixels;
      for (std::int64_t i = begin; i < end; ++i) {
        const SignSpec sign = spec(kSpecs, static_cast<std::uint64_t>(i));
        // T5 reads capitals and small letters as different ones, so it learns both; the other encoders fold case.
        ids_[i] = torch::tensor(network_->tokenize(i % 2 == 0 ? sign.prompt() : fold_case(sign.prompt())));
        const SignImage image = renderer_.render(sign, recipe_.data.side);
        text_boxes_[static_cast<size_t>(i)] = image.text;
        if (!have) pixels.push_back(image.pixels);
      }
      if (have) continue;
      const torch::Tensor signal = to_signal(torch::stack(pixels)).to(torch::kBFloat16);
      parts.push_back((autoencoder_ ? autoencoder_->encode(signal.to(recipe_.device)).mean.cpu() : signal).contiguous());
      if (begin % 2000 == 0) report_({autoencoder_ ? "latents" : "signs", begin, recipe_.signs, 0, 0});
    }
    if (!autoencoder_) {
      latents_ = torch::cat(parts);
      return;
    }
    if (!have) {
      const torch::Tensor raw = torch::cat(parts), wide = raw.to(torch::kFloat32);
      write_safetensors(latents_file(), {{"latents", raw}},
                        {{"scaling_factor", std::to_string(1 / wide.std().item<double>())}, {"mean", std::to_string(wide.mean().item<double>())}});
      autoencoder_state_->use_average(false);
    }
    const SafetensorsFile file(latents_file());
    latents_ = file.tensor("latents");
    if (latents_.size(0) != recipe_.signs) reject("the latents are of another recipe", latents_file().string(), "Delete the file to make them again");
    read_scale();
  }

  void read_scale() {
    const auto metadata = SafetensorsFile(latents_file()).metadata();
    scale_.factor = std::stod(metadata.at("scaling_factor"));
    if (recipe_.autoencoder.contains("shift_factor")) scale_.shift = std::stod(metadata.at("mean"));
  }

  void train_denoiser() {
    const NoisePath path = NoisePath::parse({recipe_.scheduler, "recipe"}, /*shifted=*/false);
    const torch::Tensor density = logit_normal_density(path);
    const std::int64_t batch = recipe_.denoiser_batch, factor = autoencoder_ ? autoencoder_->config().factor() : 1;
    loop(*denoiser_state_, recipe_.denoiser_steps, batch, "denoiser", denoiser_file(), [&](std::int64_t step) {
      at::Generator generator = make_generator(derive_seed(recipe_.seed, kDenoiser, static_cast<std::uint64_t>(step)));
      const torch::Tensor rows = torch::randint(recipe_.signs, {batch}, generator, torch::kInt64);
      const torch::Tensor clean = latents_.index_select(0, rows).to(recipe_.device, torch::kFloat32).sub(scale_.shift).mul(scale_.factor);
      torch::Tensor ids = ids_.index_select(0, rows);
      const torch::Tensor empty = torch::rand({batch}, generator) < recipe_.empty_prompt_share;
      ids.index_put_({empty}, empty_ids_);
      const torch::Tensor t = torch::multinomial(density, batch, true, generator);
      const torch::Tensor noise = torch::randn(clean.sizes(), generator).to(recipe_.device);
      const torch::Tensor noisy = path.mix(clean, noise, t).to(torch::kBFloat16).contiguous(torch::MemoryFormat::ChannelsLast);

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
      weight = weight.to(recipe_.device);

      const torch::Tensor predicted = network_->predict(noisy, path.timestep.index_select(0, t).to(recipe_.device), ids).to(torch::kFloat32);
      const torch::Tensor output = predicted.slice(1, 0, clean.size(1));
      torch::Tensor loss = (weight * (output - path.target(clean, noise, t)).pow(2)).sum() / (weight.sum() * clean.size(1));
      if (predicted.size(1) > clean.size(1))
        loss = loss + variance_loss(path, t, clean, noisy.to(torch::kFloat32), output.detach(), predicted.slice(1, clean.size(1)));
      loss.backward();
      denoiser_state_->update(rate(recipe_.denoiser_rate, step, recipe_.denoiser_steps, 200));
      return loss.item<double>();
    });
  }

  // What teaches the variance: the divergence, in bits, of the step backwards that the network says from the true one, whose mean does
  // not learn from it. fraction: [-1, 1] from the smallest variance to the largest. Source: arXiv 2102.09672, section 3, equations
  // 15 and 16, with the weight of its authors' code.
  static torch::Tensor variance_loss(const NoisePath& path, const torch::Tensor& t, const torch::Tensor& clean, const torch::Tensor& noisy,
                                     const torch::Tensor& epsilon, const torch::Tensor& fraction) {
    const torch::Tensor all = path.alpha.pow(2), before = torch::cat({torch::ones({1}), all.slice(0, 0, -1)}), beta = 1 - all / before;
    const torch::Tensor small = beta * (1 - before) / (1 - all);
    auto at = [&](const torch::Tensor& table) { return table.index_select(0, t).view({-1, 1, 1, 1}).to(clean.device()); };
    // The first step's smallest variance is none: as in the authors' code it takes the second's.
    const torch::Tensor low = at(torch::cat({small.slice(0, 1, 2), small.slice(0, 1)}).log()), high = at(beta.log());
    const torch::Tensor share = (fraction + 1) / 2, variance = share * high + (1 - share) * low;
    auto mean = [&](const torch::Tensor& x) { return at(before.sqrt() * beta / (1 - all)) * x + at((all / before).sqrt() * (1 - before) / (1 - all)) * noisy; };
    const torch::Tensor guess = ((noisy - at(path.sigma) * epsilon) / at(path.alpha)).clamp(-1, 1);
    const torch::Tensor divergence = 0.5 * (variance - low + (low - variance).exp() - 1 + (mean(clean) - mean(guess)).pow(2) * (-variance).exp());
    return divergence.mean() / std::log(2.0);
  }

  const DemoRecipe& recipe_;
  fs::path checkpoints_, model_;
  const std::function<void(const DemoProgress&)>& report_;
  CancelToken cancel_;
  LossCurve curve_;
  SignVocabulary vocabulary_;
  SignSampler sampler_;
  SignRenderer renderer_;
  std::unique_ptr<AutoencoderKl> autoencoder_;  // null: pixels are denoised
  std::unique_ptr<DemoNetwork> network_;
  std::unique_ptr<TrainingState> autoencoder_state_, denoiser_state_;
  torch::Tensor latents_, ids_, empty_ids_;
  std::vector<TextBox> text_boxes_;
  struct {
    double factor = 1, shift = 0;
  } scale_;
};

}  // namespace

void train_demo(const DemoRecipe& recipe, const fs::path& out, bool resume, const std::function<void(const DemoProgress&)>& report, const CancelToken& cancel) {
  OutputFolder folder(out);
  const bool checkpoints = fs::exists(out / "checkpoint") && !fs::is_empty(out / "checkpoint");
  if (checkpoints && !resume)
    reject("the folder holds checkpoints already", out.string(), "Go on with them by " + option(Option::resume) + ", or choose another " + option(Option::out));
  if (!checkpoints && fs::exists(out / "model"))
    reject("the folder holds a model whose checkpoints are gone", out.string(), "Choose another " + option(Option::out));
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
