#include "pipelines/single_file.h"

#include <torch/types.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "core/error.h"

namespace glyphscope {
namespace {

// What becomes of a tensor besides its name.
enum class Change {
  none,
  split,       ///< In equal parts along its first side, one for each of the names.
  swap,        ///< Its halves change places: the authors store shift before scale.
  transpose,   ///< A matrix that the authors multiply from the other side.
  convolution  ///< A 1 x 1 convolution that became a matrix.
};

// A line of a table: names in dots' parts, where `#` stands for a number and a last `*` for all that follows. In `to` they
// stand for the same again.
struct KeyRule {
  std::string from;
  std::vector<std::string> to;  // none: left out
  Change change = Change::none;
};
using Table = std::vector<KeyRule>;

std::vector<std::string> parts_of(const std::string& key) {
  std::vector<std::string> out{""};
  for (char c : key) {
    if (c == '.')
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

struct Match {
  std::vector<std::string> numbers;
  std::string rest;
};

std::optional<Match> match(const std::vector<std::string>& pattern, const std::vector<std::string>& key) {
  Match out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == "*" && i + 1 == pattern.size() && i < key.size()) {
      for (size_t k = i; k < key.size(); ++k) out.rest += (k > i ? "." : "") + key[k];
      return out;
    }
    if (i >= key.size()) return std::nullopt;
    const bool number = !key[i].empty() && std::all_of(key[i].begin(), key[i].end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    if (pattern[i] == "#" && number)
      out.numbers.push_back(key[i]);
    else if (pattern[i] != key[i])
      return std::nullopt;
  }
  if (key.size() != pattern.size()) return std::nullopt;
  return out;
}

std::string fill(const std::string& pattern, const Match& match) {
  std::string out;
  size_t number = 0;
  for (char c : pattern) {
    if (c == '#')
      out += match.numbers.at(number++);
    else if (c == '*')
      out += match.rest;
    else
      out += c;
  }
  return out;
}

// The i-th of `count` tensors that a line makes of one.
torch::Tensor changed(const torch::Tensor& whole, Change change, std::int64_t i, std::int64_t count) {
  switch (change) {
    case Change::split:
      return whole.chunk(count)[static_cast<size_t>(i)];
    case Change::swap:
      return torch::cat({whole.chunk(2)[1], whole.chunk(2)[0]});
    case Change::transpose:
      return whole.dim() == 2 ? whole.t() : whole;
    case Change::convolution:
      return whole.dim() == 4 && whole.size(2) == 1 && whole.size(3) == 1 ? whole.flatten(1) : whole;
    default:
      return whole;
  }
}

// ---- The tables. Source: diffusers loaders/single_file_utils.py, and the authors' repositories it names.

std::string number(size_t n) { return std::to_string(n); }

// Stable Diffusion's U-Net: input_blocks and output_blocks count layers through all blocks.
Table unet_table(const Config& config) {
  Table out = {{"time_embed.0.*", {"time_embedding.linear_1.*"}},
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
  resnet("middle_block.0", "mid_block.resnets.0");
  out.push_back({"middle_block.1.*", {"mid_block.attentions.0.*"}});
  resnet("middle_block.2", "mid_block.resnets.1");
  return out;
}

// The autoencoder: the decoder counts its blocks from the largest picture down.
Table autoencoder_table(const Config& config) {
  Table out;
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
      out.push_back({side + attention + theirs + ".weight", {side + ours + name + ".weight"}, Change::convolution});
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
Table open_clip_table(const Config& config) {
  const std::string theirs = "transformer.resblocks.#.", ours = "encoder.layers.#.", attention = "self_attn.";
  Table out = {{"token_embedding.weight", {"embeddings.token_embedding.weight"}},
               {"positional_embedding", {"embeddings.position_embedding.weight"}},
               {"ln_final.*", {"final_layer_norm.*"}},
               {"logit_scale", {}}};
  for (auto layer = static_cast<size_t>(config.size("num_hidden_layers", 12)); layer < 64; ++layer)
    out.push_back({"transformer.resblocks." + number(layer) + ".*", {}});
  for (const char* kind : {"weight", "bias"}) {
    std::vector<std::string> each;
    for (const char* letter : {"q", "k", "v"}) each.push_back(ours + attention + letter + "_proj." + kind);
    out.push_back({theirs + "attn.in_proj_" + kind, each, Change::split});
  }
  for (auto [from, to] :
       {std::pair{"attn.out_proj", "self_attn.out_proj"}, {"ln_1", "layer_norm1"}, {"ln_2", "layer_norm2"}, {"mlp.c_fc", "mlp.fc1"}, {"mlp.c_proj", "mlp.fc2"}})
    out.push_back({theirs + from + ".*", {ours + to + ".*"}});
  // A text encoder without projection (Stable Diffusion 2's) has no use for it.
  const auto& classes = config.json().value("architectures", nlohmann::json::array());
  const bool projects = classes.is_array() && !classes.empty() && classes[0] == "CLIPTextModelWithProjection";
  out.push_back({"text_projection", projects ? std::vector<std::string>{"text_projection.weight"} : std::vector<std::string>{}, Change::transpose});
  return out;
}

Table as_they_are(const Config&) { return {{"*", {"*"}}}; }

// Stable Diffusion 3's MM-DiT.
Table mmdit_table(const Config& config) {
  const std::string last = "joint_blocks." + std::to_string(config.size("num_layers", 24) - 1) + ".", to_last = "transformer_blocks." + last.substr(13);
  const std::string theirs = "joint_blocks.#.", ours = "transformer_blocks.#.";
  Table out = {{"x_embedder.proj.*", {"pos_embed.proj.*"}},
               {"pos_embed", {"pos_embed.pos_embed"}},
               {"t_embedder.mlp.0.*", {"time_text_embed.timestep_embedder.linear_1.*"}},
               {"t_embedder.mlp.2.*", {"time_text_embed.timestep_embedder.linear_2.*"}},
               {"y_embedder.mlp.0.*", {"time_text_embed.text_embedder.linear_1.*"}},
               {"y_embedder.mlp.2.*", {"time_text_embed.text_embedder.linear_2.*"}},
               {"context_embedder.*", {"context_embedder.*"}},
               {"final_layer.linear.*", {"proj_out.*"}},
               {"final_layer.adaLN_modulation.1.*", {"norm_out.linear.*"}, Change::swap},
               {last + "context_block.adaLN_modulation.1.*", {to_last + "norm1_context.linear.*"}, Change::swap},
               {theirs + "context_block.adaLN_modulation.1.*", {ours + "norm1_context.linear.*"}},
               {theirs + "x_block.adaLN_modulation.1.*", {ours + "norm1.linear.*"}}};
  auto fused = [&](const std::string& from, const std::string& to, const std::string& after) {
    std::vector<std::string> each;
    for (const char* letter : {"q", "k", "v"}) each.push_back(ours + to + letter + after + ".*");
    out.push_back({theirs + from + ".qkv.*", each, Change::split});
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

bool any_key(const SafetensorsFile& file, const std::string& prefix) {
  const auto found = file.entries().lower_bound(prefix);
  return found != file.entries().end() && found->first.starts_with(prefix);
}

}  // namespace

// Where each family's components are in the file.
struct SingleFile::Place {
  const char* component;
  const char* prefix;
  Table (*table)(const Config&);
};
struct SingleFile::Family {
  const char* mark;  // how the keys of one component begin that no family below has
  const char* name;
  std::vector<Place> places;
};

const std::vector<SingleFile::Family>& SingleFile::families() {
  const Place unet{"unet", "model.diffusion_model.", unet_table}, vae{"vae", "first_stage_model.", autoencoder_table};
  static const std::vector<Family> all = {
      {"model.diffusion_model.joint_blocks.",
       "sd3",
       {{"transformer", "model.diffusion_model.", mmdit_table},
        vae,
        {"text_encoder", "text_encoders.clip_l.transformer.", as_they_are},
        {"text_encoder_2", "text_encoders.clip_g.transformer.", as_they_are},
        {"text_encoder_3", "text_encoders.t5xxl.transformer.", as_they_are}}},
      {"conditioner.embedders.1.model.",
       "sdxl",
       {unet,
        vae,
        {"text_encoder", "conditioner.embedders.0.transformer.", as_they_are},
        {"text_encoder_2", "conditioner.embedders.1.model.", open_clip_table}}},
      {"conditioner.embedders.0.model.", "sdxl-refiner", {unet, vae, {"text_encoder_2", "conditioner.embedders.0.model.", open_clip_table}}},
      {"cond_stage_model.model.", "sd2", {unet, vae, {"text_encoder", "cond_stage_model.model.", open_clip_table}}},
      {"cond_stage_model.transformer.", "sd1", {unet, vae, {"text_encoder", "cond_stage_model.transformer.", as_they_are}}}};
  return all;
}

SingleFile::SingleFile(const std::filesystem::path& file) : file_(file) {
  for (const auto& family : families()) {
    if (!any_key(file_, family.mark)) continue;
    family_ = &family;
    configs_ = family.name;
    // Marks that trainers leave in models of XL's keys which are to be sampled otherwise.
    const auto marked = [&](const char* mark) { return configs_ == "sdxl" && file_.entries().contains(mark); };
    for (const char* mark : {"edm_mean", "edm_vpred.sigma_max"})
      if (marked(mark))
        reject(std::string("this model is sampled by the EDM schedule (its file has the key '") + mark + "'), which Glyphscope does not have", file.string(),
               "Use a model of Stable Diffusion XL that predicts noise or v");
    if (marked("v_pred")) scheduler_["prediction_type"] = "v_prediction";
    if (marked("ztsnr")) scheduler_["rescale_betas_zero_snr"] = true;
    if (configs_ == "sd3" && any_key(file_, "model.diffusion_model.joint_blocks.37.")) configs_ = "sd3.5-large";
    if (configs_ == "sd3" && any_key(file_, "model.diffusion_model.joint_blocks.0.x_block.attn2.")) configs_ = "sd3.5-medium";
    return;
  }
  reject("this is no checkpoint of a family that is known", file.string(),
         "Known are whole models of Stable Diffusion 1, 2, XL and 3 in their authors' keys; a file of weights alone belongs into a diffusers folder");
}

const SingleFile::Place* SingleFile::find(const std::string& component) const {
  for (const auto& place : family_->places)
    if (component == place.component && any_key(file_, place.prefix)) return &place;
  return nullptr;
}

bool SingleFile::has(const std::string& component) const { return find(component) != nullptr; }

Weights SingleFile::weights(const std::string& component, const Config& config) const {
  const Place* place = find(component);
  if (place == nullptr) reject("the checkpoint holds no " + component, path().string(), "Use a file that holds the whole model");
  const std::string begin = place->prefix;
  const Table table = place->table(config);
  std::vector<std::vector<std::string>> patterns;
  for (const auto& rule : table) patterns.push_back(parts_of(rule.from));

  std::map<std::string, Weights::Entry> out;
  for (auto entry = file_.entries().lower_bound(begin); entry != file_.entries().end() && entry->first.starts_with(begin); ++entry) {
    const auto parts = parts_of(entry->first.substr(begin.size()));
    std::optional<Match> found;
    size_t number = 0;
    while (number < table.size() && !(found = match(patterns[number], parts))) ++number;
    const auto read = [file = file_, key = entry->first] { return file.tensor(key); };
    const torch::Tensor shape = torch::empty(entry->second.shape, torch::kMeta);
    auto add = [&](const std::string& name, const torch::Tensor& of, std::function<torch::Tensor()> tensor) {
      out[name] = {of.sizes().vec(), entry->second.dtype, std::move(tensor)};
    };
    if (!found) {
      add(entry->first.substr(begin.size()), shape, read);  // load_weights() lists it among those that nothing asks for
      continue;
    }
    const KeyRule& rule = table[number];
    const auto count = static_cast<std::int64_t>(rule.to.size());
    const std::int64_t divisor = rule.change == Change::split ? std::max<std::int64_t>(count, 1) : rule.change == Change::swap ? 2 : 1;
    if (divisor > 1 && (shape.dim() == 0 || shape.size(0) % divisor != 0))
      reject("'" + entry->first + "' is " + c10::str(shape.sizes()) + ", which cannot be divided", path().string(), "The file is damaged");
    for (std::int64_t i = 0; i < count; ++i) {
      const auto part = [change = rule.change, i, count](const torch::Tensor& whole) { return changed(whole, change, i, count); };
      add(fill(rule.to[static_cast<size_t>(i)], *found), part(shape), [read, part] { return part(read()); });
    }
  }
  // Stable Diffusion 3's file has CLIP-L as other models use it, without the projection that its pooled state would go through.
  const auto& classes = config.json().value("architectures", nlohmann::json::array());
  if (classes.is_array() && !classes.empty() && classes[0] == "CLIPTextModelWithProjection" && !out.contains("text_projection.weight")) {
    const std::int64_t width = config.size("hidden_size", 768);
    out["text_projection.weight"] = {{width, width}, torch::kFloat32, [width] { return torch::eye(width); }};
  }
  return {std::move(out), path()};
}

}  // namespace glyphscope
