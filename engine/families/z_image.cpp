#include <torch/types.h>

#include "core/error.h"
#include "core/option.h"
#include "device/placement.h"
#include "models/z_image.h"
#include "pipelines/chat_prompt.h"
#include "pipelines/family.h"
#include "pipelines/kohya_names.h"
#include "pipelines/latent_pipeline.h"
#include "pipelines/original_keys.h"

namespace glyphscope {
namespace {

std::vector<std::string> find_components(const ModelFolder& model) {
  std::vector<std::string> out{"transformer", "vae", "text_encoder", "tokenizer", "scheduler"};
  model.require(out);
  return out;
}

// What Qwen3's template makes of one message that may be thought about. Source: diffusers `ZImagePipeline._encode_prompt`.
ChatPrompt::Options reads() {
  return {
      .turn = {.before = "<|im_start|>user\n", .after = "<|im_end|>\n<|im_start|>assistant\n"}, .most_tokens = 512, .rows = ZImage::kTokens, .layers_left = 1};
}

class ZImagePipeline : public LatentPipeline {
 public:
  ZImagePipeline(const ModelFolder& model, const Opening& opening, std::vector<std::string> components)
      : LatentPipeline(model, opening, even_scheduler(model), std::move(components)),
        text_(model, opening, reads()),
        transformer_(ZImageConfig::parse(model.config("transformer"))) {
    check_width(text_.width(), transformer_.config().caption_width, "what the text encoder writes");
    check_width(autoencoder().latent_channels(), transformer_.config().channels, "the autoencoder's latent");
    load(text_);
    load("transformer", transformer_);
    load_autoencoder();
    info_.default_steps = 50;
    info_.default_guidance = 5;
    info_.no_guidance = 0;
    info_.methods = {PatchMethod::lockstep};
    constexpr std::int64_t kSampleSize = 128;  // 1024 pixels
    describe("Z-Image", transformer_.sites(), kSampleSize, 2);
  }

  torch::nn::Module& denoiser_module() override { return transformer_; }

 protected:
  Prompt encode(const std::string& prompt, std::int64_t, std::vector<std::string>& notes) const override {
    const ChatPrompt::States states = text_.encode(prompt, notes);
    return {states.embedding.to(placement().options()), {}, states.mask.to(placement().device)};
  }
  std::vector<WordTokens> words(const std::string& prompt) const override { return {text_.words(prompt)}; }
  std::int64_t tokens(const Request& request) const override { return request.width * request.height / (4 * factor() * factor()); }
  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return transformer_.forward(latent, timestep, conditioning, taps);
  }

 private:
  ChatPrompt text_;
  ZImage transformer_;
};

// The original code's keys. Source: diffusers' `convert_z_image_transformer_checkpoint_to_diffusers`.
KeyTable transformer_keys(const Config&) {
  KeyTable out = {{"x_embedder.*", {"all_x_embedder.2-1.*"}}, {"final_layer.*", {"all_final_layer.2-1.*"}}, {"norm_final.weight", {}}};
  for (const std::string list : {"noise_refiner", "context_refiner", "layers"}) {
    const std::string attention = list + ".#.attention.";
    out.push_back({attention + "qkv.*", {attention + "to_q.*", attention + "to_k.*", attention + "to_v.*"}, KeyChange::split});
    out.push_back({attention + "out.*", {attention + "to_out.0.*"}});
    out.push_back({attention + "q_norm.*", {attention + "norm_q.*"}});
    out.push_back({attention + "k_norm.*", {attention + "norm_k.*"}});
  }
  out.push_back({"*", {"*"}});
  return out;
}

std::vector<SingleFileLayout> layouts() {
  // The tokenizer is in no such file, and too large to ship.
  const std::string whole = "model.diffusion_model.";
  return {{.models = "Z-Image",
           .mark = whole + "cap_pad_token",
           .places = {{"transformer", whole, transformer_keys},
                      {"vae", "vae.", autoencoder_keys},
                      {"text_encoder", "text_encoders.qwen3_4b.transformer.", same_keys}}},
          {.models = "Z-Image's transformer", .mark = "cap_pad_token", .places = {{"transformer", "", transformer_keys}}}};
}

// Trainers name layers as diffusers does, or as the original code does, whose layers make Q, K and V in one.
const std::vector<KohyaRule> kKohya = {{"noise_refiner.#.attention.to_q", "noise_refiner_#_attention_qkv", 0, 3},
                                       {"noise_refiner.#.attention.to_k", "noise_refiner_#_attention_qkv", 1, 3},
                                       {"noise_refiner.#.attention.to_v", "noise_refiner_#_attention_qkv", 2, 3},
                                       {"noise_refiner.#.attention.to_out.0", "noise_refiner_#_attention_out", 0, 0},
                                       {"context_refiner.#.attention.to_q", "context_refiner_#_attention_qkv", 0, 3},
                                       {"context_refiner.#.attention.to_k", "context_refiner_#_attention_qkv", 1, 3},
                                       {"context_refiner.#.attention.to_v", "context_refiner_#_attention_qkv", 2, 3},
                                       {"context_refiner.#.attention.to_out.0", "context_refiner_#_attention_out", 0, 0},
                                       {"layers.#.attention.to_q", "layers_#_attention_qkv", 0, 3},
                                       {"layers.#.attention.to_k", "layers_#_attention_qkv", 1, 3},
                                       {"layers.#.attention.to_v", "layers_#_attention_qkv", 2, 3},
                                       {"layers.#.attention.to_out.0", "layers_#_attention_out", 0, 0},
                                       {"all_x_embedder.2-1", "x_embedder", 0, 0},
                                       {"all_final_layer.2-1.linear", "final_layer_linear", 0, 0},
                                       {"all_final_layer.2-1.adaLN_modulation.1", "final_layer_adaLN_modulation_1", 0, 0}};

KohyaPlaces kohya_places(const torch::nn::Module& denoiser, const SiteTable&) {
  return dynamic_cast<const ZImage*>(&denoiser) ? renamed_places(denoiser, kKohya) : KohyaPlaces();
}

}  // namespace

namespace family {

// Z-Image and Z-Image Turbo: a language model reads the prompt, a transformer of one stream draws by flow matching. Guidance counts from 0, where there is
// none. Source: diffusers `ZImagePipeline`.
Family z_image() {
  return {.classes = {{.name = "ZImagePipeline", .models = "Z-Image and Z-Image Turbo"}},
          .open = [](const ModelFolder& model, const Opening& opening,
                     const Pipeline*) { return std::make_shared<ZImagePipeline>(model, opening, find_components(model)); },
          .single_files = layouts(),
          .kohya_places = kohya_places};
}

}  // namespace family

}  // namespace glyphscope
