#include "pipelines/kohya_names.h"

#include <torch/types.h>

#include <algorithm>
#include <regex>

#include "models/layers.h"

namespace glyphscope {

std::string underscored(std::string path) {
  std::replace(path.begin(), path.end(), '.', '_');
  return path;
}

KohyaPlaces renamed_places(const torch::nn::Module& denoiser, const std::vector<KohyaRule>& rules) {
  static const std::regex number("\\.([0-9]+)\\.");
  KohyaPlaces out;
  for (const auto& [path, layer] : changeable_layers(denoiser)) {
    std::smatch found;
    const bool numbered = std::regex_search(path, found, number);
    const std::string shape = numbered ? found.prefix().str() + ".#." + found.suffix().str() : path;
    for (const auto& rule : rules) {
      if (shape != rule.path) continue;
      std::string module = rule.module;
      if (numbered) module.replace(module.find('#'), 1, found[1].str());
      const std::int64_t rows = layer->weight.size(0) / rule.own;
      out[path] = {"lora_unet_" + module, rule.part * rows, rule.parts * rows};
    }
  }
  return out;
}

KohyaPlaces transformer_places(const torch::nn::Module& denoiser, const SiteTable& table) {
  const auto layers = adaptable_layers(denoiser);
  KohyaPlaces out;
  for (const auto& site : table.sites) {
    const size_t inner = site.path.find(".transformer_blocks.");
    if (site.kohya.empty() || inner == std::string::npos) continue;
    const std::string transformer = site.path.substr(0, inner), rest = underscored(site.path.substr(inner));
    const std::string prefix = site.kohya.substr(0, site.kohya.size() - rest.size());
    for (auto layer = layers.lower_bound(transformer + "."); layer != layers.end() && layer->first.starts_with(transformer + "."); ++layer)
      out[layer->first] = {prefix + underscored(layer->first.substr(inner)), 0, 0};
  }
  return out;
}

}  // namespace glyphscope
