#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>

#include "adapt/arena.h"
#include "experiments/score_table_text.h"
#include "patching/patch_plan.h"

/// What an arena found, as a document, as tables and as a figure.
namespace glyphscope {
using nlohmann::ordered_json;

namespace {

// Scores by the names that files have.
std::vector<std::pair<const char*, Score ArenaScores::*>> score_columns() {
  return {{"word_accuracy", &ArenaScores::word_accuracy},
          {"ocr_f1", &ArenaScores::ocr_f1},
          {"clip_alignment", &ArenaScores::clip_alignment},
          {"ssim_to_base", &ArenaScores::ssim_to_base},
          {"precision", &ArenaScores::precision},
          {"recall", &ArenaScores::recall},
          {"kernel_distance", &ArenaScores::kernel_distance},
          {"pair_distance", &ArenaScores::pair_distance},
          {"held_out_loss", &ArenaScores::held_out_loss}};
}

bool aligned(const ArenaResult& result) {
  return std::any_of(result.entries.begin(), result.entries.end(), [](const ArenaEntry& entry) { return entry.scores.clip_alignment.n > 0; });
}

// "16", or "1-2" where sites differ; nothing without an adapter.
std::string ranks(const Contender& contender) {
  if (contender.parameters == 0) return "";
  const LoraPlan& plan = contender.plan;
  std::int64_t low = plan.every_attention ? plan.rank : plan.rank_at(plan.sites.front()), high = low;
  for (const int site : plan.sites) {
    low = std::min(low, plan.rank_at(site));
    high = std::max(high, plan.rank_at(site));
  }
  return low == high ? std::to_string(low) : std::to_string(low) + "-" + std::to_string(high);
}

std::string where(const Contender& contender) {
  if (contender.name == "no adapter") return "";
  return contender.plan.every_attention ? "all attention" : format_sites(contender.plan.sites);
}

}  // namespace

ordered_json ArenaResult::to_json() const {
  ordered_json out{{"features", features}, {"contenders", ordered_json::array()}};
  for (const auto& entry : entries) {
    ordered_json scores;
    for (const auto& [name, score] : score_columns()) scores[name] = (entry.scores.*score).to_json();
    out["contenders"].push_back({{"name", entry.contender.name},
                                 {"sites", entry.contender.plan.sites},
                                 {"every_attention", entry.contender.plan.every_attention},
                                 {"rank", entry.trainings > 0 ? entry.contender.plan.rank : 0},
                                 {"ranks", entry.contender.plan.ranks},
                                 {"parameters", entry.contender.parameters},
                                 {"optimizer_bytes", entry.optimizer_bytes},
                                 {"trainings", entry.trainings},
                                 {"diverged", entry.diverged},
                                 {"scores", scores},
                                 {"localized_f1_gain", entry.f1_gain.to_json()}});
  }
  return out;
}

std::string ArenaResult::csv() const {
  std::string out = "contender,sites,rank,parameters,optimizer_bytes,trainings,diverged";
  for (const auto& [name, score] : score_columns()) out += std::string(",") + name + "," + name + "_low," + name + "_high";
  out += ",localized_f1_gain,localized_f1_gain_low,localized_f1_gain_high\n";
  for (const auto& entry : entries) {
    out += "\"" + entry.contender.name + "\",\"" + where(entry.contender) + "\",\"" + ranks(entry.contender) + "\"," +
           std::to_string(entry.contender.parameters) + "," + std::to_string(entry.optimizer_bytes) + "," + std::to_string(entry.trainings) + "," +
           std::to_string(entry.diverged);
    const auto add = [&](const Score& one) {
      for (const auto& value : {one.n > 0 ? std::optional(one.mean) : std::nullopt, one.low, one.high}) {
        char text[32] = ",";
        if (value) std::snprintf(text, sizeof text, ",%.6g", *value);
        out += text;
      }
    };
    for (const auto& [name, score] : score_columns()) add(entry.scores.*score);
    add(entry.f1_gain);
    out += "\n";
  }
  return out;
}

std::string ArenaResult::table() const {
  struct Column {
    const char* title;
    int width;
    std::function<std::string(const ArenaEntry&)> text;
  };
  const auto scored = [](Score ArenaScores::*score) { return [score](const ArenaEntry& entry) { return with_interval(entry.scores.*score); }; };
  std::vector<Column> columns{{"", -27, [](const ArenaEntry& entry) { return entry.contender.name; }},
                              {"parameters", 10, [](const ArenaEntry& entry) { return std::to_string(entry.contender.parameters); }},
                              {"rank", 4, [](const ArenaEntry& entry) { return ranks(entry.contender); }},
                              {"words exact", -19, scored(&ArenaScores::word_accuracy)},
                              {"character F1", -19, scored(&ArenaScores::ocr_f1)},
                              {"SSIM to the base", -19, scored(&ArenaScores::ssim_to_base)},
                              {"precision", -19, scored(&ArenaScores::precision)},
                              {"recall", -19, scored(&ArenaScores::recall)},
                              {"kernel distance", -22, [](const ArenaEntry& entry) { return with_interval(entry.scores.kernel_distance, 3); }},
                              {"pair distance", -19, scored(&ArenaScores::pair_distance)}};
  if (aligned(*this)) columns.push_back({"CLIP alignment", -22, [](const ArenaEntry& entry) { return with_interval(entry.scores.clip_alignment, 3); }});
  columns.push_back({"localized's F1 over it", 0, [](const ArenaEntry& entry) { return with_interval(entry.f1_gain); }});
  std::string out;
  const auto add_line = [&](const std::function<std::string(const Column&)>& text) {
    for (const auto& column : columns) {
      const std::string one = text(column);
      const std::string room(static_cast<size_t>(std::max(0, std::abs(column.width) - static_cast<int>(one.size()))), ' ');
      out += column.width > 0 ? room + one : one + room;
      out += "  ";
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += "\n";
  };
  add_line([](const Column& column) { return column.title; });
  for (const auto& entry : entries) add_line([&](const Column& column) { return column.text(entry); });
  for (const auto& entry : entries)
    if (entry.diverged > 0)
      out += entry.contender.name + ": the loss of " + std::to_string(entry.diverged) + " of " + std::to_string(entry.trainings) +
             " trainings exploded; scores are of the others\n";
  return out;
}

Figure ArenaResult::figure() const {
  struct Panel {
    const char* title;
    Score ArenaScores::*score;
    double low = 0, high = 1;
  };
  std::vector<Panel> panels{{"words exact", &ArenaScores::word_accuracy},
                            {"character F1", &ArenaScores::ocr_f1},
                            {"SSIM to the base", &ArenaScores::ssim_to_base},
                            {"precision", &ArenaScores::precision},
                            {"recall", &ArenaScores::recall}};
  // What is no share, and cosines, which lie close together: to hundredths around what there is.
  const auto add_fitted = [&](const char* title, Score ArenaScores::*which) {
    std::optional<double> low, high;
    for (const auto& entry : entries) {
      const Score& score = entry.scores.*which;
      if (score.n == 0) continue;
      low = std::min(low.value_or(score.mean), score.low.value_or(score.mean));
      high = std::max(high.value_or(score.mean), score.high.value_or(score.mean));
    }
    if (low) panels.push_back({title, which, std::floor(100 * *low) / 100, std::ceil(100 * *high + 1e-9) / 100});
  };
  add_fitted("kernel distance", &ArenaScores::kernel_distance);
  add_fitted("distance of a pair", &ArenaScores::pair_distance);
  if (aligned(*this)) add_fitted("CLIP alignment", &ArenaScores::clip_alignment);
  IntervalPanel panel;
  for (const auto& entry : entries) panel.rows.push_back({entry.contender.name, entry.contender.name == "localized"});
  for (const auto& one : panels) {
    IntervalPanel::Column column{one.title, one.low, one.high, {}, {}};
    for (const auto& entry : entries) column.values.push_back(plot_value(entry.scores.*one.score));
    panel.columns.push_back(std::move(column));
  }
  return {.title = "Adapters, all trained alike", .subtitle = "Means and 95 % intervals.", .parts = {{"", std::move(panel)}}};
}

}  // namespace glyphscope
