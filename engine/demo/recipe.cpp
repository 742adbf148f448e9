#include "demo/recipe.h"

#include "core/error.h"
#include "io/files.h"
#include "io/json.h"
#include "io/weights.h"

namespace glyphscope {
using nlohmann::ordered_json;

ordered_json DemoRecipe::to_json() const {
  ordered_json out{
      {"schema", "glyphscope.demo-recipe/1"},
      {"name", name},
      {"seed", seed},
      {"signs", signs},
      {"data", data.to_json()},
      {"prompt_tokens", prompt_tokens},
      {"autoencoder",
       {{"config", autoencoder}, {"steps", autoencoder_steps}, {"batch", autoencoder_batch}, {"learning_rate", autoencoder_rate}, {"kl_weight", kl_weight}}},
      {"denoiser",
       {{"config", denoiser},
        {"steps", denoiser_steps},
        {"batch", denoiser_batch},
        {"learning_rate", denoiser_rate},
        {"text_weight", text_weight},
        {"empty_prompt_share", empty_prompt_share}}},
      {"text_encoder", text_encoder},
      {"scheduler", scheduler}};
  out["sampling_steps"] = sampling_steps;
  out["sampling_guidance"] = sampling_guidance;
  if (!t5.is_null()) out["t5"] = t5;
  if (autoencoder.is_null()) out = without_key(out, "autoencoder");
  if (!autoencoder_from.empty())
    out["autoencoder"] = {{"config", autoencoder}, {"sha256", sha256_file(autoencoder_from / "vae" / "diffusion_pytorch_model.safetensors")}};
  if (!init.empty()) out["init"] = read_json(init / "recipe.json");
  return out;
}

namespace {

ordered_json autoencoder_config(bool tiny) {
  return {{"_class_name", "AutoencoderKL"},
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
}

ordered_json clip_config(const char* type, int width, int layers, std::int64_t tokens) {
  return {{"architectures", {type}},     {"dtype", "float32"},       {"model_type", "clip_text_model"},
          {"hidden_act", "quick_gelu"},  {"hidden_size", width},     {"intermediate_size", 4 * width},
          {"num_hidden_layers", layers}, {"num_attention_heads", 4}, {"max_position_embeddings", tokens},
          {"layer_norm_eps", 1e-5},      {"projection_dim", width}};
}

void sign_unet(DemoRecipe& recipe, bool tiny) {
  const int width = tiny ? 16 : 128, groups = tiny ? 4 : 16;
  recipe.pipeline = "StableDiffusionPipeline";
  recipe.text_encoder = clip_config("CLIPTextModel", width, tiny ? 1 : 3, recipe.prompt_tokens);
  recipe.denoiser = {{"_class_name", "UNet2DConditionModel"},
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
}

ordered_json t5_config(int width, int layers) {
  return {{"architectures", {"T5EncoderModel"}},
          {"dtype", "float32"},
          {"model_type", "t5"},
          {"d_model", width},
          {"d_kv", width / 4},
          {"d_ff", 2 * width},
          {"num_layers", layers},
          {"num_heads", 4},
          {"relative_attention_num_buckets", 32},
          {"relative_attention_max_distance", 128},
          {"layer_norm_epsilon", 1e-6},
          {"feed_forward_proj", "gated-gelu"}};
}

void sign_pixel(DemoRecipe& recipe, bool tiny) {
  const int width = tiny ? 32 : 128;  // diffusers norms the prompt in 32 groups
  recipe.pipeline = "IFPipeline";
  recipe.autoencoder = nullptr;
  recipe.prompt_tokens = 24;
  recipe.data = {.shortest = 3, .longest = 3, .text_size = 26, .side = 32};
  recipe.t5 = t5_config(width, tiny ? 1 : 3);
  const std::string simple = "SimpleCrossAttn";
  recipe.denoiser = {{"_class_name", "UNet2DConditionModel"},
                     {"sample_size", 32},
                     {"in_channels", 3},
                     {"out_channels", 6},
                     {"layers_per_block", 1},
                     {"block_out_channels", tiny ? std::vector{8, 8, 16} : std::vector{32, 64, 192}},
                     {"down_block_types", {"ResnetDownsampleBlock2D", simple + "DownBlock2D", simple + "DownBlock2D"}},
                     {"up_block_types", {simple + "UpBlock2D", simple + "UpBlock2D", "ResnetUpsampleBlock2D"}},
                     {"mid_block_type", "UNetMidBlock2DSimpleCrossAttn"},
                     {"encoder_hid_dim", width},
                     {"encoder_hid_dim_type", "text_proj"},
                     {"cross_attention_dim", width},
                     {"cross_attention_norm", "group_norm"},
                     {"addition_embed_type", "text"},
                     {"addition_embed_type_num_heads", 4},
                     {"attention_head_dim", tiny ? 4 : 32},
                     {"resnet_time_scale_shift", "scale_shift"},
                     {"norm_num_groups", tiny ? 4 : 16},
                     {"flip_sin_to_cos", true},
                     {"freq_shift", 0},
                     {"act_fn", "gelu"},
                     {"norm_eps", 1e-5}};
  recipe.scheduler = {{"_class_name", "DDPMScheduler"},
                      {"beta_schedule", "squaredcos_cap_v2"},
                      {"num_train_timesteps", 1000},
                      {"prediction_type", "epsilon"},
                      {"variance_type", "learned_range"},
                      {"thresholding", true},
                      {"dynamic_thresholding_ratio", 0.95},
                      {"sample_max_value", 1.5},
                      {"clip_sample", true}};
  recipe.sampling_steps = 50;
}

void sign_mmdit(DemoRecipe& recipe, bool tiny) {
  const int width = tiny ? 16 : 128, head_width = tiny ? 8 : 44;
  recipe.pipeline = "StableDiffusion3Pipeline";
  recipe.prompt_tokens = 24;
  recipe.autoencoder["shift_factor"] = 0.0;
  // Two layers at least: the pipeline reads the state before the last.
  recipe.text_encoder = clip_config("CLIPTextModelWithProjection", width, 2, recipe.prompt_tokens);
  recipe.t5 = t5_config(width, tiny ? 1 : 2);
  recipe.denoiser = {{"_class_name", "SD3Transformer2DModel"},
                     {"sample_size", 8},
                     {"patch_size", 1},
                     {"in_channels", 8},
                     {"out_channels", 8},
                     {"num_layers", tiny ? 2 : 8},
                     {"num_attention_heads", 4},
                     {"attention_head_dim", head_width},
                     {"joint_attention_dim", width},
                     {"caption_projection_dim", 4 * head_width},
                     {"pooled_projection_dim", width},
                     {"pos_embed_max_size", 8}};
  recipe.scheduler = {{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"num_train_timesteps", 1000}, {"shift", 3.0}};
}

}  // namespace

DemoRecipe demo_recipe(const std::string& name, bool tiny) {
  DemoRecipe recipe;
  recipe.name = name;
  recipe.autoencoder = autoencoder_config(tiny);
  if (name == "sign-unet")
    sign_unet(recipe, tiny);
  else if (name == "sign-mmdit")
    sign_mmdit(recipe, tiny);
  else if (name == "sign-pixel")
    sign_pixel(recipe, tiny);
  else
    reject("there is no demo model '" + name + "'", "", "There are: sign-unet, sign-mmdit, sign-pixel");
  if (tiny) {
    recipe.signs = 64;
    recipe.autoencoder_steps = recipe.denoiser_steps = 6;
    recipe.autoencoder_batch = recipe.denoiser_batch = 4;
    recipe.checkpoint_every = recipe.curve_every = 2;
    recipe.report_seconds = 0;
  }
  return recipe;
}

}  // namespace glyphscope
