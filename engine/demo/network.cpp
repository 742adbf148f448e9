#include "demo/network.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "io/weights.h"
#include "models/mmdit.h"
#include "models/unet.h"
#include "pipelines/clip_prompt.h"
#include "text/clip_text_model.h"
#include "text/clip_tokenizer.h"
#include "text/t5_encoder.h"
#include "text/t5_tokenizer.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

bool is_clip(const DemoNetwork::Part& part) { return part.config.value("model_type", "") == "clip_text_model"; }

ordered_json with_vocabulary(ordered_json config, const SignVocabulary& vocabulary) {
  const size_t count = vocabulary.tokens.size();
  config["vocab_size"] = count;
  config["bos_token_id"] = count - 2;
  config["eos_token_id"] = config["pad_token_id"] = count - 1;
  return config;
}

// A CLIP text encoder and its tokenizer, which learn together with the denoiser.
class ClipPart {
 public:
  ClipPart(const DemoRecipe& recipe, const SignVocabulary& vocabulary)
      : config(with_vocabulary(recipe.text_encoder, vocabulary)),
        model(std::make_shared<ClipTextModel>(ClipTextConfig::parse({config, "recipe"}))),
        vocabulary_(vocabulary),
        tokens_(recipe.prompt_tokens) {}

  // CLIP's embeddings start at a standard deviation of 0.02, not PyTorch's 1. Source: transformers `CLIPPreTrainedModel._init_weights`.
  void scale_embeddings() {
    torch::NoGradGuard no_grad;
    for (auto& item : model->named_parameters())
      if (item.key().find("embedding.weight") != std::string::npos) item.value().mul_(0.02);
  }
  void write_tokenizer(const fs::path& folder) {
    write_sign_tokenizer(vocabulary_, tokens_, folder);
    tokenizer_.emplace(ClipTokenizer::load(folder));
  }
  std::vector<std::int64_t> tokenize(const std::string& prompt) const { return tokenizer_->tokenize(prompt).ids; }
  std::int64_t tokens() const { return tokens_; }

  ordered_json config;
  std::shared_ptr<ClipTextModel> model;

 private:
  const SignVocabulary& vocabulary_;
  std::int64_t tokens_;
  std::optional<ClipTokenizer> tokenizer_;
};

// Stable Diffusion 1's classes.
class UNetNetwork : public DemoNetwork {
 public:
  UNetNetwork(const DemoRecipe& recipe, const SignVocabulary& vocabulary)
      : clip_(recipe, vocabulary), unet_(std::make_shared<UNet>(UNetConfig::parse({recipe.denoiser, "recipe"}))) {
    parts_ = {{"text_encoder", clip_.model, clip_.config}, {"unet", unet_, recipe.denoiser}};
    tokenizers_ = {{"tokenizer", "CLIPTokenizer"}};
  }
  void initialize(const torch::Generator& generator) override {
    DemoNetwork::initialize(generator);
    clip_.scale_embeddings();
  }
  void write_tokenizers(const fs::path& model) override { clip_.write_tokenizer(model / "tokenizer"); }
  std::vector<std::int64_t> tokenize(const std::string& prompt) const override { return clip_.tokenize(prompt); }
  torch::Tensor predict(const torch::Tensor& noisy, const torch::Tensor& timestep, const torch::Tensor& ids) const override {
    return unet_->forward(noisy, timestep, {clip_.model->forward(ids).embedding});
  }

 private:
  ClipPart clip_;
  std::shared_ptr<UNet> unet_;
};

// Stable Diffusion 3's classes, with one CLIP and T5.
class MmDitNetwork : public DemoNetwork {
 public:
  MmDitNetwork(const DemoRecipe& recipe, const SignVocabulary& vocabulary) : clip_(recipe, vocabulary), tokens_(recipe.prompt_tokens) {
    ordered_json t5 = recipe.t5;
    t5["vocab_size"] = sign_piece_count();
    t5_ = std::make_shared<T5Encoder>(T5Config::parse({t5, "recipe"}));
    mmdit_ = std::make_shared<MmDit>(MmDitConfig::parse({recipe.denoiser, "recipe"}));
    parts_ = {{"text_encoder", clip_.model, clip_.config}, {"text_encoder_3", t5_, t5}, {"transformer", mmdit_, recipe.denoiser}};
    tokenizers_ = {{"tokenizer", "CLIPTokenizer"}, {"tokenizer_3", "T5Tokenizer"}};
  }
  void initialize(const torch::Generator& generator) override {
    DemoNetwork::initialize(generator);
    clip_.scale_embeddings();
    mmdit_->fill_position_table();
  }
  void write_tokenizers(const fs::path& model) override {
    clip_.write_tokenizer(model / "tokenizer");
    write_sign_pieces(tokens_, model / "tokenizer_3");
    tokenizer_.emplace(T5Tokenizer::load(model / "tokenizer_3"));
  }
  std::vector<std::int64_t> tokenize(const std::string& prompt) const override {
    std::vector<std::int64_t> ids = clip_.tokenize(prompt);
    for (std::int64_t id : tokenizer_->tokenize(prompt, tokens_).ids) ids.push_back(id);
    return ids;
  }
  // As the pipeline: CLIP's state before its last layer, then T5's tokens.
  torch::Tensor predict(const torch::Tensor& noisy, const torch::Tensor& timestep, const torch::Tensor& ids) const override {
    const TextEncoding clip = clip_.model->forward(ids.narrow(1, 0, tokens_), 1);
    const torch::Tensor states = t5_->forward(ids.narrow(1, tokens_, tokens_));
    const torch::Tensor first = torch::constant_pad_nd(clip.hidden, {0, states.size(-1) - clip.hidden.size(-1)});
    return mmdit_->forward(noisy, timestep, {torch::cat({first, states}, 1), clip.pooled});
  }

