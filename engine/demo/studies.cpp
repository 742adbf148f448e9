#include "demo/studies.h"

#include "io/files.h"
#include "io/resources.h"

namespace glyphscope {

std::vector<int> studied_sites(const ModelInfo& model) {
  for (const auto& demo : demo_models()) {
    if (model.source != demo) continue;
    const auto run = attempt([&] { return read_json(resource("studies/" + demo.substr(demo.find(':') + 1) + "/run.json")); });
    if (run && run->at("model").at("hash") == model.hash) {
      const auto& smallest = run->at("smallest_set");
      return (smallest.empty() ? run->at("localized") : smallest).get<std::vector<int>>();
    }
  }
  return {};
}

}  // namespace glyphscope
