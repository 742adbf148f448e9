#include <torch/types.h>

#include <cmath>
#include <filesystem>

#include "experiments/compare_runs.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "metrics/image_scores.h"
#include "patching/patch_plan.h"
#include "tasks/session.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {

event::RunsCompared runs_compared(const RunComparison& found) {
  event::RunsCompared out{
      .first = found.first.string(), .second = found.second.string(), .differences = found.differences, .pairs = found.pairs, .noises = found.noises};
  for (const ComparedVariant& one : found.variants) {
    event::RunsCompared::Variant variant{.label = one.variant.label,
                                         .base = one.variant.base,
                                         .sites = one.variant.sites(),
                                         .first = one.first,
                                         .second = one.second,
                                         .difference = one.difference,
                                         .differs = one.differs,
                                         .pictures = one.pictures};
    for (const ComparedCell& cell : one.cells)
      variant.cells.push_back({cell.first.pair, cell.first.noise, cell.first_picture, cell.second_picture, cell.first_read, cell.second_read});
    out.variants.push_back(std::move(variant));
  }
  out.document = json_text(found.to_json());
  out.csv = found.csv();
  return out;
}

void compare_two_runs(const command::Compare& command, const Job& job) {
  const RunComparison found = compare_runs(command.first, command.second, job.progress(), job.cancel);
  event::RunsCompared out = runs_compared(found);
  if (!command.folder.empty()) {
    const OutputFolder folder(command.folder);
    write_json(folder / "compare.json", found.to_json());
    write_text(folder / "compare.csv", out.csv);
  }
  job.tell(std::move(out));
}

std::string size_text(const torch::Tensor& image) { return std::to_string(image.size(2)) + " x " + std::to_string(image.size(1)); }

void compare_pictures(const command::Compare& command, const Job& job) {
  const torch::Tensor first = read_image(command.first), second = read_image(command.second);
  if (first.sizes() != second.sizes())
    reject("the pictures have different sizes, " + size_text(first) + " and " + size_text(second) + " pixels", command.first + " and " + command.second,
           "Only pictures of one size can be compared");
  const ImageScores scores = score_images(second, first);
  const torch::Tensor apart = (first.to(torch::kInt16) - second.to(torch::kInt16)).abs();
  event::PicturesCompared out{.first = command.first,
                              .second = command.second,
                              .mse = scores.mse,
                              .psnr = scores.psnr,
                              .ssim = scores.ssim,
                              .largest = apart.max().item<int>(),
                              .share = (std::get<0>(apart.max(0)) > 0).to(torch::kFloat64).mean().item<double>()};
  out.document = json_text({{"schema", "glyphscope.compared-pictures/1"},
                            {"first", out.first},
                            {"second", out.second},
                            {"ssim", out.ssim},
                            {"psnr", std::isfinite(out.psnr) ? nlohmann::ordered_json(out.psnr) : nlohmann::ordered_json(nullptr)},
                            {"mse", out.mse},
                            {"largest_difference", out.largest},
                            {"share_of_pixels_that_differ", out.share}});
  if (!command.folder.empty()) {
    const OutputFolder folder(command.folder);
    folder.spare(command.first, {"difference.png"});
    folder.spare(command.second, {"difference.png"});
    write_text(folder / "compare.json", out.document);
    write_png(folder / "difference.png", apart.to(torch::kUInt8), nlohmann::ordered_json::parse(out.document));
  }
  job.tell(std::move(out));
}

}  // namespace

void compare(const command::Compare& command, const Job& job) {
  const auto is_run = [](const std::string& what) { return fs::is_directory(what); };
  for (const std::string& what : {command.first, command.second})
    if (!fs::exists(what)) reject("there is no such file or folder", what);
  if (is_run(command.first) != is_run(command.second))
    reject("one is a folder and one a file", command.first + " and " + command.second, "Compare two runs, or two pictures");
  if (is_run(command.first)) {
    job.tell(event::Started{"Comparing two runs"});
    return compare_two_runs(command, job);
  }
  job.tell(event::Started{"Comparing two pictures"});
  compare_pictures(command, job);
}

}  // namespace glyphscope
