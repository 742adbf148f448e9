#include "experiments/compare_runs.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "experiments/inference.h"
#include "experiments/prompt_set.h"
#include "experiments/score_table_text.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "metrics/image_scores.h"
#include "metrics/scores.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr double kFalseDiscoveries = 0.05;
constexpr size_t kFewestThatDiffer = 5;

struct Side {
  explicit Side(const fs::path& folder) : run(folder), of(read_description(folder)) {
    const fs::path file = folder / "settings.json";
    document = read_json(file);
    settings = reading_json(file, [&] { return RunSettings::from_json(document.at("settings"), file.string()); });
  }
  RunFolder run;
  RunDescription of;
  nlohmann::json document;
  RunSettings settings;
};

std::string in_short(const nlohmann::json& value) {
  if (value.is_null()) return "none";
  std::string out = value.is_string() ? value.get<std::string>() : value.dump();
  constexpr size_t kLongest = 60;
  if (out.size() > kLongest) out = out.substr(0, kLongest) + "..";
  return out;
}

// What could make the runs' pictures or readings differ.
std::vector<std::string> differences_of(const Side& first, const Side& second) {
  std::vector<std::string> out;
  const auto compare = [&](const std::string& name, const nlohmann::json& a, const nlohmann::json& b) {
    if (a != b) out.push_back(name + ": " + in_short(a) + "; " + in_short(b));
  };
  const auto at = [](const nlohmann::json& object, const std::string& key) { return object.contains(key) ? object.at(key) : nlohmann::json(); };
  for (const char* key : {"model", "model_hash", "family", "dtype", "device", "ocr", "guard", "upscaler"})
    compare(key, at(first.document, key), at(second.document, key));
  // Of adapters, the hash and how far they count.
  compare("adapters", at(first.document, "adapters"), at(second.document, "adapters"));
  const auto &a = first.document.at("settings"), &b = second.document.at("settings");
  std::set<std::string> keys;
  for (const auto* one : {&a, &b})
    for (const auto& [key, _] : one->items()) keys.insert(key);
  for (const auto& key : keys)
    if (key != "pairs" && key != "seeds" && key != "prompts_sha256") compare(key, at(a, key), at(b, key));
  return out;
}

using Prompts = std::array<std::string, 4>;
Prompts prompts_of(const PromptPair& pair) { return {pair.source, pair.target, pair.source_text, pair.target_text}; }

struct CommonCells {
  std::vector<std::pair<Cell, Cell>> cells;
  int pairs = 0, noises = 0;
};

CommonCells common_cells(const RunSettings& first, const RunSettings& second) {
  std::map<Prompts, int> pair_of;
  std::map<std::uint64_t, int> noise_of;
  for (size_t i = 0; i < second.pairs.size(); ++i) pair_of.emplace(prompts_of(second.pairs[i]), static_cast<int>(i));
  for (size_t i = 0; i < second.seeds.size(); ++i) noise_of.emplace(second.seeds[i], static_cast<int>(i));
  CommonCells out;
  std::set<int> pairs, noises;
  for (const Cell& cell : first.cells()) {
    const auto pair = pair_of.find(prompts_of(first.pairs[static_cast<size_t>(cell.pair)]));
    const auto noise = noise_of.find(first.seeds[static_cast<size_t>(cell.noise)]);
    if (pair == pair_of.end() || noise == noise_of.end()) continue;
    out.cells.push_back({cell, {pair->second, noise->second}});
    pairs.insert(cell.pair);
    noises.insert(cell.noise);
  }
  out.pairs = static_cast<int>(pairs.size());
  out.noises = static_cast<int>(noises.size());
  return out;
}

bool same_sites(const SiteTable& a, const SiteTable& b) {
  return std::equal(a.sites.begin(), a.sites.end(), b.sites.begin(), b.sites.end(), [](const auto& x, const auto& y) { return x.path == y.path; });
}

// Observations of one score, cell by cell in both runs.
struct Paired {
  std::vector<Observation> first, second, difference;

  void add(double a, double b, int word, int noise) {
    first.push_back({a, word, noise});
    second.push_back({b, word, noise});
    // Of two that are infinite alike, the PSNR of equal pictures, nothing.
    difference.push_back({a == b ? 0 : b - a, word, noise});
  }
};

