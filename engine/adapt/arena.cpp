#include "adapt/arena.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>

#include "adapt/training_table.h"
#include "core/error.h"
#include "core/random.h"
#include "io/canvas.h"
#include "io/files.h"
#include "io/image_file.h"
#include "localization/prompt_set.h"
#include "metrics/feature_scores.h"
#include "patching/patch_plan.h"
#include "pipelines/trainable.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json ArenaSettings::to_json() const {
  ordered_json out{{"training", training.to_json()},
                   {"steps", training.steps},
                   {"random_sets", random_sets},
                   {"seeds", seeds},
                   {"prompts", prompts},
                   {"variety", variety},
                   {"sampling_steps", training.sample_steps},
                   {"guidance", training.sample_guidance}};
  if (clip) out["clip_sha256"] = clip->hash();
  return out;
}

std::vector<Contender> make_contenders(const torch::nn::Module& denoiser, const SiteTable& table, const LoraPlan& localized, int random_sets,
                                       std::uint64_t seed) {
  make_lora(denoiser, table, localized, make_generator(0));  // refuses at once what cannot be trained
  const auto layers = attention_projections(denoiser);
  std::vector<Contender> out;
  const auto add = [&](const std::string& name, const LoraPlan& plan) -> Contender& {
    out.push_back({name, plan, plan.parameters(layers)});
    return out.back();
  };
  const std::int64_t own = add("localized", localized).parameters;
  std::vector<int> others, all;
  for (const auto& site : table.sites) {
    all.push_back(site.index);
    if (std::find(localized.sites.begin(), localized.sites.end(), site.index) == localized.sites.end()) others.push_back(site.index);
  }
  LoraPlan plan = localized;
  plan.ranks.clear();
  // Sets that hold none of the localized sites, as long as there are enough others.
  const std::vector<int>& pool = others.size() >= localized.sites.size() ? others : all;
  const auto sets = random_site_sets(pool, localized.sites, random_sets, seed);
  for (size_t i = 0; i < sets.size(); ++i) {
    plan.sites = sets[i];
    add("random " + std::to_string(i + 1), plan);
  }
  for (const bool every : {false, true}) {
    plan.sites = all;
    plan.every_attention = every;
    plan.rank = localized.rank;
    const std::string name = every ? "every attention" : "all sites";
    const std::int64_t large = add(name, plan).parameters;
    plan.rank = std::max<std::int64_t>(1, std::lround(static_cast<double>(localized.rank) * static_cast<double>(own) / static_cast<double>(large)));
    if (plan.rank != localized.rank) add(name + ", as small", plan);
  }
  return out;
}

namespace {

constexpr std::uint64_t kReferenceNoise = 1 << 20;  // noises of the pictures that quality and diversity are measured from

// Numbers of one contender's pictures after one training.
struct Run {
  std::vector<std::optional<double>> exact, f1, ssim, alignment;  // by picture
  std::vector<double> pair_distance;                              // by prompt without text
  std::optional<double> kernel_distance, precision, recall, held_out_loss;
  std::int64_t optimizer_bytes = 0;
  std::string diverged;  // why there are no pictures; or empty
};

ordered_json number(const std::optional<double>& value) { return value && std::isfinite(*value) ? ordered_json(*value) : ordered_json(nullptr); }
std::optional<double> number(const nlohmann::json& value) { return value.is_number() ? std::optional(value.get<double>()) : std::nullopt; }

ordered_json to_json(const Run& run) {
  const auto list = [](const auto& values) {
    ordered_json out = ordered_json::array();
    for (const auto& value : values) out.push_back(number(std::optional<double>(value)));
    return out;
  };
  return {{"schema", "glyphscope.arena-run/1"},
          {"exact", list(run.exact)},
          {"f1", list(run.f1)},
          {"ssim_to_base", list(run.ssim)},
          {"clip_alignment", list(run.alignment)},
          {"pair_distance", list(run.pair_distance)},
          {"kernel_distance", number(run.kernel_distance)},
          {"precision", number(run.precision)},
          {"recall", number(run.recall)},
          {"held_out_loss", number(run.held_out_loss)},
          {"optimizer_bytes", run.optimizer_bytes},
          {"diverged", run.diverged}};
}

Run parse_run(const nlohmann::json& json) {
  Run run;
  const auto list = [&](const char* name, std::vector<std::optional<double>>& out) {
    for (const auto& value : json.at(name)) out.push_back(number(value));
  };
  list("exact", run.exact);
  list("f1", run.f1);
  list("ssim_to_base", run.ssim);
  list("clip_alignment", run.alignment);
  for (const auto& value : json.at("pair_distance")) run.pair_distance.push_back(value.get<double>());
  run.kernel_distance = number(json.at("kernel_distance"));
  run.precision = number(json.at("precision"));
  run.recall = number(json.at("recall"));
  run.held_out_loss = number(json.at("held_out_loss"));
  run.optimizer_bytes = json.at("optimizer_bytes");
  run.diverged = json.value("diverged", "");
  return run;
}

class Arena {
 public:
  Arena(Pipeline& pipeline, const PictureSet& pictures, const ArenaSettings& settings, fs::path out, TextReader& reader, const ArenaObserver& observer,
        const CancelToken& cancel)
      : pipeline_(pipeline), pictures_(pictures), settings_(settings), out_(std::move(out)), reader_(reader), observer_(observer), cancel_(cancel) {
    auto* trainable = dynamic_cast<Trainable*>(&pipeline);
    if (!trainable) reject("this model cannot be fine-tuned", pipeline.info().source);
    trainable_ = trainable;
    for (const auto& prompt : settings.prompts) (quoted_text(prompt).empty() ? plain_ : prompts_).push_back(prompt);
    written_ = prompts_.size();
    for (const auto& prompt : plain_)
      for (int i = 0; i < settings.variety; ++i) prompts_.push_back(prompt);
    if (prompts_.empty()) reject("there is no prompt to score by", "--prompts");
  }

