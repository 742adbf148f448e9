#include "adapt/lora_file.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "adapt/adapter_names.h"
#include "adapt/adapter_settings.h"
#include "adapt/stored_layer.h"
#include "core/error.h"
#include "core/option.h"
#include "io/files.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "models/unet.h"
#include "pipelines/kohya_names.h"
#include "pipelines/model_folder.h"
#include "pipelines/original_keys.h"
#include "registry/families.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

struct Ending {
  const char* text;
  const char* part;
};

// What the names of a layer's tensors end in: PEFT and diffusers; kohya; diffusers before 0.22, and before 0.18; LyCORIS, and PEFT for its methods.
constexpr Ending kEndings[] = {{".lora_A.weight", "lora_down"},
                               {".lora_B.weight", "lora_up"},
                               {".lora_B.bias", "lora_bias"},
                               {".lora_magnitude_vector.weight", "magnitude"},
                               {".lora_magnitude_vector", "magnitude"},
                               {".lora_down.weight", "lora_down"},
                               {".lora_up.weight", "lora_up"},
                               {".lora_mid.weight", "lora_mid"},
                               {".lora.down.weight", "lora_down"},
                               {".lora.up.weight", "lora_up"},
                               {".lora_linear_layer.down.weight", "lora_down"},
                               {".lora_linear_layer.up.weight", "lora_up"},
                               {".dora_scale", "dora_scale"},
                               {".alpha", "alpha"},
                               {".hada_w1_a", "hada_w1_a"},
                               {".hada_w1_b", "hada_w1_b"},
                               {".hada_w2_a", "hada_w2_a"},
                               {".hada_w2_b", "hada_w2_b"},
                               {".hada_t1", "hada_t1"},
                               {".hada_t2", "hada_t2"},
                               {".lokr_w1", "lokr_w1"},
                               {".lokr_w1_a", "lokr_w1_a"},
                               {".lokr_w1_b", "lokr_w1_b"},
                               {".lokr_w2", "lokr_w2"},
                               {".lokr_w2_a", "lokr_w2_a"},
                               {".lokr_w2_b", "lokr_w2_b"},
                               {".lokr_t2", "lokr_t2"},
                               {".diff", "diff"},
                               {".diff_b", "diff_b"},
                               {".w_norm", "diff"},
                               {".b_norm", "diff_b"},
                               {".oft_blocks", "oft_blocks"},
                               {".rescale", "rescale"},
                               {".on_input", "on_input"},
                               {".ia3_l", "ia3_l"},
                               {".oft_R.weight", "oft_R"},
                               {".oft_R", "oft_R"},
                               {".boft_R", "boft_R"},
                               {".boft_s", "boft_s"}};

// Methods that are known by a part of their tensors' names, and cannot be used.
constexpr std::pair<const char*, const char*> kOthers[] = {
    {"vera_", "VeRA"}, {"lambda_layer", "T-LoRA"}, {".a1.weight", "GLoRA"}, {".b1.weight", "GLoRA"}, {"lora_embedding", "LoRA of an embedding"},
    {"hra_u", "HRA"},  {"spectrum", "FourierFT"},  {"lora_ga", "LoRA-GA"}};

// PEFT's method by the settings beside its file, if it is none that acts here; else empty.
std::string unknown_method(const fs::path& file) {
  const fs::path beside = file.parent_path() / "adapter_config.json";
  std::error_code error;
  if (file.filename() != "adapter_model.safetensors" || !fs::exists(beside, error)) return {};  // of another's file the settings may be another adapter's
  const json settings = json::parse(read_text(beside), nullptr, /*allow_exceptions=*/false);
  const json type = settings.is_object() ? settings.value("peft_type", json()) : json();
  const std::set<std::string> known{"LORA", "LOHA", "LOKR", "OFT", "BOFT", "IA3"};
  return type.is_string() && !known.contains(type.get<std::string>()) ? type.get<std::string>() : std::string();
}

// Whether these are the vectors of words that textual inversion learned: of one encoder in the names of diffusers or of others, or of SDXL's two.
bool is_textual_inversion(const SafetensorsFile& file) {
  const auto& entries = file.entries();
  if (entries.contains("emb_params") || entries.contains("string_to_param")) return true;
  if (!entries.empty() && std::all_of(entries.begin(), entries.end(), [](const auto& one) { return one.first == "clip_l" || one.first == "clip_g"; }))
    return true;
  const auto& [name, only] = *entries.begin();
  const std::set<std::int64_t> widths{768, 1024, 1280};  // of CLIPs
  return entries.size() == 1 && name.find('.') == std::string::npos && !only.shape.empty() && only.shape.size() <= 2 && widths.contains(only.shape.back());
}