Score difference_score(const std::vector<Observation>& differences) {
  Score out = score_of(differences);
  std::set<int> words;
  for (const auto& one : differences)
    if (std::isfinite(one.value) && one.value != 0) words.insert(one.word);
  if (words.size() < kFewestThatDiffer) out.low = out.high = std::nullopt;
  return out;
}

double two_sided_p(std::vector<Observation> differences) {
  std::erase_if(differences, [](const Observation& one) { return !std::isfinite(one.value); });
  if (differences.empty()) return 1;
  const double above = p_value_above_zero(differences);
  for (auto& one : differences) one.value = -one.value;
  return std::min(1.0, 2 * std::min(above, p_value_above_zero(differences)));
}

class Comparing {
 public:
  Comparing(const fs::path& first, const fs::path& second, const ProgressCallback& progress, const CancelToken& cancel)
      : first_(first), second_(second), progress_(progress), cancel_(cancel) {}

  RunComparison compare() {
    RunComparison out{.first = first_.run.path(),
                      .second = second_.run.path(),
                      .first_of = first_.of,
                      .second_of = second_.of,
                      .differences = differences_of(first_, second_)};
    const CommonCells common = common_cells(first_.settings, second_.settings);
    if (common.cells.empty())
      reject("the runs have no prompts with the same noise in common", out.first.string() + " and " + out.second.string(),
             "Give both the same prompts or words, and the same seed");
    out.pairs = common.pairs;
    out.noises = common.noises;
    if (!same_sites(first_.of.model.table, second_.of.model.table)) {
      out.differences.push_back("the models' sites: what was patched is not compared");
      patched_ = false;
    }
    clusters_ = word_clusters(first_.settings.pairs);
    std::int64_t done = 0;
    for (const auto& [a, b] : common.cells) {
      cancel_.check_between();
      progress_({"Comparing cells", done++, static_cast<std::int64_t>(common.cells.size())});
      add(out, a, b);
    }
    std::erase_if(out.variants, [](const ComparedVariant& one) { return one.cells.empty(); });
    if (out.variants.empty())
      reject("the runs have measured nothing alike yet", out.first.string() + " and " + out.second.string(), "Wait until both have drawn some of their cells");
    finish(out);
    return out;
  }

 private:
  struct Gathered {
    std::map<std::string, Paired> scores;
    std::map<std::string, std::vector<Observation>> pictures;
  };

  void add(RunComparison& out, const Cell& a, const Cell& b) {
    const auto& others = second_.run.measured(b);
    for (const auto& one : first_.run.measured(a)) {
      if (!patched_ && !one.variant.plan.patches().empty()) continue;
      const auto other = std::find_if(others.begin(), others.end(), [&](const MeasuredVariant& it) { return it.variant == one.variant; });
      if (other == others.end()) continue;
      auto found = std::find_if(out.variants.begin(), out.variants.end(), [&](const ComparedVariant& it) { return it.variant == one.variant; });
      if (found == out.variants.end()) {
        out.variants.push_back({.variant = one.variant});
        gathered_.emplace_back();
        found = out.variants.end() - 1;
      }
      // A cell may have been measured for several questions.
      if (!found->cells.empty() && found->cells.back().first == a) continue;
      compare(*found, gathered_[static_cast<size_t>(found - out.variants.begin())], a, b, one, *other);
    }
  }

  void compare(ComparedVariant& into, Gathered& gathered, const Cell& a, const Cell& b, const MeasuredVariant& one, const MeasuredVariant& other) {
    const int word = clusters_[static_cast<size_t>(a.pair)];
    for (const auto& [key, value] : one.scores)
      if (const auto found = other.scores.find(key); found != other.scores.end()) gathered.scores[key].add(value, found->second, word, a.noise);
    ComparedCell cell{a, b, kept_picture(first_.run.path(), a, one), kept_picture(second_.run.path(), b, other), one.read, other.read};
    if (!cell.first_picture.empty() && !cell.second_picture.empty()) {
      const torch::Tensor x = read_image(first_.run.path() / cell.first_picture), y = read_image(second_.run.path() / cell.second_picture);
      if (x.sizes() == y.sizes()) {
        const ImageScores scores = score_images(y, x);
        for (const auto& [name, value] : {std::pair{"ssim", scores.ssim}, {"psnr", scores.psnr}, {"mse", scores.mse}, {"equal", scores.mse == 0 ? 1.0 : 0.0}})
          gathered.pictures[name].push_back({value, word, a.noise});
      }
    }
    into.cells.push_back(std::move(cell));
  }