  ArenaResult run() {
    const auto contenders =
        make_contenders(pipeline_.denoiser_module(), pipeline_.info().table, settings_.training.plan, settings_.random_sets, settings_.training.seed);
    fs::create_directories(out_ / "runs");
    total_ = 1 + static_cast<std::int64_t>(contenders.size()) * settings_.seeds;
    Request sampling;
    sampling.steps = settings_.training.sample_steps;
    sampling.guidance = settings_.training.sample_guidance;
    if (settings_.training.resolution > 0) sampling.width = sampling.height = settings_.training.resolution;
    TrainingSamples samples(pipeline_, reader_, prompts_, sampling, settings_.training.seed, inner("the base model's pictures"), cancel_);
    if (!plain_.empty()) {
      const std::vector<std::string> plain(prompts_.begin() + static_cast<std::ptrdiff_t>(written_), prompts_.end());
      reference_ = features(
          TrainingSamples(pipeline_, reader_, plain, sampling, settings_.training.seed + kReferenceNoise, inner("the base model's pictures"), cancel_).base());
    }
    ArenaResult result;
    result.features = settings_.clip ? "image features of " + settings_.clip->folder().string() : pixels_ ? "pixels" : "latents of the model's autoencoder";

    std::vector<std::vector<Run>> runs;
    runs.push_back({kept("base", [&] { return score(samples, "base"); })});
    result.entries.push_back({{"no adapter", {}, 0}, 0, 0, 0, {}, {}});
    for (const auto& contender : contenders) {
      runs.emplace_back();
      for (int seed = 0; seed < settings_.seeds; ++seed) {
        ++done_;
        std::string name = contender.name + " " + std::to_string(seed);
        std::erase(name, ',');
        std::replace(name.begin(), name.end(), ' ', '-');
        runs.back().push_back(kept(name, [&] { return train(contender, seed, name, samples); }));
      }
      ArenaEntry entry{contender, settings_.seeds, 0, 0, {}, {}};
      for (const Run& run : runs.back()) {
        entry.optimizer_bytes = std::max(entry.optimizer_bytes, run.optimizer_bytes);
        if (!run.diverged.empty()) ++entry.diverged;
      }
      result.entries.push_back(std::move(entry));
    }
    for (size_t i = 0; i < runs.size(); ++i) {
      result.entries[i].scores = scores_of(runs[i]);
      if (i != 1) result.entries[i].f1_gain = gain(runs[1], runs[i]);
    }
    return result;
  }

 private:
  ProgressCallback inner(const std::string& what) {
    return [this, what](const Progress& p) {
      constexpr std::int64_t kParts = 1000;
      observer_.progress({what, kParts * done_ + kParts * p.done / std::max<std::int64_t>(1, p.total), kParts * total_});
    };
  }