// "unet.mid_block.attentions.0.proj_in.lora_A.weight" -> its layer, and which part of it it is; empty for none.
std::string parse_key(std::string& key) {
  for (const auto& [text, part] : kEndings)
    if (cut_suffix(key, text)) return part;
  // PEFT may put the adapter's name before the last part: ".lora_A.default.weight", ".hada_w1_a.default".
  if (const size_t last = key.rfind('.'); last != std::string::npos) {
    const std::string tail = key.substr(last + 1);
    const bool named_last = tail != "weight" && tail != "bias";
    const size_t name = named_last ? last : key.rfind('.', last - 1);
    if (name != std::string::npos && name > 0) {
      std::string without = key.substr(0, name) + (named_last ? "" : key.substr(last));
      const bool peft_part = without.find(".lora_") != std::string::npos || without.find(".hada_") != std::string::npos ||
                             without.find(".lokr_") != std::string::npos || without.find("oft_") != std::string::npos || without.ends_with(".ia3_l");
      if (peft_part)
        for (const auto& [text, part] : kEndings)
          if (cut_suffix(without, text)) {
            key = without;
            return part;
          }
    }
  }
  const bool down = key.ends_with("_lora.down.weight"),
             xlabs = key.find(".processor.qkv_lora") != std::string::npos || key.find(".processor.proj_lora") != std::string::npos;
  if (!xlabs && (down || key.ends_with("_lora.up.weight"))) {
    cut_suffix(key, down ? "_lora.down.weight" : "_lora.up.weight");
    if (const size_t processor = key.find(".processor."); processor != std::string::npos) key.erase(processor, 10);
    if (key.ends_with(".to_out")) key += ".0";
    return down ? "lora_down" : "lora_up";
  }
  // XLabs' processors: "double_blocks.0.processor.qkv_lora1.down.weight".
  for (const char* half : {"down", "up"})
    if (xlabs && cut_suffix(key, std::string(".") + half + ".weight")) return std::string("lora_") + half;
  return {};
}

[[noreturn]] void reject_twice(const std::string& layer, const fs::path& path) {
  reject("the adapter of '" + layer + "' is there twice, under two names", path.string(), "Take one of them out");
}

// What of a file's layer one of ours is: rows of a fused one, whose columns that do not act are left out. None if none of them acts: the others'
// are padded with zeros; but a layer that has learned nothing yet is all zeros.
std::optional<LoraLayer> part_of(const LoraLayer& whole, const KohyaPlace& place, std::int64_t rows) {
  if (place.swapped) return LoraLayer{whole.a, swapped_halves(whole.b), whole.alpha};
  if (place.rows == 0 || whole.b.size(0) != place.rows) return whole;  // misshapen: attaching it says so
  const torch::Tensor b = whole.b.slice(0, place.first_row, place.first_row + rows);
  torch::Tensor columns = (b != 0).any(0).nonzero().flatten();
  if (columns.size(0) == 0) {
    if ((whole.b != 0).any().item<bool>()) return std::nullopt;
    columns = torch::zeros({1}, torch::kInt64);
  }
  const double scale = whole.alpha / static_cast<double>(whole.rank());
  return LoraLayer{whole.a.index_select(0, columns), b.index_select(1, columns), scale * static_cast<double>(columns.size(0))};
}

}  // namespace

std::string denoiser_component(const torch::nn::Module& denoiser) { return dynamic_cast<const UNet*>(&denoiser) ? "unet" : "transformer"; }

LoraFormat parse_lora_format(const std::string& name) {
  if (name == "diffusers") return LoraFormat::diffusers;
  if (name == "kohya") return LoraFormat::kohya;
  if (name == "lycoris") return LoraFormat::lycoris;
  reject("unknown adapter format '" + name + "'", option(Option::format), "Known are diffusers, kohya and lycoris");
}

