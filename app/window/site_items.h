#pragma once

#include <vector>

#include "patching/site.h"
#include "widgets/site_values.h"

namespace glyphscope {

/// A model's sites as the widgets show them.
std::vector<SiteItem> site_items(const SiteTable& table);

}  // namespace glyphscope