  // What was scored before, or what `make` scores now.
  Run kept(const std::string& name, const std::function<Run()>& make) {
    const fs::path file = out_ / "runs" / name / "scores.json";
    if (fs::exists(file)) {
      if (const auto read = attempt([&] { return parse_run(read_json(file)); })) return *read;
      observer_.note(file.string() + " is damaged: it is made again");
    }
    cancel_.check();
    Run run = make();
    fs::create_directories(file.parent_path());
    write_json(file, to_json(run));
    return run;
  }

  Run train(const Contender& contender, int seed, const std::string& name, TrainingSamples& samples) {
    FinetuneSettings settings = settings_.training;
    settings.plan = contender.plan;
    settings.seed += static_cast<std::uint64_t>(seed);
    settings.sample_prompts.clear();
    settings.cache = out_ / "cache";
    FinetuneObserver observer;
    const ProgressCallback progress = inner(name);
    observer.step = [&](const FinetuneProgress& p) { progress({name, p.step, p.steps}); };
    observer.note = observer_.note;
    const fs::path folder = out_ / "runs" / name;
    const bool begun = fs::exists(folder / "checkpoint" / "settings.json");
    std::optional<FinetuneResult> trained;
    try {
      trained = finetune(pipeline_, pictures_, settings, folder, begun, reader_, observer, cancel_);
    } catch (const Diverged& failure) {
      // That is a finding about this contender; the others go on.
      observer_.note(name + ": " + failure.error().message());
      Run run;
      run.diverged = failure.error().what;
      return run;
    }
    const AttachedLora attached(pipeline_.denoiser_module(), trained->lora);
    Run run = score(samples, name);
    run.optimizer_bytes = trained->optimizer_bytes;
    const auto rows = TrainingTable(folder / "training.csv", settings.steps).rows();
    if (const auto last = rows.find(settings.steps); last != rows.end()) run.held_out_loss = last->second.held_out;
    return run;
  }

  Run score(TrainingSamples& samples, const std::string& name) {
    const TrainingSamples::Scores drawn = samples.draw(inner(name + ": pictures"), cancel_);
    Run run;
    std::vector<torch::Tensor> plain;
    for (size_t i = 0; i < drawn.items.size(); ++i) {
      const auto& item = drawn.items[i];
      run.exact.push_back(item.exact);
      run.f1.push_back(item.f1);
      run.ssim.push_back(item.ssim);
      if (i >= written_) plain.push_back(item.image);
    }
    constexpr int kColumns = 8;
    fs::create_directories(out_ / "runs" / name);
    const ordered_json about{{"model", pipeline_.info().source}, {"contender", name}, {"prompts", prompts_}, {"seed", settings_.training.seed}};
    write_png(out_ / "runs" / name / "samples.png", contact_sheet(drawn.images(), kColumns), about);
    if (const auto& clip = settings_.clip; clip && clip->reads_text()) {
      const torch::Tensor seen = clip->features(drawn.images());
      for (size_t i = 0; i < prompts_.size(); ++i) run.alignment.push_back(clip->alignment(seen[static_cast<std::int64_t>(i)], prompts_[i]));
    }
    if (plain.empty()) return run;
    const torch::Tensor made = features(plain);
    // Five neighbours and more, or the numbers say nothing.
    constexpr std::int64_t kFewest = 5;
    if (made.size(0) >= kFewest) {
      run.kernel_distance = kernel_distance(reference_, made);
      const PrecisionRecall near = precision_recall(reference_, made);
      run.precision = near.precision;
      run.recall = near.recall;
    }
    if (settings_.variety > 1)
      for (const auto& one : made.split(settings_.variety)) run.pair_distance.push_back(mean_pair_distance(one));
    return run;
  }

  torch::Tensor features(const std::vector<torch::Tensor>& images) {
    if (settings_.clip) return settings_.clip->features(images);
    constexpr std::int64_t kSide = 4;
    std::vector<torch::Tensor> rows;
    for (const auto& image : images) {
      const torch::Tensor mean = trainable_->encode_pixels((image.to(torch::kFloat32) / 127.5 - 1).unsqueeze(0)).mean;
      pixels_ = mean.size(2) == image.size(1);
      rows.push_back(torch::adaptive_avg_pool2d(mean, {kSide, kSide}).flatten(1));
    }
    return torch::cat(rows);
  }

