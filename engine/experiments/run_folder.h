#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/run_settings.h"
#include "experiments/variant.h"

namespace glyphscope {

/// A question asked of a run: variants, each on each of some cells.
struct Question {
  std::string name;   ///< Of its files: "sites-choosing", "site-step".
  std::string title;  ///< For a person, while it is answered.
  std::vector<Variant> variants;
  std::vector<Cell> cells;
  nlohmann::ordered_json map = nullptr;  ///< Of a map: what it was made of, so that it can be made of the cells alone. Null: of no map.
};

/// What a run's results depend on: settings.json. Model, where it computed, what read the pictures, RunSettings.
nlohmann::ordered_json describe_run(const RunSettings& settings, const ModelInfo& model, const std::string& ocr);

/// The reverse: the model, as far as results speak of it; where it computed and what read. Throws a Failure that names the file.
struct RunDescription {
  ModelInfo model;
  std::string ocr;
};
RunDescription read_description(const std::filesystem::path& run);

/// Towards what gradients are taken: what the denoiser predicts for B's prompt, where text stands; or, through the decoder, the reader's score of B's text.
enum class Towards { prediction, reader };

/// What gradients say that each site does on one cell.
struct SiteGradients {
  std::vector<double> effects;     ///< One a site: see Attribution.
  std::int64_t denoiser_rows = 0;  ///< What that took,
  std::int64_t picture_rows = 0;   ///< and what one picture takes.
};

/// A folder that several processes may fill, each cell by one of them, and anyone may read while they do. docs/run-format.md tells its layout:
/// settings.json, questions/NAME.json, cells/pairP-noiseN/NAME.json, gradients/pairP-noiseN-fromS[-reader].json,
/// pictures/HASH.png. Every file is written whole or not at all, and none is changed.
class RunFolder {
 public:
  /// Makes the folder a run's, or goes on with one. Throws a Failure if a run with other settings is there.
  RunFolder(std::filesystem::path folder, const nlohmann::ordered_json& settings);
  /// A run that is there, to be read: nothing is written. Throws a Failure that says what else is in the folder.
  explicit RunFolder(std::filesystem::path folder);

  const std::filesystem::path& path() const { return folder_; }

  /// Writes down what is asked, before it is answered.
  void ask(const Question& question) const;
  std::vector<Question> questions() const;

  /// What was measured of a cell when it was read, whatever it was asked for: the first time, and by refresh(), which reads the files that came since. Throw a
  /// Failure that names a damaged one.
  const std::vector<MeasuredVariant>& measured(const Cell& cell);
  void refresh(const Cell& cell);
  /// Whether the cell has a file of this name.
  bool has(const Cell& cell, const std::string& name) const;
  void keep(const Cell& cell, const std::string& name, const std::vector<MeasuredVariant>& measured);

  /// What is kept of a cell's gradients, taken from this step on. sites: of how many; 0: of any number.
  std::optional<SiteGradients> gradients(const Cell& cell, int from_step, Towards towards, size_t sites) const;
  /// False: someone has kept others before, which stay.
  bool keep_gradients(const Cell& cell, int from_step, Towards towards, const SiteGradients& gradients) const;

  /// Keeps a picture by its pixels' hash; returns its file, relative to the folder.
  std::string keep_picture(const torch::Tensor& image, const nlohmann::ordered_json& metadata) const;
  /// [3, H, W] uint8; none if the file is gone. Throws a Failure for one that is not what its name says.
  std::optional<torch::Tensor> picture(const std::string& file) const;

 private:
  std::filesystem::path cell_folder(const Cell& cell) const;
  std::filesystem::path gradient_file(const Cell& cell, int from_step, Towards towards) const;
  struct Read {
    std::map<std::string, bool> files;  // by name, those that were read
    std::vector<MeasuredVariant> measured;
  };
  std::filesystem::path folder_;
  std::map<std::pair<int, int>, Read> read_;
};

/// The file of a measured picture, relative to its run: A's and B's own are kept, others if that was asked for. Empty: not kept.
std::string kept_picture(const std::filesystem::path& run, const Cell& cell, const MeasuredVariant& measured);

/// Joins runs that parts of were computed in several folders: their questions, cells and pictures go to `out`, which gets what it does not have yet. Throws
/// a Failure, and writes nothing, for runs whose settings or models differ, or whose files of one name do.
void merge_runs(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out);

/// Cells of a run's questions that lack some of their variants, as text: "pair 3, noise 0: site-step". Empty: the run is whole.
std::vector<std::string> missing_cells(RunFolder& run);

}  // namespace glyphscope
