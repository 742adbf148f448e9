#include "localization/sweep.h"

#include <torch/torch.h>

#include <algorithm>
#include <numeric>

#include "core/random.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/weights.h"
#include "metrics/text_scores.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json SweepSettings::to_json() const {
  ordered_json list = ordered_json::array();
  std::string bytes;  // prompts as they are: bytes that are no UTF-8 do not survive JSON
  for (const auto& pair : pairs) {
    list.push_back({{"source", pair.source}, {"target", pair.target}, {"source_text", pair.source_text}, {"target_text", pair.target_text}});
    for (const auto* text : {&pair.source, &pair.target}) bytes += std::to_string(text->size()) + ":" + *text;
  }
  ordered_json out{{"steps", sampling.steps},
                   {"guidance", sampling.guidance},
                   {"scheduler", sampling.scheduler},
                   {"negative", sampling.negative},
                   {"width", sampling.width},
                   {"height", sampling.height},
                   {"method", method_name(sampling.method)},
                   {"from_step", from_step},
                   {"clip_skip", sampling.clip_skip},
                   {"pooled", pooled_target ? "target" : "source"},
                   {"seeds", seeds},
                   {"localized_f1_share", localized_f1_share},
                   {"localized_ssim", localized_ssim},
                   {"kept_f1_share", kept_f1_share},
                   {"random_sets", random_sets},
                   {"pairs", list},
                   {"prompts_sha256", sha256_text(bytes)}};
  if (const auto enlarging = describe_enlarging(sampling); !enlarging.is_null()) out["enlarges"] = enlarging;
  return out;
}

const std::vector<std::string>& sweep_score_names() {
  static const std::vector<std::string> names{"target_f1",        "source_f1",     "word_accuracy",        "ssim_outside_text",   "ssim", "psnr", "mse",
                                              "target_precision", "target_recall", "target_edit_distance", "source_edit_distance"};
  return names;
}

namespace {

ordered_json to_json(const Measurement& one) {
  ordered_json scores;
  for (const auto& [name, value] : one.scores) scores[name] = std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
  return {{"sites", one.sites}, {"read", one.read}, {"scores", scores}};
}

Measurement measurement_from(const nlohmann::json& json) {
  Measurement out{json.at("sites").get<std::vector<int>>(), json.at("read").get<std::string>(), {}};
  for (const auto& [name, value] : json.at("scores").items())
    out.scores[name] = value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>();
  return out;
}

}  // namespace

ordered_json PairResult::to_json() const {
  ordered_json list = ordered_json::array();
  for (const auto& one : patched) list.push_back(glyphscope::to_json(one));
  return {{"pair", pair}, {"noise", noise}, {"source", glyphscope::to_json(source)}, {"target", glyphscope::to_json(target)}, {"patched", list}};
}

PairResult PairResult::from_json(const nlohmann::json& json) {
  PairResult out{json.at("pair").get<int>(), json.at("noise").get<int>(), measurement_from(json.at("source")), measurement_from(json.at("target")), {}};
  for (const auto& one : json.at("patched")) out.patched.push_back(measurement_from(one));
  return out;
}

Measurement measure(const torch::Tensor& image, const torch::Tensor& source_image, const std::vector<TextPiece>& source_pieces, const PromptPair& pair,
                    TextReader& reader) {
  const auto pieces = reader.read(image);
  Measurement out;
  out.read = joined_text(pieces);
  const TextScores target = score_text(out.read, pair.target_text), source = score_text(out.read, pair.source_text);
  const ImageScores scores = score_images(image, source_image);
  std::vector<Box> boxes;
  for (const auto* list : {&pieces, &source_pieces})
    for (const auto& piece : *list) boxes.push_back(piece.box);
  out.scores = {{"target_f1", target.f1},
                {"target_precision", target.precision},
                {"target_recall", target.recall},
                {"word_accuracy", target.exact ? 1.0 : 0.0},
                {"target_edit_distance", static_cast<double>(target.edit_distance)},
                {"source_f1", source.f1},
                {"source_edit_distance", static_cast<double>(source.edit_distance)},
                {"mse", scores.mse},
                {"psnr", scores.psnr},
                {"ssim", scores.ssim},
                {"ssim_outside_text", structural_similarity(black_out(image, boxes), black_out(source_image, boxes))}};
  return out;
}

