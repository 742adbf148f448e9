#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "adapt/adapter_names.h"
#include "adapt/adapter_settings.h"
#include "adapt/lora_file.h"
#include "core/error.h"
#include "io/safetensors.h"
#include "models/unet.h"
#include "pipelines/kohya_names.h"
#include "pipelines/original_keys.h"
#include "registry/families.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// PEFT's settings of an adapter whose layers may differ in rank and alpha: the first layer's, and what differs from it.
json peft_settings(const Lora& lora, const std::string& component) {
  struct Size {
    std::int64_t rank;
    double alpha;
  };
  std::map<std::string, Size> sizes;
  bool dora = false;
  for (const auto& [path, layer] : lora.layers) sizes[path] = {layer.rank(), layer.alpha};
  for (const auto& [path, change] : lora.changes) {
    const auto rank = change.parts.at("lora_down").size(0);
    sizes[path] = {rank, change.scale * static_cast<double>(rank)};
    dora |= change.magnitude.defined();
  }
  const Size first = sizes.begin()->second;
  json targets = json::array(), ranks = json::object(), alphas = json::object();
  for (const auto& [path, size] : sizes) {
    targets.push_back(path);
    // Anchored: unanchored patterns match the ends of paths, so that "proj_out" would be every block's too.
    if (size.rank != first.rank) ranks["^" + path] = size.rank;
    if (size.alpha != first.alpha) alphas["^" + path] = size.alpha;
  }
  const json settings{{"peft_type", "LORA"},   {"r", first.rank},         {"lora_alpha", first.alpha}, {"target_modules", targets},
                      {"rank_pattern", ranks}, {"alpha_pattern", alphas}, {"lora_dropout", 0.0},       {"bias", "none"},
                      {"use_rslora", false},   {"use_dora", dora},        {"init_lora_weights", true}};
  json out;
  for (const auto& [key, value] : settings.items()) out[component + "." + key] = value;
  return out;
}

using StoredTensors = std::map<std::string, torch::Tensor>;

// A convolution of one point has its adapter's matrices as convolutions of one point.
torch::Tensor as_stored(const torch::nn::Module& network, const std::string& layer, const torch::Tensor& matrix) {
  const auto known = adaptable_layers(network);
  const auto found = known.find(layer);
  return found != known.end() && found->second->weight.dim() == 4 ? matrix.unsqueeze(-1).unsqueeze(-1) : matrix;
}

bool is_convolution(const torch::nn::Module& network, const std::string& layer) {
  const auto known = changeable_layers(network);
  const auto found = known.find(layer);
  return found != known.end() && found->second->weight.dim() == 4;
}

// A matrix of a convolution is a kernel of one point.
torch::Tensor as_kernel(const torch::Tensor& matrix, bool convolution) {
  return convolution && matrix.dim() == 2 ? matrix.unsqueeze(-1).unsqueeze(-1) : matrix;
}

// What of a change diffusers' names can say: a product, of a convolution too, and DoRA's magnitudes. Throws a Failure for another method.
void write_in_diffusers(StoredTensors& out, const std::string& name, const LayerChange& change, bool convolution, const fs::path& path) {
  const bool tucker = change.parts.contains("lora_mid"), columns = change.magnitude.defined() && change.magnitude.dim() > 1 && change.magnitude.size(0) == 1;
  if (change.method != LayerChange::Method::low_rank || tucker || columns || change.bias.defined() || change.rows > 0 || change.swapped)
    reject("diffusers' format has no names for what the adapter is at " + name + ": " + change.name(), path.string(), "Write it in kohya's format");
  out[name + ".lora_A.weight"] = as_kernel(change.parts.at("lora_down"), convolution);
  out[name + ".lora_B.weight"] = as_kernel(change.parts.at("lora_up"), convolution);
  const torch::Tensor length = change.magnitude.defined() ? change.magnitude.flatten() : torch::Tensor();
  if (length.defined()) out[name + ".lora_magnitude_vector"] = convolution ? length.reshape({1, -1, 1, 1}) : length;
}

