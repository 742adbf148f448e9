#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "core/option.h"
#include "device/placement.h"
#include "models/flux.h"
#include "pipelines/clip_prompt.h"
#include "pipelines/family.h"
#include "pipelines/kohya_names.h"
#include "pipelines/latent_pipeline.h"
#include "pipelines/original_keys.h"
#include "pipelines/t5_prompt.h"

namespace glyphscope {
namespace {

constexpr std::int64_t kT5Tokens = 512;  // diffusers' max_sequence_length

std::vector<std::string> find_components(const ModelFolder& model) {
  std::vector<std::string> out{"transformer", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler"};
  model.require(out);
  return out;
}

class FluxPipeline : public LatentPipeline {
 public:
  FluxPipeline(const ModelFolder& model, const Opening& opening, std::vector<std::string> components)
      : LatentPipeline(model, opening, even_scheduler(model), std::move(components)),
        clip_(model, "", opening),
        t5_(model, "_2", opening),
        flux_(FluxConfig::parse(model.config("transformer"))) {
    check_fit();
    load(clip_);
    load(t5_);
    load("transformer", flux_);
    load_autoencoder();
    info_.default_steps = 28;
    info_.default_guidance = 3.5;
    info_.methods = {PatchMethod::lockstep};
    constexpr std::int64_t kSampleSize = 128;  // diffusers' default_sample_size
    describe("FLUX.1", flux_.sites(), kSampleSize, 2);
  }

  torch::nn::Module& denoiser_module() override { return flux_; }

 protected:
  Prompt encode(const std::string& prompt, std::int64_t, std::vector<std::string>& notes) const override {
    const torch::Tensor embedding = t5_.encode(prompt, {.most_tokens = kT5Tokens}, notes).to(placement().options());
    std::vector<std::string> unused;  // CLIP's pooled state sums the prompt up: what does not fit it is not lost
    return {embedding, clip_.encode(prompt, 0, unused).pooled};
  }

  std::vector<WordTokens> words(const std::string& prompt) const override { return {t5_.words(prompt, {.most_tokens = kT5Tokens})}; }
  bool guides_by_halves() const override { return false; }
  std::int64_t tokens(const Request& request) const override { return request.width * request.height / (4 * factor() * factor()); }
  Conditioning beside_prompt(const Request& request, bool) const override {
    if (!flux_.config().guidance) return {};
    return {.guidance = torch::full({1}, request.guidance, on_host())};
  }
  void check(const Request& request) const override {
    BatchedPipeline::check(request);
    if (request.negative && !request.negative->empty())
      reject("this model has no negative prompt: it reads its guidance as a number", option(Option::negative));
  }
  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return flux_.forward(latent, timestep, conditioning, taps);
  }

 private:
  void check_fit() const {
    const auto& c = flux_.config();
    check_width(clip_.config().hidden_size, c.pooled_projection_dim, "the pooled prompt");
    check_width(t5_.width(), c.joint_attention_dim, "what T5 writes");
    check_width(autoencoder().latent_channels(), c.latent_channels(), "the autoencoder's latent");
  }

  ClipPrompt clip_;
  T5Prompt t5_;
  Flux flux_;
};

}  // namespace

namespace {

// The original code's keys. Source: diffusers' `convert_flux_transformer_checkpoint_to_diffusers`.
KeyTable flux_keys(const Config&) {
  KeyTable out = {{"final_layer.adaLN_modulation.1.*", {"norm_out.linear.*"}, KeyChange::swap},
                  {"final_layer.linear.*", {"proj_out.*"}},
                  {"img_in.*", {"x_embedder.*"}},
                  {"txt_in.*", {"context_embedder.*"}}};
  for (auto [from, to] : {std::pair{"time_in", "timestep_embedder"}, {"vector_in", "text_embedder"}, {"guidance_in", "guidance_embedder"}}) {
    out.push_back({std::string(from) + ".in_layer.*", {std::string("time_text_embed.") + to + ".linear_1.*"}});
    out.push_back({std::string(from) + ".out_layer.*", {std::string("time_text_embed.") + to + ".linear_2.*"}});
  }
  const std::string two = "double_blocks.#.", ours = "transformer_blocks.#.", one = "single_blocks.#.", ours_one = "single_transformer_blocks.#.";
  out.push_back({two + "img_attn.qkv.*", {ours + "attn.to_q.*", ours + "attn.to_k.*", ours + "attn.to_v.*"}, KeyChange::split});
  out.push_back({two + "txt_attn.qkv.*", {ours + "attn.add_q_proj.*", ours + "attn.add_k_proj.*", ours + "attn.add_v_proj.*"}, KeyChange::split});
  for (auto [from, to] : {std::pair{"img_mod.lin", "norm1.linear"},
                          {"txt_mod.lin", "norm1_context.linear"},
                          {"img_mlp.0", "ff.net.0.proj"},
                          {"img_mlp.2", "ff.net.2"},
                          {"txt_mlp.0", "ff_context.net.0.proj"},
                          {"txt_mlp.2", "ff_context.net.2"},
                          {"img_attn.proj", "attn.to_out.0"},
                          {"txt_attn.proj", "attn.to_add_out"}})
    out.push_back({two + from + ".*", {ours + to + ".*"}});
  for (const char* part : {"query", "key"}) {
    const std::string norm = std::string("norm.") + part + "_norm.", letter = std::string(1, part[0]);
    for (const char* name : {"scale", "weight"}) {
      out.push_back({two + "img_attn." + norm + name, {ours + "attn.norm_" + letter + ".weight"}});
      out.push_back({two + "txt_attn." + norm + name, {ours + "attn.norm_added_" + letter + ".weight"}});
      out.push_back({one + norm + name, {ours_one + "attn.norm_" + letter + ".weight"}});
    }
  }
  out.push_back({one + "modulation.lin.*", {ours_one + "norm.linear.*"}});
  out.push_back({one + "linear1.*",
                 {ours_one + "attn.to_q.*", ours_one + "attn.to_k.*", ours_one + "attn.to_v.*", ours_one + "proj_mlp.*"},
                 KeyChange::split,
                 {1, 1, 1, 4}});
  out.push_back({one + "linear2.*", {ours_one + "proj_out.*"}});
  return out;
}

std::vector<SingleFileLayout> layouts() {
  // T5's tokenizer is in no such file, and too large to ship.
  return {{.models = "FLUX.1",
           .mark = "model.diffusion_model.double_blocks.",
           .places = {{"transformer", "model.diffusion_model.", flux_keys},
                      {"vae", "vae.", autoencoder_keys},
                      {"text_encoder", "text_encoders.clip_l.transformer.", same_keys},
                      {"text_encoder_2", "text_encoders.t5xxl.transformer.", same_keys}}},
          {.models = "FLUX.1's transformer", .mark = "double_blocks.", .places = {{"transformer", "", flux_keys}}}};
}

// A single block's first layer holds q, k, v and, four times as wide, what goes into its feed-forward layer.
const std::vector<KohyaRule> kKohya = {{"transformer_blocks.#.attn.to_q", "double_blocks_#_img_attn_qkv", 0, 3},
                                       {"transformer_blocks.#.attn.to_k", "double_blocks_#_img_attn_qkv", 1, 3},
                                       {"transformer_blocks.#.attn.to_v", "double_blocks_#_img_attn_qkv", 2, 3},
                                       {"transformer_blocks.#.attn.to_out.0", "double_blocks_#_img_attn_proj", 0, 0},
                                       {"transformer_blocks.#.attn.add_q_proj", "double_blocks_#_txt_attn_qkv", 0, 3},
                                       {"transformer_blocks.#.attn.add_k_proj", "double_blocks_#_txt_attn_qkv", 1, 3},
                                       {"transformer_blocks.#.attn.add_v_proj", "double_blocks_#_txt_attn_qkv", 2, 3},
                                       {"transformer_blocks.#.attn.to_add_out", "double_blocks_#_txt_attn_proj", 0, 0},
                                       {"transformer_blocks.#.ff.net.0.proj", "double_blocks_#_img_mlp_0", 0, 0},
                                       {"transformer_blocks.#.ff.net.2", "double_blocks_#_img_mlp_2", 0, 0},
                                       {"transformer_blocks.#.ff_context.net.0.proj", "double_blocks_#_txt_mlp_0", 0, 0},
                                       {"transformer_blocks.#.ff_context.net.2", "double_blocks_#_txt_mlp_2", 0, 0},
                                       {"transformer_blocks.#.norm1.linear", "double_blocks_#_img_mod_lin", 0, 0},
                                       {"transformer_blocks.#.norm1_context.linear", "double_blocks_#_txt_mod_lin", 0, 0},
                                       {"single_transformer_blocks.#.norm.linear", "single_blocks_#_modulation_lin", 0, 0},
                                       {"x_embedder", "img_in", 0, 0},
                                       {"context_embedder", "txt_in", 0, 0},
                                       {"time_text_embed.timestep_embedder.linear_1", "time_in_in_layer", 0, 0},
                                       {"time_text_embed.timestep_embedder.linear_2", "time_in_out_layer", 0, 0},
                                       {"time_text_embed.text_embedder.linear_1", "vector_in_in_layer", 0, 0},
                                       {"time_text_embed.text_embedder.linear_2", "vector_in_out_layer", 0, 0},
                                       {"time_text_embed.guidance_embedder.linear_1", "guidance_in_in_layer", 0, 0},
                                       {"time_text_embed.guidance_embedder.linear_2", "guidance_in_out_layer", 0, 0},
                                       {"norm_out.linear", "final_layer_adaLN_modulation_1", 0, 0},
                                       {"proj_out", "final_layer_linear", 0, 0},
                                       {"single_transformer_blocks.#.attn.to_q", "single_blocks_#_linear1", 0, 7},
                                       {"single_transformer_blocks.#.attn.to_k", "single_blocks_#_linear1", 1, 7},
                                       {"single_transformer_blocks.#.attn.to_v", "single_blocks_#_linear1", 2, 7},
                                       {"single_transformer_blocks.#.proj_mlp", "single_blocks_#_linear1", 3, 7, 4},
                                       {"single_transformer_blocks.#.proj_out", "single_blocks_#_linear2", 0, 0},
                                       {"transformer_blocks.#.attn.norm_q", "double_blocks_#_img_attn_norm_query_norm", 0, 0},
                                       {"transformer_blocks.#.attn.norm_k", "double_blocks_#_img_attn_norm_key_norm", 0, 0},
                                       {"transformer_blocks.#.attn.norm_added_q", "double_blocks_#_txt_attn_norm_query_norm", 0, 0},
                                       {"transformer_blocks.#.attn.norm_added_k", "double_blocks_#_txt_attn_norm_key_norm", 0, 0},
                                       {"single_transformer_blocks.#.attn.norm_q", "single_blocks_#_norm_query_norm", 0, 0},
                                       {"single_transformer_blocks.#.attn.norm_k", "single_blocks_#_norm_key_norm", 0, 0}};

KohyaPlaces kohya_places(const torch::nn::Module& denoiser, const SiteTable&) {
  if (!dynamic_cast<const Flux*>(&denoiser)) return {};
  KohyaPlaces out = renamed_places(denoiser, kKohya);
  out.at("norm_out.linear").swapped = true;  // diffusers has scale before shift, the original code has it the other way round
  return out;
}

}  // namespace

namespace family {

// FLUX.1: CLIP's pooled prompt, T5's tokens, a transformer of two kinds of joint attention, flow matching with a shift that grows with the picture. Guidance
// is a number that the model reads; there is no negative prompt. Source: diffusers `FluxPipeline`.
Family flux() {
  return {.classes = {{.name = "FluxPipeline", .models = "FLUX.1", .reads_pooled_prompt = true, .projects_prompt_by_itself = true},
                      {.name = "FluxImg2ImgPipeline",
                       .models = "the same, saved from its picture-to-picture pipeline",
                       .reads_pooled_prompt = true,
                       .projects_prompt_by_itself = true}},
          .open = [](const ModelFolder& model, const Opening& opening,
                     const Pipeline*) { return std::make_shared<FluxPipeline>(model, opening, find_components(model)); },
          .single_files = layouts(),
          .kohya_places = kohya_places};
}

}  // namespace family

}  // namespace glyphscope
