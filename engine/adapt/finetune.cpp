#include "adapt/finetune.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numbers>
#include <sstream>

#include "adapt/lora_file.h"
#include "adapt/training_state.h"
#include "core/error.h"
#include "core/random.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "pipelines/trainable.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

RateSchedule parse_rate_schedule(const std::string& name) {
  for (auto one : {RateSchedule::constant, RateSchedule::linear, RateSchedule::cosine})
    if (name == rate_schedule_name(one)) return one;
  reject("unknown learning rate schedule '" + name + "'", "--schedule", "Known are constant, linear and cosine");
}

const char* rate_schedule_name(RateSchedule schedule) {
  return schedule == RateSchedule::constant ? "constant" : schedule == RateSchedule::linear ? "linear" : "cosine";
}

double learning_rate(double top, RateSchedule schedule, std::int64_t step, std::int64_t warmup, std::int64_t steps) {
  if (step < warmup) return top * static_cast<double>(step) / static_cast<double>(warmup);
  if (schedule == RateSchedule::constant) return top;
  const double done = static_cast<double>(step - warmup) / static_cast<double>(std::max<std::int64_t>(1, steps - warmup));
  return top * std::max(0.0, schedule == RateSchedule::linear ? 1 - done : 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

ordered_json FinetuneSettings::to_json() const {
  return {{"sites", plan.sites},
          {"every_attention", plan.every_attention},
          {"projections", plan.projections},
          {"rank", plan.rank},
          {"alpha", plan.alpha > 0 ? plan.alpha : static_cast<double>(plan.rank)},
          {"ranks", plan.ranks},
          {"init", plan.init == LoraInit::gaussian ? "gaussian" : "kaiming"},
          {"batch", batch},
          {"accumulate", accumulate},
          {"resolution", resolution},
          {"rate", rate},
          {"schedule", rate_schedule_name(schedule)},
          {"warmup", warmup},
          {"betas", {beta1, beta2}},
          {"eps", eps},
          {"weight_decay", weight_decay},
          {"clip_norm", clip_norm},
          {"dropout", dropout},
          {"caption_dropout", caption_dropout},
          {"snr_gamma", snr_gamma},
          {"held_out", held_out},
          {"seed", seed}};
}

torch::Tensor training_loss(const NoisePath& path, const std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, const Conditioning&)>& denoise,
                            const TrainingBatch& batch, double snr_gamma) {
  const torch::Tensor noisy = path.mix(batch.clean, batch.noise, batch.index);
  const torch::Tensor said = denoise(noisy, path.timestep.index_select(0, batch.index), batch.conditioning).to(batch.clean.scalar_type());
  const torch::Tensor each = (said - path.target(batch.clean, batch.noise, batch.index)).pow(2).flatten(1).mean(1);
  return (snr_gamma > 0 ? each * path.snr_weight(batch.index, snr_gamma).to(each.scalar_type()) : each).mean();
}

namespace {

enum Stream : std::uint64_t { kStart = 11, kOrder = 12, kNoise = 13, kDropout = 14, kHeldOut = 15 };

// Pictures and captions as the denoiser reads them: kept in files, addressed by the model, the settings and what they are of, so that a second
// run, or another adapter, finds them.
class EncodedPictures {
 public:
  struct Sample {
    Trainable::Signal signal;  // of one row
    Conditioning conditioning;
  };

  EncodedPictures(Pipeline& pipeline, Trainable& trainable, const FinetuneSettings& settings, fs::path cache)
      : pipeline_(pipeline), trainable_(trainable), cache_(std::move(cache)) {
    const ModelInfo& model = pipeline.info();
    const std::int64_t multiple = model.size_multiple;
    std::int64_t resolution = settings.resolution > 0 ? settings.resolution : model.default_width;
    if (resolution % multiple != 0)
      reject("a resolution of " + std::to_string(resolution) + " does not go", "--resolution", "It must be a multiple of " + std::to_string(multiple));
    // Sides change in steps of an eighth of the resolution, as far as the model allows: 64 pixels at 512.
    buckets_ = aspect_buckets(resolution, std::max(multiple, resolution / 8 / multiple * multiple));
  }

  // Encodes what is not there yet. index: into the given list.
  std::vector<Sample> load(const std::vector<CaptionedPicture>& pictures, std::vector<Bucket>& buckets, const FinetuneObserver& observer,
                           const CancelToken& cancel) {
    std::vector<Sample> out;
    for (size_t i = 0; i < pictures.size(); ++i) {
      cancel.check();
      const CaptionedPicture& one = pictures[i];
      const Bucket bucket = nearest_bucket(buckets_, one.width, one.height);
      PictureSize size;
      Trainable::Signal signal = encode(one, bucket, size);
      out.push_back({std::move(signal), condition(one.caption, size, observer)});
      buckets.push_back(bucket);
      observer.preparing({"encoding pictures and captions", static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(pictures.size())});
    }
    trainable_.prompts_read();
    return out;
  }
  Conditioning empty(const Bucket& bucket, const FinetuneObserver& observer) {
    const PictureSize size{bucket.height, bucket.width, bucket.height, bucket.width, 0, 0};
    return condition("", size, observer);
  }

 private:
  fs::path file(const std::string& what) const {
    return cache_ / (sha256_text(pipeline_.info().hash + "\n" + pipeline_.info().dtype + "\n" + what) + ".safetensors");
  }

  Trainable::Signal encode(const CaptionedPicture& picture, const Bucket& bucket, PictureSize& size) {
    size = {bucket.height, bucket.width, picture.height, picture.width, 0, 0};
    const fs::path path = file("picture\n" + picture.hash + "\n" + std::to_string(bucket.width) + "x" + std::to_string(bucket.height));
    if (fs::exists(path)) {
      const auto kept = attempt([&] {
        const SafetensorsFile read(path);
        size.left = std::stoll(read.metadata().at("left"));
        size.top = std::stoll(read.metadata().at("top"));
        return Trainable::Signal{read.tensor("mean").clone(), read.entries().contains("deviation") ? read.tensor("deviation").clone() : torch::Tensor()};
      });
      if (kept) return *kept;  // else it is damaged, and made anew
    }
    const Cropped cropped = crop_to(read_image(picture.file), bucket);
    size.left = cropped.left;
    size.top = cropped.top;
    Trainable::Signal out = trainable_.encode_pixels((cropped.pixels.to(torch::kFloat32) / 127.5 - 1).unsqueeze(0));
    std::map<std::string, torch::Tensor> tensors{{"mean", out.mean.contiguous()}};
    if (out.deviation.defined()) tensors["deviation"] = out.deviation.contiguous();
    write_safetensors(path, tensors, {{"left", std::to_string(size.left)}, {"top", std::to_string(size.top)}});
    return out;
  }

  Conditioning condition(const std::string& caption, const PictureSize& size, const FinetuneObserver& observer) {
    std::string sizes;
    for (auto number : {size.height, size.width, size.original_height, size.original_width, size.top, size.left}) sizes += std::to_string(number) + " ";
    const std::string key = sizes + "\n" + caption;
    if (auto known = conditions_.find(key); known != conditions_.end()) return known->second;
    const fs::path path = file("caption\n" + key);
    const auto tensor = [](const SafetensorsFile& read, const char* name) {
      return read.entries().contains(name) ? read.tensor(name).clone() : torch::Tensor();
    };
    if (fs::exists(path)) {
      const auto kept = attempt([&] {
        const SafetensorsFile read(path);
        return Conditioning(read.tensor("embedding").clone(), tensor(read, "pooled"), tensor(read, "time_ids"));
      });
      if (kept) return conditions_.emplace(key, *kept).first->second;
    }
    std::vector<std::string> notes;
    const Conditioning out = trainable_.condition(caption, size, notes);
    for (const auto& note : notes) observer.note("\"" + caption + "\": " + note);
    std::map<std::string, torch::Tensor> tensors{{"embedding", out.embedding.contiguous()}};
    if (out.pooled.defined()) tensors["pooled"] = out.pooled.contiguous();
    if (out.time_ids.defined()) tensors["time_ids"] = out.time_ids.contiguous();
    write_safetensors(path, tensors);
    return conditions_.emplace(key, out).first->second;
  }

  Pipeline& pipeline_;
  Trainable& trainable_;
  fs::path cache_;
  std::vector<Bucket> buckets_;
  std::map<std::string, Conditioning> conditions_;
};

class Finetuning {
 public:
  Finetuning(Pipeline& pipeline, const PictureSet& pictures, const FinetuneSettings& settings, const fs::path& out, const FinetuneObserver& observer,
             const CancelToken& cancel)
      : pipeline_(pipeline),
        trainable_(trainable_of(pipeline)),
        settings_(settings),
        out_(out),
        observer_(observer),
        cancel_(cancel),
        path_(NoisePath::parse(trainable_.scheduler_config())),
        density_(path_.prediction == Prediction::flow ? logit_normal_draws(path_.steps())
                                                      : torch::full({path_.steps()}, 1.0 / static_cast<double>(path_.steps()))),
        lora_(make_lora(pipeline.denoiser_module(), pipeline.info().table, settings.plan, make_generator(derive_seed(settings.seed, kStart, 0)))),
        module_(lora_),
        state_({{"lora", &module_}},
               {settings.beta1, settings.beta2, settings.eps, settings.weight_decay, settings.clip_norm, /*ema_decay=*/0, torch::kFloat32}) {
    if (pictures.train.empty()) reject("every picture is held out; there is none to learn from", "--held-out", "Hold out a smaller share, or add pictures");
    claim(pictures);
    EncodedPictures encoded(pipeline, trainable_, settings, out / "cache");
    std::vector<Bucket> sizes, unused;
    train_ = encoded.load(pictures.train, sizes, observer, cancel);
    held_out_ = encoded.load(pictures.held_out, unused, observer, cancel);
    for (size_t i = 0; i < sizes.size(); ++i) {
      auto found = std::find_if(groups_.begin(), groups_.end(), [&](const Group& group) { return group.bucket == sizes[i]; });
      if (found == groups_.end()) found = groups_.insert(groups_.end(), Group{sizes[i], {}, encoded.empty(sizes[i], observer)});
      found->pictures.push_back(i);
    }
    trainable_.prompts_read();
    if (fs::exists(checkpoint())) state_.load(checkpoint());
    read_curve();
    if (fs::exists(best_file())) best_ = read_json(best_file()).value("held_out", std::numeric_limits<double>::infinity());
  }

  FinetuneResult run() {
    using clock = std::chrono::steady_clock;
    const AttachedLora attached(pipeline_.denoiser_module(), lora_, 1, settings_.dropout);
    // The model's own loss, which a good adapter lowers.
    if (state_.step() == 0)
      if (const auto own = evaluate()) curve_[0] = "," + std::to_string(*own) + ",0";
    auto reported = clock::now();
    double sum = 0;
    std::int64_t since = 0;
    while (state_.step() < settings_.steps) {
      if (cancel_.cancelled()) {
        save();
        cancel_.check();
      }
      const std::int64_t step = state_.step();
      const double rate = learning_rate(settings_.rate, settings_.schedule, step, settings_.warmup, settings_.steps);
      const double loss = learn(step);
      // Nothing has been learned from it yet.
      if (!std::isfinite(loss)) fail("the loss is not a number at step " + std::to_string(step));
      const double norm = state_.update(rate);
      if (!std::isfinite(norm)) fail("the gradient is not a number at step " + std::to_string(step));
      sum += loss;
      ++since;
      FinetuneProgress progress{state_.step(), settings_.steps, sum / static_cast<double>(since), {}, rate, 0};
      const bool last = state_.step() == settings_.steps;
      if (state_.step() % settings_.evaluate_every == 0 || last) {
        progress.held_out = evaluate();
        char line[96];
        std::snprintf(line, sizeof line, "%.6f,%s,%.4g", progress.loss, progress.held_out ? std::to_string(*progress.held_out).c_str() : "", rate);
        curve_[state_.step()] = line;
        // An adapter that was better by so much is not on its way back.
        constexpr double kExploded = 4;
        if (progress.held_out && !(*progress.held_out <= kExploded * best_))
          fail("the loss on held-out pictures has grown to " + std::to_string(*progress.held_out) + ", from " + std::to_string(best_) + ", at step " +
               std::to_string(state_.step()));
      }
      const double seconds = std::chrono::duration<double>(clock::now() - reported).count();
      if (progress.held_out || seconds > 2 || last) {
        progress.pictures_per_second = static_cast<double>(since * settings_.batch * settings_.accumulate) / seconds;
        observer_.step(progress);
        sum = 0, since = 0, reported = clock::now();
      }
      if (state_.step() % settings_.save_every == 0) save();
    }
    save();
    FinetuneResult result{lora_, lora_.parameters(), state_.bytes(), {}};
    if (std::isfinite(best_)) result.best_held_out = best_;
    return result;
  }

 private:
  struct Group {
    Bucket bucket;
    std::vector<size_t> pictures;
    Conditioning empty;
  };

  static Trainable& trainable_of(Pipeline& pipeline) {
    auto* out = dynamic_cast<Trainable*>(&pipeline);
    if (!out || pipeline.info().enlarges || pipeline.info().upscaler)
      reject("only a model that draws from a prompt alone can be fine-tuned", pipeline.info().source, "Of a cascade, open the first stage alone");
    return *out;
  }
  // Timesteps of flow matching as diffusers' training examples draw them: by a logit-normal number's place in the schedule.
  static torch::Tensor logit_normal_draws(std::int64_t steps) {
    const torch::Tensor u = (torch::arange(steps).to(torch::kFloat64) + 0.5) / static_cast<double>(steps), logit = (u / (1 - u)).log();
    const torch::Tensor density = (-0.5 * logit.pow(2)).exp() / (u * (1 - u));
    return (density / density.sum()).to(torch::kFloat32);
  }
  fs::path checkpoint() const { return out_ / "checkpoint" / "state.safetensors"; }
  fs::path best_file() const { return out_ / "checkpoint" / "best.json"; }

  // The checkpoint's folder is of one model, one set of pictures and one set of settings; only how long to train may differ.
  void claim(const PictureSet& pictures) {
    std::string list;
    for (const auto* part : {&pictures.train, &pictures.held_out})
      for (const auto& one : *part) list += one.hash + " " + one.caption + "\n";
    const ordered_json document{{"schema", "glyphscope.finetune/1"},
                                {"model_hash", pipeline_.info().hash},
                                {"dtype", pipeline_.info().dtype},
                                {"pictures_sha256", sha256_text(list)},
                                {"settings", settings_.to_json()}};
    const fs::path file = out_ / "checkpoint" / "settings.json";
    fs::create_directories(out_ / "checkpoint");
    fs::create_directories(out_ / "cache");
    if (!fs::exists(file))
      write_json(file, document);
    else if (read_json(file) != nlohmann::json(document))
      reject("the folder holds a training with other settings, pictures or another model", out_.string(),
             "Choose another --out, or repeat the settings in its checkpoint/settings.json");
  }

  [[noreturn]] void fail(const std::string& what) const {
    const std::string kept = fs::exists(out_ / "last.safetensors") ? "What was saved before is in last.safetensors" : "Nothing had been saved yet";
    reject(what, out_.string(), kept + "; lower --rate, or use --dtype fp32");
  }

  static torch::Tensor draw(const Trainable::Signal& signal, at::Generator& generator) {
    if (!signal.deviation.defined()) return signal.mean;
    return signal.mean + signal.deviation * torch::randn(signal.mean.sizes(), generator);
  }
  static Conditioning together(const std::vector<const Conditioning*>& rows) {
    auto join = [&](torch::Tensor Conditioning::*part) {
      std::vector<torch::Tensor> parts;
      for (const auto* row : rows) parts.push_back(row->*part);
      return parts[0].defined() ? torch::cat(parts) : torch::Tensor();
    };
    return {join(&Conditioning::embedding), join(&Conditioning::pooled), join(&Conditioning::time_ids)};
  }
  torch::Tensor loss_of(const TrainingBatch& batch) const {
    return training_loss(
        path_, [this](const torch::Tensor& x, const torch::Tensor& t, const Conditioning& c) { return trainable_.denoise(x, t, c); }, batch,
        settings_.snr_gamma);
  }

  // Leaves the gradients of one step in the adapter. What it learns from depends on the seed and the step's number alone.
  double learn(std::int64_t step) {
    double sum = 0;
    torch::manual_seed(derive_seed(settings_.seed, kDropout, static_cast<std::uint64_t>(step)));
    for (std::int64_t part = 0; part < settings_.accumulate; ++part) {
      const auto number = static_cast<std::uint64_t>(step * settings_.accumulate + part);
      Choice choice(derive_seed(settings_.seed, kOrder, number));
      at::Generator generator = make_generator(derive_seed(settings_.seed, kNoise, number));
      // A size as often as it has pictures.
      const Group* group = &groups_[0];
      for (int left = choice.below(static_cast<int>(train_.size())); left >= static_cast<int>(group->pictures.size()); ++group)
        left -= static_cast<int>(group->pictures.size());
      std::vector<torch::Tensor> clean;
      std::vector<const Conditioning*> rows;
      for (std::int64_t i = 0; i < settings_.batch; ++i) {
        const auto& sample = train_[group->pictures[static_cast<size_t>(choice.below(static_cast<int>(group->pictures.size())))]];
        clean.push_back(draw(sample.signal, generator));
        rows.push_back(choice.fraction() < settings_.caption_dropout ? &group->empty : &sample.conditioning);
      }
      TrainingBatch batch{torch::cat(clean), {}, torch::multinomial(density_, settings_.batch, true, generator), together(rows)};
      batch.noise = torch::randn(batch.clean.sizes(), generator);
      const torch::Tensor loss = loss_of(batch);
      (loss / static_cast<double>(settings_.accumulate)).backward();
      sum += loss.item<double>();
    }
    return sum / static_cast<double>(settings_.accumulate);
  }

  // Each held-out picture at a few timesteps, spread evenly, with noises that never change.
  std::optional<double> evaluate() {
    if (held_out_.empty()) return std::nullopt;
    torch::NoGradGuard no_grad;
    constexpr std::int64_t kTimes = 4;
    double sum = 0;
    for (size_t i = 0; i < held_out_.size(); ++i) {
      cancel_.check();
      at::Generator generator = make_generator(derive_seed(settings_.seed, kHeldOut, i));
      const torch::Tensor clean = draw(held_out_[i].signal, generator).repeat({kTimes, 1, 1, 1});
      const torch::Tensor index = ((torch::arange(kTimes).to(torch::kFloat64) + 0.5) / kTimes * static_cast<double>(path_.steps())).to(torch::kInt64);
      const std::vector<const Conditioning*> rows(kTimes, &held_out_[i].conditioning);
      TrainingBatch batch{clean, torch::randn(clean.sizes(), generator), index, together(rows)};
      sum += loss_of(batch).item<double>();
    }
    const double mean = sum / static_cast<double>(held_out_.size());
    if (mean < best_) {
      best_ = mean;
      write_adapter("best.safetensors");
      write_json(best_file(), {{"step", state_.step()}, {"held_out", mean}});
    }
    return mean;
  }

  void write_adapter(const std::string& name) {
    lora_.metadata = {{"model", pipeline_.info().source},
                      {"model_hash", pipeline_.info().hash},
                      {"step", std::to_string(state_.step())},
                      {"settings", settings_.to_json().dump()}};
    torch::NoGradGuard no_grad;
    write_lora(out_ / name, lora_, LoraFormat::diffusers, pipeline_.denoiser_module(), pipeline_.info().table);
  }
  // training.csv up to the checkpoint; what came after it is done again.
  void read_curve() {
    const fs::path file = out_ / "training.csv";
    if (!fs::exists(file)) return;
    std::istringstream lines(read_text(file));
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
      char* end = nullptr;
      const long long step = std::strtoll(line.c_str(), &end, 10);
      if (*end != ',') reject("this is no table of losses", file.string(), "Delete the file: the training starts a new one");
      if (step <= state_.step()) curve_[step] = end + 1;
    }
  }
  void save() {
    std::string table = "step,loss,held_out_loss,learning_rate\n";
    for (const auto& [step, line] : curve_) table += std::to_string(step) + "," + line + "\n";
    write_text(out_ / "training.csv", table);
    state_.save(checkpoint());
    write_adapter("last.safetensors");
  }

  Pipeline& pipeline_;
  Trainable& trainable_;
  const FinetuneSettings& settings_;
  fs::path out_;
  const FinetuneObserver& observer_;
  CancelToken cancel_;
  NoisePath path_;
  torch::Tensor density_;
  Lora lora_;
  LoraModule module_;
  TrainingState state_;
  std::vector<EncodedPictures::Sample> train_, held_out_;
  std::vector<Group> groups_;
  std::map<std::int64_t, std::string> curve_;  // training.csv
  double best_ = std::numeric_limits<double>::infinity();
};

}  // namespace

FinetuneResult finetune(Pipeline& pipeline, const PictureSet& pictures, const FinetuneSettings& settings, const fs::path& out, bool resume,
                        const FinetuneObserver& observer, const CancelToken& cancel) {
  if (fs::exists(out / "checkpoint" / "settings.json") && !resume)
    reject("the folder holds a training already", out.string(), "Pass --resume to go on with it, or choose another --out");
  return Finetuning(pipeline, pictures, settings, out, observer, cancel).run();
}

}  // namespace glyphscope
