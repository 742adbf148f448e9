#include "experiments/cells.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <thread>

#include "core/error.h"
#include "device/placement.h"
#include "io/image_file.h"
#include "io/weights.h"

namespace glyphscope {
namespace fs = std::filesystem;

Cells::Cells(const RunSettings& settings, RunFolder* folder, Pipeline& pipeline, TextReader& reader, const RunObserver& observer, CancelToken cancel,
             Shard shard)
    : settings_(settings), folder_(folder), pipeline_(&pipeline), reader_(&reader), observer_(observer), cancel_(std::move(cancel)), shard_(shard) {
  if (settings.pairs.empty() || settings.seeds.empty()) reject("a run needs at least one pair of prompts and one seed");
  for (size_t pair = 0; pair < settings.pairs.size(); ++pair) pipeline.validate(own_request(settings, {static_cast<int>(pair), 0}));
}

Cells::Cells(const RunSettings& settings, RunFolder& folder, const RunObserver& observer) : settings_(settings), folder_(&folder), observer_(observer) {}

const std::vector<MeasuredVariant>& Cells::measured(const Cell& cell) { return folder_ ? folder_->measured(cell) : measured_[{cell.pair, cell.noise}]; }

const MeasuredVariant* Cells::find(const Cell& cell, const Variant& variant) {
  const auto& all = measured(cell);
  const auto found = std::find_if(all.begin(), all.end(), [&](const MeasuredVariant& one) { return one.variant == variant; });
  return found == all.end() ? nullptr : &*found;
}

std::vector<Variant> Cells::unmeasured(const Cell& cell, const std::vector<Variant>& variants) {
  std::vector<Variant> out;
  for (const auto& variant : variants)
    if (!find(cell, variant)) out.push_back(variant);
  return out;
}

void Cells::answer(const std::vector<Question>& questions, const CellDone& cell_done) {
  std::vector<Asked> own, others;
  for (const auto& question : questions) {
    if (folder_ && pipeline_) folder_->ask(question);
    for (const Cell& cell : question.cells) {
      const size_t number = own.size() + others.size();
      (pipeline_ && number % static_cast<size_t>(shard_.count) == static_cast<size_t>(shard_.index) ? own : others).push_back({&question, cell});
    }
  }
  const auto missing = [&](const Asked& one) {
    if (folder_) folder_->refresh(one.cell);
    size_t out = unmeasured(one.cell, one.question->variants).size();
    for (const int base : {0, 1}) out += find(one.cell, own_picture(base)) ? 0 : 1;
    return static_cast<std::int64_t>(out);
  };
  what_ = questions.front().title;
  coming_ = 0;
  for (const auto& one : own) coming_ += missing(one);
  for (size_t i = 0; i < own.size(); ++i) {
    draw_ahead(std::span(own).subspan(i));
    complete(own[i].cell, *own[i].question, cell_done);
  }
  // Those of others are there by now, or they come, or they are missing.
  std::erase_if(others, [&](const Asked& one) { return missing(one) == 0; });
  while (!others.empty()) {
    if (!shard_.waits) throw RunIncomplete{questions.front().name, others.size()};
    cancel_.check_between();
    observer_.progress({what_ + "; others' cells", done_, done_ + static_cast<std::int64_t>(others.size()) + later_});
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    std::erase_if(others, [&](const Asked& one) { return missing(one) == 0; });
  }
}

namespace {

// A's and B's own pictures, and those of a question's variants from that one on that go into one file.
std::vector<Variant> part_of(const Question& question, size_t begin) {
  std::vector<Variant> out{own_picture(0), own_picture(1)};
  const size_t end = std::min(begin + kVariantsAtOnce, question.variants.size());
  out.insert(out.end(), question.variants.begin() + static_cast<std::ptrdiff_t>(begin), question.variants.begin() + static_cast<std::ptrdiff_t>(end));
  return out;
}

// Adds rows of another request, whose prompts come after those that are there.
void add_rows(Request& request, const Request& more) {
  const auto first = static_cast<int>(request.prompts.size());
  request.prompts.insert(request.prompts.end(), more.prompts.begin(), more.prompts.end());
  for (Row row : more.rows) {
    row.prompt += first;
    if (row.pooled >= 0) row.pooled += first;
    std::vector<SitePatch> patches = row.plan.patches();
    for (auto& patch : patches) patch.prompt += first;
    row.plan = PatchPlan(std::move(patches));
    request.rows.push_back(std::move(row));
  }
}

}  // namespace

std::vector<Variant> Cells::to_draw(const Cell& cell, const std::vector<Variant>& part) {
  std::vector<Variant> out;
  for (const auto& one : unmeasured(cell, part))
    if (std::find(out.begin(), out.end(), one) == out.end()) out.push_back(one);
  return out;
}

void Cells::draw_ahead(std::span<const Asked> next) {
  const auto missing = [&](const Asked& one) { return to_draw(one.cell, part_of(*one.question, 0)); };
  if (missing(next.front()).empty() || (!ahead_.empty() && ahead_.front().cell == next.front().cell)) return;
  ahead_.clear();
  const Request alone = own_request(settings_, next.front().cell);
  const auto threads = static_cast<size_t>(pipeline_->rows_side_by_side(alone));
  if (threads < 2) return;
  cancel_.check_between();
  observer_.between();
  Request request = alone;
  request.prompts.clear();
  request.rows.clear();
  request.rows_at_once = 1;  // as each of these cells is drawn alone, so that it is the same to the bit
  for (const Asked& one : next.first(std::min(next.size(), threads))) {
    if (std::any_of(ahead_.begin(), ahead_.end(), [&](const Ahead& other) { return other.cell == one.cell; })) break;
    Ahead own{one.cell, missing(one), {}};
    if (own.variants.empty()) continue;
    if (request.rows.size() + own.variants.size() > threads) break;
    add_rows(request, cell_request(settings_, one.cell, own.variants));
    ahead_.push_back(std::move(own));
  }
  if (ahead_.size() < 2) return ahead_.clear();
  const torch::Tensor images = draw(request);
  std::int64_t row = 0;
  for (Ahead& one : ahead_) {
    const auto rows = static_cast<std::int64_t>(one.variants.size());
    one.images = images.narrow(0, row, rows);
    row += rows;
  }
}

torch::Tensor Cells::drawn_ahead(const Cell& cell, const std::vector<Variant>& variants) {
  if (ahead_.empty() || !(ahead_.front().cell == cell)) return {};
  const Ahead own = std::move(ahead_.front());
  ahead_.erase(ahead_.begin());
  return own.variants == variants ? own.images : torch::Tensor();
}

void Cells::complete(const Cell& cell, const Question& question, const CellDone& cell_done) {
  std::vector<torch::Tensor> drawn;  // of all parts, if all were drawn just now
  bool all_drawn = true;
  for (size_t begin = 0; begin < question.variants.size() || begin == 0; begin += kVariantsAtOnce) {
    const std::vector<Variant> part = part_of(question, begin);
    const std::vector<Variant> variants = to_draw(cell, part);
    if (variants.empty()) {
      all_drawn = false;
      continue;
    }
    cancel_.check_between();
    observer_.between();
    const std::string name = question.variants.size() <= kVariantsAtOnce ? question.name : question.name + "." + std::to_string(begin / kVariantsAtOnce);
    if (folder_ && folder_->has(cell, name))
      reject("the kept result is damaged: variants are not in it",
             (folder_->path() / "cells").string() + "/pair" + std::to_string(cell.pair) + "-noise" + std::to_string(cell.noise) + "/" + name + ".json",
             "Delete the file to have it measured again");
    const Request request = cell_request(settings_, cell, variants);
    const torch::Tensor ahead = drawn_ahead(cell, variants), images = ahead.defined() ? ahead : draw(request);
    const auto resolved = pipeline_->resolve(request);
    const auto metadata = [&](size_t row) { return describe_image(pipeline_->info(), resolved, request.rows[row]); };
    if (folder_ && !own_images_.empty() && own_images_.begin()->first.first != Key{cell.pair, cell.noise}) own_images_.clear();
    std::vector<MeasuredVariant> fresh;
    for (size_t row = 0; row < variants.size(); ++row) {
      MeasuredVariant one;
      one.variant = variants[row];
      if (!one.variant.plan.empty()) {
        fresh.push_back(std::move(one));
        continue;
      }
      const torch::Tensor image = images[static_cast<std::int64_t>(row)].clone();
      own_images_[{{cell.pair, cell.noise}, one.variant.base}] = image;
      if (folder_) one.picture = folder_->keep_picture(image, metadata(row));
      fresh.push_back(std::move(one));
    }
    const PromptPair& pair = settings_.pairs[static_cast<size_t>(cell.pair)];
    for (size_t row = 0; row < variants.size(); ++row) {
      cancel_.check();
      // B's own picture is told from A's, whoever's picture others are told from.
      const bool own = variants[row].plan.empty();
      const int base = own ? 0 : variants[row].base;
      const torch::Tensor image = images[static_cast<std::int64_t>(row)];
      const std::vector<TextPiece> read = own ? own_pieces(cell, variants[row].base) : reader_->read(image);
      static_cast<Measurement&>(fresh[row]) = measure(image, read, own_image(cell, base), own_pieces(cell, base), pair.source_text, pair.target_text);
      if (more_scores) more_scores(pair, image, fresh[row].read, fresh[row].scores);
      if (judges) judges->score({image, own_image(cell, base), pair.target, pair.source_text, pair.target_text, text_boxes(cell)}, fresh[row].scores);
    }
    write_images(cell, question.name, request, images, variants);
    if (folder_)
      folder_->keep(cell, name, fresh);
    else
      std::move(fresh.begin(), fresh.end(), std::back_inserter(measured_[{cell.pair, cell.noise}]));
    const auto rows = static_cast<std::int64_t>(variants.size());
    done_ += rows;
    coming_ -= rows;
    observer_.progress({what_, done_, done_ + coming_ + later_});
    // A's and B's own pictures stand before the first part's variants; those of later parts have been measured by then.
    const size_t own = begin == 0 ? 0 : 2;
    all_drawn = all_drawn && std::equal(variants.begin(), variants.end(), part.begin() + static_cast<std::ptrdiff_t>(own), part.end());
    if (all_drawn) drawn.push_back(images);
  }
  cell_done(cell, all_drawn ? torch::cat(drawn) : torch::Tensor());
}

SiteGradients Cells::gradients(const Cell& cell, int from_step, Towards towards) {
  if (folder_)
    if (auto kept = folder_->gradients(cell, from_step, towards, pipeline_ ? pipeline_->info().table.sites.size() : 0)) return *kept;
  if (!pipeline_) throw RunIncomplete{"gradients", 1};
  cancel_.check_between();
  observer_.between();
  Request request = cell_request(settings_, cell, {own_picture(0)});
  AttributionOptions options;
  const double begin = static_cast<double>(from_step) / static_cast<double>(std::max<std::int64_t>(1, settings_.sampling.steps));
  for (double& share : options.at) share = begin + (1 - begin) * share;
  // Where text is in either picture, and a margin about it; everywhere if none is found.
  const torch::Tensor own = own_image(cell, 0);
  const std::int64_t height = own.size(1), width = own.size(2), margin = std::max<std::int64_t>(2, height / 32);
  torch::Tensor mask = torch::zeros({height, width}, on_host());
  for (const int base : {0, 1})
    for (const auto& piece : own_pieces(cell, base))
      mask.slice(0, std::max<std::int64_t>(0, piece.box.top - margin), std::min<std::int64_t>(height, piece.box.bottom + margin))
          .slice(1, std::max<std::int64_t>(0, piece.box.left - margin), std::min<std::int64_t>(width, piece.box.right + margin))
          .fill_(1);
  if (mask.any().item<bool>()) options.mask = mask;
  // Where the reader knows the texts; else as without it.
  if (towards == Towards::reader && judges) {
    const PromptPair& pair = settings_.pairs[static_cast<size_t>(cell.pair)];
    options.pixels = judges->towards_text({own_image(cell, 1), own, {}, pair.source_text, pair.target_text, text_boxes(cell)});
  }
  const auto found = pipeline_->attribute(request, options, cancel_);
  if (!found) throw Failure(found.error());
  SiteGradients out;
  const torch::Tensor sums = found->effects.sum(1);
  for (std::int64_t site = 0; site < sums.size(0); ++site) out.effects.push_back(sums[site].item<double>());
  out.denoiser_rows = found->denoiser_rows;
  out.picture_rows = pipeline_->denoiser_rows(request);
  // Whoever was first has them for all shards: the order of the tests depends on their last digits.
  if (folder_ && !folder_->keep_gradients(cell, from_step, towards, out)) return *folder_->gradients(cell, from_step, towards, out.effects.size());
  return out;
}

torch::Tensor Cells::draw(const Request& request) {
  cancel_.check();
  const auto rows = static_cast<std::int64_t>(request.rows.size());
  Observer observer;
  // A denoising step of a request is a part of its rows.
  observer.progress = [&](const Progress& p) {
    const std::int64_t parts = std::max<std::int64_t>(1, p.total);
    observer_.progress({what_, done_ * parts + rows * std::min(p.done, parts), (done_ + std::max(coming_ + later_, rows)) * parts});
  };
  auto generated = pipeline_->generate(request, observer, cancel_);
  if (!generated) throw Failure(generated.error());
  for (const auto& note : generated->notes)
    if (noted_.insert(note).second) observer_.note(note);
  return generated->images;
}

torch::Tensor Cells::own_image(const Cell& cell, int base) {
  const auto [found, fresh] = own_images_.try_emplace({{cell.pair, cell.noise}, base});
  if (!fresh) return found->second;
  const MeasuredVariant* kept = folder_ ? find(cell, own_picture(base)) : nullptr;
  if (const auto image = kept && !kept->picture.empty() ? folder_->picture(kept->picture) : std::nullopt) return found->second = *image;
  return found->second = draw(cell_request(settings_, cell, {own_picture(base)}))[0];
}

std::vector<Box> Cells::text_boxes(const Cell& cell) {
  std::vector<Box> out;
  for (const int base : {0, 1})
    for (const auto& piece : own_pieces(cell, base)) out.push_back(piece.box);
  return out;
}

const std::vector<TextPiece>& Cells::own_pieces(const Cell& cell, int base) {
  const auto [found, fresh] = own_pieces_.try_emplace({{cell.pair, cell.noise}, base});
  if (fresh) found->second = reader_->read(own_image(cell, base));
  return found->second;
}

void Cells::write_images(const Cell& cell, const std::string& question, const Request& request, const torch::Tensor& images,
                         const std::vector<Variant>& variants) const {
  if (!keep_images || !folder_) return;
  const fs::path folder = folder_->path() / "images" / ("pair" + std::to_string(cell.pair) + "-noise" + std::to_string(cell.noise)) / question;
  fs::create_directories(folder);
  const Request resolved = pipeline_->resolve(request);
  for (size_t row = 0; row < variants.size(); ++row) {
    const Variant& one = variants[row];
    // A file's name has an end.
    constexpr size_t kLongest = 100;
    const std::string label = one.label.size() <= kLongest ? one.label : sha256_text(one.label).substr(0, 16);
    const std::string name = one.plan.empty() ? (one.base == 0 ? "source" : "target") : "patched-" + label;
    write_png(folder / (name + ".png"), images[static_cast<std::int64_t>(row)], describe_image(pipeline_->info(), resolved, request.rows[row]));
  }
}

}  // namespace glyphscope
