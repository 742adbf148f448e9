#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "core/option.h"
#include "core/unicode.h"
#include "device/placement.h"
#include "io/files.h"
#include "io/weights.h"
#include "models/unet.h"
#include "pipelines/batched_pipeline.h"
#include "pipelines/family.h"
#include "pipelines/t5_prompt.h"
#include "schedulers/noise_schedule.h"

namespace glyphscope {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kTokens = 77;  // diffusers' max_length
constexpr const char* kNoising = "image_noising_scheduler";

bool is_second_stage(const ModelFolder& model) { return model.pipeline_class() == "IFSuperResolutionPipeline"; }

bool same_files(const std::vector<fs::path>& a, const std::vector<fs::path>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const fs::path& x, const fs::path& y) {
    return fs::exists(x) && fs::exists(y) && (fs::equivalent(x, y) || (fs::file_size(x) == fs::file_size(y) && sha256_file(x) == sha256_file(y)));
  });
}

T5Config text_config(const ModelFolder& model) { return T5Config::parse(model.config("text_encoder")); }

// Whether b reads prompts as a does: it has no T5 of its own, or the same weights, sizes and vocabulary.
bool shares_text(const ModelFolder& a, const ModelFolder& b) {
  const auto weights = attempt([&] { return b.weights("text_encoder").files(); });
  if (!b.has("text_encoder") || !weights) return true;
  const fs::path vocabulary = fs::path("tokenizer") / "spiece.model";
  return text_config(a) == text_config(b) && same_files({a / vocabulary}, {b / vocabulary}) && same_files(a.weights("text_encoder").files(), *weights);
}

std::vector<std::string> find_components(const ModelFolder& model, bool own_text) {
  std::vector<std::string> out{"unet", "scheduler"};
  if (own_text) out.insert(out.end(), {"text_encoder", "tokenizer"});
  model.require(out);
  if (is_second_stage(model) && !fs::exists(model / kNoising / "scheduler_config.json"))
    reject(std::string("the folder is incomplete: ") + kNoising + "/scheduler_config.json is missing", model.folder().string(), "Download the model again");
  return out;
}

// As diffusers does where captions are not cleaned: text.lower().strip().
std::string prepared(const std::string& prompt) {
  std::vector<char32_t> lower;
  for (char32_t code : decode_utf8(prompt))
    for (char32_t one : to_lower(code)) lower.push_back(one);
  while (!lower.empty() && is_space(lower.back())) lower.pop_back();
  size_t first = 0;
  while (first < lower.size() && is_space(lower[first])) ++first;
  return encode_utf8({lower.begin() + static_cast<std::ptrdiff_t>(first), lower.end()});
}

/// Both stages: the first draws pixels from noise, the second enlarges what it drew. The second's U-Net reads the enlarged and noised
/// picture beside its own, and how much it was noised.
class DeepFloydIf : public BatchedPipeline {
 public:
  DeepFloydIf(const ModelFolder& model, const Opening& opening, std::shared_ptr<T5Prompt> text)
      : BatchedPipeline(model, opening, model.scheduler(), find_components(model, !text)),
        text_(std::move(text)),
        unet_(UNetConfig::parse(model.config("unet"))) {
    if (!text_) {
      text_ = std::make_shared<T5Prompt>(model, "", opening);
      load(*text_);
    }
    const auto& unet = unet_.config();
    info_.enlarges = is_second_stage(model);
    if (!unet.added_kv || unet.in_channels != (info_.enlarges ? 6 : 3))
      reject(std::string("the U-Net is none of DeepFloyd IF's ") + (info_.enlarges ? "second" : "first") + " stage", (model / "unet").string());
    if (info_.enlarges) noising_ = NoiseSchedule::parse(model.config(kNoising)).alphas_cumprod;
    if (const auto width = text_->width(); width != unet.raw_prompt_width())
      reject("T5 writes " + std::to_string(width) + " numbers a token, the U-Net reads " + std::to_string(unet.raw_prompt_width()), model.folder().string(),
             "text_encoder and unet belong to different models");
    load("unet", unet_);
    info_.default_steps = info_.enlarges ? 50 : 100;
    info_.default_guidance = info_.enlarges ? 4.0 : 7.0;
    info_.methods = {PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep};
    describe(info_.enlarges ? "DeepFloyd IF, stage II" : "DeepFloyd IF, stage I", unet_.sites(), unet.sample_size,
             std::int64_t{1} << (unet.block_out_channels.size() - 1));
  }
  /// Its T5, if another stage reads prompts by the same one; else null.
  std::shared_ptr<T5Prompt> text_for(const ModelFolder& other) const { return shares_text(folder(), other) ? text_ : nullptr; }

