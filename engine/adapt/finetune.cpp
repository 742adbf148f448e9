#include "adapt/finetune.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "adapt/encoded_pictures.h"
#include "adapt/new_lora.h"
#include "adapt/prompt_kv_cache.h"
#include "adapt/trained_adapter.h"
#include "adapt/training_state.h"
#include "adapt/training_table.h"
#include "core/error.h"
#include "core/option.h"
#include "core/random.h"
#include "core/unicode.h"
#include "experiments/prompt_set.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "io/weights.h"
#include "models/block.h"
#include "pipelines/adaptable_encoder.h"
#include "pipelines/trainable.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

torch::Tensor training_loss(const NoisePath& path, const std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, const Conditioning&)>& denoise,
                            const TrainingBatch& batch, double snr_gamma) {
  const torch::Tensor noisy = path.mix(batch.clean, batch.noise, batch.index);
  const torch::Tensor output = denoise(noisy, path.timestep.index_select(0, batch.index), batch.conditioning).to(batch.clean.scalar_type());
  const torch::Tensor each = (output - path.target(batch.clean, batch.noise, batch.index)).pow(2).flatten(1).mean(1);
  return (snr_gamma > 0 ? each * path.snr_weight(batch.index, snr_gamma).to(each.options()) : each).mean();
}

namespace {

enum Stream : std::uint64_t { kOrder = 12, kNoise = 13, kDropout = 14, kHeldOut = 15 };
constexpr int kSheetColumns = 4;
// Pictures that a loss is measured on: more say little more. Where none is held out, some that are learned from tell at least whether it explodes.
constexpr size_t kMostHeldOut = 64, kMostWatched = 16;

// What a network says that says nothing.
torch::Tensor zero_output(const torch::Tensor& x, const torch::Tensor&, const Conditioning&) { return torch::zeros_like(x); }

// Lets a cancelled training stop between two layers, and K and V of captions be kept.
class TrainingTaps : public Taps {
 public:
  explicit TrainingTaps(CancelToken cancel) : cancel_(std::move(cancel)) {}
  void enter_attention() override { cancel_.check(); }
  KeyValue prompt_kv(int site, const PromptStates& prompt, const Project& project) override {
    return kept ? kept->prompt_kv(site, prompt, project) : project(prompt);
  }
  std::optional<PromptKvCache> kept;  // where K and V depend on the prompt alone

 private:
  CancelToken cancel_;
};

class Finetuning {
 public:
  Finetuning(Pipeline& pipeline, const PictureSet& pictures, const FinetuneSettings& settings, const fs::path& out, TextReader* reader,
             const FinetuneObserver& observer, const CancelToken& cancel, Processes* processes)
      : pipeline_(pipeline),
        trainable_(trainable_of(pipeline)),
        settings_(settings),
        out_(out),
        observer_(observer),
        cancel_(cancel),
        processes_(processes),
        path_(NoisePath::parse(trainable_.scheduler_config())),
        density_(path_.prediction == Prediction::flow ? logit_normal_draws(path_.steps())
                                                      : torch::full({path_.steps()}, 1.0 / static_cast<double>(path_.steps()))),
        adapter_(pipeline, trainable_, settings),
        state_({{"lora", &adapter_.module()}},
               {settings.beta1, settings.beta2, settings.eps, settings.weight_decay, settings.clip_norm, /*ema_decay=*/0, torch::kFloat32}),
        encoded_(pipeline, trainable_, settings.resolution, settings.cache.empty() ? out / "cache" : settings.cache),
        taps_(cancel) {
    if (pictures.train.empty())
      reject("every picture is held out; there is none to learn from", option(Option::held_out), "Hold out a smaller share, or add pictures");
    if (settings.batch % count() != 0)
      reject("a batch of " + std::to_string(settings.batch) + " pictures is not shared evenly by " + std::to_string(count()) + " processes", "the batch",
             "Choose a multiple of " + std::to_string(count()));
    // The first has made the folder before the others look into it.
    if (!leads()) meet();
    claim(pictures);
    if (leads()) meet();
    if (fs::exists(checkpoint())) {
      state_.load(checkpoint());
      saved_ = state_.step();
    }
    table_.emplace(out_ / "training.csv", state_.step());
    if (fs::exists(best_file())) {
      reading_json(best_file(), [&] {
        const auto best = read_json(best_file());
        best_ = best.value("loss", best_);
        silent_ = best.value("silent", silent_);
      });
    }
    // The first encodes what is not in the cache; the others find it there.
    if (!leads()) meet();
    prepare(pictures);
    if (leads()) meet();
    if (settings.sample_prompts.empty() || !leads()) return;
    if (const std::string note = note_on_known_texts(pictures, settings.sample_prompts); !note.empty()) observer.note(note);
    Request sampling;
    sampling.steps = settings.sample_steps;
    sampling.guidance = settings.sample_guidance;
    if (settings.resolution > 0) sampling.width = sampling.height = settings.resolution;
    samples_.emplace(pipeline, *reader, settings.sample_prompts, sampling, settings.seed, observer.preparing, cancel);
  }

