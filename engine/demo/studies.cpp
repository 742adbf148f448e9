#include "demo/studies.h"

#include "io/files.h"
#include "io/resources.h"
#include "io/weights.h"

namespace glyphscope {

std::vector<int> studied_sites(const ModelInfo& model) {
  for (const auto& demo : demo_models()) {
    if (model.source != demo) continue;
    const auto run = attempt([&] { return read_json(resource("studies/" + demo.substr(demo.find(':') + 1) + "/run.json")); });
    if (!run) continue;
    // A cascade is patched in its first stage.
    const std::string hash = run->at("model").at("hash");
    if (hash == model.hash || (model.upscaler && sha256_text(hash + model.upscaler->hash) == model.hash)) {
      const auto& smallest = run->at("smallest_set_found");
      return (smallest.empty() ? run->at("localized") : smallest).get<std::vector<int>>();
    }
  }
  return {};
}

}  // namespace glyphscope