namespace {

// The text encoder that PEFT's own file is of, by the class in the settings beside it; of several, the one whose name the folder has. Empty: it is of none.
std::string peft_encoder(const fs::path& file, const std::vector<AdapterTarget::Encoder>& encoders) {
  const fs::path beside = file.parent_path() / "adapter_config.json";
  std::error_code error;
  if (!fs::exists(beside, error)) return {};
  const json settings = json::parse(read_text(beside), nullptr, /*allow_exceptions=*/false);
  const json mapping = settings.is_object() ? settings.value("auto_mapping", json()) : json();
  const json type = mapping.is_object() ? mapping.value("base_model_class", json()) : json();
  if (!type.is_string()) return {};
  const auto name = type.get<std::string>();
  const bool t5 = name.starts_with("T5"), clip = name.starts_with("CLIPText");
  std::vector<std::string> fitting;
  for (const auto& one : encoders)
    if (one.t5 ? t5 : clip) fitting.push_back(one.component);
  if (fitting.empty()) return {};
  std::string folder = fs::absolute(file, error).parent_path().filename().string();
  if (std::find(fitting.begin(), fitting.end(), folder) != fitting.end()) return folder;
  return name == "CLIPTextModelWithProjection" ? fitting.back() : fitting.front();
}

}  // namespace

std::set<std::string> encoders_in(const fs::path& path, const AdapterTarget& target) {
  std::vector<NamedEncoder> encoders;
  for (const auto& one : target.encoders) encoders.push_back({one.component, one.t5});
  std::set<std::string> out;
  const SafetensorsFile file(adapter_file(path));
  if (const std::string own = peft_encoder(file.path(), target.encoders); !own.empty()) out.insert(own);
  for (const auto& [name, entry] : file.entries()) {
    std::string key = name;
    if (!is_encoder_name(key)) continue;
    if (const std::string component = cut_encoder(key, encoders); !component.empty()) out.insert(component);
  }
  return out;
}

std::string adapter_hash(const fs::path& path) {
  const fs::path file = adapter_file(path), settings = file.parent_path() / "adapter_config.json";
  std::error_code error;
  return fs::exists(settings, error) ? sha256_text(sha256_file(file) + sha256_file(settings)) : sha256_file(file);
}

fs::path adapter_file(const fs::path& named) {
  std::error_code error;
  if (!fs::is_directory(named, error)) return named;
  const fs::path path = snapshot_of(named);
  for (const char* name : {"adapter_model.safetensors", "pytorch_lora_weights.safetensors"})
    if (fs::exists(path / name, error)) return path / name;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (ending_of(entry.path()) == ".safetensors") found.push_back(entry.path());
  if (found.size() == 1) return found.front();
  for (const char* name : {"adapter_model.bin", "pytorch_lora_weights.bin"})
    if (fs::exists(path / name, error)) return path / name;  // which is refused as what it is
  std::string below;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (entry.is_directory(error) && fs::exists(entry.path() / "adapter_model.safetensors", error))
      below += (below.empty() ? "" : ", ") + entry.path().filename().string();
  reject("this folder holds " + std::string(found.empty() ? "no adapter" : "several files") + (below.empty() ? "" : "; below it are adapters: " + below),
         path.string(), below.empty() ? "An adapter's folder has adapter_model.safetensors; or name one file in it" : "Name those folders, each as an adapter");
}

bool is_adapter(const fs::path& path) {
  const auto found = attempt([&] {
    std::error_code error;
    if (fs::exists(path / "model_index.json", error)) return false;
    const SafetensorsFile file(adapter_file(path));
    return std::any_of(file.entries().begin(), file.entries().end(), [](const auto& one) {
      std::string key = one.first;
      const std::string part = parse_key(key);
      return !part.empty() && part != "alpha";
    });
  });
  return found && *found;
}

