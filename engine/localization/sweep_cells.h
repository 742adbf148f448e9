#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "localization/sweep.h"

namespace glyphscope {

/// A pair with a noise, by number.
struct Cell {
  int pair = 0, noise = 0;
};

/// Draws and scores the cells of a sweep, and keeps what is done in its folder, so that nothing is drawn twice. A's and B's pictures are drawn once.
class SweepCells {
 public:
  /// Throws a Failure for prompts that the pipeline refuses, or a folder with other settings.
  SweepCells(Pipeline& pipeline, TextReader& reader, const SweepSettings& settings, std::filesystem::path folder, const SweepObserver& observer,
             CancelToken cancel);

  std::vector<Cell> all() const;
  /// A cell with every site alone, and with more sets that are known to be wanted. A kept cell may lack these.
  PairResult sites_alone(const Cell& cell, const std::vector<Variant>& more);
  /// More variants on a cell whose sites are done. name: of its file.
  std::vector<MeasuredVariant> variants(const std::string& name, const Cell& cell, const std::vector<Variant>& variants);

  /// Rows that are still to come, beyond those that were drawn or found: what progress counts.
  void expect(const std::string& what, std::int64_t rows);

 private:
  std::filesystem::path file(const std::string& name, const Cell& cell) const;
  torch::Tensor draw(const Request& request);
  torch::Tensor source_image(const Cell& cell);
  const std::vector<TextPiece>& source_pieces(const Cell& cell, const torch::Tensor& image);
  // pieces: what was read in it.
  Measurement measure_picture(const torch::Tensor& image, const std::vector<TextPiece>& pieces, const Cell& cell, const torch::Tensor& source);
  PairResult read_kept(const std::filesystem::path& file) const;
  void write_images(const Cell& cell, const Request& request, const torch::Tensor& images, const std::vector<std::string>& names) const;
  void claim();

  Pipeline& pipeline_;
  TextReader& reader_;
  const SweepSettings& settings_;
  std::filesystem::path folder_;
  const SweepObserver& observer_;
  CancelToken cancel_;
  std::vector<Variant> singles_;
  std::map<std::pair<int, int>, torch::Tensor> source_images_;  // without a folder
  std::map<std::pair<int, int>, std::vector<TextPiece>> source_pieces_;
  std::string what_;
  std::int64_t done_ = 0, coming_ = 0;  // rows
  std::set<std::string> noted_;
};

}  // namespace glyphscope
