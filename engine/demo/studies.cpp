#include "demo/studies.h"

#include "io/files.h"
#include "io/resources.h"
#include "io/weights.h"

namespace glyphscope {

std::vector<int> studied_sites(const ModelInfo& model) {
  for (const auto& demo : demo_models()) {
    if (model.source != demo) continue;
    // Of patched pictures that read A's pooled prompt; where that found none, of those that read B's.
    for (const char* study : {"", "-pooled"}) {
      const auto file = attempt([&] { return resource("studies/" + demo.substr(demo.find(':') + 1) + study + "/run.json"); });
      if (!file) continue;
      const auto run = read_json(*file);
      auto found = reading_json(*file, [&]() -> std::vector<int> {
        // A cascade is patched in its first stage.
        const std::string hash = run.at("model").at("hash");
        if (hash != model.hash && !(model.upscaler && sha256_text(hash + model.upscaler->hash.text()) == model.hash)) return {};
        const auto& smallest = run.at("smallest_set_found");
        return (smallest.empty() ? run.at("localized") : smallest).get<std::vector<int>>();
      });
      if (!found.empty()) return found;
    }
  }
  return {};
}

}  // namespace glyphscope