  static ArenaScores scores_of(const std::vector<Run>& runs) {
    std::map<std::string, std::vector<Observation>> seen;
    for (size_t seed = 0; seed < runs.size(); ++seed) {
      const Run& run = runs[seed];
      const auto add = [&](const char* name, const std::optional<double>& value, size_t word) {
        if (value) seen[name].push_back({*value, static_cast<int>(word), static_cast<int>(seed)});
      };
      for (size_t i = 0; i < run.exact.size(); ++i) {
        add("exact", run.exact[i], i);
        add("f1", run.f1[i], i);
        add("ssim", run.ssim[i], i);
      }
      for (size_t i = 0; i < run.alignment.size(); ++i) add("alignment", run.alignment[i], i);
      for (size_t i = 0; i < run.pair_distance.size(); ++i) add("pair", run.pair_distance[i], i);
      add("kernel", run.kernel_distance, 0);
      add("precision", run.precision, 0);
      add("recall", run.recall, 0);
      add("loss", run.held_out_loss, 0);
    }
    return {score_of(seen["exact"]),     score_of(seen["f1"]),     score_of(seen["alignment"]), score_of(seen["ssim"]), score_of(seen["kernel"]),
            score_of(seen["precision"]), score_of(seen["recall"]), score_of(seen["pair"]),      score_of(seen["loss"])};
  }

  // Paired by prompt and by training; the base model, which is not trained, stands against each.
  static Score gain(const std::vector<Run>& localized, const std::vector<Run>& other) {
    std::vector<Observation> differences;
    for (size_t seed = 0; seed < localized.size(); ++seed) {
      const Run &a = localized[seed], &b = other[std::min(seed, other.size() - 1)];
      for (size_t i = 0; i < a.f1.size() && i < b.f1.size(); ++i)
        if (a.f1[i] && b.f1[i]) differences.push_back({*a.f1[i] - *b.f1[i], static_cast<int>(i), static_cast<int>(seed)});
    }
    return score_of(differences);
  }

  Pipeline& pipeline_;
  Trainable* trainable_ = nullptr;
  const PictureSet& pictures_;
  const ArenaSettings& settings_;
  fs::path out_;
  TextReader& reader_;
  const ArenaObserver& observer_;
  CancelToken cancel_;
  std::vector<std::string> prompts_, plain_;  // first those with text; then each without, as often as `variety` says
  size_t written_ = 0;
  torch::Tensor reference_;
  bool pixels_ = false;  // what features are made of
  std::int64_t done_ = 0, total_ = 1;
};

// Scores by the names that files have.
std::vector<std::pair<const char*, Score ArenaScores::*>> score_columns() {
  return {{"word_accuracy", &ArenaScores::word_accuracy},
          {"ocr_f1", &ArenaScores::ocr_f1},
          {"clip_alignment", &ArenaScores::clip_alignment},
          {"ssim_to_base", &ArenaScores::ssim_to_base},
          {"precision", &ArenaScores::precision},
          {"recall", &ArenaScores::recall},
          {"kernel_distance", &ArenaScores::kernel_distance},
          {"pair_distance", &ArenaScores::pair_distance},
          {"held_out_loss", &ArenaScores::held_out_loss}};
}

std::string cell(const Score& score, int digits = 2) {
  if (score.n == 0) return "-";
  char text[64];
  if (score.low)
    std::snprintf(text, sizeof text, "%.*f [%.*f, %.*f]", digits, score.mean, digits, *score.low, digits, *score.high);
  else
    std::snprintf(text, sizeof text, "%.*f", digits, score.mean);
  return text;
}

bool aligned(const ArenaResult& result) {
  return std::any_of(result.entries.begin(), result.entries.end(), [](const ArenaEntry& entry) { return entry.scores.clip_alignment.n > 0; });
}

std::string where(const Contender& contender) {
  if (contender.name == "no adapter") return "";
  return contender.plan.every_attention ? "all attention" : format_sites(contender.plan.sites);
}

}  // namespace

