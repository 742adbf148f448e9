#include <torch/types.h>

#include <algorithm>
#include <chrono>

#include "core/option.h"
#include "demo/sign_attributes.h"
#include "demo/sign_words.h"
#include "device/devices.h"
#include "experiments/card.h"
#include "experiments/certificate.h"
#include "experiments/localization.h"
#include "experiments/map.h"
#include "experiments/planner.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/json.h"
#include "tasks/run_events.h"
#include "tasks/session.h"

namespace glyphscope {

namespace {

// What is asked: a localization, unless one of the others is there.
struct Asked {
  LocalizationSettings settings;
  std::optional<std::pair<Axes, Scope>> map;
  std::optional<CertifySettings> certifying;
};

// What a run's folder asks, and does not answer yet.
Asked asked_by(const std::filesystem::path& folder, const ModelInfo& info) {
  const auto file = folder / "settings.json";
  const auto document = read_json(file);
  reading_json(file, [&] {
    if (document.value("model_hash", "") != info.hash)
      reject("the run is of another model than the one that is open: " + document.value("model", std::string("unnamed")), folder.string(),
             "Open that model, and go on");
    return 0;
  });
  const auto there = [&](const std::string& name) { return std::filesystem::exists(folder / name); };
  const bool localizes = there("asked-localization.json");
  if (localizes && !there("run.json")) return {LocalizationSettings::read(folder), {}, {}};
  Asked out;
  if (there("asked-certificate.json") && !there("card.json")) {
    out.certifying = CertifySettings::read(folder);
    static_cast<RunSettings&>(out.settings) = *out.certifying;
    out.settings.from_step = out.certifying->from_step;
    return out;
  }
  for (const auto& question : RunFolder(folder).questions()) {
    if (question.map.is_null() || there("map-" + question.name + ".json")) continue;
    const auto asks = folder / "questions" / (question.name + ".json");
    out.map = reading_json(
        asks, [&] { return std::pair(Axes::parse(question.map.at("by").get<std::string>()), Scope::from_json(nlohmann::json(question.map.at("scope")))); });
    static_cast<RunSettings&>(out.settings) = reading_json(file, [&] { return RunSettings::from_json(document.at("settings"), file.string()); });
    out.settings.from_step = out.map->second.from_step;
    return out;
  }
  if (localizes) return {LocalizationSettings::read(folder), {}, {}};
  reject("nothing of the run is missing", folder.string());
}

// The settings of a new run.
LocalizationSettings settings_of(const command::Localize& command, const Pipeline& pipeline) {
  const ModelInfo& info = pipeline.info();
  LocalizationSettings out;
  out.pairs = command.prompts;
  if (!command.attributes.empty()) out.pairs = attribute_pairs(info, command.attributes, command.pairs, command.sampling.seed);
  if (out.pairs.empty())
    out.pairs = make_pairs(command.templates.empty() ? localization_templates(info) : command.templates,
                           command.words.empty() ? localization_words(sign_data(info), command.pairs) : command.words, command.pairs);
  out.seeds = command.seeds;
  for (int noise = 0; command.seeds.empty() && noise < command.noises; ++noise) out.seeds.push_back(command.sampling.seed + static_cast<std::uint64_t>(noise));
  Request sampling = to_request(command.sampling);
  // What is beside the prompt's K and V is patched so alone.
  const Axes axes = Axes::parse(command.by);
  if (sampling.method == PatchMethod::automatic && (axes.rows == Axis::part || axes.columns == Axis::part)) sampling.method = PatchMethod::lockstep;
  out.sampling = pipeline.resolve(sampling);
  out.from_step = command.from_step;
  out.pooled_target = command.pooled_target;
  out.localized_f1_share = command.localized_f1_share;
  out.localized_ssim = command.localized_ssim;
  out.kept_f1_share = command.kept_f1_share;
  out.random_sets = command.random_sets;
  return out;
}

// What a map looks at; null for a localization.
std::optional<std::pair<Axes, Scope>> map_of(const command::Localize& command, const RunSettings& settings, const ModelInfo& info) {
  Scope scope;
  const Axes axes = Axes::parse(command.by);
  scope.direction = parse_direction(command.direction);
  if (!command.sites.empty()) scope.sites = parse_sites(command.sites, info.table);
  if (axes == Axes{} && scope.direction == Direction::sufficiency && scope.sites.empty()) return std::nullopt;
  if (!command.sets.empty()) scope.sets = parse_sets(command.sets, info.table);
  scope.from_step = command.from_step;
  scope.steps = static_cast<int>(settings.sampling.steps);
  scope.step_ranges = command.step_ranges;
  scope.encoders = info.encoders;
  for (const auto& pair : settings.pairs)
    if (!pair.attribute.empty() && std::find(scope.attributes.begin(), scope.attributes.end(), pair.attribute) == scope.attributes.end())
      scope.attributes.push_back(pair.attribute);
  return std::pair(axes, scope);
}

CertifySettings certify_settings(const command::Localize& command, const LocalizationSettings& settings, const std::optional<Card>& card,
                                 const ModelInfo& info) {
  CertifySettings out;
  if (card) {
    // Its sites are tested on this model as they were on theirs.
    out = card->settings;
    out.search = SetSearch::exhaustive;
    out.given = {sites_of(*card, info.table), transfer_of(*card)};
    static_cast<RunSettings&>(out) = settings;
    return out;
  }
  static_cast<RunSettings&>(out) = settings;
  out.from_step = settings.from_step;
  out.false_discovery = command.false_discovery;
  out.kept_f1_share = settings.kept_f1_share;
  out.verdict_share = settings.localized_f1_share;
  out.random_sets = settings.random_sets;
  out.players = command.players;
  out.search = parse_set_search(command.search);
  return out;
}

event::RunPlanned run_planned(const RunPlan& plan) {
  event::RunPlanned out;
  for (const auto& one : plan.questions) out.questions.push_back({one.title, one.cells, one.pictures, one.denoiser_rows, one.at_most});
  out.pictures = plan.pictures();
  out.denoiser_rows = plan.denoiser_rows();
  out.bytes = plan.bytes;
  out.seconds = plan.seconds.value_or(0);
  out.words = plan.words;
  out.noises = plan.noises;
  out.detectable = plan.detectable;
  out.document = json_text(plan.to_json());
  return out;
}

// Tells each pair's pictures, and the scores so far. All must outlive it.
LocalizationObserver observe(const LocalizationSettings& settings, const ModelInfo& info, const TextReader& reader, const command::Localize& command,
                             const Job& job, const std::function<RunCost()>& cost) {
  LocalizationObserver out;
  out.progress = job.progress();
  out.note = [&job](const std::string& note) { job.note(note); };
  if (!command.each_pair) return out;
  const auto so_far = std::make_shared<ScoresSoFar>(settings, info.table);
  out.pair_done = [=, &settings, &info, &reader, &command, &job](const PairResult& pair, const torch::Tensor& images) {
    const std::vector<Variant> singles = single_sites(info.table, settings.from_step);
    const PromptPair& prompts = settings.pairs[static_cast<size_t>(pair.pair)];
    if (images.defined()) {
      std::vector<Variant> drawn{own_picture(0), own_picture(1)};
      drawn.insert(drawn.end(), singles.begin(), singles.end());
      const Request request = cell_request(settings, {pair.pair, pair.noise}, drawn);
      const auto picture = [&](size_t row, const Measurement& measured) {
        return to_picture(images[static_cast<std::int64_t>(row)], measured, json_text(describe_image(info, request, request.rows[row])));
      };
      event::PairReady ready{.pair = pair.pair,
                             .pairs = static_cast<int>(settings.pairs.size()),
                             .source_text = prompts.source_text,
                             .target_text = prompts.target_text,
                             .source = picture(0, pair.source),
                             .target = picture(1, pair.target)};
      for (size_t site = 0; site < info.table.sites.size(); ++site) ready.patched.push_back(picture(site + 2, pair.patched[site]));
      job.tell(std::move(ready));
    }
    so_far->add(pair);
    const LocalizationResult partial = so_far->result();
    event::ScoresReady ready = scores_ready(partial, settings, command.folder);
    ready.document = run_document(partial, settings, info, reader.name(), cost());
    job.tell(std::move(ready));
  };
  return out;
}

}  // namespace

void localize(Session& session, const command::Localize& command, const Job& job) {
  const bool goes_on = command.begin == command::Localize::Begin::go_on_by_its_own;
  job.tell(event::Started{command.plan_only       ? "Counting what a run takes"
                          : goes_on               ? "Going on with a run"
                          : !command.card.empty() ? "Testing a card's sites"
                          : command.certify       ? "Making a card"
                          : command.by == "site"  ? "Patching every site alone"
                                                  : "Patching by " + command.by});
  const auto start = std::chrono::steady_clock::now();
  auto pipeline = session.adapted(command.adapters, [&](const std::string& note) { job.note(note); });
  const ModelInfo& info = pipeline->info();
  forget_peak_memory(info.placement.device);
  std::chrono::steady_clock::duration away{};  // in what others did meanwhile
  const auto cost = [&]() -> RunCost {
    return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start - away).count(), peak_memory(info.placement.device)};
  };
  // Others have the model as it is, without this run's adapters; it is the same object all the while.
  const auto between = [&] {
    if (!job.interrupted()) return;
    const auto left = std::chrono::steady_clock::now();
    pipeline.reset();
    job.interlude();
    pipeline = session.adapted(command.adapters, [](const std::string&) {});
    away += std::chrono::steady_clock::now() - left;
  };
  std::optional<Card> card;
  if (!command.card.empty()) {
    card = read_card(command.card);
    sites_of(*card, info.table);  // before anything else is looked at
  }
  Asked asked;
  LocalizationSettings& settings = asked.settings;
  if (goes_on) {
    asked = asked_by(command.folder, info);
  } else if (card) {
    static_cast<RunSettings&>(settings) = card->settings;
    settings.sampling.rows_at_once = command.sampling.rows_at_once;
    settings.sampling = pipeline->resolve(settings.sampling);
    settings.from_step = card->settings.from_step;
  } else {
    settings = settings_of(command, *pipeline);
  }
  const std::shared_ptr<Judges> kept_judges = session.shared_judges(command.judges);
  Judges& judges = *kept_judges;
  if (goes_on && settings.judges != judges.describe())
    reject("the run's pictures are scored by models that are not given now", command.folder, "Go on with it by the command that began it");
  settings.judges = judges.describe();
  if (!goes_on && !card) asked.map = map_of(command, settings, info);
  const auto& map = asked.map;
  if (!goes_on && (command.certify || card)) asked.certifying = certify_settings(command, settings, card, info);
  const auto& certifying = asked.certifying;
  if (!map && std::any_of(settings.pairs.begin(), settings.pairs.end(), [](const PromptPair& pair) { return !pair.attribute.empty(); }))
    reject("what is localized or certified is the text", option(Option::attributes), "Ask for a map: " + option(Option::by, "site-attribute"));
  pipeline->validate(own_request(settings, {0, 0}));
  if (settings.from_step >= settings.sampling.steps)
    reject("the run has " + std::to_string(settings.sampling.steps) + " steps, the first of which is 0: none is patched",
           option(Option::from_step, std::to_string(settings.from_step)));
  const SetSearch search = certifying ? certifying->search : SetSearch::exhaustive;
  if (search == SetSearch::adaptive_reader && !command.judges.reader)
    reject("the search goes by the small reader's score, and pictures are not scored by it", option(Option::search, command.search));
  if (search != SetSearch::exhaustive && info.upscaler)
    reject("a model of several stages has no gradients of its sites", info.source, "Search exhaustively, or open its first stage alone");
  if (map && certifying) reject("a map of effects is not certified: a set of sites is", option(Option::by, command.by));
  // What is wrong with a variant on any pair is an error now, not after hours.
  if (map) {
    const Grid grid = make_grid(map->first, map->second, info.table);
    for (int pair = 0; pair < static_cast<int>(settings.pairs.size()); ++pair) pipeline->validate(cell_request(settings, {pair, 0}, grid.variants()));
  }
  if (command.shard < 0 || command.shard >= command.shards)
    reject("there is no shard " + std::to_string(command.shard + 1) + " of " + std::to_string(command.shards), option(Option::shard));
  if (command.shards > 1 && command.folder.empty()) reject("a shard needs a folder to keep its cells", option(Option::out));
  TextReader& reader = *session.reader(job.cancel);
  std::vector<std::string> texts;
  for (const auto& pair : settings.pairs) texts.insert(texts.end(), {pair.source_text, pair.target_text});
  if (const std::string note = note_on_unreadable(reader, texts); !note.empty()) job.note(note);
  if (command.plan_only) {
    RunPlan plan = map          ? plan_map(*pipeline, settings, map->first, map->second)
                   : certifying ? plan_certificate(*pipeline, *certifying)
                                : plan_localization(*pipeline, settings);
    // Uncompressed; A's and B's are counted.
    if (command.keep_images) plan.bytes += static_cast<std::uint64_t>(plan.pictures() * settings.sampling.width * settings.sampling.height * 3);
    measure_time(plan, *pipeline, reader, judges, settings, job.cancel);
    return job.tell(run_planned(plan));
  }
  // Shards fill one folder together; whoever fills it alone holds it.
  std::optional<OutputFolder> held;
  std::optional<RunFolder> run;
  if (!command.folder.empty()) {
    const std::filesystem::path folder = command.folder;
    if (command.shards == 1) held.emplace(folder);
    if (command.shards == 1 && command.begin == command::Localize::Begin::anew && std::filesystem::exists(folder / "settings.json"))
      reject("the folder holds a run already", folder.string(), "Go on with it by " + option(Option::resume) + ", or choose another " + option(Option::out));
    run.emplace(folder, describe_run(settings, info, reader.name()));
  }
  const Shard shard{command.shard, command.shards, command.waits};
  try {
    const Guard::Tally before = session.tally();
    LocalizationObserver observer = observe(settings, info, reader, command, job, cost);
    observer.between = between;
    Cells cells(settings, run ? &*run : nullptr, *pipeline, reader, observer, job.cancel, shard);
    // A run that is gone on with keeps what it has kept.
    cells.keep_images = command.keep_images || (goes_on && std::filesystem::exists(std::filesystem::path(command.folder) / "images"));
    cells.judges = &judges;
    cells.more_scores = score_attribute;
    if (map) {
      const EffectMap effects = run_map(cells, settings, info.table, map->first, map->second);
      if (const std::string note = session.note_since(before); !note.empty()) job.note(note);
      if (run) write_map(effects, settings, info, reader.name(), cost(), run->path());
      event::MapReady ready = map_ready(effects, settings, command.folder);
      ready.document = json_text(map_document(effects, settings, info, reader.name(), cost()));
      job.tell(std::move(ready));
    } else if (certifying) {
      const Certificate certificate = certify(cells, *certifying, info.table);
      if (const std::string note = session.note_since(before); !note.empty()) job.note(note);
      if (run) write_card(certificate, *certifying, info, reader.name(), cost(), run->path());
      event::Certified ready = certified(certificate, *certifying, command.folder);
      ready.document = json_text(card_document(certificate, *certifying, info, reader.name(), cost()));
      job.tell(std::move(ready));
    } else {
      const LocalizationResult result = run_localization(cells, settings, info.table, observer);
      if (const std::string note = session.note_since(before); !note.empty()) job.note(note);
      if (run) write_localization(result, settings, info, reader.name(), cost(), run->path());
      event::ScoresReady scores = scores_ready(result, settings, command.folder);
      scores.final = true;
      scores.document = run_document(result, settings, info, reader.name(), cost());
      job.tell(std::move(scores));
    }
  } catch (const RunIncomplete& incomplete) {
    job.tell(event::ShardDone{command.shard, command.shards, incomplete.question, incomplete.missing});
  }
}

}  // namespace glyphscope
