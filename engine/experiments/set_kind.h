#pragma once

namespace glyphscope {

/// Why a localization tries a set of sites: each site alone; candidates for the smallest set (pairs of the best, the best ranks together); the smallest found;
/// random sets of its size; all sites.
enum class SetKind { site, pair, ranked, smallest, random, all };

/// As run.json has it.
constexpr const char* set_kind_name(SetKind kind) {
  switch (kind) {
    case SetKind::site:
      return "site";
    case SetKind::pair:
      return "pair";
    case SetKind::ranked:
      return "ranked";
    case SetKind::smallest:
      return "smallest";
    case SetKind::random:
      return "random";
    case SetKind::all:
      return "all";
  }
  return "";
}

}  // namespace glyphscope
