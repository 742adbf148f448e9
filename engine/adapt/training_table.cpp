#include "adapt/training_table.h"

#include <torch/types.h>

#include <array>
#include <charconv>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>

#include "core/error.h"
#include "io/files.h"

namespace glyphscope {

namespace {

using Cell = std::optional<double> TrainingRow::*;
struct Column {
  const char* name;
  Cell cell;
};
constexpr std::array<Column, 6> kColumns{{{"loss", &TrainingRow::loss},
                                          {"held_out_loss", &TrainingRow::held_out},
                                          {"word_accuracy", &TrainingRow::word_accuracy},
                                          {"ocr_f1", &TrainingRow::ocr_f1},
                                          {"ssim_to_base", &TrainingRow::ssim_to_base},
                                          {"learning_rate", &TrainingRow::rate}}};

std::string header() {
  std::string out = "step";
  for (const auto& column : kColumns) out += std::string(",") + column.name;
  return out;
}

}  // namespace

TrainingTable::TrainingTable(std::filesystem::path file, std::int64_t step) : file_(std::move(file)) {
  if (!std::filesystem::exists(file_)) return;
  std::istringstream lines(read_text(file_));
  std::string line;
  std::getline(lines, line);
  bool whole = line == header();
  while (whole && std::getline(lines, line)) {
    const char* const end = line.data() + line.size();
    std::int64_t number = 0;
    const char* at = std::from_chars(line.data(), end, number).ptr;
    TrainingRow row;
    for (const auto& column : kColumns) {
      whole = whole && *at == ',';
      if (!whole) break;
      const char* begin = ++at;
      if (*begin == ',' || *begin == '\0') continue;
      double value = 0;
      const auto read = std::from_chars(begin, end, value);
      row.*column.cell = value;
      whole = read.ptr != begin;
      at = read.ptr;
    }
    whole = whole && *at == '\0';
    if (whole && number <= step) rows_[number] = row;
  }
  if (!whole) reject("this is no table of a training", file_.string(), "Delete the file: the training starts a new one");
}

void TrainingTable::save() const {
  std::string text = header() + "\n";
  for (const auto& [step, row] : rows_) {
    text += std::to_string(step);
    for (const auto& column : kColumns) {
      text += ",";
      char cell[32];
      // As many digits as give the same number back, and a point, whatever the locale.
      if (const auto& value = row.*column.cell) text.append(cell, std::to_chars(cell, std::end(cell), *value).ptr);
    }
    text += "\n";
  }
  write_text(file_, text);
}

Figure TrainingTable::figure() const {
  const auto line = [&](const char* name, Cell cell, bool marks) {
    LinePanel::Line out{name, {}, marks};
    for (const auto& [step, row] : rows_)
      if (const auto& value = row.*cell) out.points.emplace_back(static_cast<double>(step), *value);
    return out;
  };
  Figure out{
      .parts = {{"Loss", LinePanel{"step", "", {line("learned from", &TrainingRow::loss, false), line("held out", &TrainingRow::held_out, true)}, true, {}}}}};
  LinePanel samples{"step",
                    "",
                    {line("words exact", &TrainingRow::word_accuracy, true), line("character F1", &TrainingRow::ocr_f1, true),
                     line("SSIM to the base model", &TrainingRow::ssim_to_base, true)},
                    false,
                    std::pair(0.0, 1.0)};
  if (std::any_of(samples.lines.begin(), samples.lines.end(), [](const auto& one) { return !one.points.empty(); }))
    out.parts.push_back({"Samples", std::move(samples)});
  return out;
}

}  // namespace glyphscope
