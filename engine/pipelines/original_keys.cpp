#include "pipelines/original_keys.h"

#include "models/layers.h"
#include "models/unet.h"

namespace glyphscope {
namespace {

std::string number(size_t n) { return std::to_string(n); }

}  // namespace

// Stable Diffusion's U-Net: input_blocks and output_blocks count layers through all blocks.
KeyTable unet_keys(const Config& config) {
  KeyTable out = {{"time_embed.0.*", {"time_embedding.linear_1.*"}},
                  {"time_embed.2.*", {"time_embedding.linear_2.*"}},
                  {"label_emb.0.0.*", {"add_embedding.linear_1.*"}},
                  {"label_emb.0.2.*", {"add_embedding.linear_2.*"}},
                  {"input_blocks.0.0.*", {"conv_in.*"}},
                  {"out.0.*", {"conv_norm_out.*"}},
                  {"out.2.*", {"conv_out.*"}}};
  auto resnet = [&](const std::string& from, const std::string& to) {
    for (auto [theirs, ours] : {std::pair{"in_layers.0", "norm1"},
                                {"in_layers.2", "conv1"},
                                {"emb_layers.1", "time_emb_proj"},
                                {"out_layers.0", "norm2"},
                                {"out_layers.3", "conv2"},
                                {"skip_connection", "conv_shortcut"}})
      out.push_back({from + "." + theirs + ".*", {to + "." + ours + ".*"}});
  };
  const size_t blocks = config.texts("down_block_types").size();
  const auto layers = static_cast<size_t>(config.integers("layers_per_block", 1, 2).front());
  for (size_t block = 0; block < blocks; ++block) {
    const std::string down = "down_blocks." + number(block), up = "up_blocks." + number(block);
    for (size_t layer = 0; layer <= layers; ++layer) {
      const std::string in = "input_blocks." + number(1 + block * (layers + 1) + layer), back = "output_blocks." + number(block * (layers + 1) + layer);
      out.push_back({in + ".0.op.*", {down + ".downsamplers.0.conv.*"}});
      resnet(in + ".0", down + ".resnets." + number(layer));
      out.push_back({in + ".1.*", {down + ".attentions." + number(layer) + ".*"}});
      resnet(back + ".0", up + ".resnets." + number(layer));
      for (const char* place : {".1", ".2"}) out.push_back({back + place + ".conv.*", {up + ".upsamplers.0.conv.*"}});
      out.push_back({back + ".1.*", {up + ".attentions." + number(layer) + ".*"}});
    }
  }
  out.push_back({"time_embed.cond_proj.*", {"time_embedding.cond_proj.*"}});
  resnet("middle_block.0", "mid_block.resnets.0");
  out.push_back({"middle_block.1.*", {"mid_block.attentions.0.*"}});
  resnet("middle_block.2", "mid_block.resnets.1");
  return out;
}

std::multimap<std::string, std::string> original_unet_names(const torch::nn::Module& denoiser) {
  const auto* unet = dynamic_cast<const UNet*>(&denoiser);
  if (!unet || unet->config().added_kv) return {};
  nlohmann::json config{{"down_block_types", std::vector<std::string>(unet->config().block_out_channels.size())},
                        {"layers_per_block", unet->config().layers_per_block.front()}};
  const KeyTable table = unet_keys(Config(config, "U-Net"));
  const auto without_star = [](const std::string& name) { return name.substr(0, name.size() - 2); };
  std::multimap<std::string, std::string> out;
  const auto layers = changeable_layers(denoiser);
  for (const auto& [path, layer] : layers)
    for (const auto& rule : table) {
      const std::string ours = without_star(rule.to.front());
      // An upsampler comes after the block's attention, where it has one.
      if (const size_t up = ours.find(".upsamplers."); up != std::string::npos && ours.ends_with("upsamplers.0.conv")) {
        const bool attends = layers.lower_bound(ours.substr(0, up) + ".attentions.") != layers.end() &&
                             layers.lower_bound(ours.substr(0, up) + ".attentions.")->first.starts_with(ours.substr(0, up) + ".attentions.");
        if (rule.from.ends_with(attends ? ".1.conv.*" : ".2.conv.*")) continue;
      }
      if (path == ours || path.starts_with(ours + ".")) out.emplace(path, without_star(rule.from) + path.substr(ours.size()));
    }
  return out;
}

// The autoencoder: the decoder counts its blocks from the largest picture down.
KeyTable autoencoder_keys(const Config& config) {
  KeyTable out;
  const size_t blocks = config.texts("down_block_types").size();
  for (const std::string side : {"encoder.", "decoder."}) {
    auto resnet = [&](const std::string& from, const std::string& to) {
      out.push_back({side + from + ".nin_shortcut.*", {side + to + ".conv_shortcut.*"}});
      out.push_back({side + from + ".*", {side + to + ".*"}});
    };
    resnet("mid.block_1", "mid_block.resnets.0");
    resnet("mid.block_2", "mid_block.resnets.1");
    const std::string attention = "mid.attn_1.", ours = "mid_block.attentions.0.";
    out.push_back({side + attention + "norm.*", {side + ours + "group_norm.*"}});
    for (auto [theirs, name] : {std::pair{"q", "to_q"}, {"k", "to_k"}, {"v", "to_v"}, {"proj_out", "to_out.0"}}) {
      out.push_back({side + attention + theirs + ".weight", {side + ours + name + ".weight"}, KeyChange::convolution});
      out.push_back({side + attention + theirs + ".bias", {side + ours + name + ".bias"}});
    }
    for (size_t block = 0; block < blocks; ++block) {
      const bool down = side == "encoder.";
      const std::string from = (down ? "down." : "up.") + number(block) + ".";
      const std::string to = (down ? "down_blocks." + number(block) : "up_blocks." + number(blocks - 1 - block)) + ".";
      out.push_back({side + from + "block.#.nin_shortcut.*", {side + to + "resnets.#.conv_shortcut.*"}});
      out.push_back({side + from + "block.#.*", {side + to + "resnets.#.*"}});
      if (down) out.push_back({side + from + "downsample.conv.*", {side + to + "downsamplers.0.conv.*"}});
      if (!down) out.push_back({side + from + "upsample.conv.*", {side + to + "upsamplers.0.conv.*"}});
    }
    out.push_back({side + "norm_out.*", {side + "conv_norm_out.*"}});
    for (const char* same : {"conv_in.*", "conv_out.*"}) out.push_back({side + same, {side + same}});
  }
  for (const char* same : {"quant_conv.*", "post_quant_conv.*"}) out.push_back({same, {same}});
  return out;
}

// OpenCLIP's text encoders. Layers that the configuration does not count are left out: Stable Diffusion 2 uses the state before
// the last, so its authors' file has one more.
KeyTable open_clip_keys(const Config& config) {
  const std::string theirs = "transformer.resblocks.#.", ours = "encoder.layers.#.", attention = "self_attn.";
  KeyTable out = {{"token_embedding.weight", {"embeddings.token_embedding.weight"}},
                  {"positional_embedding", {"embeddings.position_embedding.weight"}},
                  {"ln_final.*", {"final_layer_norm.*"}},
                  {"logit_scale", {}}};
  for (auto layer = static_cast<size_t>(config.size("num_hidden_layers", 12)); layer < 64; ++layer)
    out.push_back({"transformer.resblocks." + number(layer) + ".*", {}});
  for (const char* kind : {"weight", "bias"}) {
    std::vector<std::string> each;
    for (const char* letter : {"q", "k", "v"}) each.push_back(ours + attention + letter + "_proj." + kind);
    out.push_back({theirs + "attn.in_proj_" + kind, each, KeyChange::split});
  }
  for (auto [from, to] :
       {std::pair{"attn.out_proj", "self_attn.out_proj"}, {"ln_1", "layer_norm1"}, {"ln_2", "layer_norm2"}, {"mlp.c_fc", "mlp.fc1"}, {"mlp.c_proj", "mlp.fc2"}})
    out.push_back({theirs + from + ".*", {ours + to + ".*"}});
  // A text encoder without projection (Stable Diffusion 2's) has no use for it.
  const auto& classes = config.json().value("architectures", nlohmann::json::array());
  const bool projects = classes.is_array() && !classes.empty() && classes[0] == "CLIPTextModelWithProjection";
  out.push_back({"text_projection", projects ? std::vector<std::string>{"text_projection.weight"} : std::vector<std::string>{}, KeyChange::transpose});
  return out;
}

KeyTable same_keys(const Config&) { return {{"*", {"*"}}}; }

}  // namespace glyphscope