  Finetuning(const Finetuning&) = delete;
  Finetuning& operator=(const Finetuning&) = delete;

  FinetuneResult run() {
    using clock = std::chrono::steady_clock;
    adapter_.attach();
    auto reported = clock::now();
    double sum = 0;
    std::int64_t since = 0;
    while (true) {
      const std::int64_t step = state_.step();
      const bool last = step >= settings_.steps;  // a resumed training may be further already
      const bool kept = last || (step != saved_ && step % settings_.save_every == 0 && step > 0);
      const double rate = learning_rate(settings_.rate, settings_.schedule, step, settings_.warmup, settings_.steps);
      reported += std::exchange(away_, {});
      const auto learned_until = clock::now();
      const double seconds = std::chrono::duration<double>(learned_until - reported).count();
      const bool measured = measure(step, kept);
      if (kept) save();  // what has passed
      away_ = {};
      reported += clock::now() - learned_until;
      if (measured || (since > 0 && (seconds > 2 || last))) {
        FinetuneProgress progress{step, settings_.steps, {}, {}, rate, static_cast<double>(since * settings_.batch * settings_.accumulate) / seconds, {}};
        if (since > 0) progress.loss = sum / static_cast<double>(since);
        if (measured) progress.held_out = (*table_)[step].held_out;
        progress.rows.assign(table_->rows().lower_bound(told_), table_->rows().end());
        told_ = step;
        observer_.step(progress);
        sum = 0, since = 0, reported = clock::now();
      }
      if (last) break;
      // A step that is stopped is made again, alike: it depends on its number alone.
      const auto learned = attempt([&] { return learn(step); });
      if (!learned) keep_and_throw(learned.error());
      const auto summed = attempt([&] { return average(*learned); });
      if (!summed) keep_and_throw(summed.error());
      const double loss = *summed;
      // Nothing has been learned from it yet.
      if (!std::isfinite(loss)) diverge("the loss is not a number at step " + std::to_string(step));
      TrainingRow& row = (*table_)[step];
      row.loss = loss;
      row.rate = rate;
      const double norm = state_.update(rate);
      if (!std::isfinite(norm)) diverge("the gradient is not a number at step " + std::to_string(step));
      sum += loss;
      ++since;
    }
    FinetuneResult result{adapter_.on_host(), state_.step(), adapter_.parameters(), 0, state_.bytes(), 0, {}, {}};
    LoraPlan everywhere = settings_.plan;
    everywhere.every_attention = false;
    everywhere.ranks.clear();
    everywhere.sites.clear();
    for (const auto& site : pipeline_.info().table.sites) everywhere.sites.push_back(site.index);
    result.all_sites = adapter_.encoder_parameters() + everywhere.parameters(attention_projections(pipeline_.denoiser_module()));
    result.all_sites_optimizer_bytes = result.optimizer_bytes / result.trained * result.all_sites;  // alike for each parameter
    if (!held_out_.empty() && std::isfinite(best_)) result.best_held_out = best_;
    return result;
  }

 private:
  struct Group {
    Bucket bucket;
    std::vector<size_t> pictures;
  };

