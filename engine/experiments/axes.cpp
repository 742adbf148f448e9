#include "experiments/axes.h"

#include <algorithm>
#include <functional>
#include <sstream>

#include "core/error.h"
#include "core/option.h"

namespace glyphscope {

namespace {

constexpr std::pair<Axis, const char*> kAxes[] = {{Axis::site, "site"},
                                                  {Axis::set, "set"},
                                                  {Axis::step, "step"},
                                                  {Axis::head, "head"},
                                                  {Axis::stream, "stream"},
                                                  {Axis::part, "part"},
                                                  {Axis::token_group, "token-group"},
                                                  {Axis::encoder, "encoder"},
                                                  {Axis::direction, "direction"},
                                                  {Axis::attribute, "attribute"}};
constexpr std::pair<Direction, const char*> kDirections[] = {
    {Direction::sufficiency, "sufficiency"}, {Direction::necessity, "necessity"}, {Direction::complement, "complement"}};

template <class Table>
std::string names_of(const Table& table) {
  std::string out;
  for (const auto& [_, name] : table) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

// A value of an axis: what it leaves of a plan's patch, none if nothing.
struct Value {
  std::string label;
  std::function<bool(SitePatch&, const SiteTable&)> narrow = [](SitePatch&, const SiteTable&) { return true; };
  std::optional<Direction> direction = {};
};

std::vector<int> all_sites(const SiteTable& table) {
  std::vector<int> out;
  for (const auto& site : table.sites) out.push_back(site.index);
  return out;
}

bool has(const std::vector<int>& list, int one) { return std::find(list.begin(), list.end(), one) != list.end(); }

Value of_sites(const std::vector<int>& sites) {
  return {format_sites(sites), [sites](SitePatch& patch, const SiteTable&) { return has(sites, patch.site); }};
}

std::vector<Value> values_of(Axis axis, const Scope& scope, const SiteTable& table) {
  std::vector<Value> out;
  const std::vector<int> sites = scope.sites.empty() ? all_sites(table) : scope.sites;
  switch (axis) {
    case Axis::site:
      for (const int site : sites) out.push_back(of_sites({site}));
      break;
    case Axis::set:
      if (scope.sets.empty()) reject("no set of sites is named", option(Option::sets), "Write for example 5;7-9;all");
      for (const auto& set : scope.sets) {
        for (const int site : set)
          if (!has(sites, site))
            reject("site " + std::to_string(site) + " of the set " + format_sites(set) + " is not among the sites that are looked at", option(Option::sets),
                   "Name it by " + option(Option::sites) + " too, or leave that out");
        out.push_back(of_sites(set));
      }
      break;
    case Axis::step: {
      const int left = scope.steps - scope.from_step;
      if (scope.step_ranges < 1 || scope.step_ranges > left)
        reject(std::to_string(left) + " steps cannot be parted into " + std::to_string(scope.step_ranges) + " ranges",
               option(Option::step_ranges, std::to_string(scope.step_ranges)), "Choose 1 to " + std::to_string(left));
      for (int range = 0; range < scope.step_ranges; ++range) {
        const int from = scope.from_step + range * left / scope.step_ranges, to = scope.from_step + (range + 1) * left / scope.step_ranges;
        // The last goes on to the end, as what is patched at all steps does.
        const int end = range + 1 == scope.step_ranges ? SitePatch::kLastStep : to;
        out.push_back({to - from == 1 ? std::to_string(from) : std::to_string(from) + "-" + std::to_string(to - 1), [=](SitePatch& patch, const SiteTable&) {
                         patch.from_step = from;
                         patch.to_step = end;
                         return true;
                       }});
      }
      break;
    }
    case Axis::head: {
      int heads = 0;
      for (const int site : sites) heads = std::max(heads, table.sites[static_cast<size_t>(site)].heads);
      for (int head = 0; head < heads; ++head)
        out.push_back({std::to_string(head), [head](SitePatch& patch, const SiteTable& all) {
                         patch.heads = {head};
                         return head < all.sites[static_cast<size_t>(patch.site)].heads;
                       }});
      break;
    }
    case Axis::stream:
      for (const auto& [streams, label] : {std::pair(Streams::key, "K"), {Streams::value, "V"}, {Streams::key_value, "K and V"}})
        out.push_back({label, [streams = streams](SitePatch& patch, const SiteTable&) {
                         patch.streams = streams;
                         return true;
                       }});
      break;
    case Axis::part:
      for (const BlockPart part : {BlockPart::prompt, BlockPart::picture, BlockPart::mlp})
        out.push_back({to_string(part), [part](SitePatch& patch, const SiteTable& all) {
                         patch.part = part;
                         const Site& site = all.sites[static_cast<size_t>(patch.site)];
                         return part == BlockPart::prompt || (part == BlockPart::picture ? site.has_picture_kv : site.has_mlp);
                       }});
      break;
    case Axis::token_group:
      for (const TokenGroup group : all_token_groups())
        out.push_back({to_string(group), [group](SitePatch& patch, const SiteTable&) {
                         patch.tokens = {group};
                         return true;
                       }});
      break;
    case Axis::encoder:
      if (scope.encoders.size() < 2) reject("this model's sites read the tokens of one encoder alone", option(Option::by, to_string(axis)));
      for (const TokenEncoder encoder : scope.encoders)
        out.push_back({to_string(encoder), [encoder](SitePatch& patch, const SiteTable&) {
                         patch.encoders = {encoder};
                         return true;
                       }});
      break;
    case Axis::direction:
      for (const auto& [direction, name] : kDirections) out.push_back({name, [](SitePatch&, const SiteTable&) { return true; }, direction});
      break;
    case Axis::attribute:
      if (scope.attributes.empty())
        reject("the prompts differ by their texts alone", option(Option::by, to_string(axis)), "Name " + option(Option::attributes));
      for (const auto& attribute : scope.attributes) out.push_back({.label = attribute});
      break;
  }
  return out;
}

// What two values leave together, of all that is looked at.
std::optional<Variant> variant_of(const Value& row, const Value* column, const Scope& scope, const SiteTable& table) {
  const Direction direction = row.direction ? *row.direction : column && column->direction ? *column->direction : scope.direction;
  Variant out{row.label + (column ? "," + column->label : ""), {}, direction == Direction::necessity ? 1 : 0};
  std::vector<SitePatch> kept;
  const std::vector<int> sites = scope.sites.empty() ? all_sites(table) : scope.sites;
  for (const int site : sites) {
    SitePatch patch{.site = site, .prompt = 1 - out.base, .heads = {}, .from_step = scope.from_step, .tokens = {}, .encoders = {}};
    if (row.narrow(patch, table) && (!column || column->narrow(patch, table))) kept.push_back(std::move(patch));
  }
  if (kept.empty()) return std::nullopt;
  if (direction == Direction::complement) {
    // The other sites, by what else the values say.
    std::vector<SitePatch> others;
    for (const int site : all_sites(table)) {
      if (std::any_of(kept.begin(), kept.end(), [&](const SitePatch& patch) { return patch.site == site; })) continue;
      SitePatch patch = kept.front();
      patch.site = site;
      const Site& other = table.sites[static_cast<size_t>(site)];
      if ((patch.part == BlockPart::picture && !other.has_picture_kv) || (patch.part == BlockPart::mlp && !other.has_mlp)) continue;
      if (patch.heads.empty() || patch.heads.front() < table.sites[static_cast<size_t>(site)].heads) others.push_back(std::move(patch));
    }
    if (others.empty()) return std::nullopt;
    kept = std::move(others);
  }
  out.plan = PatchPlan(std::move(kept));
  return out;
}

}  // namespace

std::string to_string(Axis axis) {
  return std::find_if(std::begin(kAxes), std::end(kAxes), [&](const auto& one) { return one.first == axis; })->second;
}

std::string to_string(Direction direction) {
  return std::find_if(std::begin(kDirections), std::end(kDirections), [&](const auto& one) { return one.first == direction; })->second;
}

Direction parse_direction(const std::string& name) {
  for (const auto& [direction, known] : kDirections)
    if (name == known) return direction;
  reject("unknown direction '" + name + "'", option(Option::direction, name), "Known are " + names_of(kDirections));
}

Axes Axes::parse(const std::string& by) {
  for (const auto& [rows, name] : kAxes) {
    if (by == name) return {rows, std::nullopt};
    if (!by.starts_with(std::string(name) + "-")) continue;
    const std::string rest = by.substr(std::string(name).size() + 1);
    for (const auto& [columns, other] : kAxes) {
      if (rest != other) continue;
      const auto is_of_sites = [](Axis axis) { return axis == Axis::site || axis == Axis::set; };
      if (rows == columns || (is_of_sites(rows) && is_of_sites(columns))) reject("rows and columns are both of the same kind", option(Option::by, by));
      return {rows, columns};
    }
  }
  reject("'" + by + "' is no axis, nor two with - between", option(Option::by, by), "Known are " + names_of(kAxes));
}

std::string to_string(const Axes& axes) { return to_string(axes.rows) + (axes.columns ? "-" + to_string(*axes.columns) : ""); }

Scope Scope::of(const Axes& axes) const {
  const auto uses = [&](Axis axis) { return axes.rows == axis || axes.columns == axis; };
  Scope out = *this;
  if (!uses(Axis::set)) out.sets.clear();
  if (!uses(Axis::step)) out.step_ranges = Scope().step_ranges;
  if (!uses(Axis::encoder)) out.encoders.clear();
  if (!uses(Axis::attribute)) out.attributes.clear();
  if (uses(Axis::direction)) out.direction = Direction::sufficiency;
  return out;
}

nlohmann::ordered_json Scope::to_json() const {
  auto read = nlohmann::ordered_json::array();
  for (const TokenEncoder encoder : encoders) read.push_back(to_string(encoder));
  nlohmann::ordered_json out{{"sites", sites},
                             {"sets", sets},
                             {"from_step", from_step},
                             {"steps", steps},
                             {"step_ranges", step_ranges},
                             {"direction", glyphscope::to_string(direction)},
                             {"encoders", read}};
  if (!attributes.empty()) out["attributes"] = attributes;
  return out;
}

Scope Scope::from_json(const nlohmann::json& json) {
  Scope out;
  json.at("sites").get_to(out.sites);
  json.at("sets").get_to(out.sets);
  json.at("from_step").get_to(out.from_step);
  json.at("steps").get_to(out.steps);
  json.at("step_ranges").get_to(out.step_ranges);
  out.direction = parse_direction(json.at("direction").get<std::string>());
  if (json.contains("attributes")) json["attributes"].get_to(out.attributes);
  for (const auto& encoder : json.at("encoders")) out.encoders.push_back(parse_token_encoder(encoder.get<std::string>()));
  return out;
}

std::vector<Variant> Grid::variants() const {
  std::vector<Variant> out;
  for (const auto& one : cells)
    if (one && std::find(out.begin(), out.end(), *one) == out.end()) out.push_back(*one);
  return out;
}

Grid make_grid(const Axes& axes, const Scope& scope, const SiteTable& table) {
  if (scope.from_step >= scope.steps)
    reject("the run has " + std::to_string(scope.steps) + " steps", option(Option::from_step, std::to_string(scope.from_step)));
  Grid out{axes, {}, {}, {}};
  for (const int site : scope.sites)
    if (site < 0 || site >= static_cast<int>(table.sites.size())) reject("there is no site " + std::to_string(site), option(Option::sites));
  const std::vector<Value> rows = values_of(axes.rows, scope, table), columns = axes.columns ? values_of(*axes.columns, scope, table) : std::vector<Value>{};
  for (const auto& row : rows) out.rows.push_back(row.label);
  for (const auto& column : columns) out.columns.push_back(column.label);
  if (!axes.columns) out.columns.emplace_back();
  for (const auto& row : rows) {
    for (const auto& column : columns) out.cells.push_back(variant_of(row, &column, scope, table));
    if (!axes.columns) out.cells.push_back(variant_of(row, nullptr, scope, table));
    for (const auto& column : out.columns)
      if (axes.rows == Axis::attribute || axes.columns == Axis::attribute) out.attributes.push_back(axes.rows == Axis::attribute ? row.label : column);
  }
  if (out.variants().empty())
    reject("nothing is left to patch", option(Option::by, to_string(axes)), "Of all sites there is no complement; " + option(Option::sites) + " names some");
  return out;
}

std::vector<std::vector<int>> parse_sets(const std::string& text, const SiteTable& table) {
  std::vector<std::vector<int>> out;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ';');) out.push_back(part == "all" ? all_sites(table) : parse_sites(part, table));
  if (out.empty()) reject("no set of sites is named", option(Option::sets, text), "Write for example 5;7-9;all");
  return out;
}

}  // namespace glyphscope
