#include "localization/sweep_cells.h"

#include <torch/types.h>

#include "io/files.h"
#include "io/image_file.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

std::vector<std::string> row_names(const std::vector<std::vector<int>>& sets) {
  std::vector<std::string> out;
  for (const auto& sites : sets) out.push_back("patched-" + format_sites(sites));
  return out;
}

// A kept result is used only if it is of this cell and these sets, whole.
bool fits(const std::vector<Measurement>& measured, const std::vector<std::vector<int>>& sets) {
  bool out = measured.size() >= sets.size();
  for (size_t i = 0; out && i < sets.size(); ++i) out = measured[i].sites == sets[i];
  for (const auto& one : measured)
    for (const auto& name : measured_score_names()) out &= one.scores.contains(name);
  return out;
}

[[noreturn]] void reject_kept(const fs::path& file) {
  reject("the kept result is damaged, or of another run", file.string(), "Delete the file to have it measured again");
}

}  // namespace

SweepCells::SweepCells(Pipeline& pipeline, TextReader& reader, const SweepSettings& settings, fs::path folder, const SweepObserver& observer,
                       CancelToken cancel)
    : pipeline_(pipeline), reader_(reader), settings_(settings), folder_(std::move(folder)), observer_(observer), cancel_(std::move(cancel)) {
  if (settings.pairs.empty() || settings.seeds.empty()) reject("a localization needs at least one pair of prompts and one seed");
  for (size_t pair = 0; pair < settings.pairs.size(); ++pair) pipeline.validate(pair_request(settings, pair, 0, {}));
  for (const auto& site : pipeline.info().table.sites) singles_.push_back({site.index});
  if (!folder_.empty()) claim();
}

std::vector<Cell> SweepCells::all() const {
  std::vector<Cell> out;
  for (size_t pair = 0; pair < settings_.pairs.size(); ++pair)
    for (size_t noise = 0; noise < settings_.seeds.size(); ++noise) out.push_back({static_cast<int>(pair), static_cast<int>(noise)});
  return out;
}

void SweepCells::expect(const std::string& what, std::int64_t rows) {
  what_ = what;
  coming_ = rows;
}

fs::path SweepCells::file(const std::string& name, const Cell& cell) const {
  return folder_.empty() ? fs::path() : folder_ / "pairs" / (name + "-pair" + std::to_string(cell.pair) + "-noise" + std::to_string(cell.noise) + ".json");
}

torch::Tensor SweepCells::draw(const Request& request) {
  cancel_.check();
  const auto rows = static_cast<std::int64_t>(request.rows.size());
  Observer observer;
  // A denoising step of a request is a part of its rows.
  observer.progress = [&](const Progress& p) {
    const std::int64_t parts = std::max<std::int64_t>(1, p.total);
    observer_.progress({what_, done_ * parts + rows * std::min(p.done, parts), (done_ + std::max(coming_, rows)) * parts});
  };
  auto generated = pipeline_.generate(request, observer, cancel_);
  if (!generated) throw Failure(generated.error());
  return generated->images;
}

PairResult SweepCells::sites_alone(const Cell& cell, const std::vector<std::vector<int>>& more) {
  const fs::path kept = file("sites", cell);
  PairResult result;
  torch::Tensor images;
  if (!kept.empty() && fs::exists(kept)) {
    result = reading_json(kept, [&] { return PairResult::from_json(read_json(kept)); });
    std::vector<Measurement> all = result.patched;
    all.insert(all.end(), {result.source, result.target});
    if (result.pair != cell.pair || result.noise != cell.noise || result.patched.size() < singles_.size() || !fits(all, singles_)) reject_kept(kept);
  } else {
    std::vector<std::vector<int>> sets = singles_;
    sets.insert(sets.end(), more.begin(), more.end());
    const Request request = pair_request(settings_, static_cast<size_t>(cell.pair), static_cast<size_t>(cell.noise), sets);
    images = draw(request);
    const torch::Tensor source = images[0].clone();
    if (folder_.empty())
      source_images_[{cell.pair, cell.noise}] = source;
    else
      write_png(file("source", cell).replace_extension(".png"), source, describe_image(pipeline_.info(), pipeline_.resolve(request), request.rows[0]));
    result.pair = cell.pair;
    result.noise = cell.noise;
    result.source = measure(source, source_pieces(cell, source), source, source_pieces(cell, source), settings_.pairs[static_cast<size_t>(cell.pair)]);
    result.target = measure_picture(images[1], cell, source);
    for (size_t i = 0; i < sets.size(); ++i) {
      result.patched.push_back(measure_picture(images[static_cast<std::int64_t>(i) + 2], cell, source));
      result.patched.back().sites = sets[i];
    }
    std::vector<std::string> names{"source", "target"};
    for (const auto& name : row_names(sets)) names.push_back(name);
    write_images(cell, request, images, names);
    if (!kept.empty()) write_json(kept, result.to_json());
  }
  const auto rows = static_cast<std::int64_t>(2 + result.patched.size());
  done_ += rows;
  coming_ -= rows;
  observer_.progress({what_, done_, done_ + coming_});
  observer_.pair_done(result, images);
  return result;
}

