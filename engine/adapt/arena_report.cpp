#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>

#include "adapt/arena.h"
#include "experiments/score_table_text.h"
#include "io/canvas.h"
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

torch::Tensor ArenaResult::draw() const {
  constexpr int kMargin = 16, kName = 12, kPanel = 170, kGap = 26, kTop = 56, kRow = 26, kBottom = 30, kRight = 20;
  constexpr Colour kPaper{255, 255, 255}, kInk{30, 30, 36}, kSoft{110, 110, 120}, kGrid{225, 225, 230}, kDot{33, 102, 172}, kLocalized{178, 24, 43};
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
  int names = 0;
  Canvas measure(1, 1, kPaper);
  for (const auto& entry : entries) names = std::max(names, measure.text_width(entry.contender.name, kName) + 2 * kMargin);
  const int count = static_cast<int>(entries.size()), width = names + static_cast<int>(panels.size()) * (kPanel + kGap) + kRight;
  Canvas canvas(width, kTop + count * kRow + kBottom, kPaper);
  canvas.text("Adapters, all trained alike: means and 95 % intervals", kMargin, 22, 14, kInk);
  for (int row = 0; row < count; ++row) {
    const Contender& one = entries[static_cast<size_t>(row)].contender;
    canvas.text(one.name, names - kMargin, kTop + row * kRow + kRow / 2 + 5, kName, one.name == "localized" ? kLocalized : kInk, Canvas::Align::right);
  }
  for (size_t i = 0; i < panels.size(); ++i) {
    const int left = names + static_cast<int>(i) * (kPanel + kGap);
    const Panel& panel = panels[i];
    const auto x = [&](double value) {
      return left + static_cast<int>(std::lround(std::clamp((value - panel.low) / std::max(1e-3, panel.high - panel.low), 0.0, 1.0) * kPanel));
    };
    canvas.text(panel.title, left, kTop - 12, 12, kInk);
    for (int part = 0; part <= 4; ++part) {
      const double at = panel.low + (panel.high - panel.low) * part / 4.0;
      canvas.fill(x(at), kTop, 1, count * kRow, kGrid);
      char label[16];
      std::snprintf(label, sizeof label, "%.3g", at);
      // The outer ones end with the panel, or they would run into its neighbours'.
      const auto align = part == 0 ? Canvas::Align::left : part == 4 ? Canvas::Align::right : Canvas::Align::centre;
      if (part % 2 == 0) canvas.text(label, x(at), kTop + count * kRow + 18, 11, kSoft, align);
    }
    for (int row = 0; row < count; ++row) {
      const ArenaEntry& entry = entries[static_cast<size_t>(row)];
      const Score& score = entry.scores.*panel.score;
      if (score.n == 0) continue;
      const Colour colour = entry.contender.name == "localized" ? kLocalized : kDot;
      const int y = kTop + row * kRow + kRow / 2;
      if (score.low) canvas.fill(x(*score.low), y - 1, std::max(1, x(*score.high) - x(*score.low)), 2, colour);
      canvas.fill(x(score.mean) - 4, y - 4, 8, 8, colour);
    }
  }
  return canvas.image().clone();
}

}  // namespace glyphscope