Request pair_request(const SweepSettings& settings, size_t pair, size_t noise, const std::vector<std::vector<int>>& sets) {
  Request request = settings.sampling;
  request.prompts = {settings.pairs[pair].source, settings.pairs[pair].target};
  const std::uint64_t seed = settings.seeds[noise];
  request.rows = {{0, seed, {}}, {1, seed, {}}};
  for (const auto& sites : sets) request.rows.push_back({0, seed, PatchPlan::at_sites(sites, 1, settings.from_step), settings.pooled_target ? 1 : 0});
  return request;
}

int word_cluster(const std::vector<PromptPair>& pairs, int pair) {
  const PromptPair& one = pairs[static_cast<size_t>(pair)];
  for (int i = 0; i < pair; ++i)
    if (pairs[static_cast<size_t>(i)].source_text == one.source_text && pairs[static_cast<size_t>(i)].target_text == one.target_text) return i;
  return pair;
}

namespace {

class Sweep {
 public:
  Sweep(Pipeline& pipeline, TextReader& reader, const SweepSettings& settings, const fs::path& folder, const SweepObserver& observer, const CancelToken& cancel)
      : pipeline_(pipeline),
        reader_(reader),
        settings_(settings),
        folder_(folder),
        observer_(observer),
        cancel_(cancel),
        sites_(static_cast<int>(pipeline.info().table.sites.size())) {
    if (settings.pairs.empty() || settings.seeds.empty()) reject("a localization needs at least one pair of prompts and one seed");
    for (size_t pair = 0; pair < settings.pairs.size(); ++pair) pipeline.validate(pair_request(settings, pair, 0, {}));
    if (!folder_.empty()) claim();
  }

  SweepResult run() {
    std::vector<std::vector<int>> singles;
    for (int site = 0; site < sites_; ++site) singles.push_back({site});
    total_ = static_cast<std::int64_t>(settings_.pairs.size() * settings_.seeds.size());
    std::vector<PairResult> pairs = run_sets("sites", singles, true);

    SweepResult result;
    result.source = aggregate(pairs, [](const PairResult& p) { return &p.source; });
    result.target = aggregate(pairs, [](const PairResult& p) { return &p.target; });
    for (int site = 0; site < sites_; ++site)
      result.sites.push_back({{site}, "site", aggregate(pairs, [&](const PairResult& p) { return &p.patched[static_cast<size_t>(site)]; })});

    const double own = result.target.at("target_f1").mean;
    // Letters that A's own picture shares with B's text by chance: what does not exceed that has moved nothing.
    const double floor = result.source.at("target_f1").mean;
    for (int site = 0; site < sites_; ++site) {
      const auto& scores = result.sites[static_cast<size_t>(site)].scores;
      const Score& f1 = scores.at("target_f1");
      if (f1.low.value_or(f1.mean) >= settings_.localized_f1_share * own && scores.at("ssim_outside_text").mean >= settings_.localized_ssim && own > 0 &&
          f1.mean > scores.at("source_f1").mean && f1.mean > floor)
        result.localized.push_back(site);
    }
    add_sets(result, pairs, own);
    result.pairs = std::move(pairs);
    return result;
  }

 private:
  // The best sites together, one more at a time, until they keep enough of B's text; then random sets of that size.
  void add_sets(SweepResult& result, std::vector<PairResult>& pairs, double own) {
    std::vector<int> order(static_cast<size_t>(sites_));
    std::iota(order.begin(), order.end(), 0);
    auto rank = [&](int site) {
      const auto& scores = result.sites[static_cast<size_t>(site)].scores;
      return scores.at("target_f1").mean - scores.at("source_f1").mean;
    };
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return rank(a) > rank(b); });