namespace {

struct FileParts {
  std::map<std::string, std::map<std::string, StoredLayer>> layers;  // by component, "" for the denoiser
  bool text = false;                                                 // some are of a text encoder
  bool peft = false;                                                 // by PEFT's own names
};

// What the file holds of which layers, whatever the model has. Throws a Failure for what is no part of an adapter.
FileParts read_parts(const SafetensorsFile& file, const AdapterTarget& target, std::vector<std::string>& notes) {
  const fs::path& path = file.path();
  const std::string component = denoiser_component(target.denoiser);
  std::vector<NamedEncoder> encoders;
  for (const auto& one : target.encoders) encoders.push_back({one.component, one.t5});
  if (const std::string method = unknown_method(path); !method.empty())
    reject("the settings beside it say that it is of " + method + ", a method of PEFT's", path.string(),
           "That method cannot be used here: merge it into the model, or convert it to LoRA");
  if (!file.entries().empty() && is_textual_inversion(file))
    reject("this is a word that was learned (textual inversion), and no adapter", path.string(),
           "Add it to the tokenizer and its encoder (in diffusers load_textual_inversion, then save_pretrained), and open that folder");
  FileParts out;
  std::string foreign, embeddings;
  const std::string peft_owner = peft_encoder(path, target.encoders);
  for (const auto& [name, entry] : file.entries()) {
    std::string key = name;
    if (key.starts_with("bundle_emb.")) {
      const std::string embedding = key.substr(11, key.find('.', 11) - 11);
      if (embeddings.find("'" + embedding + "'") == std::string::npos) embeddings += (embeddings.empty() ? "'" : ", '") + embedding + "'";
      continue;
    }
    if (key.ends_with(".base_layer.bias"))
      reject("the file holds '" + name + "', a bias of the model's own, which PEFT trained along (its setting 'bias')", path.string(),
             "Train with 'bias' none, or merge the adapter into the model");
    std::string part = parse_key(key);
    const bool wrapped = key.starts_with("base_model.model.");
    const bool other = std::any_of(std::begin(kOthers), std::end(kOthers), [&](const auto& one) { return key.find(one.first) != std::string::npos; });
    if (part.empty() && !other && (key.ends_with(".weight") || key.ends_with(".bias"))) {
      // PEFT's whole modules, and LyCORIS' IA3, whose other tensor says which side it is of.
      const bool scaling = key.ends_with(".weight") && file.entries().contains(key.substr(0, key.size() - 7) + ".on_input");
      if (wrapped || scaling) {
        part = key.ends_with(".weight") ? "weight" : "bias";
        cut_suffix(key, "." + part);
        cut_suffix(key, ".modules_to_save.default");
      }
    }
    if (part.empty()) {
      // Counters and the like, of whatever type, are no weights that would be missed.
      if (entry.dtype == torch::ScalarType::Undefined || !c10::isFloatingType(entry.dtype))
        notes.push_back("'" + name + "' (" + entry.type + ") is no part of the adapter, and not used: " + path.string());
      else if (foreign.empty())
        foreign = name;
      continue;
    }
    out.peft |= cut_prefix(key, "base_model.model.");
    std::string owner;
    if (wrapped && !peft_owner.empty()) {
      out.text = true;
      owner = peft_owner;
    } else if (is_encoder_name(key)) {
      out.text = true;
      if (encoders.empty()) continue;
      owner = cut_encoder(key, encoders);
      if (owner.empty()) {
        const std::string note = "The adapter's part for a text encoder that the model does not have is not used: " + path.string();
        if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
        continue;
      }
    }
    if (owner.empty())
      for (const std::string& prefix : {component + ".", std::string("model.diffusion_model."), std::string("diffusion_model.")}) cut_prefix(key, prefix);
    // An alpha may be a whole number, and which side IA3 is of.
    const bool whole = part == "alpha" || part == "on_input";
    if (!c10::isFloatingType(entry.dtype) && !(whole && c10::isIntegralType(entry.dtype, /*includeBool=*/part == "on_input")))
      reject("'" + name + "' is of dtype " + entry.type + ", a floating-point one was expected", path.string(), "Save it in a floating-point dtype");
    torch::Tensor tensor = file.tensor(name).to(torch::kFloat32);
    const bool matrix = part == "lora_down" || part == "lora_up";
    if (matrix && tensor.dim() == 4 && tensor.size(2) == 1 && tensor.size(3) == 1) tensor = tensor.flatten(1);  // of a convolution of one point
    StoredLayer& one = out.layers[owner][key];
    if (part == "alpha") {
      if (one.alphas) reject_twice(key, path);
      one.alphas = tensor.numel();
      if (one.alphas == 1) one.alpha = tensor.item<double>();
    } else if (!one.parts.emplace(part, tensor).second) {
      reject_twice(key, path);
    }
  }
  if (!foreign.empty()) {
    for (const auto& [mark, method] : kOthers)
      if (foreign.find(mark) != std::string::npos)
        reject("the file holds '" + foreign + "', which is of " + method, path.string(),
               "That method cannot be used here: merge it into the model, or convert it to LoRA");
    reject("the file holds '" + foreign + "', which is no part of an adapter that is known", path.string(),
           "Known are LoRA, DoRA, LoHa, LoKr, OFT, BOFT, IA3 and whole differences, by the names of PEFT, diffusers, kohya, LyCORIS, OneTrainer, ComfyUI and "
           "XLabs");
  }
  if (out.layers.empty())
    reject(out.text ? "the file holds an adapter of a text encoder alone" : "the file holds no LoRA", path.string(),
           out.text ? "This model has no encoder that takes one" : "An adapter of the denoiser is needed");
  if (!embeddings.empty()) notes.push_back("The embeddings that the file brings, " + embeddings + ", are not used: " + path.string());
  return out;
}

// The change as the layer's place in the file's has it.
LayerChange placed(const LayerChange& change, const KohyaPlace& place, const std::string& name, const fs::path& path) {
  LayerChange out = change;
  out.first_row = place.first_row;
  out.rows = place.rows;
  out.swapped = place.swapped;
  const bool by_column = out.magnitude.defined() && out.magnitude.dim() > 1 && out.magnitude.size(0) == 1;
  using Method = LayerChange::Method;
  const bool of_rows = out.method == Method::orthogonal || out.method == Method::butterfly || out.method == Method::rotation || out.method == Method::scaling;
  if ((place.rows > 0 && (by_column || of_rows)) || (place.swapped && (of_rows || out.method == Method::replacement)))
    reject("'" + name + "' is " + out.name() + " of a layer that is another, or several, here", path.string(), "Convert it to LoRA, or to diffusers' layers");
  return out;
}

}  // namespace

