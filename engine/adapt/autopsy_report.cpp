#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "adapt/autopsy.h"
#include "experiments/score_table_text.h"
#include "io/canvas.h"

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

torch::Tensor AutopsyResult::draw() const {
  constexpr int kRow = 22, kLeft = 130, kPlot = 420, kRight = 130, kTop = 56, kSize = 12;
  constexpr Colour kInk{40, 40, 40}, kPale{225, 225, 225}, kKept{33, 102, 172}, kOther{170, 185, 200};
  Canvas canvas(kLeft + kPlot + kRight, kTop + kRow * static_cast<int>(parts.size()) + 30, {255, 255, 255});
  double low = -0.05, high = 0.05;
  for (const auto& one : parts) {
    low = std::min(low, one.f1_change.low.value_or(one.f1_change.mean));
    high = std::max(high, one.f1_change.high.value_or(one.f1_change.mean));
  }
  const auto at = [&](double value) { return kLeft + static_cast<int>(static_cast<double>(kPlot) * (value - low) / (high - low)); };
  canvas.text("What each part of the adapter adds to the text's character F1", 12, 22, 14, kInk);
  canvas.text("95 % intervals; * changes the text; dark: kept in the pruned adapter", 12, 42, 11, kInk);
  int y = kTop;
  for (const auto& one : parts) {
    const int middle = y + kRow / 2;
    canvas.text(one.part.name + (one.changes_text ? " *" : ""), kLeft - 8, middle + 4, kSize, kInk, Canvas::Align::right);
    canvas.fill(kLeft, y + kRow - 1, kPlot, 1, kPale);
    const int zero = at(0), value = at(one.f1_change.mean);
    canvas.fill(std::min(zero, value), y + 5, std::max(1, std::abs(value - zero)), kRow - 10, is_kept(*this, one.part) ? kKept : kOther);
    if (one.f1_change.low) canvas.fill(at(*one.f1_change.low), middle, std::max(1, at(*one.f1_change.high) - at(*one.f1_change.low)), 1, kInk);
    canvas.text(with_interval(one.f1_change), kLeft + kPlot + 8, middle + 4, 11, kInk);
    y += kRow;
  }
  canvas.fill(at(0), kTop, 1, y - kTop, kInk);
  for (const double tick : {low, 0.0, high}) {
    char text[16];
    std::snprintf(text, sizeof text, "%.2f", tick);
    canvas.text(text, at(tick), y + 18, 11, kInk, Canvas::Align::centre);
  }
  return canvas.image();
}

}  // namespace glyphscope
