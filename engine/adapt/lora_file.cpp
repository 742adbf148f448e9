#include "adapt/lora_file.h"

#include <torch/types.h>
#include <unicode/regex.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/option.h"
#include "io/config.h"
#include "io/files.h"
#include "io/safetensors.h"
#include "metrics/text_scores.h"
#include "models/unet.h"
#include "registry/families.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr const char* kSettings = "lora_adapter_metadata";  // diffusers' LORA_ADAPTER_METADATA_KEY
constexpr const char* kOurs = "glyphscope";
constexpr std::array kOtherMethods{"hada_", "lokr_", "dora_scale", "magnitude_vector", ".diff"};

std::string component_of(const torch::nn::Module& denoiser) { return dynamic_cast<const UNet*>(&denoiser) ? "unet" : "transformer"; }

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

// One layer of a file, as the file names it.
struct Stored {
  torch::Tensor a, b;
  std::optional<double> alpha;
  std::optional<std::int64_t> alphas;  // numbers that it was given as
};

// "unet.mid_block.attentions.0.proj_in.lora_A.weight" -> its layer, and which of the two tensors or alpha it is; ' ' for none of them.
char parse_key(std::string& key) {
  // PEFT and diffusers; kohya; diffusers before 0.22, and before 0.18.
  for (const char* suffix : {".lora_A.weight", ".lora_A.default.weight", ".lora_down.weight", ".lora.down.weight", ".lora_linear_layer.down.weight"})
    if (cut_suffix(key, suffix)) return 'a';
  for (const char* suffix : {".lora_B.weight", ".lora_B.default.weight", ".lora_up.weight", ".lora.up.weight", ".lora_linear_layer.up.weight"})
    if (cut_suffix(key, suffix)) return 'b';
  if (cut_suffix(key, ".alpha")) return 'l';
  const bool down = key.ends_with("_lora.down.weight");
  if (down || key.ends_with("_lora.up.weight")) {
    cut_suffix(key, down ? "_lora.down.weight" : "_lora.up.weight");
    if (const size_t processor = key.find(".processor."); processor != std::string::npos) key.erase(processor, 10);
    if (key.ends_with(".to_out")) key += ".0";
    return down ? 'a' : 'b';
  }
  return ' ';
}

