#include "widgets/site_selection.h"

#include <algorithm>
#include <utility>

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

void SiteSelection::point_at(int site) {
  if (std::exchange(pointed_, site) != site) emit pointed_changed();
}

}  // namespace glyphscope