ordered_json ArenaResult::to_json() const {
  ordered_json out{{"features", features}, {"contenders", ordered_json::array()}};
  for (const auto& entry : entries) {
    ordered_json scores;
    for (const auto& [name, score] : score_columns()) scores[name] = (entry.scores.*score).to_json();
    out["contenders"].push_back({{"name", entry.contender.name},
                                 {"sites", entry.contender.plan.sites},
                                 {"every_attention", entry.contender.plan.every_attention},
                                 {"rank", entry.trainings > 0 ? entry.contender.plan.rank : 0},
                                 {"parameters", entry.contender.parameters},
                                 {"optimizer_bytes", entry.optimizer_bytes},
                                 {"trainings", entry.trainings},
                                 {"diverged", entry.diverged},
                                 {"scores", scores},
                                 {"localized_f1_gain", entry.f1_gain.to_json()}});
  }
  return out;
}

std::string ArenaResult::csv() const {
  std::string out = "contender,sites,rank,parameters,optimizer_bytes,trainings,diverged";
  for (const auto& [name, score] : score_columns()) out += std::string(",") + name + "," + name + "_low," + name + "_high";
  out += "\n";
  for (const auto& entry : entries) {
    out += "\"" + entry.contender.name + "\",\"" + where(entry.contender) + "\"," + std::to_string(entry.trainings > 0 ? entry.contender.plan.rank : 0) + "," +
           std::to_string(entry.contender.parameters) + "," + std::to_string(entry.optimizer_bytes) + "," + std::to_string(entry.trainings) + "," +
           std::to_string(entry.diverged);
    for (const auto& [name, score] : score_columns()) {
      const Score& one = entry.scores.*score;
      for (const auto& value : {one.n > 0 ? std::optional(one.mean) : std::nullopt, one.low, one.high}) {
        char text[32] = ",";
        if (value) std::snprintf(text, sizeof text, ",%.6g", *value);
        out += text;
      }
    }
    out += "\n";
  }
  return out;
}

