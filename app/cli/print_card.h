#pragma once

#include <map>
#include <string>
#include <vector>

#include "metrics/scores.h"
#include "tasks/events.h"

namespace glyphscope::cli {

/// A score of a table, with its interval: "0.92 [0.85, 0.97]".
std::string score_text(const std::map<std::string, Score>& scores, const char* key);

/// Columns of a table of scores, each as wide as its title and its numbers.
class ScoreColumns {
 public:
  /// Those that people are shown of a run, by what a picture of it has.
  explicit ScoreColumns(const std::map<std::string, Score>& like) : list_(shown_scores(like)) {}
  explicit ScoreColumns(const std::vector<const char*>& keys);
  std::string titles() const;
  std::string line(const std::map<std::string, Score>& scores) const;
  const std::vector<const ScoreInfo*>& list() const { return list_; }

 private:
  std::vector<const ScoreInfo*> list_;
};

/// A localization card as text.
void print_card(const event::Certified& card, const SiteTable& table);

}  // namespace glyphscope::cli