std::vector<Measurement> SweepCells::sets(const std::string& name, const Cell& cell, const std::vector<std::vector<int>>& sets) {
  const fs::path kept = file(name, cell);
  std::vector<Measurement> out;
  if (!kept.empty() && fs::exists(kept)) {
    const PairResult result = reading_json(kept, [&] { return PairResult::from_json(read_json(kept)); });
    if (result.pair != cell.pair || result.noise != cell.noise || result.patched.size() != sets.size() || !fits(result.patched, sets)) reject_kept(kept);
    out = result.patched;
  } else {
    const torch::Tensor source = source_image(cell);
    Request request = pair_request(settings_, static_cast<size_t>(cell.pair), static_cast<size_t>(cell.noise), sets);
    request.rows.erase(request.rows.begin(), request.rows.begin() + 2);
    const torch::Tensor images = draw(request);
    for (size_t i = 0; i < sets.size(); ++i) {
      out.push_back(measure_picture(images[static_cast<std::int64_t>(i)], cell, source));
      out.back().sites = sets[i];
    }
    write_images(cell, request, images, row_names(sets));
    PairResult result;
    result.pair = cell.pair;
    result.noise = cell.noise;
    result.patched = out;
    if (!kept.empty()) write_json(kept, result.to_json());
  }
  const auto rows = static_cast<std::int64_t>(sets.size());
  done_ += rows;
  coming_ -= rows;
  observer_.progress({what_, done_, done_ + coming_});
  return out;
}

torch::Tensor SweepCells::source_image(const Cell& cell) {
  if (folder_.empty()) return source_images_.at({cell.pair, cell.noise});
  const fs::path kept = file("source", cell).replace_extension(".png");
  if (fs::exists(kept)) return read_image(kept);
  Request request = pair_request(settings_, static_cast<size_t>(cell.pair), static_cast<size_t>(cell.noise), {});
  request.rows.resize(1);
  return draw(request)[0];
}

const std::vector<TextPiece>& SweepCells::source_pieces(const Cell& cell, const torch::Tensor& image) {
  const auto [found, fresh] = source_pieces_.try_emplace({cell.pair, cell.noise});
  if (fresh) found->second = reader_.read(image);
  return found->second;
}

Measurement SweepCells::measure_picture(const torch::Tensor& image, const Cell& cell, const torch::Tensor& source) {
  cancel_.check();
  return measure(image, reader_.read(image), source, source_pieces(cell, source), settings_.pairs[static_cast<size_t>(cell.pair)]);
}

void SweepCells::write_images(const Cell& cell, const Request& request, const torch::Tensor& images, const std::vector<std::string>& names) const {
  if (!settings_.keep_images || folder_.empty()) return;
  const fs::path folder = folder_ / "images" / ("pair" + std::to_string(cell.pair) + "-noise" + std::to_string(cell.noise));
  fs::create_directories(folder);
  const Request resolved = pipeline_.resolve(request);
  for (size_t row = 0; row < names.size(); ++row)
    write_png(folder / (names[row] + ".png"), images[static_cast<std::int64_t>(row)], describe_image(pipeline_.info(), resolved, request.rows[row]));
}

void SweepCells::claim() {
  fs::create_directories(folder_ / "pairs");
  ordered_json document{{"schema", "glyphscope.sweep-settings/2"},
                        {"model", pipeline_.info().source},
                        {"model_hash", pipeline_.info().hash},
                        {"dtype", pipeline_.info().dtype},
                        {"ocr", reader_.name()},
                        {"settings", settings_.to_json()}};
  // Which adapters, however their files are called.
  for (const auto& one : pipeline_.info().adapters) document["adapters"].push_back({{"sha256", one.hash}, {"strength", one.strength}});
  if (!pipeline_.info().policy.is_null()) document["guard"] = pipeline_.info().policy;
  claim_folder(folder_ / "settings.json", document, "the folder holds a run with other settings, prompts or another model");
}

}  // namespace glyphscope
