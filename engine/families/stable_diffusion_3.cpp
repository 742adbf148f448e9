#include <torch/types.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/option.h"
#include "models/mmdit.h"
#include "pipelines/clip_prompt.h"
#include "pipelines/family.h"
#include "pipelines/kohya_names.h"
#include "pipelines/latent_pipeline.h"
#include "pipelines/original_keys.h"
#include "pipelines/t5_prompt.h"

namespace glyphscope {
namespace {

constexpr std::int64_t kClipTokens = 77;  // where there is no CLIP
constexpr std::int64_t kT5Tokens = 256;   // diffusers' max_sequence_length; published tokenizers allow more

// Any text encoder may be left out. So is one without a tokenizer, as T5 is in a single file.
std::vector<std::string> find_components(const ModelFolder& model) {
  std::vector<std::string> out{"transformer", "vae"};
  for (const std::string number : {"", "_2", "_3"})
    if (model.has("text_encoder" + number) && model.has("tokenizer" + number))
      for (const char* part : {"text_encoder", "tokenizer"}) out.push_back(part + number);
  out.push_back("scheduler");
  model.require(out);
  return out;
}

class StableDiffusion3 : public LatentPipeline {
 public:
  StableDiffusion3(const ModelFolder& model, const Opening& opening, std::vector<std::string> components)
      : LatentPipeline(model, opening, model.scheduler(), std::move(components)), mmdit_(MmDitConfig::parse(model.config("transformer"))) {
    if (has_component("text_encoder")) clip_.emplace(model, "", opening);
    if (has_component("text_encoder_2")) open_clip_.emplace(model, "_2", opening);
    if (has_component("text_encoder_3")) t5_.emplace(model, "_3", opening);
    t5_unread_ = model.has("text_encoder_3") && !t5_;
    if (!clip_ && !open_clip_ && !t5_)
      reject("the model has no text encoder", model.source(),
             "Of a file that holds none, " + option(Option::config) + " names a diffusers folder that has them");
    check_fit(model);
    for (auto* encoder : {&clip_, &open_clip_})
      if (*encoder) load(**encoder);
    if (t5_) load(*t5_);
    load("transformer", mmdit_);
    load_autoencoder();
    info_.default_steps = 28;
    info_.default_guidance = 7.0;
    info_.methods = {PatchMethod::lockstep};
    describe("Stable Diffusion 3", mmdit_.sites(), mmdit_.config().sample_size, mmdit_.config().patch_size);
  }

  torch::nn::Module& denoiser_module() override { return mmdit_; }

 protected:
  // Both CLIPs' states side by side, filled up with zeros to T5's width; T5's tokens after theirs. What an absent encoder would
  // say is zeros: for T5 as in diffusers; for a CLIP, which diffusers cannot do without, with a note.
  Prompt encode(const std::string& prompt, std::int64_t clip_skip, std::vector<std::string>& notes) const override {
    const TextEncoding first = encode_clip(clip_, open_clip_, prompt, clip_skip, notes), second = encode_clip(open_clip_, clip_, prompt, clip_skip, notes);
    const std::int64_t width = mmdit_.config().joint_attention_dim;
    const torch::Tensor clip = torch::cat({first.hidden, second.hidden}, -1);
    torch::Tensor long_text = torch::zeros({1, kT5Tokens, width}, placement().options());
    if (t5_) long_text = t5_->encode(prompt, {.most_tokens = kT5Tokens}, notes).to(placement().options());
    const std::string unread =
        "T5 is in the checkpoint, its tokenizer is not: its part of the prompt is zeros. " + option(Option::config) + " names a folder that has both.";
    if (t5_unread_ && std::find(notes.begin(), notes.end(), unread) == notes.end()) notes.push_back(unread);
    return {torch::cat({torch::constant_pad_nd(clip, {0, width - clip.size(-1)}), long_text}, 1), torch::cat({first.pooled, second.pooled}, -1)};
  }