// What stands in a file's metadata, or beside PEFT's own file, on how much each layer counts.
class Settings {
 public:
  // peft: the file's keys are PEFT's own, whose settings are in a file beside it.
  Settings(const SafetensorsFile& file, const std::string& component, bool peft, std::vector<std::string>& notes) : where_(file.path().string()) {
    const fs::path beside = file.path().parent_path() / "adapter_config.json";
    ordered_json all = ordered_json::object();  // of several patterns that match, the first counts
    if (const auto found = file.metadata().find(kSettings); found != file.metadata().end()) {
      all = ordered_json::parse(found->second, nullptr, /*allow_exceptions=*/false);
      if (!all.is_object()) reject(std::string("the metadata '") + kSettings + "' is no JSON object", where_, "The file is damaged");
    } else if (peft && fs::exists(beside)) {
      all = ordered_json::parse(read_text(beside), nullptr, /*allow_exceptions=*/false);
      if (!all.is_object()) reject("this is no JSON object", beside.string(), "It is to hold PEFT's settings of the adapter");
    } else if (peft) {
      notes.push_back("There is no adapter_config.json beside " + where_ + ": each layer's alpha is taken to be its rank");
    }
    // diffusers writes a pipeline's settings with the component's name before each, a single model's without.
    std::string prefix = component + ".";
    bool prefixed = false;
    for (const auto& [key, _] : all.items()) prefixed |= key.starts_with(prefix);
    if (!prefixed) prefix.clear();
    auto take = [&](const char* name) { return all.contains(prefix + name) ? all[prefix + name] : ordered_json(); };
    if (const auto value = take("lora_alpha"); !value.is_null()) alpha_ = number(prefix + "lora_alpha", value);
    // Some trainers write it as a key of the header's own, with or without the component's name; so rank-stabilised alphas are told too.
    for (const std::string& key : {component + ".lora_alpha", std::string("lora_alpha")})
      if (const auto found = file.metadata().find(key); !alpha_ && found != file.metadata().end()) {
        alpha_ = header_number(key, found->second);
        notes.push_back("The header's " + key + " of " + found->second + " is each layer's alpha: " + where_);
      }
    for (const std::string& key : {component + ".use_rslora", std::string("use_rslora")})
      if (const auto found = file.metadata().find(key); found != file.metadata().end() && (found->second == "true" || found->second == "True"))
        rank_stabilised_ = true;
    if (const auto value = take("alpha_pattern"); !value.is_null()) {
      if (!value.is_object()) reject("'" + prefix + "alpha_pattern' is " + value.dump().substr(0, 60) + ", patterns and numbers were expected", where_);
      for (const auto& [pattern, alpha] : value.items()) add_pattern(pattern, number(prefix + "alpha_pattern " + pattern, alpha));
    }
    rank_stabilised_ |= take("use_rslora") == ordered_json(true);
    if (take("use_dora") == ordered_json(true)) reject("the adapter is of DoRA, which has a magnitude for each row too", where_, "Only LoRA can be used");
    if (const auto init = take("init_lora_weights"); init.is_string())
      for (const char* method : {"pissa", "olora", "corda", "loftq", "lora_ga"})
        if (init.get<std::string>().starts_with(method))
          reject("the adapter was started by " + init.get<std::string>() + ", which changes the model's own weights too", where_,
                 "Convert it to plain LoRA in PEFT (path_initial_model_for_weight_conversion)");
  }
  double alpha(const std::string& path, std::int64_t rank) const {
    double out = alpha_.value_or(static_cast<double>(rank));
    for (const auto& pattern : patterns_) {
      if (!matches(pattern, path)) continue;
      out = pattern.alpha;
      break;
    }
    return rank_stabilised_ ? out * std::sqrt(static_cast<double>(rank)) : out;
  }

 private:
  double header_number(const std::string& key, const std::string& text) const {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
      reject("the header's " + key + " is '" + text.substr(0, 60) + "', which is no number", where_, "The file is damaged");
    return value;
  }
  double number(const std::string& key, const ordered_json& value) const {
    if (!value.is_number()) reject("'" + key + "' is " + value.dump().substr(0, 60) + ", a number was expected", where_, "The adapter's settings are damaged");
    return value.get<double>();
  }
  struct Pattern {
    std::string text;
    std::unique_ptr<icu::RegexPattern> compiled;
    double alpha;
  };
  // As PEFT's `get_pattern_key` matches them.
  void add_pattern(const std::string& pattern, double alpha) {
    UErrorCode error = U_ZERO_ERROR;
    UParseError place;
    std::unique_ptr<icu::RegexPattern> compiled(icu::RegexPattern::compile(icu::UnicodeString::fromUTF8("(.*\\.)?(" + pattern + ")"), 0, place, error));
    if (U_FAILURE(error)) reject("the pattern '" + pattern + "' of the adapter's alphas cannot be read", where_);
    patterns_.push_back({pattern, std::move(compiled), alpha});
  }
  // A pattern is a stranger's: some take longer than a life.
  bool matches(const Pattern& pattern, const std::string& path) const {
    constexpr int kLongest = 100, kStack = 1 << 20;  // some milliseconds; bytes
    UErrorCode error = U_ZERO_ERROR;
    const icu::UnicodeString text = icu::UnicodeString::fromUTF8(path);
    const std::unique_ptr<icu::RegexMatcher> matcher(pattern.compiled->matcher(text, error));
    if (matcher) {
      matcher->setTimeLimit(kLongest, error);
      matcher->setStackLimit(kStack, error);
    }
    const bool out = matcher && matcher->matches(error);
    if (U_FAILURE(error)) reject("the pattern '" + pattern.text + "' of the adapter's alphas takes too long on '" + path + "'", where_, "Write it more simply");
    return out;
  }
  std::string where_;
  std::optional<double> alpha_;
  std::vector<Pattern> patterns_;
  bool rank_stabilised_ = false;
};

