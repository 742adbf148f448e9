#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "adapt/autopsy.h"
#include "experiments/score_table_text.h"

/// What an autopsy found, as a document, as tables and as a figure.
namespace glyphscope {
using nlohmann::ordered_json;

namespace {

ordered_json names(const std::vector<AdapterPart>& parts) {
  ordered_json out = ordered_json::array();
  for (const auto& part : parts) out.push_back(part.name);
  return out;
}

bool is_kept(const AutopsyResult& result, const AdapterPart& part) {
  return std::any_of(result.kept.begin(), result.kept.end(), [&](const AdapterPart& one) { return one.name == part.name; });
}

}  // namespace

ordered_json AutopsyResult::to_json() const {
  ordered_json list = ordered_json::array();
  for (const auto& one : parts)
    list.push_back({{"part", one.part.name},
                    {"site", one.part.site < 0 ? ordered_json() : ordered_json(one.part.site)},
                    {"layers", one.part.layers},
                    {"parameters", one.part.parameters},
                    {"f1_change", one.f1_change.to_json()},
                    {"p_value", one.p_value},
                    {"changes_text", one.changes_text},
                    {"without", {{"f1", one.f1.to_json()}, {"exact", one.exact.to_json()}, {"ssim_to_whole", one.ssim.to_json()}}},
                    {"kept", is_kept(*this, one.part)}});
  ordered_json out{{"base", {{"f1", base_f1.to_json()}, {"exact", base_exact.to_json()}, {"ssim_to_whole", base_ssim.to_json()}}},
                   {"whole", {{"f1", whole_f1.to_json()}, {"exact", whole_exact.to_json()}, {"parameters", parameters}}},
                   {"parts", list},
                   {"pruned", nullptr},
                   {"choosing", choosing},
                   {"reporting", reporting}};
  if (pruned_f1.n > 0)
    out["pruned"] = {{"kept", names(kept)},
                     {"parameters", kept_parameters},
                     {"f1", pruned_f1.to_json()},
                     {"exact", pruned_exact.to_json()},
                     {"ssim_to_whole", pruned_ssim.to_json()},
                     {"whole_f1", reported_whole_f1.to_json()}};
  return out;
}

std::string AutopsyResult::csv() const {
  std::string out = "part,site,layers,parameters,f1_change,f1_change_low,f1_change_high,p_value,changes_text,f1_without,exact_without,ssim_to_whole,kept\n";
  for (const auto& one : parts) {
    const auto number = [](const std::optional<double>& value) { return "," + (value ? csv_number(*value) : ""); };
    out += csv_field(one.part.name) + "," + (one.part.site < 0 ? "" : std::to_string(one.part.site)) + "," + std::to_string(one.part.layers) + "," +
           std::to_string(one.part.parameters) + number(one.f1_change.mean) + number(one.f1_change.low) + number(one.f1_change.high) + number(one.p_value) +
           (one.changes_text ? ",yes" : ",no") + number(one.f1.mean) + number(one.exact.mean) + number(one.ssim.mean) +
           (is_kept(*this, one.part) ? ",yes\n" : ",no\n");
  }
  return out;
}

std::string AutopsyResult::table() const {
  size_t width = 4;
  for (const auto& one : parts) width = std::max(width, one.part.name.size());
  std::string out;
  const auto line = [&](const std::string& name, const std::string& parameters, const std::string& change, const std::string& f1, const std::string& ssim,
                        const std::string& kept) {
    char text[256];
    std::snprintf(text, sizeof text, "%-*s  %11s  %-20s  %-18s  %-18s  %s", static_cast<int>(width), name.c_str(), parameters.c_str(), change.c_str(),
                  f1.c_str(), ssim.c_str(), kept.c_str());
    std::string trimmed = text;
    trimmed.erase(trimmed.find_last_not_of(' ') + 1);
    out += trimmed + "\n";
  };
  line("part", "parameters", "adds to F1", "F1 without it", "SSIM to the whole", "kept");
  for (const auto& one : parts)
    line(one.part.name, std::to_string(one.part.parameters), with_interval(one.f1_change) + (one.changes_text ? " *" : ""), with_interval(one.f1),
         with_interval(one.ssim), is_kept(*this, one.part) ? "yes" : "");
  out += "\nF1 " + with_interval(whole_f1) + " with the whole adapter, " + with_interval(base_f1) + " without; * changes the text\n";
  if (pruned_f1.n > 0)
    out += "Pruned: " + std::to_string(kept.size()) + " of " + std::to_string(parts.size()) + " parts, " + std::to_string(kept_parameters) + " of " +
           std::to_string(parameters) + " parameters; F1 " + with_interval(pruned_f1) + " where the whole has " + with_interval(reported_whole_f1) + "\n";
  else
    out += "No part can be left out\n";
  return out;
}

Figure AutopsyResult::figure() const {
  constexpr double kLeast = 0.05;
  IntervalPanel panel;
  panel.numbers = true;
  IntervalPanel::Column column{"adds to character F1, with a 95 % interval", -kLeast, kLeast, {}, 0.0};
  for (const auto& one : parts) {
    column.low = std::min(column.low, one.f1_change.low.value_or(one.f1_change.mean));
    column.high = std::max(column.high, one.f1_change.high.value_or(one.f1_change.mean));
    panel.rows.push_back({one.part.name + (one.changes_text ? " *" : ""), is_kept(*this, one.part)});
    column.values.push_back(plot_value(one.f1_change));
  }
  panel.columns.push_back(std::move(column));
  return {.title = "What each part of the adapter adds to the text",
          .subtitle = "* changes the text. Squares: kept in the pruned adapter.",
          .parts = {{"", std::move(panel)}}};
}

}  // namespace glyphscope
