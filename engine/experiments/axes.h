#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/variant.h"
#include "patching/site.h"

namespace glyphscope {

/// What variants differ by. All that an axis does not name is patched: all steps, all heads, K and V, all tokens; and all sites that are looked at.
enum class Axis {
  site,         ///< One site.
  set,          ///< A set of sites.
  step,         ///< A range of denoising steps.
  head,         ///< The head of that number, at each site that has so many.
  stream,       ///< K, V, or both.
  part,         ///< Of a site's block: the prompt's K and V, the picture's own, or the MLP. See BlockPart.
  token_group,  ///< See TokenGroup.
  encoder,      ///< Tokens of one text encoder, where sites read several.
  direction,    ///< See Direction.
  attribute,    ///< What prompts A and B differ by: of pairs of that attribute alone.
};

/// What is asked of a set of sites.
enum class Direction {
  sufficiency,  ///< A's picture, and these sites see B: are they enough for B's text?
  necessity,    ///< B's picture, and these sites see A: without them, is B's text gone?
  complement,   ///< A's picture, and all other sites see B.
};

/// "site", "token-group" ..
std::string to_string(Axis axis);
std::string to_string(Direction direction);
/// Throws a Failure that lists the names.
Direction parse_direction(const std::string& name);

/// One axis, or two with "-" between: rows and columns. "site-step", "token-group-site". Throws a Failure that lists the names, or says that both are the same
/// thing.
struct Axes {
  Axis rows = Axis::site;
  std::optional<Axis> columns;

  static Axes parse(const std::string& by);
  bool operator==(const Axes&) const = default;
};
std::string to_string(const Axes& axes);

/// What of the model a grid of variants looks at.
struct Scope {
  std::vector<int> sites;              ///< Empty: all.
  std::vector<std::vector<int>> sets;  ///< For Axis::set.
  int from_step = 0;                   ///< First step that is patched, of
  int steps = 0;                       ///< so many,
  int step_ranges = 5;                 ///< which Axis::step parts into as nearly equal ranges.
  Direction direction = Direction::sufficiency;
  std::vector<TokenEncoder> encoders;   ///< That the model's sites read.
  std::vector<std::string> attributes;  ///< Of the pairs, for Axis::attribute.

  /// As far as it matters to these axes.
  Scope of(const Axes& axes) const;
  nlohmann::ordered_json to_json() const;
  /// The reverse. Throws a Failure, or what JSON throws.
  static Scope from_json(const nlohmann::json& json);
};

/// Variants in rows and columns.
struct Grid {
  Axes axes;
  std::vector<std::string> rows, columns;     ///< Labels; one column without a second axis, "".
  std::vector<std::optional<Variant>> cells;  ///< Row by row. None: there is no such thing, as a head that a site does not have.
  std::vector<std::string> attributes;        ///< Of each of cells, on whose pairs alone it is drawn; empty without such an axis.
  const std::optional<Variant>& at(size_t row, size_t column) const { return cells[row * columns.size() + column]; }
  std::vector<Variant> variants() const;  ///< Those there are, each once.
};

/// Throws a Failure for an axis that the model has not: encoders where there is one, ranges of more steps than there are, sets where none is given.
Grid make_grid(const Axes& axes, const Scope& scope, const SiteTable& table);

/// Several sets as people write them: "5;7-9;all". Throws a Failure that names the part that is wrong.
std::vector<std::vector<int>> parse_sets(const std::string& text, const SiteTable& table);

}  // namespace glyphscope
