#include "adapt/arena.h"
#include "adapt/adapters.h"
#include "adapt/new_lora.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "adapt/training_table.h"
#include "core/error.h"
#include "core/option.h"
#include "core/random.h"
#include "experiments/prompt_set.h"
#include "io/files.h"
#include "io/image_file.h"
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

namespace {

// The plan with ranks that give as nearly as many parameters as its layers can hold: one rank at all layers, and one more at some of its sites.
LoraPlan of_size(LoraPlan plan, const std::vector<AttentionProjection>& layers, std::int64_t parameters) {
  const auto distance = [&](const LoraPlan& one) { return std::abs(one.parameters(layers) - parameters); };
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  for (const auto& layer : layers)
    if (plan.covers(layer)) most = std::min({most, layer.inputs, layer.outputs});
  plan.rank = 1;
  for (LoraPlan next = plan; ++next.rank, next.rank <= most && next.parameters(layers) <= parameters;) plan.rank = next.rank;
  if (plan.rank == most) return plan;
  LoraPlan more = plan;
  for (const int site : plan.sites) {
    more.ranks[site] = plan.rank + 1;
    if (distance(more) < distance(plan))
      plan.ranks = more.ranks;
    else
      more.ranks = plan.ranks;
  }
  return plan;
}

}  // namespace

std::vector<Contender> make_contenders(const torch::nn::Module& denoiser, const SiteTable& table, const LoraPlan& localized, int random_sets,
                                       std::uint64_t seed) {
  make_lora(denoiser, table, localized, make_generator(0));  // refuses at once what cannot be trained
  const auto layers = attention_projections(denoiser);
  const auto same = [&](const LoraPlan& a, const LoraPlan& b) {
    return std::all_of(layers.begin(), layers.end(), [&](const AttentionProjection& layer) {
      return a.covers(layer) == b.covers(layer) && (!a.covers(layer) || a.rank_at(layer.site) == b.rank_at(layer.site));
    });
  };
  std::vector<Contender> out;
  // Nothing is trained twice under two names.
  const auto add = [&](const std::string& name, const LoraPlan& plan) {
    if (std::none_of(out.begin(), out.end(), [&](const Contender& one) { return same(one.plan, plan); })) out.push_back({name, plan, plan.parameters(layers)});
  };
  add("localized", localized);
  const std::int64_t own = out.front().parameters;
  const auto add_with_small = [&](const std::string& name, const LoraPlan& plan) {
    add(name, plan);
    add(name + ", as small", of_size(plan, layers, own));
  };
  LoraPlan plan = localized;
  plan.ranks.clear();
  std::vector<int> others, all;  // of the sites that have any of the projections
  for (const auto& site : table.sites) {
    plan.sites = {site.index};
    if (plan.parameters(layers) == 0) continue;
    all.push_back(site.index);
    if (std::find(localized.sites.begin(), localized.sites.end(), site.index) == localized.sites.end()) others.push_back(site.index);
  }
  // All count as much, whatever their rank.
  if (plan.alpha > 0) plan.scale = std::exchange(plan.alpha, 0) / static_cast<double>(plan.rank);
  // Sets that hold none of the localized sites, as long as there are enough others.
  const std::vector<int>& pool = others.size() >= localized.sites.size() ? others : all;
  const auto sets = random_site_sets(pool, localized.sites, random_sets, seed);
  for (size_t i = 0; i < sets.size(); ++i) {
    plan.sites = sets[i];
    add("random " + std::to_string(i + 1), of_size(plan, layers, own));
  }
  LoraPlan paper = plan;  // where the site is the prompt's own projections: the picture's, which the paper trains
  if (localized.projections == LoraPlan().projections) paper.projections = {"paper"};
  paper.sites = localized.sites;
  add_with_small("localized, paper's projections", paper);
  plan.sites = all;
  add_with_small("all sites", plan);
  paper.sites = all;
  paper.every_attention = true;
  add_with_small("every attention", paper);
  for (const auto& one : out) one.plan.check_ranks(layers);  // now, not after hours
  return out;
}

