#include "patching/site.h"

namespace glyphscope {

double SiteTable::share(const std::vector<int>& indices) const {
  std::int64_t sum = 0;
  for (int index : indices) sum += sites.at(static_cast<size_t>(index)).kv_parameters;
  return denoiser_parameters > 0 ? static_cast<double>(sum) / static_cast<double>(denoiser_parameters) : 0;
}

}  // namespace glyphscope
