#include "runtime/engine_thread.h"

#include <torch/types.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "adapt/adapters.h"
#include "adapt/finetune.h"
#include "adapt/lora_file.h"
#include "demo/sign_words.h"
#include "demo/studies.h"
#include "editing/guard.h"
#include "editing/guard_study.h"
#include "editing/paste_back.h"
#include "editing/text_edit.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "io/resources.h"
#include "io/weights.h"
#include "localization/sweep.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"
#include "registry/model_needs.h"
#include "registry/open_model.h"

namespace glyphscope {

namespace {

// A picture in which nobody looked for text.
Picture to_picture(const torch::Tensor& image, std::string metadata) {
  Picture out;
  out.width = static_cast<int>(image.size(2));
  out.height = static_cast<int>(image.size(1));
  const torch::Tensor pixels = image.permute({1, 2, 0}).contiguous();
  const auto* data = pixels.data_ptr<std::uint8_t>();
  out.rgb = std::make_shared<const std::vector<std::uint8_t>>(data, data + pixels.numel());
  out.metadata = std::move(metadata);
  return out;
}
Picture to_picture(const torch::Tensor& image, const Measurement& measurement, std::string metadata) {
  Picture out = to_picture(image, std::move(metadata));
  out.read = measurement.read;
  out.scores = measurement.scores;
  return out;
}

double seconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

}  // namespace

namespace {

OpenOptions open_options(const command::OpenModel& model) { return {.dtype = model.dtype, .config = model.config, .upscaler = model.upscaler}; }

}  // namespace

Expected<Done> can_open(const command::OpenModel& model) {
  return attempt([&] {
    const auto needs = model_needs(model.source, open_options(model));
    if (!needs) throw Failure(needs.error());
    needs->require(model.source);
  });
}

struct EngineThread::State {
  struct Job {
    JobId id;
    Command command;
    CancelToken cancel;
  };

  State(std::function<void(const Event&)> listener, std::function<std::unique_ptr<TextReader>()> make_reader)
      : listener(std::move(listener)), make_reader(std::move(make_reader)) {
    thread = std::thread([this] { loop(); });
  }

  template <class What>
  void tell(JobId job, What what) const {
    listener({job, std::move(what)});
  }