namespace {

constexpr const char* kRunSchema = "glyphscope.arena-run/3";
constexpr std::uint64_t kReferenceNoise = 1 << 20;  // noises of the pictures that quality and diversity are measured from

// Numbers of one contender's pictures after one training.
struct Run {
  std::vector<std::optional<double>> exact, f1, ssim, alignment;  // by picture
  std::vector<double> pair_distance;                              // by prompt without text
  std::vector<double> kernel_distance, precision;                 // by picture without text
  std::vector<double> recall;                                     // by picture of the base model without text
  std::optional<double> held_out_loss;
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
  return {{"schema", kRunSchema},
          {"exact", list(run.exact)},
          {"f1", list(run.f1)},
          {"ssim_to_base", list(run.ssim)},
          {"clip_alignment", list(run.alignment)},
          {"pair_distance", list(run.pair_distance)},
          {"kernel_distance", list(run.kernel_distance)},
          {"precision", list(run.precision)},
          {"recall", list(run.recall)},
          {"held_out_loss", number(run.held_out_loss)},
          {"optimizer_bytes", run.optimizer_bytes},
          {"diverged", run.diverged}};
}

Run parse_run(const nlohmann::json& json) {
  if (json.at("schema") != kRunSchema) reject("this is of another version");
  Run run;
  const auto list = [&](const char* name, std::vector<std::optional<double>>& out) {
    for (const auto& value : json.at(name)) out.push_back(number(value));
  };
  list("exact", run.exact);
  list("f1", run.f1);
  list("ssim_to_base", run.ssim);
  list("clip_alignment", run.alignment);
  for (const auto& [name, out] :
       {std::pair("pair_distance", &run.pair_distance), {"kernel_distance", &run.kernel_distance}, {"precision", &run.precision}, {"recall", &run.recall}})
    *out = json.at(name).get<std::vector<double>>();
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
    trainable_ = pipeline.trainable();
    if (!trainable_) reject("this model cannot be fine-tuned", pipeline.info().source);
    for (const auto& prompt : settings.prompts) (quoted_text(prompt).empty() ? plain_ : prompts_).push_back(prompt);
    written_ = prompts_.size();
    for (const auto& prompt : plain_)
      for (int i = 0; i < settings.variety; ++i) prompts_.push_back(prompt);
    if (prompts_.empty()) reject("there is no prompt to score by", option(Option::prompts));
  }

