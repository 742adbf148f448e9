#include "widgets/site_selection.h"

#include <algorithm>

namespace glyphscope {

std::vector<int> SiteSelection::sorted() const {
  std::vector<int> out(sites_.begin(), sites_.end());
  std::sort(out.begin(), out.end());
  return out;
}

void SiteSelection::select(const QSet<int>& sites, Mode mode) {
  QSet<int> next = mode == Mode::replace ? QSet<int>() : sites_;
  for (int site : sites) {
    if (mode == Mode::toggle && next.contains(site)) {
      next.remove(site);
    } else {
      next.insert(site);
    }
  }
  if (next == sites_) return;
  sites_ = next;
  emit changed();
}

}  // namespace glyphscope