  void loop() {
    for (;;) {
      Job job;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [this] { return closing || !waiting.empty(); });
        if (waiting.empty()) return;
        job = take();
      }
      execute(job);
    }
  }

  // The first job that waits; the mutex is held.
  Job take() {
    Job job = std::move(waiting.front());
    waiting.pop_front();
    running.push_back(job);
    return job;
  }

  void execute(const Job& job) {
    const auto start = std::chrono::steady_clock::now();
    const auto done = attempt([&] {
      job.cancel.check();
      std::visit([&](const auto& command) { run(job, command); }, job.command);
    });
    {
      std::lock_guard lock(mutex);
      running.pop_back();
    }
    if (done) {
      tell(job.id, event::Finished{seconds_since(start)});
    } else if (done.error().code == ErrorCode::cancelled) {
      tell(job.id, event::Cancelled{});
    } else {
      tell(job.id, event::Failed{done.error()});
    }
  }

  // Another model, or another training, waits for the end of the one that runs; and so does what was asked for after it.
  bool can_interlude() const {
    if (waiting.empty()) return false;
    const Command& next = waiting.front().command;
    return !std::holds_alternative<command::OpenModel>(next) && !std::holds_alternative<command::Finetune>(next);
  }
  void interlude() {
    for (;;) {
      Job job;
      {
        std::lock_guard lock(mutex);
        if (!can_interlude()) return;
        job = take();
      }
      execute(job);
    }
  }

  Pipeline& model() const {
    if (!pipeline) reject("no model is open", "", "Open a model first");
    return *pipeline;
  }
  // The open model with adapters at work, as long as what is returned lives.
  std::shared_ptr<Pipeline> adapted(const std::vector<std::string>& adapters, const std::function<void(const std::string&)>& note) {
    model();
    if (adapters.empty()) return pipeline;
    std::vector<std::string> notes;
    auto out = attach_adapters(pipeline, adapters, notes);
    for (const auto& one : notes) note(one);
    return out;
  }
  TextReader& ocr() { return *shared_ocr(); }
  const std::shared_ptr<TextReader>& shared_ocr() {
    if (!reader) reader = make_reader();
    return reader;
  }

  // The guard's settings for some sites.
  static GuardSettings guard_settings(const std::string& words, const std::vector<int>& sites, int from_step) {
    return {TermList::parse(words, "the list of words"), sites, from_step, "", false};
  }
  // Puts the pictures of a model under the guard, if one is on.
  void guard(Pipeline& model, const std::optional<command::SetGuard>& wanted) {
    if (!wanted) return model.set_policy(policy = nullptr);
    GuardSettings settings = guard_settings(wanted->words, wanted->sites, wanted->from_step);
    if (settings.terms.terms().empty()) reject("the list of words is empty", "the guard");
    PatchPlan::at_sites(wanted->sites, 0, wanted->from_step).validate(model.info().table, 1);
    settings.log = wanted->log;
    settings.clear_text = wanted->clear_text;
    policy = std::make_shared<Guard>(std::move(settings), shared_ocr());
    model.set_policy(policy);
  }
  // What a guard did to some pictures, as notes.
  static void note_guard(const std::vector<std::string>& outcomes, const std::vector<std::string>& names, std::vector<std::string>& notes) {
    for (size_t i = 0; i < outcomes.size(); ++i)
      if (!outcomes[i].empty() && outcomes[i] != "as asked")
        notes.push_back("Guard, " + names[i] + ": " + (outcomes[i] == "withheld" ? "withheld" : "listed words replaced, " + outcomes[i]));
  }

  static Request sampled(const command::Sampling& sampling) {
    Request request;
    request.steps = sampling.steps;
    request.guidance = sampling.guidance;
    request.upscale_steps = sampling.upscale_steps;
    return request;
  }

  void run(const Job& job, const command::OpenModel& command) {
    tell(job.id, event::Started{"Opening " + command.source});
    OpenOptions options = open_options(command);
    options.cancel = job.cancel;
    const auto needs = model_needs(command.source, options);
    if (!needs) throw Failure(needs.error());
    event::ModelMeasured measured{command.source, {}, needs->bytes(command.dtype), free_memory(), command.dtype == "auto" || command.dtype == "fp32"};
    for (const auto& component : needs->components) measured.parameters.emplace_back(component.name, component.parameters);
    tell(job.id, std::move(measured));
    needs->require(command.source);
    job.cancel.check();
    auto opened = open_model(command.source, options);
    if (!opened) throw Failure(opened.error());
    job.cancel.check();
    if (guarded) guarded->sites.clear();  // of another model
    guard(**opened, guarded);
    pipeline = *opened;
    const ModelInfo& info = pipeline->info();
    const auto [source_prompt, target_prompt] = example_prompts(info);
    event::ModelOpened model{info.source,
                             info.family,
                             info.hash,
                             info.dtype,
                             info.scheduler,
                             info.table,
                             info.parameters,
                             info.default_steps,
                             info.default_guidance,
                             static_cast<int>(info.default_width),
                             static_cast<int>(info.default_height),
                             needs->bytes(command.dtype),
                             attention_projections(pipeline->denoiser_module()),
                             source_prompt,
                             target_prompt,
                             learned_text(info),
                             studied_sites(info),
                             {}};
    if (const auto& second = info.upscaler)
      model.upscaler = {second->source, second->table, static_cast<int>(second->default_width), static_cast<int>(second->default_height),
                        second->default_steps};
    tell(job.id, std::move(model));
  }

  void run(const Job& job, const command::Generate& command) {
    tell(job.id, event::Started{command.sites.empty() ? "Drawing both prompts" : "Editing the text"});
    event::PicturesReady ready;
    const auto pipeline = adapted(command.adapters, [&](const std::string& note) { ready.notes.push_back(note); });
    Request request = pipeline->resolve(sampled(command.sampling));
    request.prompts = {command.source, command.target};
    const std::uint64_t seed = command.sampling.seed;
    request.rows = {{0, seed, {}}, {1, seed, {}}};
    if (!command.sites.empty()) request.rows.push_back({0, seed, PatchPlan::at_sites(command.sites, 1, command.from_step)});
    auto result = pipeline->generate(request, {.progress = [&](const Progress& p) { tell(job.id, event::Progressed{p}); }}, job.cancel);
    if (!result) throw Failure(result.error());
    const PromptPair pair{command.source, command.target, quoted_text(command.source), quoted_text(command.target)};
    ready.notes.insert(ready.notes.end(), result->notes.begin(), result->notes.end());
    note_guard(result->outcomes, {"picture A", "picture B", "the edited picture"}, ready.notes);
    // A picture without its text is still worth showing.
    std::vector<Measurement> measured(request.rows.size());
    std::string unscored;
    for (const auto& [name, text] : {std::pair("A", &pair.source_text), {"B", &pair.target_text}})
      if (text->empty()) unscored += (unscored.empty() ? "" : " and ") + std::string(name);
    if (!unscored.empty())
      ready.notes.push_back("Nothing is scored against prompt " + unscored +
                            ", which has no text in double quotes. Write for example: a sign that says \"OPEN\".");
    const auto read = attempt([&] {
      if (const std::string note = note_on_unreadable(ocr(), {pair.source_text, pair.target_text}); !note.empty()) ready.notes.push_back(note + ".");
      const auto source_pieces = ocr().read(result->images[0]);
      for (size_t i = 0; i < measured.size(); ++i) {
        const torch::Tensor image = result->images[static_cast<std::int64_t>(i)];
        measured[i] = measure(image, i == 0 ? source_pieces : ocr().read(image), result->images[0], source_pieces, pair);
        leave_out_unscored(measured[i], pair);
      }
      return true;
    });
    if (!read) ready.notes.push_back("The pictures' texts were not read: " + read.error().message());
    for (size_t i = 0; i < measured.size(); ++i) {
      const auto metadata = describe_image(pipeline->info(), request, request.rows[i], outcome_of(*result, i));
      const torch::Tensor image = result->images[static_cast<std::int64_t>(i)];
      Picture picture = read ? to_picture(image, measured[i], json_text(metadata)) : to_picture(image, json_text(metadata));
      if (i == 0)
        ready.source = std::move(picture);
      else if (i == 1)
        ready.target = std::move(picture);
      else
        ready.patched.push_back(std::move(picture));
    }
    ready.sites = command.sites;
    ready.seconds = result->seconds;
    tell(job.id, std::move(ready));
  }

  static event::EditSourceReady describe_source(const ModelInfo& info, const EditSource& source) {
    const bool real = source.settings.picture.defined();
    Request request = source.settings.sampling;
    request.prompts = {source.settings.source};
    Row row{0, source.settings.seed, {}};
    Measurement own;
    own.read = joined_text(source.pieces);
    event::EditSourceReady out;
    out.picture = to_picture(source.image, own, real ? "" : json_text(describe_image(info, request, row)));
    if (source.reconstruction.defined()) {
      row.follow.path = source.path;
      const auto drawn_again = [&](const torch::Tensor& image) {
        const ImageScores scores = score_images(image, source.round_trip);
        Picture picture = to_picture(image, json_text(describe_image(info, request, row)));
        picture.scores = {{"ssim", scores.ssim}, {"psnr", scores.psnr}};
        return picture;
      };
      if (source.drift.defined()) out.drift = drawn_again(source.drift);
      request.guidance = 1;
      out.reconstruction = drawn_again(source.reconstruction);
    }
    if (const auto box = text_box(source)) out.text_box = PixelBox{box->left, box->top, box->right, box->bottom};
    return out;
  }

  void run(const Job& job, const command::EditText& command) {
    tell(job.id, event::Started{"Editing the text"});
    const auto start = std::chrono::steady_clock::now();
    const auto progress = [&](const Progress& p) { tell(job.id, event::Progressed{p}); };
    event::EditReady ready;
    const auto pipeline = adapted(command.adapters, [&](const std::string& note) { ready.notes.push_back(note); });
    const ModelInfo& info = pipeline->info();
    if (command.sites.empty()) reject("no site is selected", "", "Select those that write the text");
    if (command.targets.empty() || command.from_steps.empty()) reject("there is no target to write");

    // The source is drawn, or inverted, once for all edits of it.
    EditSettings settings;
    settings.source = command.source;
    settings.seed = command.sampling.seed;
    settings.sampling = sampled(command.sampling);
    settings.refinements = command.refinements;
    nlohmann::json key{info.hash,
                       info.dtype,
                       describe_adapters(info),
                       settings.source,
                       settings.seed,
                       settings.sampling.steps,
                       settings.sampling.guidance,
                       settings.sampling.upscale_steps};
    if (!command.picture.empty()) {
      take_picture(settings, info, read_image(command.picture));
      key.push_back({command.refinements, sha256_file(command.picture)});
    }
    settings.sampling = pipeline->resolve(settings.sampling);
    auto kept = std::find_if(edited.begin(), edited.end(), [&](const auto& one) { return one.first == key; });
    if (kept == edited.end()) {
      constexpr size_t kMostKept = 2;  // a quick one, and the one it is the preview of
      EditSource fresh = draw_source(*pipeline, settings, ocr(), progress, job.cancel);
      if (edited.size() == kMostKept) edited.pop_front();
      edited.emplace_back(std::move(key), std::move(fresh));
      kept = std::prev(edited.end());
    }
    const EditSource& source = kept->second;
    ready.source = describe_source(info, source);
    tell(job.id, ready.source);
    const auto box = text_box(source);
    std::optional<EditMask> mask;
    if (command.masked && command.mask) mask = EditMask{{command.mask->left, command.mask->top, command.mask->right, command.mask->bottom}};
    if (command.masked && !command.mask && box) mask = EditMask{*box};
    if (command.masked && !mask) reject("no text was found in the source to mask", "", "Draw a box");

    std::vector<EditVariant> variants;
    for (const auto& target : command.targets)
      for (const int from_step : command.from_steps) {
        std::vector<SitePatch> patches = PatchPlan::at_sites(command.sites, 1, from_step).patches();
        for (auto& patch : patches) {
          patch.strength = command.strength;
          if (const auto heads = command.heads.find(patch.site); heads != command.heads.end()) patch.heads = heads->second;
        }
        variants.push_back({EditVariant::Way::sites, target, std::move(patches), false, {}, mask});
        ready.variants.push_back({"sites", target, from_step, {}});
      }
    if (command.compared) {
      const auto scored = mask ? std::optional(changing_box(*mask)) : std::nullopt;  // all of one box
      variants.push_back({EditVariant::Way::target_prompt, command.targets.front(), {}, false, {}, {}, scored});
      variants.push_back({EditVariant::Way::prompt_to_prompt, command.targets.front(), {}, false, {}, {}, scored});
      ready.variants.push_back({"target prompt", command.targets.front(), 0, {}});
      ready.variants.push_back({"prompt-to-prompt", command.targets.front(), 0, {}});
    }
    const EditedImages drawn = draw_variants(*pipeline, source, variants, ocr(), progress, job.cancel);
    std::vector<std::string> outcomes, names;
    for (size_t i = 0; i < variants.size(); ++i) {
      const EditedImage& one = drawn.images[i];
      ready.variants[i].picture = to_picture(one.image, one.measured, json_text(describe_image(info, one.request, one.request.rows[0], one.outcome)));
      ready.variants[i].seconds = drawn.seconds;
      if (variants[i].mask && source.settings.given.defined() && one.outcome != "withheld") {
        const torch::Tensor whole = paste_back(one.image, *variants[i].mask, source.settings.given);
        if (pipeline->allows(whole))
          ready.variants[i].pasted = to_picture(whole, ready.variants[i].picture.metadata);
        else
          ready.notes.emplace_back("The guard withholds the whole picture: a listed word can be read in it");
      }
      outcomes.push_back(one.outcome);
      names.push_back(ready.variants[i].way == "sites" ? "the edited picture" : ready.variants[i].way);
    }
    note_guard(outcomes, names, ready.notes);
    ready.steps = settings.sampling.steps;
    ready.denoiser_rows = drawn.denoiser_rows;
    for (const auto* notes : {&source.notes, &drawn.notes})
      for (const auto& note : *notes)
        if (std::find(ready.notes.begin(), ready.notes.end(), note) == ready.notes.end()) ready.notes.push_back(note);
    ready.seconds = seconds_since(start);
    tell(job.id, std::move(ready));
  }

  // The settings of a new run; or those that a run's folder tells, which is gone on with.
  SweepSettings sweep_settings(const command::Localize& command, const Pipeline& pipeline) const {
    if (command.resume) {
      const auto file = std::filesystem::path(command.folder) / "settings.json";
      return reading_json(file, [&] {
        const auto document = read_json(file);
        if (document.value("model_hash", "") != pipeline.info().hash)
          reject("the run is of another model than the one that is open: " + document.value("model", std::string("unnamed")), command.folder,
                 "Open that model, and go on");
        return SweepSettings::from_json(document.at("settings"), file.string());
      });
    }
    SweepSettings settings;
    settings.pairs =
        make_pairs(command.templates, command.words.empty() ? localization_words(sign_data(pipeline.info()), command.pairs) : command.words, command.pairs);
    settings.sampling = pipeline.resolve(sampled(command.sampling));
    settings.seeds.clear();
    for (int noise = 0; noise < command.noises; ++noise) settings.seeds.push_back(command.sampling.seed + static_cast<std::uint64_t>(noise));
    settings.from_step = command.from_step;
    return settings;
  }

  void run(const Job& job, const command::Localize& command) {
    tell(job.id, event::Started{"Patching every site alone"});
    const auto start = std::chrono::steady_clock::now();
    const auto pipeline = adapted(command.adapters, [&](const std::string& note) { tell(job.id, event::Noted{note}); });
    const SweepSettings settings = sweep_settings(command, *pipeline);
    std::unique_ptr<OutputFolder> folder;
    if (!command.folder.empty()) folder = std::make_unique<OutputFolder>(command.folder);

    const size_t sites = pipeline->info().table.sites.size();
    std::vector<std::vector<int>> singles;
    for (size_t site = 0; site < sites; ++site) singles.push_back({static_cast<int>(site)});
    std::vector<std::string> texts;
    for (const auto& pair : settings.pairs) texts.insert(texts.end(), {pair.source_text, pair.target_text});
    if (const std::string note = note_on_unreadable(ocr(), texts); !note.empty()) tell(job.id, event::Noted{note + "."});
    std::vector<PairResult> pairs;
    // What the scores are of, so that whatever is exported tells it: run.json without its pairs, as far as the run has got.
    const auto told = [&](const SweepResult& result) {
      return json_text(without_key(sweep_document(result, settings, pipeline->info(), ocr().name(), seconds_since(start)), "pairs"));
    };
    SweepObserver observer;
    observer.progress = [&](const Progress& p) { tell(job.id, event::Progressed{p}); };
    observer.pair_done = [&](const PairResult& pair, const torch::Tensor& images) {
      pairs.push_back(pair);
      const PromptPair& prompts = settings.pairs[static_cast<size_t>(pair.pair)];
      if (images.defined()) {
        const Request request = pair_request(settings, static_cast<size_t>(pair.pair), static_cast<size_t>(pair.noise), singles);
        auto picture = [&](size_t row, const Measurement& measured) {
          return to_picture(images[static_cast<std::int64_t>(row)], measured, json_text(describe_image(pipeline->info(), request, request.rows[row])));
        };
        event::PairReady ready{
            pair.pair, static_cast<int>(settings.pairs.size()), prompts.source_text, prompts.target_text, picture(0, pair.source), picture(1, pair.target), {}};
        for (size_t site = 0; site < sites; ++site) ready.patched.push_back(picture(site + 2, pair.patched[site]));
        tell(job.id, std::move(ready));
      }
      SweepResult partial;
      partial.source = mean_scores(settings, pairs, [](const PairResult& one) { return &one.source; });
      partial.target = mean_scores(settings, pairs, [](const PairResult& one) { return &one.target; });
      for (size_t site = 0; site < sites; ++site) {
        const auto scores = mean_scores(settings, pairs, [&](const PairResult& one) { return &one.patched[site]; });
        partial.sites.push_back({singles[site], "site", scores, scores});
      }
      tell(job.id, scores_ready(partial, command.folder, told(partial)));
    };
    const Guard::Tally before = policy ? policy->tally() : Guard::Tally{};
    const SweepResult result = run_sweep(*pipeline, ocr(), settings, command.folder, observer, job.cancel);
    if (const std::string note = policy ? policy->note_since(before) : ""; !note.empty()) tell(job.id, event::Noted{note});
    if (folder) write_sweep(result, settings, pipeline->info(), ocr().name(), seconds_since(start), command.folder);
    event::ScoresReady scores = scores_ready(result, command.folder, told(result));
    scores.final = true;
    tell(job.id, std::move(scores));
  }

  static event::ScoresReady scores_ready(const SweepResult& result, const std::string& folder, std::string document) {
    event::ScoresReady out;
    for (const auto& set : result.sites)
      for (const auto& [name, score] : set.scores) out.sites[name].push_back(score);
    out.source = result.source;
    out.target = result.target;
    out.localized = result.localized;
    out.smallest = result.smallest;
    for (const auto& set : result.sets)
      if (!set.scores.empty()) out.sets.push_back({set.sites, set.kind, set.scores});
    out.pairs = static_cast<int>(result.reporting.size());
    out.halved = result.choosing != result.reporting;
    out.folder = folder;
    out.document = std::move(document);
    return out;
  }

  void run(const Job& job, const command::ReadPictures& command) {
    tell(job.id, event::Started{"Reading " + command.folder});
    const PictureSet set = read_picture_set(
        command.folder, command.held_out, [&](const Progress& p) { tell(job.id, event::Progressed{p}); }, job.cancel);
    event::PicturesListed listed{command.folder, {}, set.faults};
    for (const auto* part : {&set.train, &set.held_out})
      for (const auto& one : *part) listed.pictures.push_back({one.file.string(), one.caption, one.width, one.height, part == &set.held_out});
    tell(job.id, std::move(listed));
  }

  void run(const Job& job, const command::Finetune& command) {
    tell(job.id, event::Started{"Fine-tuning"});
    if (!command.model_hash.empty() && command.model_hash != model().info().hash)
      reject("another model is open by now than the training is of", model().info().source, "Open that model again");
    FinetuneSettings settings = command.settings;
    if (settings.sample_every > 0 && settings.sample_prompts.empty()) settings.sample_prompts = sample_prompts(model().info());
    if (settings.sample_every == 0) settings.sample_prompts.clear();
    FinetuneObserver observer;
    observer.preparing = [&](const Progress& p) { tell(job.id, event::Progressed{p}); };
    observer.step = [&](const FinetuneProgress& p) { tell(job.id, event::Trained{p}); };
    observer.note = [&](const std::string& note) { tell(job.id, event::Noted{note}); };
    observer.interrupted = [this] {
      std::lock_guard lock(mutex);
      return can_interlude();
    };
    observer.interlude = [this] { interlude(); };
    const PictureSet pictures = read_picture_set(command.pictures, settings.held_out, observer.preparing, job.cancel);
    const OutputFolder folder(command.folder);
    const FinetuneResult result =
        finetune(model(), pictures, settings, folder.path(), command.resume, settings.sample_prompts.empty() ? nullptr : &ocr(), observer, job.cancel);
    tell(job.id, event::AdapterMade{(folder / "last.safetensors").string(), result.trained, result.all_sites, result.optimizer_bytes,
                                    result.all_sites_optimizer_bytes});
  }

  void run(const Job& job, const command::ConvertAdapter& command) {
    tell(job.id, event::Started{"Writing " + command.file});
    torch::nn::Module& denoiser = model().denoiser_module();
    const SiteTable& table = model().info().table;
    std::vector<std::string> notes;
    const Lora lora = read_lora(command.adapter, denoiser, table, notes);
    for (const auto& note : notes) tell(job.id, event::Noted{note});
    write_lora(command.file, lora, parse_lora_format(command.format), denoiser, table);
  }

  void run(const Job& job, const command::SetGuard& command) {
    tell(job.id, event::Started{command.on ? "Switching the guard on" : "Switching the guard off"});
    const std::optional<command::SetGuard> wanted = command.on ? std::optional(command) : std::nullopt;
    if (pipeline)
      guard(*pipeline, wanted);
    else if (wanted && guard_settings(wanted->words, {}, 0).terms.terms().empty())
      reject("the list of words is empty", "the guard");
    guarded = wanted;
    edited.clear();  // their sources were drawn otherwise
    tell(job.id, event::GuardSet{command.on, command.on ? TermList::parse(command.words, "").terms().size() : 0, command.sites});
  }

  void run(const Job& job, const command::CompareGuard& command) {
    tell(job.id, event::Started{"Comparing ways to keep words out"});
    if (guarded) reject("a guard is on: nothing may be drawn without it", "", "Switch it off to compare it with what one would do otherwise");
    event::GuardCompared out;
    const auto pipeline = adapted(command.adapters, [&](const std::string& note) { out.notes.push_back(note); });
    GuardStudySettings settings{guard_settings(command.words, command.sites, command.from_step), command.prompts, pipeline->resolve(sampled(command.sampling)),
                                command.classifier.empty() ? nullptr : std::make_shared<TextClassifier>(command.classifier, command.labels),
                                command.sampling.seed};
    if (settings.prompts.empty()) settings.prompts = term_prompts(pipeline->info(), settings.guard.terms, command.count);
    const GuardStudy study = run_guard_study(
        *pipeline, settings, shared_ocr(), [&](const Progress& p) { tell(job.id, event::Progressed{p}); }, job.cancel);
    const auto document = describe_guard_study(study, settings, pipeline->info(), shared_ocr());
    out.methods = study.methods;
    out.prompts = settings.prompts.size();
    out.json = json_text(document);
    out.csv = study.csv();
    out.classifier = study.classifier;
    out.sheet = to_picture(study.sheet, out.json);
    out.notes.insert(out.notes.end(), study.notes.begin(), study.notes.end());
    tell(job.id, std::move(out));
  }

  std::function<void(const Event&)> listener;
  std::function<std::unique_ptr<TextReader>()> make_reader;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Job> waiting;
  std::vector<Job> running;  // a training, and what runs between two of its steps
  bool closing = false;
  JobId next = 1;
  std::shared_ptr<Pipeline> pipeline;                        // touched by the engine's thread only
  std::shared_ptr<TextReader> reader;                        // likewise
  std::optional<command::SetGuard> guarded;                  // likewise; the guard that is on,
  std::shared_ptr<Guard> policy;                             // and what of it is set to the model
  std::deque<std::pair<nlohmann::json, EditSource>> edited;  // likewise; what was edited last, by what it is
  std::thread thread;
};