  std::vector<WordTokens> words(const std::string& prompt) const override {
    const auto& clip = clip_ ? clip_ : open_clip_;
    std::vector<WordTokens> out;
    if (clip) out.push_back(clip->words(prompt));
    if (t5_) out.push_back(t5_->words(prompt, {.most_tokens = kT5Tokens}, clip ? clip->length() : kClipTokens));
    return out;
  }

  std::int64_t tokens(const Request& request) const override {
    const std::int64_t side = factor() * mmdit_.config().patch_size;
    return request.width * request.height / (side * side);
  }

  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return mmdit_.forward(latent, timestep, conditioning, taps);
  }

 private:
  TextEncoding encode_clip(const std::optional<ClipPrompt>& encoder, const std::optional<ClipPrompt>& other, const std::string& prompt, std::int64_t clip_skip,
                           std::vector<std::string>& notes) const {
    if (encoder) return encoder->encode(prompt, clip_skip + 1, notes);
    // Published CLIPs project to as many numbers as they are wide. With both missing it matters not how they would share.
    const std::int64_t width = other ? mmdit_.config().pooled_projection_dim - other->config().projection : mmdit_.config().pooled_projection_dim;
    const std::int64_t tokens = other ? other->length() : kClipTokens;
    const bool half = !other && &encoder == &clip_;
    const std::string note = "A CLIP text encoder is missing: its part of the prompt is zeros.";
    // A model may be made for one CLIP: then nothing of the prompt is missing.
    if (width > 0 && std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
    return {{}, torch::zeros({1, tokens, half ? 0 : width}, placement().options()), torch::zeros({1, half ? 0 : width}, placement().options())};
  }

  void check_fit(const ModelFolder& model) const {
    const auto& c = mmdit_.config();
    auto fit = [&](std::int64_t writes, std::int64_t reads, const std::string& what) {
      if (writes != reads)
        reject(what + " is " + std::to_string(writes) + " wide, the transformer reads " + std::to_string(reads), model.folder().string(),
               "The components belong to different models");
    };
    std::int64_t pooled = 0, width = 0;
    for (const auto* encoder : {&clip_, &open_clip_}) {
      if (!*encoder) continue;
      pooled += (*encoder)->config().projection;
      width += (*encoder)->config().hidden_size;
    }
    if ((clip_ && open_clip_) || pooled > c.pooled_projection_dim) fit(pooled, c.pooled_projection_dim, "the pooled prompt");
    if (t5_) fit(t5_->width(), c.joint_attention_dim, "what T5 writes");
    if (width > c.joint_attention_dim) fit(width, c.joint_attention_dim, "what the CLIP encoders write");
    if (autoencoder().latent_channels() != c.in_channels || c.in_channels != c.out_channels)
      reject(
          "the autoencoder has " + std::to_string(autoencoder().latent_channels()) + " latent channels, the transformer reads " + std::to_string(c.in_channels),
          model.folder().string(), "vae and transformer belong to different models");
  }

  std::optional<ClipPrompt> clip_, open_clip_;
  std::optional<T5Prompt> t5_;
  bool t5_unread_ = false;
  MmDit mmdit_;
};

}  // namespace

namespace {

// Stable Diffusion 3's MM-DiT.
KeyTable mmdit_keys(const Config& config) {
  const std::string last = "joint_blocks." + std::to_string(config.size("num_layers", 24) - 1) + ".", to_last = "transformer_blocks." + last.substr(13);
  const std::string theirs = "joint_blocks.#.", ours = "transformer_blocks.#.";
  KeyTable out = {{"x_embedder.proj.*", {"pos_embed.proj.*"}},
                  {"pos_embed", {"pos_embed.pos_embed"}},
                  {"t_embedder.mlp.0.*", {"time_text_embed.timestep_embedder.linear_1.*"}},
                  {"t_embedder.mlp.2.*", {"time_text_embed.timestep_embedder.linear_2.*"}},
                  {"y_embedder.mlp.0.*", {"time_text_embed.text_embedder.linear_1.*"}},
                  {"y_embedder.mlp.2.*", {"time_text_embed.text_embedder.linear_2.*"}},
                  {"context_embedder.*", {"context_embedder.*"}},
                  {"final_layer.linear.*", {"proj_out.*"}},
                  {"final_layer.adaLN_modulation.1.*", {"norm_out.linear.*"}, KeyChange::swap},
                  {last + "context_block.adaLN_modulation.1.*", {to_last + "norm1_context.linear.*"}, KeyChange::swap},
                  {theirs + "context_block.adaLN_modulation.1.*", {ours + "norm1_context.linear.*"}},
                  {theirs + "x_block.adaLN_modulation.1.*", {ours + "norm1.linear.*"}}};
  auto fused = [&](const std::string& from, const std::string& to, const std::string& after) {
    std::vector<std::string> each;
    for (const char* letter : {"q", "k", "v"}) each.push_back(ours + to + letter + after + ".*");
    out.push_back({theirs + from + ".qkv.*", each, KeyChange::split});
  };
  fused("x_block.attn", "attn.to_", "");
  fused("x_block.attn2", "attn2.to_", "");
  fused("context_block.attn", "attn.add_", "_proj");
  for (auto [from, to] : {std::pair{"x_block.attn.proj", "attn.to_out.0"},
                          {"x_block.attn2.proj", "attn2.to_out.0"},
                          {"context_block.attn.proj", "attn.to_add_out"},
                          {"x_block.attn.ln_q", "attn.norm_q"},
                          {"x_block.attn.ln_k", "attn.norm_k"},
                          {"x_block.attn2.ln_q", "attn2.norm_q"},
                          {"x_block.attn2.ln_k", "attn2.norm_k"},
                          {"context_block.attn.ln_q", "attn.norm_added_q"},
                          {"context_block.attn.ln_k", "attn.norm_added_k"},
                          {"x_block.mlp.fc1", "ff.net.0.proj"},
                          {"x_block.mlp.fc2", "ff.net.2"},
                          {"context_block.mlp.fc1", "ff_context.net.0.proj"},
                          {"context_block.mlp.fc2", "ff_context.net.2"}})
    out.push_back({theirs + from + ".*", {ours + to + ".*"}});
  return out;
}

std::vector<SingleFileLayout> layouts() {
  const auto configs = [](const Weights& file) {
    const std::string blocks = "model.diffusion_model.joint_blocks.";
    return any_key(file, blocks + "37.") ? "sd3.5-large" : any_key(file, blocks + "0.x_block.attn2.") ? "sd3.5-medium" : "sd3";
  };
  return {{.models = "Stable Diffusion 3 and 3.5",
           .mark = "model.diffusion_model.joint_blocks.",
           .configs = configs,
           .places = {{"transformer", "model.diffusion_model.", mmdit_keys},
                      {"vae", "first_stage_model.", autoencoder_keys},
                      {"text_encoder", "text_encoders.clip_l.transformer.", same_keys},
                      {"text_encoder_2", "text_encoders.clip_g.transformer.", same_keys},
                      {"text_encoder_3", "text_encoders.t5xxl.transformer.", same_keys}}},
          {.models = "Stable Diffusion 3's transformer", .mark = "joint_blocks.", .places = {{"transformer", "", mmdit_keys}}}};
}

const std::vector<KohyaRule> kKohya = {{"transformer_blocks.#.attn.to_q", "joint_blocks_#_x_block_attn_qkv", 0, 3},
                                       {"transformer_blocks.#.attn.to_k", "joint_blocks_#_x_block_attn_qkv", 1, 3},
                                       {"transformer_blocks.#.attn.to_v", "joint_blocks_#_x_block_attn_qkv", 2, 3},
                                       {"transformer_blocks.#.attn.to_out.0", "joint_blocks_#_x_block_attn_proj", 0, 0},
                                       {"transformer_blocks.#.attn2.to_q", "joint_blocks_#_x_block_attn2_qkv", 0, 3},
                                       {"transformer_blocks.#.attn2.to_k", "joint_blocks_#_x_block_attn2_qkv", 1, 3},
                                       {"transformer_blocks.#.attn2.to_v", "joint_blocks_#_x_block_attn2_qkv", 2, 3},
                                       {"transformer_blocks.#.attn2.to_out.0", "joint_blocks_#_x_block_attn2_proj", 0, 0},
                                       {"transformer_blocks.#.attn.add_q_proj", "joint_blocks_#_context_block_attn_qkv", 0, 3},
                                       {"transformer_blocks.#.attn.add_k_proj", "joint_blocks_#_context_block_attn_qkv", 1, 3},
                                       {"transformer_blocks.#.attn.add_v_proj", "joint_blocks_#_context_block_attn_qkv", 2, 3},
                                       {"transformer_blocks.#.attn.to_add_out", "joint_blocks_#_context_block_attn_proj", 0, 0},
                                       {"transformer_blocks.#.ff.net.0.proj", "joint_blocks_#_x_block_mlp_fc1", 0, 0},
                                       {"transformer_blocks.#.ff.net.2", "joint_blocks_#_x_block_mlp_fc2", 0, 0},
                                       {"transformer_blocks.#.ff_context.net.0.proj", "joint_blocks_#_context_block_mlp_fc1", 0, 0},
                                       {"transformer_blocks.#.ff_context.net.2", "joint_blocks_#_context_block_mlp_fc2", 0, 0},
                                       {"transformer_blocks.#.norm1.linear", "joint_blocks_#_x_block_adaLN_modulation_1", 0, 0},
                                       {"transformer_blocks.#.norm1_context.linear", "joint_blocks_#_context_block_adaLN_modulation_1", 0, 0},
                                       {"pos_embed.proj", "x_embedder_proj", 0, 0},
                                       {"time_text_embed.timestep_embedder.linear_1", "t_embedder_mlp_0", 0, 0},
                                       {"time_text_embed.timestep_embedder.linear_2", "t_embedder_mlp_2", 0, 0},
                                       {"time_text_embed.text_embedder.linear_1", "y_embedder_mlp_0", 0, 0},
                                       {"time_text_embed.text_embedder.linear_2", "y_embedder_mlp_2", 0, 0},
                                       {"context_embedder", "context_embedder", 0, 0},
                                       {"norm_out.linear", "final_layer_adaLN_modulation_1", 0, 0},
                                       {"proj_out", "final_layer_linear", 0, 0}};

KohyaPlaces kohya_places(const torch::nn::Module& denoiser, const SiteTable& table) {
  if (!dynamic_cast<const MmDit*>(&denoiser)) return {};
  KohyaPlaces out = renamed_places(denoiser, kKohya);
  // Where diffusers has scale before shift, the original code has it the other way round.
  const std::string last_block = table.sites.back().path.substr(0, table.sites.back().path.rfind('.'));
  if (auto last = out.find(last_block + ".norm1_context.linear"); last != out.end()) last->second.swapped = true;
  if (auto last = out.find("norm_out.linear"); last != out.end()) last->second.swapped = true;
  return out;
}

}  // namespace

namespace family {

// Stable Diffusion 3 and 3.5: two CLIP encoders and T5, MM-DiT, 16-channel autoencoder, flow matching. Source: diffusers `StableDiffusion3Pipeline`. An absent
// T5 reads as zeros, as in diffusers; so does an absent CLIP, with a note.
Family stable_diffusion_3() {
  return {
      .classes = {{.name = "StableDiffusion3Pipeline", .models = "Stable Diffusion 3 and 3.5", .reads_pooled_prompt = true, .projects_prompt_by_itself = true},
                  {.name = "StableDiffusion3Img2ImgPipeline",
                   .models = "the same, saved from its picture-to-picture pipeline",
                   .reads_pooled_prompt = true,
                   .projects_prompt_by_itself = true}},
      .open = [](const ModelFolder& model, const Opening& opening,
                 const Pipeline*) { return std::make_shared<StableDiffusion3>(model, opening, find_components(model)); },
      .single_files = layouts(),
      .kohya_places = kohya_places};
}

}  // namespace family

}  // namespace glyphscope
