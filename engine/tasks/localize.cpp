#include <torch/types.h>

#include <chrono>

#include "core/option.h"
#include "demo/sign_words.h"
#include "device/devices.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "localization/sweep.h"
#include "tasks/session.h"

namespace glyphscope {

namespace {

// The settings of a new run; or those that a run's folder tells, which is gone on with.
SweepSettings sweep_settings(const command::Localize& command, const Pipeline& pipeline) {
  const ModelInfo& info = pipeline.info();
  if (command.begin == command::Localize::Begin::go_on_by_its_own) {
    const auto file = std::filesystem::path(command.folder) / "settings.json";
    return reading_json(file, [&] {
      const auto document = read_json(file);
      if (document.value("model_hash", "") != info.hash)
        reject("the run is of another model than the one that is open: " + document.value("model", std::string("unnamed")), command.folder,
               "Open that model, and go on");
      return SweepSettings::from_json(document.at("settings"), file.string());
    });
  }
  SweepSettings out;
  out.pairs = command.prompts;
  if (out.pairs.empty())
    out.pairs = make_pairs(command.templates.empty() ? localization_templates(info) : command.templates,
                           command.words.empty() ? localization_words(sign_data(info), command.pairs) : command.words, command.pairs);
  out.seeds = command.seeds;
  for (int noise = 0; command.seeds.empty() && noise < command.noises; ++noise) out.seeds.push_back(command.sampling.seed + static_cast<std::uint64_t>(noise));
  out.sampling = pipeline.resolve(to_request(command.sampling));
  out.from_step = command.from_step;
  out.pooled_target = command.pooled_target;
  out.localized_f1_share = command.localized_f1_share;
  out.localized_ssim = command.localized_ssim;
  out.kept_f1_share = command.kept_f1_share;
  out.random_sets = command.random_sets;
  out.keep_images = command.keep_images;
  return out;
}

event::ScoresReady scores_ready(const SweepResult& result, const SweepSettings& settings, const std::string& folder) {
  event::ScoresReady out;
  for (const auto& set : result.sites)
    for (const auto& [name, score] : set.scores) out.sites[name].push_back(score);
  out.source = result.source;
  out.target = result.target;
  out.localized = result.localized;
  out.smallest = result.smallest;
  for (const auto& set : result.sets)
    if (!set.scores.empty()) out.sets.push_back({set.variant.sites(), set.kind, set.scores});
  out.pairs = static_cast<int>(result.reporting.size());
  out.choosing_pairs = static_cast<int>(result.choosing.size());
  out.halved = result.choosing != result.reporting;
  out.word_clusters = result.word_clusters;
  out.noises = static_cast<int>(settings.seeds.size());
  out.kept_f1_share = settings.kept_f1_share;
  out.folder = folder;
  return out;
}

}  // namespace

void localize(Session& session, const command::Localize& command, const Job& job) {
  job.tell(event::Started{"Patching every site alone"});
  const auto start = std::chrono::steady_clock::now();
  const auto pipeline = session.adapted(command.adapters, [&](const std::string& note) { job.note(note); });
  const ModelInfo& info = pipeline->info();
  forget_peak_memory(info.placement.device);
  const auto cost = [&]() -> RunCost {
    return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), peak_memory(info.placement.device)};
  };
  const SweepSettings settings = sweep_settings(command, *pipeline);
  pipeline->validate(pair_request(settings, 0, 0, {}));
  TextReader& reader = *session.reader(job.cancel);
  std::vector<std::string> texts;
  for (const auto& pair : settings.pairs) texts.insert(texts.end(), {pair.source_text, pair.target_text});
  if (const std::string note = note_on_unreadable(reader, texts); !note.empty()) job.note(note);
  std::optional<OutputFolder> folder;
  if (!command.folder.empty()) folder.emplace(command.folder);
  if (folder && command.begin == command::Localize::Begin::anew && std::filesystem::exists(*folder / "settings.json"))
    reject("the folder holds a run already", folder->path().string(),
           "Go on with it by " + option(Option::resume) + ", or choose another " + option(Option::out));

  // What the scores are of, so that whatever is exported tells it: run.json without its pairs, as far as the run has got.
  const auto document = [&](const SweepResult& result) {
    return json_text(without_key(sweep_document(result, settings, info, reader.name(), cost()), "pairs"));
  };
  const size_t sites = info.table.sites.size();
  const std::vector<Variant> singles = single_sites(settings, info.table);
  RunningScores source(settings), target(settings);
  std::vector<RunningScores> patched(sites, RunningScores(settings));

  SweepObserver observer;
  observer.progress = job.progress();
  observer.note = [&](const std::string& note) { job.note(note); };
  const auto pair_done = [&](const PairResult& pair, const torch::Tensor& images) {
    const PromptPair& prompts = settings.pairs[static_cast<size_t>(pair.pair)];
    if (images.defined()) {
      const Request request = pair_request(settings, static_cast<size_t>(pair.pair), static_cast<size_t>(pair.noise), singles);
      const auto picture = [&](size_t row, const Measurement& measured) {
        return to_picture(images[static_cast<std::int64_t>(row)], measured, json_text(describe_image(info, request, request.rows[row])));
      };
      event::PairReady ready{.pair = pair.pair,
                             .pairs = static_cast<int>(settings.pairs.size()),
                             .source_text = prompts.source_text,
                             .target_text = prompts.target_text,
                             .source = picture(0, pair.source),
                             .target = picture(1, pair.target)};
      for (size_t site = 0; site < sites; ++site) ready.patched.push_back(picture(site + 2, pair.patched[site]));
      job.tell(std::move(ready));
    }
    source.add(pair.source.scores, pair.pair, pair.noise);
    target.add(pair.target.scores, pair.pair, pair.noise);
    SweepResult partial;
    partial.source = source.scores();
    partial.target = target.scores();
    for (size_t site = 0; site < sites; ++site) {
      patched[site].add(pair.patched[site].scores, pair.pair, pair.noise);
      const auto scores = patched[site].scores();
      partial.sites.push_back({singles[site], SetKind::site, scores, scores});
    }
    event::ScoresReady ready = scores_ready(partial, settings, command.folder);
    ready.document = document(partial);
    job.tell(std::move(ready));
  };
  if (command.each_pair) observer.pair_done = pair_done;
  const Guard::Tally before = session.tally();
  const SweepResult result = run_sweep(*pipeline, reader, settings, command.folder, observer, job.cancel);
  if (const std::string note = session.note_since(before); !note.empty()) job.note(note);
  if (folder) write_sweep(result, settings, info, reader.name(), cost(), folder->path());
  event::ScoresReady scores = scores_ready(result, settings, command.folder);
  scores.final = true;
  scores.document = document(result);
  job.tell(std::move(scores));
}

}  // namespace glyphscope