  void finish(RunComparison& out) {
    std::map<std::string, std::pair<std::vector<ComparedVariant*>, std::vector<double>>> tests;
    for (size_t i = 0; i < out.variants.size(); ++i) {
      ComparedVariant& one = out.variants[i];
      for (const auto& [key, paired] : gathered_[i].scores) {
        const ScoreInfo* info = find_score(key);
        const Range range = info ? Range{info->low, info->high} : Range{};
        one.first[key] = score_of(paired.first, range);
        one.second[key] = score_of(paired.second, range);
        one.difference[key] = difference_score(paired.difference);
        tests[key].first.push_back(&one);
        tests[key].second.push_back(two_sided_p(paired.difference));
      }
      for (const auto& [key, values] : gathered_[i].pictures) one.pictures[key] = score_of(values, key == "equal" ? kShare : Range{});
    }
    for (const auto& [key, test] : tests) {
      const auto rejected = benjamini_hochberg(test.second, kFalseDiscoveries);
      for (size_t i = 0; i < rejected.size(); ++i)
        if (rejected[i]) test.first[i]->differs.insert(key);
    }
  }

  Side first_, second_;
  const ProgressCallback& progress_;
  const CancelToken& cancel_;
  bool patched_ = true;
  std::vector<int> clusters_;
  std::vector<Gathered> gathered_;  // one a variant
};

ordered_json scores_of(const std::map<std::string, Score>& scores) {
  ordered_json out = ordered_json::object();
  for (const auto& [key, score] : scores) out[key] = score.to_json();
  return out;
}

}  // namespace

ordered_json RunComparison::to_json() const {
  const auto side = [](const fs::path& folder, const RunDescription& of) {
    return ordered_json{{"folder", folder.string()}, {"model", of.model.source},  {"model_hash", of.model.hash},
                        {"dtype", of.model.dtype},   {"device", of.model.device}, {"adapters", of.model.adapters.size()}};
  };
  ordered_json out{{"schema", "glyphscope.comparison/1"},
                   {"first", side(first, first_of)},
                   {"second", side(second, second_of)},
                   {"differences", differences},
                   {"pairs", pairs},
                   {"noises", noises},
                   {"false_discovery", kFalseDiscoveries}};
  out["variants"] = ordered_json::array();
  for (const ComparedVariant& one : variants)
    out["variants"].push_back({{"variant", one.variant.label},
                               {"base", one.variant.base == 0 ? "A" : "B"},
                               {"sites", one.variant.sites()},
                               {"plan", one.variant.plan.to_json()},
                               {"cells", one.cells.size()},
                               {"first", scores_of(one.first)},
                               {"second", scores_of(one.second)},
                               {"difference", scores_of(one.difference)},
                               {"differs", one.differs},
                               {"pictures", scores_of(one.pictures)}});
  return out;
}

std::string RunComparison::csv() const {
  std::string out = "variant,base,score,cells,first,second,difference,low,high,differs\n";
  for (const ComparedVariant& one : variants)
    for (const auto& [key, difference] : one.difference) {
      const auto number = [](const Score& score) { return score.n > 0 ? csv_number(score.mean) : std::string(); };
      out += csv_field(one.variant.label) + "," + (one.variant.base == 0 ? "A" : "B") + "," + key + "," + std::to_string(difference.n) + "," +
             number(one.first.at(key)) + "," + number(one.second.at(key)) + "," + number(difference) + "," +
             (difference.low ? csv_number(*difference.low) : "") + "," + (difference.high ? csv_number(*difference.high) : "") + "," +
             (one.differs.contains(key) ? "1" : "0") + "\n";
    }
  return out;
}

RunComparison compare_runs(const fs::path& first, const fs::path& second, const ProgressCallback& progress, const CancelToken& cancel) {
  return Comparing(first, second, progress, cancel).compare();
}

}  // namespace glyphscope