EngineThread::EngineThread(std::function<void(const Event&)> listener) : EngineThread(std::move(listener), [] { return make_text_reader(); }) {}
EngineThread::EngineThread(std::function<void(const Event&)> listener, std::function<std::unique_ptr<TextReader>()> make_reader)
    : state_(std::make_unique<State>(std::move(listener), std::move(make_reader))) {}

EngineThread::~EngineThread() {
  {
    std::lock_guard lock(state_->mutex);
    state_->closing = true;
    state_->waiting.clear();
    for (auto& one : state_->running) one.cancel.cancel();
  }
  state_->wake.notify_all();
  state_->thread.join();
}

JobId EngineThread::post(Command command) {
  std::lock_guard lock(state_->mutex);
  const JobId id = state_->next++;
  state_->waiting.push_back({id, std::move(command), {}});
  state_->wake.notify_all();
  return id;
}

void EngineThread::cancel(JobId job) {
  bool waited = false;
  {
    std::lock_guard lock(state_->mutex);
    for (auto& one : state_->running)
      if (one.id == job) one.cancel.cancel();
    waited = std::erase_if(state_->waiting, [&](const State::Job& one) { return one.id == job; }) > 0;
  }
  if (waited) state_->tell(job, event::Cancelled{});
}

void EngineThread::cancel_all() {
  std::deque<State::Job> waited;
  {
    std::lock_guard lock(state_->mutex);
    for (auto& one : state_->running) one.cancel.cancel();
    waited.swap(state_->waiting);
  }
  for (const auto& one : waited) state_->tell(one.id, event::Cancelled{});
}

}  // namespace glyphscope
