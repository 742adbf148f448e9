#include "app/window/site_items.h"

namespace glyphscope {

std::vector<SiteItem> site_items(const SiteTable& table) {
  const auto row = [](BlockPlace place) {
    return place == BlockPlace::down     ? BlockRow::down
           : place == BlockPlace::up     ? BlockRow::up
           : place == BlockPlace::middle ? BlockRow::middle
                                         : BlockRow::stack;
  };
  std::vector<SiteItem> out;
  for (const auto& site : table.sites)
    out.push_back({.index = site.index,
                   .path = QString::fromStdString(site.path),
                   .block = QString::fromStdString(site.block),
                   .heads = site.heads,
                   .parameters = site.kv_parameters,
                   .share = table.share({site.index}),
                   .row = row(site.place)});
  return out;
}

}  // namespace glyphscope