 private:
  ClipPart clip_;
  std::int64_t tokens_;
  std::shared_ptr<T5Encoder> t5_;
  std::shared_ptr<MmDit> mmdit_;
  std::optional<T5Tokenizer> tokenizer_;
};

// DeepFloyd IF's classes: T5 and a U-Net of pixels.
class PixelNetwork : public DemoNetwork {
 public:
  explicit PixelNetwork(const DemoRecipe& recipe) : tokens_(recipe.prompt_tokens) {
    ordered_json t5 = recipe.t5;
    t5["vocab_size"] = sign_piece_count();
    t5_ = std::make_shared<T5Encoder>(T5Config::parse({t5, "recipe"}));
    unet_ = std::make_shared<UNet>(UNetConfig::parse({recipe.denoiser, "recipe"}));
    parts_ = {{"text_encoder", t5_, t5}, {"unet", unet_, recipe.denoiser}};
    tokenizers_ = {{"tokenizer", "T5Tokenizer"}};
  }
  void initialize(const torch::Generator& generator) override {
    DemoNetwork::initialize(generator);
    // A parameter of no layer. Source: diffusers `AttentionPooling`.
    torch::NoGradGuard no_grad;
    for (auto& item : unet_->named_parameters())
      if (item.key().ends_with("positional_embedding")) item.value().normal_(0, 1 / std::sqrt(static_cast<double>(item.value().size(1))), generator);
  }
  void write_tokenizers(const fs::path& model) override {
    write_sign_pieces(tokens_, model / "tokenizer");
    tokenizer_.emplace(T5Tokenizer::load(model / "tokenizer"));
  }
  // As the pipeline, which lower-cases prompts.
  std::vector<std::int64_t> tokenize(const std::string& prompt) const override {
    std::string lower = prompt;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return tokenizer_->tokenize(lower, tokens_).ids;
  }
  torch::Tensor predict(const torch::Tensor& noisy, const torch::Tensor& timestep, const torch::Tensor& ids) const override {
    const torch::Tensor states = t5_->forward(ids, (ids != T5Tokenizer::kPad).to(torch::kInt64));
    return unet_->forward(noisy, timestep, {states, states});
  }

 private:
  std::int64_t tokens_;
  std::shared_ptr<T5Encoder> t5_;
  std::shared_ptr<UNet> unet_;
  std::optional<T5Tokenizer> tokenizer_;
};

}  // namespace

std::string DemoNetwork::Part::file() const { return config.contains("_class_name") ? "diffusion_pytorch_model.safetensors" : "model.safetensors"; }

std::string DemoNetwork::Part::file_key(const std::string& key) const {
  return is_clip(*this) && !key.starts_with("text_projection") ? "text_model." + key : key;
}

void DemoNetwork::Part::load(const fs::path& model) const {
  LoadOptions options;
  if (is_clip(*this)) options.rename = bare_clip_key;
  load_weights(*module, Weights::find(model / folder), options);
}

void DemoNetwork::initialize(const torch::Generator& generator) {
  for (const auto& part : parts_) glyphscope::initialize(*part.module, generator);
}

std::unique_ptr<DemoNetwork> DemoNetwork::make(const DemoRecipe& recipe, const SignVocabulary& vocabulary) {
  if (recipe.pipeline == "IFPipeline") return std::make_unique<PixelNetwork>(recipe);
  if (recipe.pipeline == "StableDiffusion3Pipeline") return std::make_unique<MmDitNetwork>(recipe, vocabulary);
  return std::make_unique<UNetNetwork>(recipe, vocabulary);
}

}  // namespace glyphscope
