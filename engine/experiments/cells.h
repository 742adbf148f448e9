#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/progress.h"
#include "experiments/run_folder.h"
#include "experiments/run_settings.h"
#include "metrics/judges.h"
#include "metrics/ocr.h"

namespace glyphscope {

/// Which of a question's cells are this process's: every count-th, from the index-th on.
struct Shard {
  int index = 0, count = 1;
  bool waits = false;  ///< For the others' cells, which processes of their own put into the same folder.
};

/// What a run cannot go on without, as another process computes it.
struct RunIncomplete {
  std::string question;
  size_t missing = 0;  ///< Cells.
};

/// Listens to a run, on the thread that runs it.
struct RunObserver {
  /// Rows of the whole run, as far as it is known what follows.
  std::function<void(const Progress&)> progress = [](const Progress&) {};
  /// What a request's result notes, once each.
  std::function<void(const std::string&)> note = [](const std::string&) {};
  /// Called between two cells, or parts of one: whoever wants the model for a moment has it then.
  std::function<void()> between = [] {};
};

/// Draws and scores the cells of a run, and keeps what is done in its folder, so that nothing is drawn twice.
class Cells {
 public:
  /// Everything must outlive this. folder: null: what is measured is remembered as long as this lives. Throws a Failure for prompts that the pipeline refuses.
  Cells(const RunSettings& settings, RunFolder* folder, Pipeline& pipeline, TextReader& reader, const RunObserver& observer, CancelToken cancel,
        Shard shard = {});
  /// Of what the folder has alone: nothing is drawn, and what is missing is RunIncomplete.
  Cells(const RunSettings& settings, RunFolder& folder, const RunObserver& observer);

  RunFolder* folder() const { return folder_; }
  /// Whether it draws what is missing; else nothing of the folder may be written.
  bool draws() const { return pipeline_ != nullptr; }
  /// Adds to a picture's scores what is known of its pair otherwise; read: what OCR read in it. None: nothing.
  std::function<void(const PromptPair&, const torch::Tensor& image, const std::string& read, Scores&)> more_scores;
  Judges* judges = nullptr;  ///< Score every picture too, if any: those of the settings. Must outlive this.
  bool keep_images = false;  ///< Every picture goes into the folder's images/, by cell and question.

  /// Pictures of A, B and a question's variants, [2 + variants, 3, H, W], if all were drawn just now; else undefined.
  using CellDone = std::function<void(const Cell&, const torch::Tensor& images)>;
  /// Measures what has not been of the questions' variants on their cells, A's and B's own pictures with them. Throws RunIncomplete where cells of other shards
  /// are not there, and are not waited for.
  void answer(
      const std::vector<Question>& questions, const CellDone& cell_done = [](const Cell&, const torch::Tensor&) {});
  /// Null if it was not measured.
  const MeasuredVariant* find(const Cell& cell, const Variant& variant);

  /// What gradients say that each site does from this step on, where text stands in A's or B's picture. Kept in the folder; else computed, by whichever shard
  /// asks.
  SiteGradients gradients(const Cell& cell, int from_step, Towards towards);

  /// Rows that follow what is asked now, as far as is known: progress counts them.
  void expect(std::int64_t rows) { later_ = rows; }

 private:
  struct Asked {
    const Question* question;
    Cell cell;
  };
  // A cell's pictures that were drawn together with those of cells before it.
  struct Ahead {
    Cell cell;
    std::vector<Variant> variants;
    torch::Tensor images;
  };

  const std::vector<MeasuredVariant>& measured(const Cell& cell);
  std::vector<Variant> unmeasured(const Cell& cell, const std::vector<Variant>& variants);
  // What of a part of a question is not measured, each once.
  std::vector<Variant> to_draw(const Cell& cell, const std::vector<Variant>& part);
  // Draws the first of these cells together with as many of the next as leave no thread without work, if it is too small for all threads.
  void draw_ahead(std::span<const Asked> next);
  // Undefined if they were not.
  torch::Tensor drawn_ahead(const Cell& cell, const std::vector<Variant>& variants);
  void complete(const Cell& cell, const Question& question, const CellDone& cell_done);
  torch::Tensor draw(const Request& request);
  torch::Tensor own_image(const Cell& cell, int base);
  const std::vector<TextPiece>& own_pieces(const Cell& cell, int base);
  std::vector<Box> text_boxes(const Cell& cell);  // in A's and B's own pictures
  void write_images(const Cell& cell, const std::string& question, const Request& request, const torch::Tensor& images,
                    const std::vector<Variant>& variants) const;

  const RunSettings& settings_;
  RunFolder* folder_;
  Pipeline* pipeline_ = nullptr;
  TextReader* reader_ = nullptr;
  const RunObserver& observer_;
  CancelToken cancel_;
  Shard shard_;
  using Key = std::pair<int, int>;
  std::map<Key, std::vector<MeasuredVariant>> measured_;     // without a folder
  std::map<std::pair<Key, int>, torch::Tensor> own_images_;  // of the last cell; without a folder, of all
  std::map<std::pair<Key, int>, std::vector<TextPiece>> own_pieces_;
  std::string what_;
  std::int64_t done_ = 0, coming_ = 0, later_ = 0;  // rows
  std::set<std::string> noted_;
  std::vector<Ahead> ahead_;  // of the next cells
};

/// How many of a question's variants are drawn together and kept in one file.
inline constexpr size_t kVariantsAtOnce = 64;

}  // namespace glyphscope
