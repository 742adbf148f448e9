#include "experiments/planner.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "experiments/map.h"
#include "metrics/measurement.h"

namespace glyphscope {
using nlohmann::ordered_json;

std::int64_t RunPlan::pictures() const {
  std::int64_t out = 0;
  for (const auto& one : questions) out += one.pictures;
  return out;
}

std::int64_t RunPlan::denoiser_rows() const {
  std::int64_t out = 0;
  for (const auto& one : questions) out += one.denoiser_rows;
  return out;
}

ordered_json RunPlan::to_json() const {
  ordered_json list = ordered_json::array();
  for (const auto& one : questions)
    list.push_back({{"question", one.title}, {"cells", one.cells}, {"pictures", one.pictures}, {"denoiser_rows", one.denoiser_rows}, {"at_most", one.at_most}});
  return {{"schema", "glyphscope.plan/1"},    {"questions", list}, {"pictures", pictures()},
          {"denoiser_rows", denoiser_rows()}, {"bytes", bytes},    {"seconds", seconds ? ordered_json(*seconds) : ordered_json()},
          {"word_clusters", words},           {"noises", noises},  {"detectable_difference", detectable}};
}

double detectable_difference(double standard_deviation, int words) {
  constexpr double kLevel = 1.959964, kPower = 0.841621;  // quantiles of the normal distribution: 0.975, 0.8
  return words > 0 ? (kLevel + kPower) * standard_deviation / std::sqrt(words) : 1;
}

namespace {

PlannedQuestion plan_question(const Pipeline& pipeline, const RunSettings& settings, const std::string& title, const std::vector<Variant>& variants,
                              std::int64_t cells, bool with_own, bool at_most) {
  PlannedQuestion out{title, cells, 0, 0, at_most};
  if (cells == 0) return out;
  for (size_t begin = 0; begin < variants.size(); begin += kVariantsAtOnce) {
    std::vector<Variant> part;
    if (begin == 0 && with_own) part = {own_picture(0), own_picture(1)};
    part.insert(part.end(), variants.begin() + static_cast<std::ptrdiff_t>(begin),
                variants.begin() + static_cast<std::ptrdiff_t>(std::min(begin + kVariantsAtOnce, variants.size())));
    out.pictures += cells * static_cast<std::int64_t>(part.size());
    out.denoiser_rows += cells * pipeline.denoiser_rows(cell_request(settings, {0, 0}, part));
  }
  return out;
}

void finish(RunPlan& plan, const RunSettings& settings, const std::vector<Cell>& reporting) {
  const std::vector<int> clusters = word_clusters(settings.pairs);
  std::set<int> words, noises;
  for (const Cell& cell : reporting) {
    words.insert(clusters[static_cast<size_t>(cell.pair)]);
    noises.insert(cell.noise);
  }
  plan.words = static_cast<int>(words.size());
  plan.noises = static_cast<int>(noises.size());
  constexpr double kWidestShare = 0.5;  // of numbers within 0 and 1
  plan.detectable = std::min(1.0, detectable_difference(kWidestShare, plan.words));
  // A picture's document, generously; and A's and B's pictures, uncompressed.
  constexpr std::uint64_t kDocument = 2048;
  const auto cells = static_cast<std::uint64_t>(settings.pairs.size() * settings.seeds.size());
  plan.bytes = static_cast<std::uint64_t>(plan.pictures()) * kDocument +
               cells * 2 * (static_cast<std::uint64_t>(settings.sampling.width * settings.sampling.height * 3) + kDocument);
}

// The search for the smallest set. Whatever set it is, it costs what others of its kind do.
void plan_search(RunPlan& plan, const Pipeline& pipeline, const RunSettings& settings, int from_step, std::int64_t cells) {
  const auto count = static_cast<std::int64_t>(pipeline.info().table.sites.size());
  const auto sets = [&](std::int64_t how_many) { return std::vector<Variant>(static_cast<size_t>(how_many), sites_variant({0}, from_step)); };
  if (count > 2)
    plan.questions.push_back(plan_question(pipeline, settings, "pairs of the ten best sites, cells that choose",
                                           sets(std::min<std::int64_t>(45, count * (count - 1) / 2)), cells, false, true));
  if (count > 3)
    plan.questions.push_back(
        plan_question(pipeline, settings, "the best three, four .. sites together, cells that choose", sets(count - 2), cells, false, true));
}

}  // namespace

RunPlan plan_certificate(const Pipeline& pipeline, const CertifySettings& settings) {
  const SiteTable& table = pipeline.info().table;
  const Parts parts = parts_of(settings);
  const auto choosing = static_cast<std::int64_t>(parts.choosing.size()), reporting = static_cast<std::int64_t>(parts.reporting.size());
  RunPlan out;
  // How much a search asks for depends on what it finds: what trying every site would take is told in its place.
  if (!settings.given)
    out.questions.push_back(plan_question(pipeline, settings,
                                          settings.search != SetSearch::exhaustive
                                              ? "cells that choose, if every site were tried alone: a search seldom takes as many"
                                              : "every site alone, cells that choose",
                                          single_sites(table, settings.from_step), choosing, true, false));
  if (settings.search == SetSearch::exhaustive && !settings.given) plan_search(out, pipeline, settings, settings.from_step, choosing);
  // The chosen set in three ways, all sites, controls, one of them in two directions, sets of the players, and every site that is discovered.
  const int sets = 5 + static_cast<int>(table.sites.size()) + settings.random_sets +
                   (1 << std::min<int>(settings.players > 0 ? settings.players : 4, static_cast<int>(table.sites.size())));
  out.questions.push_back(plan_question(pipeline, settings, "what is chosen, controls and sets of it, cells that report",
                                        std::vector<Variant>(static_cast<size_t>(sets), sites_variant({0}, settings.from_step)), reporting, true, true));
  finish(out, settings, parts.reporting);
  return out;
}

RunPlan plan_localization(const Pipeline& pipeline, const LocalizationSettings& settings) {
  const SiteTable& table = pipeline.info().table;
  const std::vector<Variant> singles = single_sites(table, settings.from_step);
  const auto count = static_cast<std::int64_t>(singles.size()), noises = static_cast<std::int64_t>(settings.seeds.size());
  std::vector<int> all;
  for (const auto& site : table.sites) all.push_back(site.index);
  const Halves halves = halves_of(settings.pairs);
  const bool halved = halves.choosing != halves.reporting;
  const std::int64_t choosing = static_cast<std::int64_t>(halves.choosing.size()) * noises,
                     reporting = static_cast<std::int64_t>(halves.reporting.size()) * noises;
  std::vector<Variant> with_whole = singles;
  if (count > 1) with_whole.push_back(sites_variant(all, settings.from_step));
  RunPlan out;
  if (halved) out.questions.push_back(plan_question(pipeline, settings, "every site alone, pairs that choose", singles, choosing, true, false));
  out.questions.push_back(plan_question(pipeline, settings, "every site alone and all together, pairs that report", with_whole, reporting, true, false));
  plan_search(out, pipeline, settings, settings.from_step, choosing);
  const std::vector<Variant> controls(static_cast<size_t>(settings.random_sets + 1), sites_variant({0}, settings.from_step));
  out.questions.push_back(plan_question(pipeline, settings, "what is found and random sets, pairs that report", controls, reporting, false, true));
  std::vector<Cell> over;
  for (const Cell& cell : settings.cells())
    if (std::find(halves.reporting.begin(), halves.reporting.end(), cell.pair) != halves.reporting.end()) over.push_back(cell);
  finish(out, settings, over);
  return out;
}

RunPlan plan_map(const Pipeline& pipeline, const RunSettings& settings, const Axes& axes, const Scope& scope) {
  const Grid grid = make_grid(axes, scope, pipeline.info().table);
  RunPlan out;
  out.questions.push_back(plan_question(pipeline, settings, to_string(axes), grid.variants(),
                                        static_cast<std::int64_t>(settings.pairs.size() * settings.seeds.size()), true, false));
  finish(out, settings, settings.cells());
  return out;
}

void measure_time(RunPlan& plan, Pipeline& pipeline, TextReader& reader, Judges& judges, const RunSettings& settings, const CancelToken& cancel) {
  const auto seconds = [](const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  Request request = own_request(settings, {0, 0});
  const Row row = request.rows.front();
  // As many rows as go at once, up to what shows their cost.
  while (static_cast<std::int64_t>(request.rows.size()) < std::min<std::int64_t>(4, request.rows_at_once)) request.rows.push_back(row);
  torch::Tensor images;
  const auto draw = [&](std::int64_t steps) {
    request.steps = steps;
    return seconds([&] {
      auto drawn = pipeline.generate(request, {}, cancel);
      if (!drawn) throw Failure(drawn.error());
      images = drawn->images;
    });
  };
  draw(1);  // what is done once
  request.steps = 1;
  const double one = draw(1), rows_one = static_cast<double>(pipeline.denoiser_rows(request)), two = draw(2),
               rows_two = static_cast<double>(pipeline.denoiser_rows(request));
  const double each_row = std::max(0.0, two - one) / std::max(1.0, rows_two - rows_one);
  const double beside = std::max(0.0, one - each_row * rows_one) / static_cast<double>(request.rows.size());
  const auto& pair = settings.pairs.front();
  const double reading = seconds([&] {
    const auto pieces = reader.read(images[0]);
    Measurement measured = measure(images[0], pieces, images[0], pieces, pair.source_text, pair.target_text);
    std::vector<Box> boxes;
    for (const auto& piece : pieces) boxes.push_back(piece.box);
    judges.score({images[0], images[0], pair.target, pair.source_text, pair.target_text, boxes}, measured.scores);
  });
  plan.seconds = each_row * static_cast<double>(plan.denoiser_rows()) + (beside + reading) * static_cast<double>(plan.pictures());
}

}  // namespace glyphscope