Adapter read_adapter(const fs::path& named, const AdapterTarget& target, std::vector<std::string>& notes) {
  const fs::path path = adapter_file(named);
  const SafetensorsFile file(path);
  const FileParts stored = read_parts(file, target, notes);
  Adapter out;
  std::string unknown;
  size_t unknown_count = 0, all = 0;
  for (const auto& [owner, layers] : stored.layers) {
    all += layers.size();
    const auto encoder =
        std::find_if(target.encoders.begin(), target.encoders.end(), [&, &wanted = owner](const auto& one) { return one.component == wanted; });
    const AdapterNames names = owner.empty() ? AdapterNames(target.denoiser, target.table) : AdapterNames(*encoder->module);
    Lora& lora = owner.empty() ? out.denoiser : out.encoders[owner];
    const AdapterSettings settings(file, owner.empty() ? denoiser_component(target.denoiser) : owner, stored.peft, notes);
    for (const auto& [name, one] : layers) {
      const std::vector<AdapterNames::Target> found = names.find(name);
      if (found.empty()) {
        if (++unknown_count <= 3) unknown += "\n  " + name + ": the nearest here is " + names.nearest(name);
        continue;
      }
      if (one.parts.empty()) notes.push_back("'" + name + "' has an alpha and no matrices, and is not used: " + path.string());
      const LayerPart part = make_part(one, name, settings, path.string());
      for (const auto& [layer, place] : found) {
        const AdaptableLayer& there = names.layer(layer);
        if (part.product) {
          // A product goes beside a layer that multiplies; what is of a norm's shape does not fit, and attaching it says so.
          if (auto own = part_of(*part.product, place, there.weight.size(0)))
            if (!lora.layers.emplace(layer, std::move(*own)).second) reject_twice(layer, path);
        }
        if (part.change && !lora.changes.emplace(layer, placed(*part.change, place, name, path)).second) reject_twice(layer, path);
      }
    }
  }
  if (unknown_count > 0)
    reject(std::to_string(unknown_count) + " of " + std::to_string(all) + " layers of the adapter are not in the model:" + unknown +
               (unknown_count > 3 ? "\n  ..." : "") + "\n",
           path.string(), "It was made for another model");
  if (stored.text && target.encoders.empty()) notes.push_back("The adapter's part for the text encoder is not used: " + path.string());
  if (const auto ours = file.metadata().find(kOwnMetadata); ours != file.metadata().end()) {
    const json document = json::parse(ours->second, nullptr, /*allow_exceptions=*/false);
    if (document.is_object())
      for (const auto& [key, value] : document.items()) out.denoiser.metadata[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return out;
}

Lora read_lora(const fs::path& path, const torch::nn::Module& denoiser, const SiteTable& table, std::vector<std::string>& notes) {
  return read_adapter(path, {denoiser, table, {}}, notes).denoiser;
}

}  // namespace glyphscope