  bool leads() const { return !processes_ || processes_->leads(); }
  std::int64_t count() const { return processes_ ? processes_->size() : 1; }
  std::int64_t number() const { return processes_ ? processes_->rank() : 0; }
  Conditioning conditioning(const EncodedPictures::Sample& sample, bool captioned = true) const {
    return adapter_.has_encoders() ? encoded_.conditioning_learning(sample, captioned) : encoded_.conditioning(sample, captioned);
  }
  void meet() {
    if (processes_) processes_->meet(cancel_);
  }

  // The mean of all processes' losses and, in the adapter, of their gradients: equal parts of a batch make its mean.
  double average(double loss) {
    if (!processes_) return loss;
    torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> parts{torch::tensor({loss}, torch::kFloat64)}, gradients;
    for (auto& parameter : adapter_.module().parameters()) {
      if (!parameter.grad().defined()) parameter.mutable_grad() = torch::zeros_like(parameter);
      gradients.push_back(parameter.grad());
      parts.push_back(parameter.grad().to(torch::kCPU, torch::kFloat64).flatten());
    }
    const torch::Tensor all = torch::cat(parts).contiguous();
    processes_->sum(all.data_ptr<double>(), static_cast<size_t>(all.numel()), cancel_);
    all.div_(static_cast<double>(count()));
    std::int64_t at = 1;
    for (auto& gradient : gradients) {
      gradient.copy_(all.slice(0, at, at + gradient.numel()).view(gradient.sizes()));
      at += gradient.numel();
    }
    return all[0].item<double>();
  }

  static Trainable& trainable_of(Pipeline& pipeline) {
    Trainable* out = pipeline.trainable();
    if (!out || pipeline.info().enlarges || pipeline.info().upscaler)
      reject("only a model that draws from a prompt alone can be fine-tuned", pipeline.info().source, "Of a cascade, open the first stage alone");
    return *out;
  }
  // Lets the model be used for something else, if someone asks for it.
  void make_room() {
    if (!observer_.interrupted()) return;
    const auto left = std::chrono::steady_clock::now();
    const bool learning = adapter_.is_attached();
    adapter_.detach();
    observer_.interlude();
    if (learning) adapter_.attach();
    away_ += std::chrono::steady_clock::now() - left;
  }
  fs::path checkpoint() const { return out_ / "checkpoint" / "state.safetensors"; }
  fs::path best_file() const { return out_ / "checkpoint" / "best.json"; }

  // What is learned from and held out, in the cache; and what of it is kept in memory.
  void prepare(const PictureSet& pictures) {
    const ProgressCallback progress = [this](const Progress& p) {
      observer_.preparing(p);
      make_room();
    };
    // The first by their hashes: others that are added to the folder change few of them.
    std::vector<CaptionedPicture> held_out = pictures.held_out;
    std::sort(held_out.begin(), held_out.end(), [](const auto& a, const auto& b) { return a.hash < b.hash; });
    if (held_out.size() > kMostHeldOut) held_out.erase(held_out.begin() + kMostHeldOut, held_out.end());
    {
      const ReadingPrompts reading = trainable_.reading_prompts();
      train_ = encoded_.prepare(pictures.train, progress, observer_.note, cancel_);
      held_out_ = encoded_.prepare(held_out, progress, observer_.note, cancel_);
    }
    watched_ = held_out_.empty() ? std::vector(train_.begin(), train_.begin() + static_cast<std::ptrdiff_t>(std::min(kMostWatched, train_.size()))) : held_out_;
    // Where all repeat alike, none does.
    int common = 0;
    for (const auto& one : pictures.train) common = std::gcd(common, one.repeats);
    std::set<std::string> captions;
    for (size_t i = 0; i < train_.size(); ++i) {
      auto found = std::find_if(groups_.begin(), groups_.end(), [&](const Group& group) { return group.bucket == train_[i].bucket; });
      if (found == groups_.end()) found = groups_.insert(groups_.end(), Group{train_[i].bucket, {}});
      found->pictures.insert(found->pictures.end(), static_cast<size_t>(pictures.train[i].repeats / common), i);
      captions.insert(encoded_.caption(train_[i]));
    }
    for (const auto& one : held_out_) captions.insert(encoded_.caption(one));
    captions.insert(encoded_.caption(train_[0], false));
    const auto& info = pipeline_.info();
    if (adapter_.has_encoders() || std::find(info.methods.begin(), info.methods.end(), PatchMethod::injection) == info.methods.end()) return;
    const std::int64_t tokens = encoded_.conditioning(train_[0]).embedding.size(1);
    if (PromptKvCache::bytes_needed(info.table, adapter_.denoiser(), static_cast<std::int64_t>(captions.size()), tokens) <= settings_.kept_kv_bytes)
      taps_.kept.emplace(info.table, adapter_.denoiser());
  }

