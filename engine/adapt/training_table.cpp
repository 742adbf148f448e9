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
#include "io/line_chart.h"

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

torch::Tensor TrainingTable::draw() const {
  const auto line = [&](const char* name, Colour colour, Cell cell) {
    LineChart::Line out{name, colour, {}};
    for (const auto& [step, row] : rows_)
      if (const auto& value = row.*cell) out.points.emplace_back(static_cast<double>(step), *value);
    return out;
  };
  constexpr Colour kPale{166, 189, 219}, kBlue{33, 102, 172}, kRed{178, 24, 43}, kGreen{27, 120, 55}, kViolet{118, 42, 131};
  const LineChart losses{"Loss", {line("learned from", kPale, &TrainingRow::loss), line("held out", kBlue, &TrainingRow::held_out)}, true};
  const LineChart shares{"Samples",
                         {line("words exact", kGreen, &TrainingRow::word_accuracy), line("character F1", kViolet, &TrainingRow::ocr_f1),
                          line("SSIM to the base model", kRed, &TrainingRow::ssim_to_base)}};
  for (const auto& one : shares.lines)
    if (!one.points.empty()) return torch::cat({losses.draw(), shares.draw()}, 1);
  return losses.draw().clone();
}

}  // namespace glyphscope