// By LyCORIS' names, with the scale in a first part and an alpha that is the rank.
void write_in_lycoris(StoredTensors& out, const std::string& name, const LayerChange& change, bool convolution, const fs::path& path) {
  using Method = LayerChange::Method;
  if (change.rows > 0 || change.method == Method::replacement || change.method == Method::rotation || change.parts.contains("ia3_l"))
    reject("kohya's format has no names for what the adapter is at " + name + ": " + change.name(), path.string());
  bool scaled = change.scale == 1;
  double rank = 1;
  for (const auto& [part, tensor] : change.parts) {
    const bool first = part == "lora_up" || part == "hada_w1_a" || part == "lokr_w1" || part == "lokr_w1_a";
    const bool own = part == "diff" && tensor.dim() == 1;
    std::string as = own ? "w_norm" : part;
    if (part == "lora_up" || part == "lora_down" || part == "lora_mid") as += ".weight";
    const torch::Tensor stored = first && !scaled ? tensor * change.scale : tensor;
    out[name + "." + as] = as_kernel(stored, convolution && (part == "lora_up" || part == "lora_down"));
    scaled |= first;
    if (part == "lora_down") rank = static_cast<double>(tensor.size(0));
    if (part == "hada_w1_b" || part == "lokr_w1_b" || (part == "lokr_w2_b" && !change.parts.contains("lokr_w1_b"))) rank = static_cast<double>(tensor.size(0));
  }
  if (change.magnitude.defined()) {
    const torch::Tensor length = change.magnitude.dim() == 1 ? change.magnitude.unsqueeze(1) : change.magnitude;
    out[name + ".dora_scale"] = as_kernel(length, convolution);
  }
  const bool norm = change.parts.contains("diff") && change.parts.at("diff").dim() == 1;
  if (change.bias.defined()) out[name + (norm ? ".b_norm" : ".diff_b")] = change.bias;
  const bool turns = change.method == Method::orthogonal || change.method == Method::butterfly;
  if (turns || (!change.parts.empty() && change.method != Method::difference && change.method != Method::scaling))
    out[name + ".alpha"] = torch::tensor(turns ? change.constraint : rank, torch::kFloat32);
}

// Each layer by its own path.
KohyaPlaces lycoris_places(const Lora& lora) {
  KohyaPlaces out;
  for (const auto& [path, layer] : lora.layers) out[path] = {"lycoris_" + underscored(path)};
  for (const auto& [path, change] : lora.changes) out[path] = {"lycoris_" + underscored(path)};
  return out;
}

// kohya's names of the layers of a U-Net that are in no transformer: as diffusers has them, or for SDXL as the first code did.
std::string kohya_name(const torch::nn::Module& denoiser, const KohyaPlaces& places, const std::string& layer) {
  if (const auto place = places.find(layer); place != places.end()) return place->second.module;
  const auto* unet = dynamic_cast<const UNet*>(&denoiser);
  if (!unet || places.empty()) return {};
  if (unet->config().addition_width == 0) return "lora_unet_" + underscored(layer);
  const auto originals = original_unet_names(denoiser);
  const auto found = originals.find(layer);
  return found == originals.end() ? std::string() : "lora_unet_" + underscored(found->second);
}