  // The checkpoint's folder is of one model, one set of pictures and one set of settings; only how long to train may differ. A training that was
  // stopped before it kept anything has no claim on it, and what it left is taken away; what is of no training that is known is not touched.
  void claim(const PictureSet& pictures) {
    ordered_json document{{"schema", "glyphscope.finetune/1"}, {"model_hash", pipeline_.info().hash},  {"dtype", pipeline_.info().dtype},
                          {"device", pipeline_.info().device}, {"pictures_sha256", pictures.sha256()}, {"settings", settings_.to_json()}};
    const fs::path file = out_ / "checkpoint" / "settings.json";
    if (leads() && !fs::exists(checkpoint())) {
      const bool known = fs::exists(file);
      for (const char* name : {"last.safetensors", "best.safetensors", "training.csv"})
        if (fs::exists(out_ / name) && (!known || name == std::string("last.safetensors")))
          reject(std::string("the folder holds ") + name + ", and no checkpoint to go on from", out_.string(),
                 "Choose another " + option(Option::out) + ", or move the file");
      for (const fs::path& begun : {file, best_file(), out_ / "best.safetensors", out_ / "training.csv", out_ / "training.png"}) fs::remove(begun);
      if (known) fs::remove_all(out_ / "samples");
    }
    if (!leads() && !fs::exists(file))
      reject("what the first process of the training has written is not seen here", out_.string(), "Choose a folder that all of them see");
    claim_folder(file, document, "the folder holds a training with other settings, pictures or another model");
  }

  // The curve shows how; adapter and checkpoint stay those of a step that was well.
  [[noreturn]] void diverge(const std::string& what) const {
    write_table();
    const std::string kept = saved_ ? "The adapter of step " + std::to_string(*saved_) + " is kept in last.safetensors" : "Nothing had been saved yet";
    throw Diverged(
        {ErrorCode::bad_input, what, out_.string(),
         kept + ". Begin anew in another " + option(Option::out) + " with a lower " + option(Option::rate) + ", or with " + option(Option::dtype, "fp32")});
  }

  // Mean of the last steps' losses, few enough to tell of the adapter as it is; 0 if nothing was learned.
  double recent_loss() const {
    constexpr int kRecent = 8;
    double sum = 0;
    int count = 0;
    for (auto row = table_->rows().rbegin(); row != table_->rows().rend() && count < kRecent; ++row)
      if (row->second.loss) sum += *row->second.loss, ++count;
    return count > 0 ? sum / count : 0;
  }

  // Saves what has been learned so far, whatever stopped it; but not over what is better.
  [[noreturn]] void keep_and_throw(const Error& error) {
    if (!leads()) throw Failure(error);
    if (processes_) observer_.note("A process of the training is lost, or someone stopped it: it ends at step " + std::to_string(state_.step()));
    if (const double recent = recent_loss(); recent > limit()) {
      observer_.note("The loss had grown to " + std::to_string(recent) + ": what was learned since the last save is not kept");
    } else if (passed_ == state_.step() || processes_ || error.code == ErrorCode::cancelled || error.code == ErrorCode::out_of_memory) {
      const auto saved = attempt([&] { save(); });
      if (!saved) observer_.note("The training could not be saved: " + saved.error().message());
    }
    throw Failure(error);
  }
  // Twice as bad as it was, and worse than an output of zeros: it does not come back from there.
  double limit() const { return std::max(2 * best_, silent_); }

  static torch::Tensor draw(const FamilyModel::Signal& signal, at::Generator& generator) {
    if (!signal.deviation.defined()) return signal.mean;
    return signal.mean + signal.deviation * torch::randn(signal.mean.sizes(), generator);
  }
  // captions: of the batch's rows.
  torch::Tensor loss_of(TrainingBatch batch, std::vector<std::string> captions) {
    batch.clean = batch.clean.to(trainable_.device());
    batch.noise = batch.noise.to(trainable_.device());
    batch.conditioning = batch.conditioning.to(trainable_.device());
    if (taps_.kept) taps_.kept->set_rows(std::move(captions));
    return training_loss(
        path_, [&](const torch::Tensor& x, const torch::Tensor& t, const Conditioning& c) { return trainable_.denoise(x, t, c, &taps_); }, batch,
        settings_.snr_gamma);
  }