std::string ArenaResult::table() const {
  struct Column {
    const char* title;
    int width;
    std::function<std::string(const ArenaEntry&)> text;
  };
  const auto scored = [](Score ArenaScores::*score) { return [score](const ArenaEntry& entry) { return cell(entry.scores.*score); }; };
  std::vector<Column> columns{{"", -27, [](const ArenaEntry& entry) { return entry.contender.name; }},
                              {"parameters", 10, [](const ArenaEntry& entry) { return std::to_string(entry.contender.parameters); }},
                              {"rank", 4, [](const ArenaEntry& entry) { return std::to_string(entry.trainings > 0 ? entry.contender.plan.rank : 0); }},
                              {"words exact", -19, scored(&ArenaScores::word_accuracy)},
                              {"character F1", -19, scored(&ArenaScores::ocr_f1)},
                              {"SSIM to the base", -19, scored(&ArenaScores::ssim_to_base)},
                              {"precision", -19, scored(&ArenaScores::precision)},
                              {"recall", -19, scored(&ArenaScores::recall)},
                              {"distance", -19, scored(&ArenaScores::kernel_distance)}};
  if (aligned(*this)) columns.push_back({"CLIP alignment", -22, [](const ArenaEntry& entry) { return cell(entry.scores.clip_alignment, 3); }});
  columns.push_back({"localized's F1 over it", 0, [](const ArenaEntry& entry) { return cell(entry.f1_gain); }});
  std::string out;
  const auto add_line = [&](const std::function<std::string(const Column&)>& text) {
    for (const auto& column : columns) {
      const std::string one = text(column);
      const std::string room(static_cast<size_t>(std::max(0, std::abs(column.width) - static_cast<int>(one.size()))), ' ');
      out += column.width > 0 ? room + one : one + room;
      out += "  ";
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += "\n";
  };
  add_line([](const Column& column) { return column.title; });
  for (const auto& entry : entries) add_line([&](const Column& column) { return column.text(entry); });
  for (const auto& entry : entries)
    if (entry.diverged > 0)
      out += entry.contender.name + ": the loss of " + std::to_string(entry.diverged) + " of " + std::to_string(entry.trainings) +
             " trainings exploded; scores are of the others\n";
  return out;
}

torch::Tensor ArenaResult::draw() const {
  constexpr int kNames = 230, kPanel = 170, kGap = 26, kTop = 56, kRow = 26, kBottom = 30, kRight = 20;
  constexpr Colour kPaper{255, 255, 255}, kInk{30, 30, 36}, kSoft{110, 110, 120}, kGrid{225, 225, 230}, kDot{33, 102, 172}, kLocalized{178, 24, 43};
  struct Panel {
    const char* title;
    Score ArenaScores::*score;
    double low = 0, high = 1;
  };
  std::vector<Panel> panels{{"words exact", &ArenaScores::word_accuracy},
                            {"character F1", &ArenaScores::ocr_f1},
                            {"SSIM to the base", &ArenaScores::ssim_to_base},
                            {"precision", &ArenaScores::precision},
                            {"recall", &ArenaScores::recall}};
  if (aligned(*this)) {
    // Cosines lie close together: to hundredths around what there is.
    double low = 1, high = -1;
    for (const auto& entry : entries) {
      const Score& score = entry.scores.clip_alignment;
      if (score.n == 0) continue;
      low = std::min(low, score.low.value_or(score.mean));
      high = std::max(high, score.high.value_or(score.mean));
    }
    panels.push_back({"CLIP alignment", &ArenaScores::clip_alignment, std::floor(100 * low) / 100, std::ceil(100 * high + 1e-9) / 100});
  }
  const int count = static_cast<int>(entries.size()), width = kNames + static_cast<int>(panels.size()) * (kPanel + kGap) + kRight;
  Canvas canvas(width, kTop + count * kRow + kBottom, kPaper);
  canvas.text("Adapters, all trained alike: means and 95 % intervals", 16, 22, 14, kInk);
  for (int row = 0; row < count; ++row) {
    const Contender& one = entries[static_cast<size_t>(row)].contender;
    canvas.text(one.name, kNames - 16, kTop + row * kRow + kRow / 2 + 5, 12, one.name == "localized" ? kLocalized : kInk, Canvas::Align::right);
  }
  for (size_t i = 0; i < panels.size(); ++i) {
    const int left = kNames + static_cast<int>(i) * (kPanel + kGap);
    const Panel& panel = panels[i];
    const auto x = [&](double value) {
      return left + static_cast<int>(std::lround(std::clamp((value - panel.low) / std::max(1e-3, panel.high - panel.low), 0.0, 1.0) * kPanel));
    };
    canvas.text(panel.title, left, kTop - 12, 12, kInk);
    for (int part = 0; part <= 4; ++part) {
      const double at = panel.low + (panel.high - panel.low) * part / 4.0;
      canvas.fill(x(at), kTop, 1, count * kRow, kGrid);
      char label[16];
      std::snprintf(label, sizeof label, "%.3g", at);
      if (part % 2 == 0) canvas.text(label, x(at), kTop + count * kRow + 18, 11, kSoft, Canvas::Align::centre);
    }
    for (int row = 0; row < count; ++row) {
      const ArenaEntry& entry = entries[static_cast<size_t>(row)];
      const Score& score = entry.scores.*panel.score;
      if (score.n == 0) continue;
      const Colour colour = entry.contender.name == "localized" ? kLocalized : kDot;
      const int y = kTop + row * kRow + kRow / 2;
      if (score.low) canvas.fill(x(*score.low), y - 1, std::max(1, x(*score.high) - x(*score.low)), 2, colour);
      canvas.fill(x(score.mean) - 4, y - 4, 8, 8, colour);
    }
  }
  return canvas.image().clone();
}

ArenaResult run_arena(Pipeline& pipeline, const PictureSet& pictures, const ArenaSettings& settings, const fs::path& out, bool resume, TextReader& reader,
                      const ArenaObserver& observer, const CancelToken& cancel) {
  if (fs::exists(out / "settings.json") && !resume)
    reject("the folder holds an arena already", out.string(), "Pass --resume to go on with it, or choose another --out");
  ordered_json document{{"schema", "glyphscope.arena-settings/1"}, {"model_hash", pipeline.info().hash},
                        {"dtype", pipeline.info().dtype},          {"ocr", reader.name()},
                        {"pictures_sha256", pictures.sha256()},    {"settings", settings.to_json()}};
  if (!pipeline.info().policy.is_null()) document["guard"] = pipeline.info().policy;
  claim_folder(out / "settings.json", document, "the folder holds an arena with other settings, pictures or another model");
  return Arena(pipeline, pictures, settings, out, reader, observer, cancel).run();
}

}  // namespace glyphscope