// Layers of the denoiser, of which some are one layer in kohya's files.
void write_products_in_kohya(StoredTensors& tensors, const Lora& lora, const torch::nn::Module& denoiser, const KohyaPlaces& places, const fs::path& path) {
  struct Fused {
    std::string layer;  // the first of its parts
    std::int64_t rows = 0;
    bool swapped = false;
    std::vector<std::pair<std::int64_t, const LoraLayer*>> parts;  // first row
  };
  std::map<std::string, Fused> modules;
  for (const auto& [layer, own] : lora.layers) {
    const auto found = places.find(layer);
    KohyaPlace place;
    if (found != places.end())
      place = found->second;
    else
      place.module = kohya_name(denoiser, places, layer);
    if (place.module.empty()) reject("kohya's format has no name for " + layer, path.string(), "Write it in diffusers' format");
    Fused& module = modules[place.module];
    if (module.parts.empty()) module.layer = layer;
    module.rows = place.rows > 0 ? place.rows : own.b.size(0);
    module.swapped = place.swapped;
    module.parts.emplace_back(place.first_row, &own);
  }
  // Of fused parts the largest scale; what the others differ by goes into their second matrices.
  const auto scale = [](const LoraLayer& own) { return own.alpha / static_cast<double>(own.rank()); };
  const auto largest = [&](const Fused& module) {
    double out = 0;
    for (const auto& [_, own] : module.parts) out = std::abs(scale(*own)) > std::abs(out) ? scale(*own) : out;
    return out;
  };
  const auto rank_of = [](const Fused& module) {
    std::int64_t rank = 0;
    for (const auto& [_, own] : module.parts) rank += own->rank();
    return rank;
  };
  if (modules.empty()) return;
  // One alpha everywhere, the most frequent: diffusers 0.42 gives attention layers the most frequent one whatever each says.
  std::map<double, int> alphas;
  for (const auto& [name, module] : modules) ++alphas[largest(module) * static_cast<double>(rank_of(module))];
  const double alpha = std::max_element(alphas.begin(), alphas.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
  for (const auto& [name, module] : modules) {
    const std::int64_t rank = rank_of(module);
    torch::Tensor b = torch::zeros({module.rows, rank});
    std::vector<torch::Tensor> a;
    const double first = alpha != 0 ? alpha / static_cast<double>(rank) : 1;
    std::int64_t column = 0;
    for (const auto& [row, own] : module.parts) {
      a.push_back(own->a);
      const torch::Tensor part = scale(*own) == first ? own->b : own->b * (scale(*own) / first);
      b.slice(0, row, row + own->b.size(0)).slice(1, column, column + own->rank()).copy_(part);
      column += own->rank();
    }
    tensors[name + ".lora_down.weight"] = as_stored(denoiser, module.layer, torch::cat(a));
    tensors[name + ".lora_up.weight"] = as_stored(denoiser, module.layer, module.swapped ? swapped_halves(b) : b);
    tensors[name + ".alpha"] = torch::tensor(first * static_cast<double>(rank), torch::kFloat32);
  }
}

struct Formed {
  StoredTensors tensors;
  std::map<std::string, std::string> metadata;
};

// path: for errors.
Formed form(const fs::path& path, const Adapter& adapter, LoraFormat format, const AdapterTarget& target) {
  const Lora lora = adapter.denoiser.to(torch::kCPU);
  if (lora.layers.empty() && lora.changes.empty() && adapter.encoders.empty()) reject("the adapter has no layer", path.string());
  StoredTensors tensors;
  std::map<std::string, std::string> metadata{{kOwnMetadata, json(lora.metadata).dump()}};
  const auto module_of = [&](const std::string& component) -> const AdapterTarget::Encoder& {
    for (const auto& one : target.encoders)
      if (one.component == component) return one;
    reject("the model has no " + component, path.string());
  };
  if (format == LoraFormat::diffusers) {
    json settings = json::object();
    const auto add = [&](const Lora& own, const std::string& component, const torch::nn::Module& network, const std::string& begin) {
      for (const auto& [layer, one] : own.layers) {
        tensors[begin + layer + ".lora_A.weight"] = as_stored(network, layer, one.a);
        tensors[begin + layer + ".lora_B.weight"] = as_stored(network, layer, one.b);
      }
      size_t lengths = 0;
      for (const auto& [layer, one] : own.changes) {
        write_in_diffusers(tensors, begin + layer, one, is_convolution(network, layer), path);
        lengths += one.magnitude.defined() ? 1 : 0;
      }
      if (lengths > 0 && lengths < own.changes.size() + own.layers.size())
        reject("diffusers' format says of all layers or of none that they are DoRA; of this adapter some are", path.string(), "Write it in kohya's format");
      if (!own.layers.empty() || !own.changes.empty()) settings.update(peft_settings(own, component));
    };
    const std::string component = denoiser_component(target.denoiser);
    add(lora, component, target.denoiser, component + ".");
    for (const auto& [name, own] : adapter.encoders) {
      const auto& encoder = module_of(name);
      add(own.to(torch::kCPU), name, *encoder.module, name + (encoder.t5 ? "." : ".text_model."));
    }
    metadata["format"] = "pt";
    metadata[kAdapterSettings] = settings.dump();
    return {std::move(tensors), std::move(metadata)};
  }

  const auto places = format == LoraFormat::lycoris ? lycoris_places(lora) : kohya_places(target.denoiser, target.table);
  const std::string whose = format == LoraFormat::lycoris ? "LyCORIS' format" : "kohya's format";
  if (places.empty() && !(lora.layers.empty() && lora.changes.empty()))
    reject("kohya's format has no names for this family of models", path.string(), "Write it in diffusers' format, or LyCORIS'");
  write_products_in_kohya(tensors, lora, target.denoiser, places, path);
  for (const auto& [layer, change] : lora.changes) {
    const std::string name = kohya_name(target.denoiser, places, layer);
    const auto place = places.find(layer);
    if (name.empty()) reject("kohya's format has no name for " + layer, path.string(), "Write it in diffusers' format");
    if (place != places.end() && place->second.rows > 0)
      reject("kohya's format has " + layer + " within a larger layer, which " + change.name() + " cannot be a part of", path.string(),
             "Write it in diffusers' format, or LyCORIS'");
    if (change.swapped != (place != places.end() && place->second.swapped))
      reject(whose + " has the halves of " + layer + " the other way round, which " + change.name() + " cannot follow", path.string(),
             "Write it in diffusers' format");
    write_in_lycoris(tensors, name, change, is_convolution(target.denoiser, layer), path);
  }
  for (const auto& [component, anywhere] : adapter.encoders) {
    const auto& encoder = module_of(component);
    const Lora own = anywhere.to(torch::kCPU);
    // "lora_te_" where there is one, "lora_te1_" and so on where there are more; T5 is the third.
    const std::string number = encoder.t5 ? "3" : component.ends_with("_2") ? "2" : target.encoders.size() > 1 ? "1" : "";
    const auto name = [&](const std::string& layer) { return "lora_te" + number + "_" + underscored(encoder.t5 ? layer : "text_model." + layer); };
    for (const auto& [layer, one] : own.layers) {
      tensors[name(layer) + ".lora_down.weight"] = one.a;
      tensors[name(layer) + ".lora_up.weight"] = one.b;
      tensors[name(layer) + ".alpha"] = torch::tensor(one.alpha, torch::kFloat32);
    }
    for (const auto& [layer, change] : own.changes) write_in_lycoris(tensors, name(layer), change, false, path);
  }
  metadata["ss_network_module"] = lora.changes.empty() ? "networks.lora" : "lycoris.kohya";
  return {std::move(tensors), std::move(metadata)};
}

}  // namespace

LoraFormat fitting_format(const Adapter& adapter, const AdapterTarget& target) {
  return attempt([&] { form({}, adapter, LoraFormat::diffusers, target); }) ? LoraFormat::diffusers : LoraFormat::lycoris;
}

void check_format(const Adapter& adapter, LoraFormat format, const AdapterTarget& target) { form({}, adapter, format, target); }

void write_adapter(const fs::path& path, const Adapter& adapter, LoraFormat format, const AdapterTarget& target) {
  const Formed formed = form(path, adapter, format, target);
  write_safetensors(path, formed.tensors, formed.metadata);
}

void write_lora(const fs::path& path, const Lora& lora, LoraFormat format, const torch::nn::Module& denoiser, const SiteTable& table) {
  write_adapter(path, {lora, {}}, format, {denoiser, table});
}

}  // namespace glyphscope