    auto add = [&](std::vector<int> sites, const std::string& kind) -> const SetResult& {
      std::sort(sites.begin(), sites.end());
      const std::vector<PairResult> done = run_sets("set-" + format_sites(sites), {sites}, false);
      for (size_t i = 0; i < pairs.size(); ++i) pairs[i].patched.push_back(done[i].patched[0]);
      result.sets.push_back({sites, kind, aggregate(done, [](const PairResult& p) { return &p.patched[0]; })});
      return result.sets.back();
    };
    auto keeps = [&](const std::map<std::string, Score>& scores) {
      const double f1 = scores.at("target_f1").mean;
      return own > 0 && f1 >= settings_.kept_f1_share * own && f1 > result.source.at("target_f1").mean;
    };
    for (int site : order)
      if (result.smallest.empty() && keeps(result.sites[static_cast<size_t>(site)].scores)) result.smallest = {site};
    for (int size = 2; size < sites_ && result.smallest.empty(); ++size) {
      const SetResult& set = add({order.begin(), order.begin() + size}, "ranked");
      if (keeps(set.scores)) result.smallest = set.sites;
    }
    if (!result.smallest.empty() && static_cast<int>(result.smallest.size()) < sites_) {
      for (const auto& set : random_site_sets(order, result.smallest, settings_.random_sets, derive_seed(settings_.seeds[0], 7, 0))) add(set, "random");
    }
    if (sites_ > 1) {
      add(order, "all");
      if (result.smallest.empty() && keeps(result.sets.back().scores)) result.smallest = result.sets.back().sites;
    }
  }

  template <class Pick>
  std::map<std::string, Score> aggregate(const std::vector<PairResult>& pairs, const Pick& pick) const {
    std::map<std::string, std::vector<Observation>> observations;
    for (const auto& pair : pairs)
      for (const auto& [name, value] : pick(pair)->scores) observations[name].push_back({value, word_cluster(settings_.pairs, pair.pair), pair.noise});
    std::map<std::string, Score> out;
    for (const auto& [name, list] : observations) out[name] = score_of(list);
    return out;
  }

  // Every pair and noise, patched at each of these sets; from the folder where it is there already.
  std::vector<PairResult> run_sets(const std::string& name, const std::vector<std::vector<int>>& sets, bool tell) {
    std::vector<PairResult> out;
    for (size_t pair = 0; pair < settings_.pairs.size(); ++pair) {
      for (size_t noise = 0; noise < settings_.seeds.size(); ++noise) {
        cancel_.check();
        const fs::path file =
            folder_.empty() ? fs::path() : folder_ / "pairs" / (name + "-pair" + std::to_string(pair) + "-noise" + std::to_string(noise) + ".json");
        const std::int64_t done = static_cast<std::int64_t>(out.size());
        if (!file.empty() && fs::exists(file)) {
          out.push_back(read_pair(file, pair, noise, sets));
          if (tell) observer_.pair_done(out.back(), {});
        } else {
          out.push_back(run_pair(name, pair, noise, sets, done, tell));
          if (!file.empty()) write_json(file, out.back().to_json());
        }
        observer_.progress({label(name), done + 1, total_});
      }
    }
    return out;
  }

  // A kept result is used only if it is of this pair and these sets, whole.
  static PairResult read_pair(const fs::path& file, size_t pair, size_t noise, const std::vector<std::vector<int>>& sets) {
    PairResult result = PairResult::from_json(read_json(file));
    bool fits = result.pair == static_cast<int>(pair) && result.noise == static_cast<int>(noise) && result.patched.size() == sets.size();
    for (size_t i = 0; fits && i < sets.size(); ++i) fits = result.patched[i].sites == sets[i];
    std::vector<const Measurement*> all{&result.source, &result.target};
    for (const auto& one : result.patched) all.push_back(&one);
    for (const auto* one : all)
      for (const auto& name : sweep_score_names()) fits &= one->scores.contains(name);
    if (!fits) reject("the kept result is damaged, or of another run", file.string(), "Delete the file to have it measured again");
    return result;
  }

  static std::string label(const std::string& name) { return name == "sites" ? "pairs, every site alone" : "pairs, sites " + name.substr(4); }

  PairResult run_pair(const std::string& name, size_t pair_index, size_t noise, const std::vector<std::vector<int>>& sets, std::int64_t done, bool tell) {
    const PromptPair& pair = settings_.pairs[pair_index];
    const Request request = pair_request(settings_, pair_index, noise, sets);
    // Within a pair, steps count as parts of it.
    Observer observer;
    observer.progress = [&](const Progress& p) { observer_.progress({label(name), done * p.total + p.done, total_ * p.total}); };
    auto generated = pipeline_.generate(request, observer, cancel_);
    if (!generated) throw Failure(generated.error());
    const torch::Tensor& images = generated->images;

    PairResult result;
    result.pair = static_cast<int>(pair_index);
    result.noise = static_cast<int>(noise);
    const auto source_pieces = reader_.read(images[0]);
    result.source = measure(images[0], images[0], source_pieces, pair, reader_);
    result.target = measure(images[1], images[0], source_pieces, pair, reader_);
    for (size_t i = 0; i < sets.size(); ++i) {
      cancel_.check();
      result.patched.push_back(measure(images[static_cast<std::int64_t>(i) + 2], images[0], source_pieces, pair, reader_));
      result.patched.back().sites = sets[i];
    }
    if (settings_.keep_images && !folder_.empty()) write_images(name, pair_index, noise, sets, images, request);
    if (tell) observer_.pair_done(result, images);
    return result;
  }

  void write_images(const std::string& name, size_t pair, size_t noise, const std::vector<std::vector<int>>& sets, const torch::Tensor& images,
                    const Request& request) const {
    const fs::path folder = folder_ / "images" / ("pair" + std::to_string(pair) + "-noise" + std::to_string(noise));
    fs::create_directories(folder);
    auto write = [&](const std::string& file, std::int64_t row) {
      write_png(folder / file, images[row], describe_image(pipeline_.info(), pipeline_.resolve(request), request.rows[static_cast<size_t>(row)]));
    };
    if (name == "sites") {
      write("source.png", 0);
      write("target.png", 1);
    }
    for (size_t i = 0; i < sets.size(); ++i) write("patched-" + format_sites(sets[i]) + ".png", static_cast<std::int64_t>(i) + 2);
  }

  void claim() {
    fs::create_directories(folder_ / "pairs");
    ordered_json document{{"schema", "glyphscope.sweep-settings/1"},
                          {"model_hash", pipeline_.info().hash},
                          {"dtype", pipeline_.info().dtype},
                          {"ocr", reader_.name()},
                          {"settings", settings_.to_json()}};
    // Which adapters, however their files are called.
    for (const auto& one : pipeline_.info().adapters) document["adapters"].push_back({{"sha256", one.hash}, {"strength", one.strength}});
    if (!pipeline_.info().policy.is_null()) document["guard"] = pipeline_.info().policy;
    claim_folder(folder_ / "settings.json", document, "the folder holds a run with other settings, prompts or another model");
  }

  Pipeline& pipeline_;
  TextReader& reader_;
  const SweepSettings& settings_;
  fs::path folder_;
  const SweepObserver& observer_;
  CancelToken cancel_;
  int sites_;
  std::int64_t total_ = 0;
};

}  // namespace

SweepResult run_sweep(Pipeline& pipeline, TextReader& reader, const SweepSettings& settings, const fs::path& folder, const SweepObserver& observer,
                      const CancelToken& cancel) {
  return Sweep(pipeline, reader, settings, folder, observer, cancel).run();
}

}  // namespace glyphscope
