#include "registry/families.h"

#include "core/error.h"
#include "registry/all_families.h"

namespace glyphscope {
namespace {

std::deque<Family>& all() {
  static std::deque<Family> families = all_families();
  return families;
}

}  // namespace

const std::deque<Family>& families() { return all(); }

void add_family(Family family) { all().push_back(std::move(family)); }

const Family& family_of(const ModelFolder& model) {
  std::string supported;
  for (const auto& family : families())
    for (const auto& one : family.classes) {
      if (one.name == model.pipeline_class()) return family;
      supported += (supported.empty() ? "" : ", ") + one.name + " (" + one.models + ")";
    }
  if (model.pipeline_class().find("Inpaint") != std::string::npos)
    reject("this is an inpainting model (" + model.pipeline_class() + ")", model.folder().string(),
           "Models that draw from a prompt alone are supported; use the one that it was trained from");
  reject("models of class " + model.pipeline_class() + " are not supported yet", model.folder().string(), "Supported are " + supported);
}

std::string names_of_families(const std::function<bool(const Family& family, const Family::PipelineClass& one)>& is) {
  std::string out;
  for (const auto& family : families())
    for (const auto& one : family.classes)
      if (is(family, one)) out += (out.empty() ? "" : ", ") + one.models;
  return out;
}

KohyaPlaces kohya_places(const torch::nn::Module& denoiser, const SiteTable& table) {
  for (const auto& family : families())
    if (auto places = family.kohya_places(denoiser, table); !places.empty()) return places;
  return {};
}

}  // namespace glyphscope
