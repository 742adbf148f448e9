#include "experiments/score_table_text.h"

#include <cmath>
#include <cstdio>

#include "metrics/scores.h"

namespace glyphscope {

nlohmann::ordered_json scores_json(const std::map<std::string, Score>& scores) {
  nlohmann::ordered_json out;
  for (const ScoreInfo* info : reported_scores())
    if (auto found = scores.find(std::string(info->key)); found != scores.end()) out[found->first] = found->second.to_json();
  return out;
}

namespace {

// Columns: every score that any picture has, and of those that only a model of the user's gives, the ones that are there.
std::vector<const ScoreInfo*> columns(const std::map<std::string, Score>& present) {
  std::vector<const ScoreInfo*> out = reported_scores();
  std::erase_if(out, [&](const ScoreInfo* info) { return info->if_asked && !present.contains(std::string(info->key)); });
  return out;
}

}  // namespace

std::string csv_score_names(const std::map<std::string, Score>& present) {
  std::string out;
  for (const ScoreInfo* info : columns(present)) {
    const std::string name(info->key);
    out += "," + name + "," + name + "_low," + name + "_high";
  }
  return out;
}

std::string csv_scores(const std::map<std::string, Score>& scores, const std::map<std::string, Score>& present) {
  std::string out;
  for (const ScoreInfo* info : columns(present)) {
    const auto found = scores.find(std::string(info->key));
    const Score score = found == scores.end() ? Score{} : found->second;
    out +=
        "," + (score.n > 0 ? csv_number(score.mean) : "") + "," + (score.low ? csv_number(*score.low) : "") + "," + (score.high ? csv_number(*score.high) : "");
  }
  return out;
}

std::string with_interval(const Score& score, int digits) {
  if (score.n == 0) return "-";
  char text[64];
  if (score.low)
    std::snprintf(text, sizeof text, "%.*f [%.*f, %.*f]", digits, score.mean, digits, *score.low, digits, *score.high);
  else
    std::snprintf(text, sizeof text, "%.*f", digits, score.mean);
  return text;
}

}  // namespace glyphscope