  // Leaves the gradients of one step in the adapter. What it learns from depends on the seed and the step's number alone.
  double learn(std::int64_t step) {
    double sum = 0;
    for (std::int64_t part = 0; part < settings_.accumulate; ++part) {
      make_room();
      cancel_.check();
      const GradientCheckpointing checkpointing(settings_.checkpointing);
      const auto batch_number = static_cast<std::uint64_t>(step * settings_.accumulate + part);
      torch::manual_seed(derive_seed(settings_.seed, kDropout, batch_number * static_cast<std::uint64_t>(count()) + static_cast<std::uint64_t>(number())));
      Choice choice(derive_seed(settings_.seed, kOrder, batch_number));
      at::Generator generator = make_generator(derive_seed(settings_.seed, kNoise, batch_number));
      // A size as often as it has pictures.
      const Group* group = &groups_[0];
      const size_t all = std::accumulate(groups_.begin(), groups_.end(), size_t{0}, [](size_t sum, const Group& one) { return sum + one.pictures.size(); });
      for (int left = choice.below(static_cast<int>(all)); left >= static_cast<int>(group->pictures.size()); ++group)
        left -= static_cast<int>(group->pictures.size());
      std::vector<torch::Tensor> clean;
      std::vector<Conditioning> rows;
      std::vector<std::string> captions;
      // Each process draws all of the batch, and learns from its part.
      const std::int64_t share = settings_.batch / count(), first = number() * share;
      for (std::int64_t i = 0; i < settings_.batch; ++i) {
        const auto& sample = train_[group->pictures[static_cast<size_t>(choice.below(static_cast<int>(group->pictures.size())))]];
        clean.push_back(draw(encoded_.signal(sample), generator));
        const bool captioned = choice.fraction() >= settings_.caption_dropout;
        if (i < first || i >= first + share) continue;
        rows.push_back(conditioning(sample, captioned));
        captions.push_back(encoded_.caption(sample, captioned));
      }
      TrainingBatch batch{torch::cat(clean), {}, torch::multinomial(density_, settings_.batch, true, generator), joined(rows)};
      batch.noise = torch::randn(batch.clean.sizes(), generator);
      for (torch::Tensor* one : {&batch.clean, &batch.noise, &batch.index}) *one = one->slice(0, first, first + share);
      const torch::Tensor loss = loss_of(batch, std::move(captions));
      (loss / static_cast<double>(settings_.accumulate)).backward();
      sum += loss.item<double>();
    }
    return sum / static_cast<double>(settings_.accumulate);
  }

  // Measures what is due at a step and was not measured before a stop; returns whether anything was. kept: the step will be saved.
  bool measure(std::int64_t step, bool kept) {
    const bool last = step >= settings_.steps;
    TrainingRow& row = (*table_)[step];
    const bool loss_due = !row.held_out && (kept || step % settings_.evaluate_every == 0);
    const bool samples_due = samples_ && !row.ocr_f1 && !row.ssim_to_base && (last || step % settings_.sample_every == 0);
    const std::string watched = std::string("the loss on ") + (held_out_.empty() ? "pictures that it learns from" : "held-out pictures");
    if (loss_due) {
      const auto loss = attempt([&] { return evaluate(); });
      if (!loss) keep_and_throw(loss.error());
      if (!std::isfinite(best_))
        reject(watched + " is not a number before anything was learned", pipeline_.info().source,
               "The model's weights may be damaged, or want " + option(Option::dtype, "fp32"));
      // A step that was saved when it was stopped is judged again when it goes on.
      if (!held_out_.empty() && (*loss <= limit() || saved_ != step)) row.held_out = *loss;
      if (!(*loss <= limit()))
        diverge(watched + " has grown to " + std::to_string(*loss) + ", from " + std::to_string(best_) + ", at step " + std::to_string(step));
      passed_ = step;
    }
    if (samples_due) {
      const auto drawn = attempt([&] { draw_samples(step, row); });
      if (!drawn) keep_and_throw(drawn.error());
    }
    return loss_due || samples_due;
  }

