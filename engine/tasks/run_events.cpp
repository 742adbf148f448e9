#include "tasks/run_events.h"

#include "io/files.h"
#include "io/json.h"

namespace glyphscope {

event::MapReady map_ready(const EffectMap& map, const RunSettings& settings, const std::string& folder) {
  return {.name = map.name,
          .by = to_string(map.grid.axes),
          .direction = to_string(map.scope.direction),
          .row_axis = to_string(map.grid.axes.rows),
          .column_axis = map.grid.axes.columns ? to_string(*map.grid.axes.columns) : std::string(),
          .rows = map.grid.rows,
          .columns = map.grid.columns,
          .scores = map.scores,
          .source = map.source,
          .target = map.target,
          .attribute_source = map.attribute_source,
          .attribute_target = map.attribute_target,
          .pairs = static_cast<int>(settings.pairs.size()),
          .noises = static_cast<int>(settings.seeds.size()),
          .folder = folder,
          .document = {}};
}

namespace {

event::Certified::From transferred_from(const nlohmann::ordered_json& from) {
  const auto f1 = [](const nlohmann::ordered_json& scores) { return Score::from_json(scores.at("target_f1")); };
  event::Certified::From out;
  from.at("model").at("source").get_to(out.model);
  from.at("verdict").at("sufficient").get_to(out.sufficient);
  from.at("verdict").at("necessary").get_to(out.necessary);
  from.at("verdict").at("beats_controls").get_to(out.beats_controls);
  out.source = f1(from.at("source"));
  out.target = f1(from.at("target"));
  for (const auto& one : from.at("sets"))
    out.sets.push_back({one.at("role").get<std::string>(), one.at("sites").get<std::vector<int>>(), {{"target_f1", f1(one.at("scores"))}}});
  return out;
}

}  // namespace

event::Certified certified(const Certificate& certificate, const CertifySettings& settings, const std::string& folder) {
  event::Certified out;
  out.chosen = certificate.chosen;
  out.discovered = certificate.discovered;
  out.sufficient = certificate.sufficient;
  out.necessary = certificate.necessary;
  out.beats_controls = certificate.beats_controls;
  for (const auto& set : certificate.sets) out.sets.push_back({set_role_name(set.role), set.sites, set.scores});
  out.source = certificate.source;
  out.target = certificate.target;
  for (const auto& site : certificate.sites) {
    if (!site.tried) continue;
    out.sites.push_back({site.site, site.effect, site.p, std::nullopt});
    for (size_t i = 0; i < certificate.players.size(); ++i)
      if (certificate.players[i] == site.site) out.sites.back().shapley = certificate.shapley[i];
  }
  out.choosing_words = certificate.choosing_words;
  out.choosing_noises = certificate.choosing_noises;
  out.reporting_words = certificate.reporting_words;
  out.reporting_noises = certificate.reporting_noises;
  out.words_apart = certificate.parts.words_apart;
  out.noises_apart = certificate.parts.noises_apart;
  out.false_discovery = settings.false_discovery;
  if (const auto& search = certificate.search) {
    const auto sites = static_cast<std::int64_t>(certificate.sites.size()), cells = static_cast<std::int64_t>(certificate.parts.choosing.size());
    event::Certified::Search told{.pictures = search->pictures, .exhaustive_pictures = cells * (2 + sites), .rank_correlation = search->rank_correlation};
    if (search->picture_rows > 0) told.gradients_as_pictures = static_cast<double>(search->gradient_rows) / static_cast<double>(search->picture_rows);
    out.search = told;
  }
  if (settings.given) out.from = transferred_from(settings.given->from);
  out.folder = folder;
  return out;
}

event::ScoresReady scores_ready(const LocalizationResult& result, const LocalizationSettings& settings, const std::string& folder) {
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

std::string run_document(const LocalizationResult& result, const LocalizationSettings& settings, const ModelInfo& info, const std::string& ocr,
                         const RunCost& cost) {
  return json_text(without_key(localization_document(result, settings, info, ocr, cost), "pairs"));
}

ScoresSoFar::ScoresSoFar(const LocalizationSettings& settings, const SiteTable& table)
    : singles_(single_sites(table, settings.from_step)), source_(settings), target_(settings), patched_(singles_.size(), RunningScores(settings)) {}

void ScoresSoFar::add(const PairResult& pair) {
  source_.add(pair.source.scores, pair.pair, pair.noise);
  target_.add(pair.target.scores, pair.pair, pair.noise);
  for (size_t site = 0; site < singles_.size(); ++site) patched_[site].add(pair.patched[site].scores, pair.pair, pair.noise);
}

LocalizationResult ScoresSoFar::result() const {
  LocalizationResult out;
  out.source = source_.scores();
  out.target = target_.scores();
  for (size_t site = 0; site < singles_.size(); ++site) {
    const auto scores = patched_[site].scores();
    out.sites.push_back({singles_[site], SetKind::site, scores, scores});
  }
  return out;
}

}  // namespace glyphscope