[[noreturn]] void reject_twice(const std::string& layer, const fs::path& path) {
  reject("the adapter of '" + layer + "' is there twice, under two names", path.string(), "Take one of them out");
}

std::string nearest(const std::string& name, const std::vector<std::string>& known) {
  std::string best;
  int least = std::numeric_limits<int>::max();
  for (const auto& one : known)
    if (const int distance = score_text(name, one).edit_distance; distance < least) least = distance, best = one;
  return best;
}

torch::Tensor swapped_halves(const torch::Tensor& rows) {
  const auto parts = rows.chunk(2, 0);
  return torch::cat({parts[1], parts[0]});
}

// What of a file's layer one of ours is: rows of a fused one, whose columns that do not act are left out. None if none of them acts: the others'
// are padded with zeros; but a layer that has learned nothing yet is all zeros.
std::optional<LoraLayer> part_of(const Stored& stored, double alpha, const KohyaPlace& place, std::int64_t rows) {
  if (place.swapped) return LoraLayer{stored.a, swapped_halves(stored.b), alpha};
  if (place.rows == 0 || stored.b.size(0) != place.rows) return LoraLayer{stored.a, stored.b, alpha};  // misshapen: attaching it says so
  const torch::Tensor b = stored.b.slice(0, place.first_row, place.first_row + rows);
  torch::Tensor columns = (b != 0).any(0).nonzero().flatten();
  if (columns.size(0) == 0) {
    if ((stored.b != 0).any().item<bool>()) return std::nullopt;
    columns = torch::zeros({1}, torch::kInt64);
  }
  const double scale = alpha / static_cast<double>(stored.a.size(0));
  return LoraLayer{stored.a.index_select(0, columns), b.index_select(1, columns), scale * static_cast<double>(columns.size(0))};
}

}  // namespace

LoraFormat parse_lora_format(const std::string& name) {
  if (name == "diffusers") return LoraFormat::diffusers;
  if (name == "kohya") return LoraFormat::kohya;
  reject("unknown adapter format '" + name + "'", option(Option::format), "Known are diffusers and kohya");
}