  ArenaResult run() {
    const auto contenders =
        make_contenders(pipeline_.denoiser_module(), pipeline_.info().table, settings_.training.plan, settings_.random_sets, settings_.training.seed);
    fs::create_directories(out_ / "runs");
    if (const std::string note = note_on_known_texts(pictures_, prompts_); !note.empty()) observer_.note(note);
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
        std::erase_if(name, [](char c) { return c == ',' || c == '\''; });
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
      observer_.note(file.string() + " is damaged, or of another version: it is made again");
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
    if (settings.cache.empty()) settings.cache = out_ / "cache";
    FinetuneObserver observer;
    const ProgressCallback progress = inner(name);
    observer.step = [&](const FinetuneProgress& p) { progress({name, p.step, p.steps}); };
    observer.note = observer_.note;
    const fs::path folder = out_ / "runs" / name;
    const bool begun = fs::exists(folder / "checkpoint" / "settings.json");
    std::optional<FinetuneResult> trained;
    try {
      trained = finetune(pipeline_, pictures_, settings, folder, begun, nullptr, observer, cancel_);
    } catch (const Diverged& failure) {
      // That is a finding about this contender; the others go on.
      observer_.note(name + ": " + failure.error().message());
      Run run;
      run.diverged = failure.error().what;
      return run;
    }
    const AttachedAdapter attached(pipeline_, trained->adapter);
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
      std::vector<int> of;
      for (size_t i = written_; i < prompts_.size(); ++i) of.push_back(prompt_of(i));
      if (std::set(of.begin(), of.end()).size() > 2) run.kernel_distance = numbers(kernel_distance(reference_, made, of));
      const PrecisionRecall near = precision_recall(reference_, made);
      run.precision = numbers(near.precision);
      run.recall = numbers(near.recall);
    }
    if (settings_.variety > 1)
      for (const auto& one : made.split(settings_.variety)) run.pair_distance.push_back(mean_pair_distance(one));
    return run;
  }

  static std::vector<double> numbers(const torch::Tensor& row) { return {row.data_ptr<double>(), row.data_ptr<double>() + row.numel()}; }

  torch::Tensor features(const std::vector<torch::Tensor>& images) {
    if (settings_.clip) return settings_.clip->features(images);
    constexpr std::int64_t kSide = 4;
    std::vector<torch::Tensor> rows;
    for (const auto& image : images) {
      const torch::Tensor mean = trainable_->encode_pixels((image.to(torch::kFloat32) / 127.5 - 1).unsqueeze(0)).mean.cpu();
      pixels_ = mean.size(2) == image.size(1);
      rows.push_back(torch::adaptive_avg_pool2d(mean, {kSide, kSide}).flatten(1));
    }
    return torch::cat(rows);
  }

  // Which prompt a picture is of: the first of equal ones.
  int prompt_of(size_t picture) const {
    return static_cast<int>(std::distance(prompts_.begin(), std::find(prompts_.begin(), prompts_.end(), prompts_[picture])));
  }

  // Clustered by prompt and by training.
  ArenaScores scores_of(const std::vector<Run>& runs) const {
    std::map<std::string, std::vector<Observation>> seen;
    for (size_t seed = 0; seed < runs.size(); ++seed) {
      const Run& run = runs[seed];
      const auto add = [&](const char* name, const std::optional<double>& value, int prompt) {
        if (value) seen[name].push_back({*value, prompt, static_cast<int>(seed)});
      };
      for (size_t i = 0; i < run.exact.size(); ++i) {
        add("exact", run.exact[i], prompt_of(i));
        add("f1", run.f1[i], prompt_of(i));
        add("ssim", run.ssim[i], prompt_of(i));
      }
      for (size_t i = 0; i < run.alignment.size(); ++i) add("alignment", run.alignment[i], prompt_of(i));
      for (size_t i = 0; i < run.pair_distance.size(); ++i) add("pair", run.pair_distance[i], prompt_of(written_ + i * static_cast<size_t>(settings_.variety)));
      for (const auto& [name, list] : {std::pair("kernel", &run.kernel_distance), {"precision", &run.precision}, {"recall", &run.recall}})
        for (size_t i = 0; i < list->size(); ++i) add(name, (*list)[i], prompt_of(written_ + i));
      add("loss", run.held_out_loss, static_cast<int>(seed));  // one a training, each its own cluster
    }
    return {score_of(seen["exact"], kShare),      score_of(seen["f1"], kShare),      score_of(seen["alignment"], kCorrelation),
            score_of(seen["ssim"], kCorrelation), score_of(seen["kernel"]),          score_of(seen["precision"], kShare),
            score_of(seen["recall"], kShare),     score_of(seen["pair"], kPositive), score_of(seen["loss"], kPositive)};
  }

  // Paired by prompt and by training; the base model, which is not trained, stands against each.
  Score gain(const std::vector<Run>& localized, const std::vector<Run>& other) const {
    std::vector<Observation> differences;
    for (size_t seed = 0; seed < localized.size(); ++seed) {
      const Run &a = localized[seed], &b = other[std::min(seed, other.size() - 1)];
      for (size_t i = 0; i < a.f1.size() && i < b.f1.size(); ++i)
        if (a.f1[i] && b.f1[i]) differences.push_back({*a.f1[i] - *b.f1[i], prompt_of(i), static_cast<int>(seed)});
    }
    return score_of(differences, kCorrelation);
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

}  // namespace

ArenaResult run_arena(Pipeline& pipeline, const PictureSet& pictures, const ArenaSettings& settings, const fs::path& out, bool resume, TextReader& reader,
                      const ArenaObserver& observer, const CancelToken& cancel) {
  if (fs::exists(out / "settings.json") && !resume)
    reject("the folder holds an arena already", out.string(), "Go on with it by " + option(Option::resume) + ", or choose another " + option(Option::out));
  ordered_json document{{"schema", "glyphscope.arena-settings/2"},
                        {"model_hash", pipeline.info().hash},
                        {"dtype", pipeline.info().dtype},
                        {"device", pipeline.info().device},
                        {"ocr", reader.name()},
                        {"pictures_sha256", pictures.sha256()},
                        {"settings", settings.to_json()}};
  if (!pipeline.info().policy.is_null()) document["guard"] = pipeline.info().policy;
  claim_folder(out / "settings.json", document, "the folder holds an arena with other settings, pictures or another model");
  return Arena(pipeline, pictures, settings, out, reader, observer, cancel).run();
}

}  // namespace glyphscope
