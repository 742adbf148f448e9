#include "localization/sweep_cells.h"

#include <torch/types.h>

#include <algorithm>

#include "io/files.h"
#include "io/image_file.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kMeasureAgain = "Delete the file to have it measured again";

bool has_needed(const Measurement& one) {
  return one.scores.contains("target_f1") && one.scores.contains("source_f1") && one.scores.contains("ssim_outside_text");
}

std::vector<std::string> row_names(const std::vector<Variant>& variants) {
  std::vector<std::string> out;
  for (const auto& variant : variants) out.push_back("patched-" + variant.label);
  return out;
}

// A kept result is used only if it is of these variants, whole. It may lack a score that was added since, but not what sites are chosen by.
bool fits(const std::vector<MeasuredVariant>& measured, const std::vector<Variant>& variants) {
  if (measured.size() < variants.size()) return false;
  for (size_t i = 0; i < variants.size(); ++i)
    if (!(measured[i].variant == variants[i])) return false;
  return std::all_of(measured.begin(), measured.end(), [](const auto& one) { return has_needed(one); });
}

[[noreturn]] void reject_kept(const fs::path& file) { reject("the kept result is damaged, or of another run", file.string(), kMeasureAgain); }

}  // namespace

SweepCells::SweepCells(Pipeline& pipeline, TextReader& reader, const SweepSettings& settings, fs::path folder, const SweepObserver& observer,
                       CancelToken cancel)
    : pipeline_(pipeline), reader_(reader), settings_(settings), folder_(std::move(folder)), observer_(observer), cancel_(std::move(cancel)) {
  if (settings.pairs.empty() || settings.seeds.empty()) reject("a localization needs at least one pair of prompts and one seed");
  for (size_t pair = 0; pair < settings.pairs.size(); ++pair) pipeline.validate(pair_request(settings, pair, 0, {}));
  singles_ = single_sites(settings, pipeline.info().table);
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
  for (const auto& note : generated->notes)
    if (noted_.insert(note).second) observer_.note(note);
  return generated->images;
}

PairResult SweepCells::sites_alone(const Cell& cell, const std::vector<Variant>& more) {
  const fs::path kept = file("sites", cell);
  PairResult result;
  torch::Tensor images;
  if (!kept.empty() && fs::exists(kept)) {
    result = read_kept(kept);
    if (result.pair != cell.pair || result.noise != cell.noise || !fits(result.patched, singles_) || !has_needed(result.source) || !has_needed(result.target))
      reject_kept(kept);
  } else {
    std::vector<Variant> variants = singles_;
    variants.insert(variants.end(), more.begin(), more.end());
    const Request request = pair_request(settings_, static_cast<size_t>(cell.pair), static_cast<size_t>(cell.noise), variants);
    images = draw(request);
    const torch::Tensor source = images[0].clone();
    if (folder_.empty())
      source_images_[{cell.pair, cell.noise}] = source;
    else
      write_png(file("source", cell).replace_extension(".png"), source, describe_image(pipeline_.info(), pipeline_.resolve(request), request.rows[0]));
    result.pair = cell.pair;
    result.noise = cell.noise;
    result.source = measure_picture(source, source_pieces(cell, source), cell, source);
    result.target = measure_picture(images[1], reader_.read(images[1]), cell, source);
    for (size_t i = 0; i < variants.size(); ++i) {
      const torch::Tensor image = images[static_cast<std::int64_t>(i) + 2];
      result.patched.push_back({measure_picture(image, reader_.read(image), cell, source), variants[i]});
    }
    std::vector<std::string> names{"source", "target"};
    for (const auto& name : row_names(variants)) names.push_back(name);
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

std::vector<MeasuredVariant> SweepCells::variants(const std::string& name, const Cell& cell, const std::vector<Variant>& variants) {
  const fs::path kept = file(name, cell);
  std::vector<MeasuredVariant> out;
  if (!kept.empty() && fs::exists(kept)) {
    const PairResult result = read_kept(kept);
    if (result.pair != cell.pair || result.noise != cell.noise || result.patched.size() != variants.size() || !fits(result.patched, variants))
      reject_kept(kept);
    out = result.patched;
  } else {
    const torch::Tensor source = source_image(cell);
    Request request = pair_request(settings_, static_cast<size_t>(cell.pair), static_cast<size_t>(cell.noise), variants);
    request.rows.erase(request.rows.begin(), request.rows.begin() + 2);
    const torch::Tensor images = draw(request);
    for (size_t i = 0; i < variants.size(); ++i) {
      const torch::Tensor image = images[static_cast<std::int64_t>(i)];
      out.push_back({measure_picture(image, reader_.read(image), cell, source), variants[i]});
    }
    write_images(cell, request, images, row_names(variants));
    PairResult result;
    result.pair = cell.pair;
    result.noise = cell.noise;
    result.patched = out;
    if (!kept.empty()) write_json(kept, result.to_json());
  }
  const auto rows = static_cast<std::int64_t>(variants.size());
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

Measurement SweepCells::measure_picture(const torch::Tensor& image, const std::vector<TextPiece>& pieces, const Cell& cell, const torch::Tensor& source) {
  cancel_.check();
  const PromptPair& pair = settings_.pairs[static_cast<size_t>(cell.pair)];
  return measure(image, pieces, source, source_pieces(cell, source), pair.source_text, pair.target_text);
}

PairResult SweepCells::read_kept(const fs::path& file) const {
  const auto kept = attempt([&] { return reading_json(file, [&] { return PairResult::from_json(read_json(file), settings_.from_step); }); });
  if (kept) return *kept;
  Error error = kept.error();
  if (error.where.empty()) error.where = file.string();
  if (error.hint.empty()) error.hint = kMeasureAgain;
  throw Failure(error);
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
  ordered_json document{{"schema", "glyphscope.sweep-settings/2"}, {"model", pipeline_.info().source},  {"model_hash", pipeline_.info().hash},
                        {"dtype", pipeline_.info().dtype},         {"device", pipeline_.info().device}, {"ocr", reader_.name()},
                        {"settings", settings_.to_json()}};
  // Which adapters, however their files are called.
  for (const auto& one : pipeline_.info().adapters) document["adapters"].push_back({{"sha256", one.hash}, {"strength", one.strength}});
  if (!pipeline_.info().policy.is_null()) document["guard"] = pipeline_.info().policy;
  claim_folder(folder_ / "settings.json", document, "the folder holds a run with other settings, prompts or another model");
}

}  // namespace glyphscope