Lora read_lora(const fs::path& path, const torch::nn::Module& denoiser, const SiteTable& table, std::vector<std::string>& notes) {
  const SafetensorsFile file(path);
  const std::string component = component_of(denoiser);
  std::map<std::string, Stored> stored;
  std::string foreign;
  bool text = false, peft = false;
  for (const auto& [name, entry] : file.entries()) {
    std::string key = name;
    if (key.starts_with("text_encoder") || key.starts_with("lora_te")) {
      text = true;
      continue;
    }
    const char kind = parse_key(key);
    if (kind == ' ') {
      // Counters and the like, of whatever type, are no weights that would be missed.
      if (entry.dtype == torch::ScalarType::Undefined || !c10::isFloatingType(entry.dtype))
        notes.push_back("'" + name + "' (" + entry.type + ") is no part of the adapter, and not used: " + path.string());
      else if (foreign.empty())
        foreign = name;
      continue;
    }
    peft |= cut_prefix(key, "base_model.model.");
    for (const std::string& prefix : {component + ".", std::string("diffusion_model.")}) cut_prefix(key, prefix);
    // An alpha may be a whole number.
    if (!c10::isFloatingType(entry.dtype) && !(kind == 'l' && c10::isIntegralType(entry.dtype, /*includeBool=*/false)))
      reject("'" + name + "' is of dtype " + entry.type + ", a floating-point one was expected", path.string(), "Save it in a floating-point dtype");
    torch::Tensor tensor = file.tensor(name).to(torch::kFloat32);
    if (tensor.dim() == 4 && tensor.size(2) == 1 && tensor.size(3) == 1) tensor = tensor.flatten(1);  // of a convolution of one point
    Stored& one = stored[key];
    if ((kind == 'a' && one.a.defined()) || (kind == 'b' && one.b.defined()) || (kind == 'l' && one.alphas)) reject_twice(key, path);
    if (kind == 'a') one.a = tensor;
    if (kind == 'b') one.b = tensor;
    if (kind == 'l') {
      one.alphas = tensor.numel();
      if (one.alphas == 1) one.alpha = tensor.item<double>();
    }
  }
  if (!foreign.empty()) {
    const bool other = std::any_of(kOtherMethods.begin(), kOtherMethods.end(), [&](const char* part) { return foreign.find(part) != std::string::npos; });
    reject("the file holds '" + foreign + "', which is no LoRA of a denoiser", path.string(),
           other ? "It is of another method (LoHa, LoKr, DoRA or whole weight differences), which cannot be used" : "");
  }
  if (stored.empty())
    reject(text ? "the file holds a LoRA of a text encoder alone" : "the file holds no LoRA", path.string(), "A LoRA of the denoiser is needed");

  const auto layers = adaptable_layers(denoiser);
  const auto places = kohya_places(denoiser, table);
  std::multimap<std::string, std::string> modules;  // a file's name -> paths
  std::vector<std::string> known;
  for (const auto& [layer, place] : places) modules.emplace(place.module, layer);
  for (const auto& [module, _] : modules) known.push_back(module);
  for (const auto& [layer, _] : layers) {
    known.push_back(layer);
    // Some trainers name layers as diffusers does, with underscores.
    for (const char* prefix : {"lora_unet_", "lora_transformer_"})
      if (const std::string flat = prefix + underscored(layer); !modules.contains(flat)) modules.emplace(flat, layer);
  }

  const Settings settings(file, component, peft, notes);
  Lora out;
  std::string unknown;
  int unknown_count = 0;
  for (const auto& [name, one] : stored) {
    // The authors' own names, with dots, are kohya's with underscores.
    const auto [begin, end] = modules.equal_range(modules.contains(name) ? name : "lora_unet_" + underscored(name));
    if (!layers.contains(name) && begin == end) {
      if (++unknown_count <= 3) unknown += "\n  " + name + ": the nearest here is " + nearest(name, known);
      continue;
    }
    if (!one.a.defined() || !one.b.defined() || one.a.dim() != 2 || one.b.dim() != 2 || one.a.size(0) != one.b.size(1) || one.a.size(0) < 1)
      reject("'" + name + "' is no pair of matrices", path.string(), "The file is damaged, or its adapter is of a convolution, which cannot be used");
    if (one.alphas.value_or(1) != 1)
      reject("the alpha of '" + name + "' is of " + std::to_string(*one.alphas) + " numbers, one was expected", path.string(), "The file is damaged");
    const double alpha = one.alpha.value_or(settings.alpha(name, one.a.size(0)));
    if (!std::isfinite(alpha) || !one.a.isfinite().all().item<bool>() || !one.b.isfinite().all().item<bool>())
      reject("'" + name + "' holds numbers that are not finite", path.string(), "The file is damaged, or its training went astray");
    if (layers.contains(name)) {
      if (!out.layers.emplace(name, LoraLayer{one.a, one.b, alpha}).second) reject_twice(name, path);
      continue;
    }
    for (auto module = begin; module != end; ++module) {
      const std::string& layer = module->second;
      const auto place = places.find(layer);
      const bool own = place != places.end() && place->second.module == module->first;
      if (auto part = part_of(one, alpha, own ? place->second : KohyaPlace{}, layers.at(layer)->weight.size(0)))
        if (!out.layers.emplace(layer, std::move(*part)).second) reject_twice(layer, path);
    }
  }
  if (unknown_count > 0)
    reject(std::to_string(unknown_count) + " of " + std::to_string(stored.size()) + " layers of the adapter are not in the model:" + unknown +
               (unknown_count > 3 ? "\n  ..." : "") + "\n",
           path.string(), "It was made for another model, or changes convolutions, which cannot be used");
  if (text) notes.push_back("The adapter's part for the text encoder is not used: " + path.string());
  if (const auto ours = file.metadata().find(kOurs); ours != file.metadata().end()) {
    const json document = json::parse(ours->second, nullptr, /*allow_exceptions=*/false);
    if (document.is_object())
      for (const auto& [key, value] : document.items()) out.metadata[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return out;
}

namespace {

// PEFT's settings of an adapter whose layers may differ in rank and alpha: the first layer's, and what differs from it.
json peft_settings(const Lora& lora, const std::string& component) {
  const LoraLayer& first = lora.layers.begin()->second;
  json targets = json::array(), ranks = json::object(), alphas = json::object();
  for (const auto& [path, layer] : lora.layers) {
    targets.push_back(path);
    // Anchored: unanchored patterns match the ends of paths, so that "proj_out" would be every block's too.
    if (layer.rank() != first.rank()) ranks["^" + path] = layer.rank();
    if (layer.alpha != first.alpha) alphas["^" + path] = layer.alpha;
  }
  const json settings{{"peft_type", "LORA"},   {"r", first.rank()},       {"lora_alpha", first.alpha}, {"target_modules", targets},
                      {"rank_pattern", ranks}, {"alpha_pattern", alphas}, {"lora_dropout", 0.0},       {"bias", "none"},
                      {"use_rslora", false},   {"use_dora", false},       {"init_lora_weights", true}};
  json out;
  for (const auto& [key, value] : settings.items()) out[component + "." + key] = value;
  return out;
}

}  // namespace

void write_lora(const fs::path& path, const Lora& anywhere, LoraFormat format, const torch::nn::Module& denoiser, const SiteTable& table) {
  const Lora lora = anywhere.to(torch::kCPU);
  if (lora.layers.empty()) reject("the adapter has no layer", path.string());
  const std::string component = component_of(denoiser);
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, std::string> metadata{{kOurs, json(lora.metadata).dump()}};
  // A convolution of one point has its adapter's matrices as convolutions of one point.
  const auto known = adaptable_layers(denoiser);
  const auto as_stored = [&](const std::string& layer, const torch::Tensor& matrix) {
    const auto found = known.find(layer);
    return found != known.end() && found->second->weight.dim() == 4 ? matrix.unsqueeze(-1).unsqueeze(-1) : matrix;
  };
  if (format == LoraFormat::diffusers) {
    for (const auto& [layer, own] : lora.layers) {
      tensors[component + "." + layer + ".lora_A.weight"] = as_stored(layer, own.a);
      tensors[component + "." + layer + ".lora_B.weight"] = as_stored(layer, own.b);
    }
    metadata["format"] = "pt";
    metadata[kSettings] = peft_settings(lora, component).dump();
    return write_safetensors(path, tensors, metadata);
  }

  const auto places = kohya_places(denoiser, table);
  if (places.empty()) reject("kohya's format has no names for this family of models", path.string(), "Write it in diffusers' format");
  struct Fused {
    std::string layer;  // the first of its parts
    std::int64_t rows = 0;
    bool swapped = false;
    std::vector<std::pair<std::int64_t, const LoraLayer*>> parts;  // first row
  };
  std::map<std::string, Fused> modules;
  for (const auto& [layer, own] : lora.layers) {
    const auto place = places.find(layer);
    if (place == places.end()) reject("kohya's format has no name for " + layer, path.string(), "Write it in diffusers' format");
    Fused& module = modules[place->second.module];
    if (module.parts.empty()) module.layer = layer;
    module.rows = place->second.rows > 0 ? place->second.rows : own.b.size(0);
    module.swapped = place->second.swapped;
    module.parts.emplace_back(place->second.first_row, &own);
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
    tensors[name + ".lora_down.weight"] = as_stored(module.layer, torch::cat(a));
    tensors[name + ".lora_up.weight"] = as_stored(module.layer, module.swapped ? swapped_halves(b) : b);
    tensors[name + ".alpha"] = torch::tensor(first * static_cast<double>(rank), torch::kFloat32);
  }
  metadata["ss_network_module"] = "networks.lora";
  write_safetensors(path, tensors, metadata);
}

}  // namespace glyphscope