  // Each picture that is watched at a few timesteps, spread evenly, with noises that never change.
  double evaluate() {
    torch::NoGradGuard no_grad;
    constexpr std::int64_t kTimes = 4;
    double sum = 0, silent = 0;
    for (size_t i = 0; i < watched_.size(); ++i) {
      make_room();
      cancel_.check();
      at::Generator generator = make_generator(derive_seed(settings_.seed, kHeldOut, i));
      const torch::Tensor clean = draw(encoded_.signal(watched_[i]), generator).repeat({kTimes, 1, 1, 1});
      const torch::Tensor index = ((torch::arange(kTimes).to(torch::kFloat64) + 0.5) / kTimes * static_cast<double>(path_.steps())).to(torch::kInt64);
      const std::vector<Conditioning> rows(kTimes, conditioning(watched_[i]));
      TrainingBatch batch{clean, torch::randn(clean.sizes(), generator), index, joined(rows)};
      sum += loss_of(batch, std::vector<std::string>(kTimes, encoded_.caption(watched_[i]))).item<double>();
      silent += training_loss(path_, zero_output, batch, settings_.snr_gamma).item<double>();
    }
    silent_ = silent / static_cast<double>(watched_.size());
    const double mean = sum / static_cast<double>(watched_.size());
    if (mean < best_) {
      best_ = mean;
      if (leads() && !held_out_.empty()) write_adapter("best.safetensors");
      if (leads()) write_json(best_file(), {{"step", state_.step()}, {"loss", mean}, {"silent", silent_}});
    }
    return mean;
  }

  void draw_samples(std::int64_t step, TrainingRow& row) {
    const TrainingSamples::Scores scores = samples_->draw(observer_.preparing, cancel_);
    fs::create_directories(out_ / "samples");
    char name[32];
    std::snprintf(name, sizeof name, "%06lld.png", static_cast<long long>(step));
    ordered_json items = ordered_json::array();
    for (size_t i = 0; i < scores.items.size(); ++i) {
      const auto& item = scores.items[i];
      ordered_json one{{"prompt", samples_->prompts()[i]}};
      if (item.f1) add_keys(one, {{"read", item.read}, {"exact", *item.exact == 1}, {"f1", *item.f1}});
      if (item.ssim) one["ssim_to_base"] = *item.ssim;
      items.push_back(std::move(one));
    }
    ordered_json about{{"model", pipeline_.info().source}, {"step", step}, {"samples", items}, {"seed", settings_.seed}};
    if (const auto& guard = pipeline_.info().policy; !guard.is_null()) about["guard"] = guard;
    write_png(out_ / "samples" / name, contact_sheet(scores.images(), kSheetColumns), about);
    row.word_accuracy = scores.mean(&TrainingSamples::Item::exact);
    row.ocr_f1 = scores.mean(&TrainingSamples::Item::f1);
    row.ssim_to_base = scores.mean(&TrainingSamples::Item::ssim);
    observer_.samples(step, scores);
  }

  void write_adapter(const std::string& name) {
    adapter_.write(out_ / name, {{"model", pipeline_.info().source},
                                 {"model_hash", pipeline_.info().hash},
                                 {"step", std::to_string(state_.step())},
                                 {"settings", settings_.to_json().dump()}});
  }
  void write_table() const {
    if (!leads()) return;
    table_->save();
    write_figure(table_->figure(), {}, out_ / "training.png", nullptr);
  }
  void save() {
    write_table();
    if (leads()) state_.save(checkpoint());
    if (leads()) write_adapter("last.safetensors");
    saved_ = state_.step();
  }