  torch::nn::Module& denoiser_module() override { return unet_; }

 protected:
  void prompts_read() override { text_->encoder().release(); }
  // What the U-Net pools are the same raw states.
  std::vector<WordTokens> words(const std::string& prompt) const override { return {text_->words(prepared(prompt), {.most_tokens = kTokens})}; }
  Prompt encode(const std::string& prompt, std::int64_t, std::vector<std::string>& notes) const override {
    const torch::Tensor out = text_->encode(prepared(prompt), {.most_tokens = kTokens, .masks_padding = true}, notes).to(placement().options());
    return {out, out};
  }
  torch::Tensor site_embedding(const Prompt& prompt) const override { return unet_.project_prompt(prompt.embedding); }
  Conditioning beside_prompt(const Request& request, bool) const override {
    if (!info_.enlarges) return {};
    return {.noise_level = torch::full({1}, static_cast<double>(request.noise_level), on_host())};
  }
  torch::Tensor enlarged(const torch::Tensor& pictures, const Request& request, RowNoise& noise) const override {
    const torch::Tensor large = torch::upsample_bilinear2d(pictures.to(torch::kFloat32) / 127.5 - 1, {request.height, request.width}, /*align_corners=*/true);
    const torch::Tensor a = noising_[request.noise_level];
    return a.sqrt() * large + (1 - a).sqrt() * noise.draw({1, 3, request.height, request.width});
  }
  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    if (!info_.enlarges) return unet_.forward(latent, timestep, conditioning, taps);
    const torch::Tensor& picture = conditioning.picture;
    return unet_.forward(torch::cat({latent, picture.defined() ? picture : torch::zeros_like(latent)}, 1), timestep, conditioning, taps);
  }
  void check(const Request& request) const override {
    BatchedPipeline::check(request);
    if (info_.enlarges && (request.noise_level < 0 || request.noise_level >= noising_.size(0)))
      reject("the noise level is " + std::to_string(request.noise_level), option(Option::noise_level),
             "It goes from 0 to " + std::to_string(noising_.size(0) - 1));
  }
  std::int64_t channels() const override { return 3; }
  std::int64_t factor() const override { return 1; }
  torch::Tensor decode(const torch::Tensor& latent, std::vector<std::string>&, const CancelToken&) const override { return latent; }

 private:
  std::shared_ptr<T5Prompt> text_;
  UNet unet_;
  torch::Tensor noising_;  // alphas_cumprod of the schedule by which pictures are noised
};

}  // namespace

namespace family {

// Both stages: T5 encoder, pixel U-Net with added K and V, learned variance. Source: diffusers `IFPipeline` and `IFSuperResolutionPipeline` without caption
// cleaning: prompts are lower-cased and stripped. Images are as small as the first stage draws them (64 pixels for the published models). Two stages share
// one T5 where the second has none or the same.
Family deepfloyd_if() {
  return {.classes = {{.name = "IFPipeline", .models = "DeepFloyd IF, stage I", .projects_prompt_by_itself = true},
                      {.name = "IFSuperResolutionPipeline", .models = "DeepFloyd IF, stage II", .enlarges = true, .projects_prompt_by_itself = true}},
          .open = [](const ModelFolder& model, const Opening& opening, const Pipeline* first_stage) {
            const auto* first = dynamic_cast<const DeepFloydIf*>(first_stage);
            return std::make_shared<DeepFloydIf>(model, opening, first ? first->text_for(model) : nullptr);
          }};
}

}  // namespace family

}  // namespace glyphscope
