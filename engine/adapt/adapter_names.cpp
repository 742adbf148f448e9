#include "adapt/adapter_names.h"

#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "metrics/text_scores.h"
#include "pipelines/original_keys.h"
#include "registry/families.h"

namespace glyphscope {

bool cut_prefix(std::string& text, const std::string& prefix) {
  if (!text.starts_with(prefix)) return false;
  text.erase(0, prefix.size());
  return true;
}
bool cut_suffix(std::string& text, const std::string& suffix) {
  if (!text.ends_with(suffix)) return false;
  text.erase(text.size() - suffix.size());
  return true;
}

AdapterNames::AdapterNames(const torch::nn::Module& denoiser, const SiteTable& table) : layers_(changeable_layers(denoiser)) {
  for (const auto& [path, place] : kohya_places(denoiser, table)) add(place.module, {path, place});
  const auto originals = original_unet_names(denoiser);
  for (const auto& [path, layer] : layers_) {
    known_.push_back(path);
    // Some trainers name layers as diffusers does, with underscores.
    for (const char* prefix : {"lora_unet_", "lora_transformer_", "lycoris_"})
      if (const std::string flat = prefix + underscored(path); !names_.contains(flat)) add(flat, {path, {}});
    const auto [begin, end] = originals.equal_range(path);
    for (auto one = begin; one != end; ++one)
      if (const std::string flat = "lora_unet_" + underscored(one->second); !names_.contains(flat)) add(flat, {path, {}});
  }
  // XLabs' single blocks have q, k and v as one layer, without the rest that the original code has beside them.
  for (const auto& [path, layer] : layers_) {
    const std::string begin = "single_transformer_blocks.";
    if (!path.starts_with(begin) || !path.ends_with(".attn.to_q")) continue;
    const std::string number = path.substr(begin.size(), path.size() - begin.size() - 10);
    const std::int64_t rows = layer->weight.size(0);
    int part = 0;
    for (const char* name : {"to_q", "to_k", "to_v"})
      add("lora_unet_single_blocks_" + number + "_xlabs_qkv",
          {begin + number + ".attn." + name, {"lora_unet_single_blocks_" + number + "_xlabs_qkv", rows * part++, 3 * rows}});
  }
}

AdapterNames::AdapterNames(const torch::nn::Module& encoder) : layers_(changeable_layers(encoder)) {
  for (const auto& [path, layer] : layers_) {
    known_.push_back(path);
    for (const std::string& own : {path, "text_model." + path}) {
      add(own, {path, {}});
      add(underscored(own), {path, {}});
    }
    // diffusers before 0.18.
    std::string old = path;
    for (const auto& [now, then] : {std::pair{".q_proj", ".to_q"}, {".k_proj", ".to_k"}, {".v_proj", ".to_v"}, {".out_proj", ".to_out.0"}})
      if (cut_suffix(old, now)) {
        add("text_model." + old + then, {path, {}});
        break;
      }
  }
}

std::vector<AdapterNames::Target> AdapterNames::find(const std::string& name) const {
  if (layers_.contains(name)) return {{name, {}}};
  std::string own = name;
  if (const size_t processor = own.find(".processor."); processor != std::string::npos) {
    const std::string block = own.substr(0, processor), part = own.substr(processor + 11);
    for (const auto& [theirs, original] : {std::pair{"qkv_lora1", "img_attn.qkv"},
                                           {"proj_lora1", "img_attn.proj"},
                                           {"qkv_lora2", "txt_attn.qkv"},
                                           {"proj_lora2", "txt_attn.proj"},
                                           {"qkv_lora", "xlabs_qkv"},
                                           {"proj_lora", "linear2"}})
      if (part == theirs) own = block + "." + original;
  }
  std::vector<Target> out;
  // The authors' own names, with dots, are kohya's with underscores; a norm's weight may be called its scale.
  for (const std::string& each : {own, "lora_unet_" + underscored(own)})
    for (const char* ending : {"", ".scale", "_scale", ".weight", "_weight"}) {
      std::string cut = each;
      if (*ending && !cut_suffix(cut, ending)) continue;
      const auto [begin, end] = names_.equal_range(cut);
      for (auto one = begin; one != end; ++one) out.push_back(one->second);
      if (!out.empty()) return out;
    }
  return out;
}

void AdapterNames::add(const std::string& name, Target target) {
  names_.emplace(name, std::move(target));
  known_.push_back(name);
}

std::string AdapterNames::nearest(const std::string& name) const {
  std::string best;
  int least = std::numeric_limits<int>::max();
  for (const auto& one : known_)
    if (const int distance = score_text(name, one).edit_distance; distance < least) least = distance, best = one;
  return best;
}

std::string cut_encoder(std::string& name, const std::vector<NamedEncoder>& encoders) {
  const auto nth = [&](bool t5, size_t n) {
    size_t seen = 0;
    for (const auto& one : encoders)
      if (one.t5 == t5 && seen++ == n) return one.component;
    return std::string();
  };
  const auto own = [&](const std::string& component) {
    const bool there = std::any_of(encoders.begin(), encoders.end(), [&](const auto& one) { return one.component == component; });
    return there ? component : std::string();
  };
  // The second of two may be T5, as FLUX's; of a model that has the second alone (SDXL's refiner) it is that.
  const std::string second = encoders.size() > 1 ? encoders[1].component : own("text_encoder_2");
  const std::pair<const char*, std::string> prefixes[] = {{"text_encoder_3.", own("text_encoder_3")},
                                                          {"text_encoder_2.", own("text_encoder_2")},
                                                          {"text_encoder.", own("text_encoder")},
                                                          {"lora_te3_", nth(true, 0)},
                                                          {"lora_te2_", second},
                                                          {"lora_te1_", nth(false, 0)},
                                                          {"lora_te_", nth(false, 0)},
                                                          {"text_encoders.clip_l.transformer.", nth(false, 0)},
                                                          {"text_encoders.clip_g.transformer.", nth(false, 1)},
                                                          {"text_encoders.t5xxl.transformer.", nth(true, 0)},
                                                          {"clip_l.", nth(false, 0)},
                                                          {"clip_g.", nth(false, 1)},
                                                          {"t5xxl.", nth(true, 0)}};
  for (const auto& [prefix, component] : prefixes) {
    if (!cut_prefix(name, prefix)) continue;
    cut_prefix(name, "base_model.model.");
    return component;
  }
  return {};
}

bool is_encoder_name(const std::string& name) {
  return name.starts_with("text_encoder") || name.starts_with("lora_te") || name.starts_with("clip_l.") || name.starts_with("clip_g.") ||
         name.starts_with("t5xxl.");
}

}  // namespace glyphscope