  Pipeline& pipeline_;
  Trainable& trainable_;
  const FinetuneSettings& settings_;
  fs::path out_;
  const FinetuneObserver& observer_;
  CancelToken cancel_;
  Processes* processes_;
  NoisePath path_;
  torch::Tensor density_;
  TrainedAdapter adapter_;
  TrainingState state_;
  EncodedPictures encoded_;
  TrainingTaps taps_;
  std::optional<TrainingTable> table_;
  std::optional<TrainingSamples> samples_;
  std::vector<EncodedPictures::Sample> train_, held_out_, watched_;
  std::vector<Group> groups_;
  std::chrono::steady_clock::duration away_{};  // what the model was used for otherwise
  std::optional<std::int64_t> saved_;           // the step of the checkpoint
  std::int64_t told_ = 0;                       // the step of the last report
  double best_ = std::numeric_limits<double>::infinity();
  double silent_ = 0;                   // loss of a network that says zero, on what is watched
  std::optional<std::int64_t> passed_;  // the last step whose loss was no reason to stop
};

// With the text encoders by their names. What cannot be is refused.
FinetuneSettings settled(Pipeline& pipeline, const FinetuneSettings& asked) {
  FinetuneSettings out = asked;
  if (asked.plan.method != AdapterMethod::lora && asked.dropout > 0)
    reject("what the adapter reads can be left out of LoRA alone, not of " + std::string(adapter_method_name(asked.plan.method)), "dropout",
           "Train without it");
  if (asked.text_encoders.empty()) return out;
  std::vector<std::string> known;
  std::string listed;
  for (const AdaptableEncoder* encoder : pipeline.text_encoders()) {
    known.push_back(encoder->component());
    listed += (listed.empty() ? "" : ", ") + known.back();
  }
  if (known.empty()) reject("the model's text encoder takes no adapter", option(Option::text_encoders), "Train the denoiser alone");
  out.text_encoders = asked.text_encoders == std::vector<std::string>{"all"} ? known : asked.text_encoders;
  for (const auto& name : out.text_encoders)
    if (std::find(known.begin(), known.end(), name) == known.end())
      reject("the model has no text encoder '" + name + "'", option(Option::text_encoders), "It has " + listed);
  std::sort(out.text_encoders.begin(), out.text_encoders.end());
  out.text_encoders.erase(std::unique(out.text_encoders.begin(), out.text_encoders.end()), out.text_encoders.end());
  return out;
}

}  // namespace

std::string note_on_known_texts(const PictureSet& pictures, const std::vector<std::string>& prompts) {
  std::set<std::string> known;
  for (const auto& one : pictures.train) known.insert(fold_case(quoted_text(one.caption)));
  known.erase("");
  const auto count = std::count_if(prompts.begin(), prompts.end(), [&](const std::string& prompt) { return known.contains(fold_case(quoted_text(prompt))); });
  if (count == 0) return {};
  return std::to_string(count) + " of the sample prompts ask for texts that are in captions learned from: their scores do not tell of new texts";
}

FinetuneResult finetune(Pipeline& pipeline, const PictureSet& pictures, const FinetuneSettings& asked, const fs::path& out, bool resume, TextReader* reader,
                        const FinetuneObserver& observer, const CancelToken& cancel, Processes* processes) {
  const bool leads = !processes || processes->leads();
  const FinetuneSettings settings = settled(pipeline, asked);
  if (leads && fs::exists(out / "checkpoint" / "settings.json") && !resume)
    reject("the folder holds a training already", out.string(), "Go on with it by " + option(Option::resume) + ", or choose another " + option(Option::out));
  FinetuneResult result = Finetuning(pipeline, pictures, settings, out, reader, observer, cancel, processes).run();
  result.document = {
      {"schema", "glyphscope.finetune/1"},
      {"model", pipeline.info().source},
      {"model_hash", pipeline.info().hash},
      {"settings", settings.to_json()},
      {"steps", result.steps},
      {"trained_parameters", result.trained},
      {"trained_parameters_all_sites", result.all_sites},
      {"optimizer_bytes", result.optimizer_bytes},
      {"optimizer_bytes_all_sites", result.all_sites_optimizer_bytes},
      {"samples", {{"prompts", settings.sample_prompts}, {"every", settings.sample_every}, {"ocr", reader ? ordered_json(reader->name()) : ordered_json()}}},
      {"best_held_out_loss", result.best_held_out ? ordered_json(*result.best_held_out) : ordered_json(nullptr)},
      {"faults", pictures.faults},
      {"notes", pictures.notes}};
  if (leads) write_json(out / "finetune.json", result.document);
  return result;
}

}  // namespace glyphscope
