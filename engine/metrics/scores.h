#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

/// What pictures score, without a torch type: a window can include this.
namespace glyphscope {

struct TextScores;
struct ImageScores;

/// What one picture scores, by ScoreInfo::key.
using Scores = std::map<std::string, double>;

/// What the scores of one picture are computed from: what was read in it against the two texts, the picture against the source's.
struct ScoreInputs {
  const TextScores& target;
  const TextScores& source;
  const ImageScores& image;
  double ssim_outside_text = 0;
};

/// A score: everything that files, figures, the window and the command line say of it.
struct ScoreInfo {
  enum class Better { higher, lower, neither };  ///< For who writes the target's text and keeps the rest.
  enum class Against { source_picture, source_text, target_text };

  std::string_view key;  ///< In files; never changes.
  const char* title;     ///< Short: a row of a heatmap, a column. Of prompts A and B.
  const char* sentence;  ///< Of one picture, before its value.
  double low, high;      ///< What it can be.
  Better better;
  Against against;   ///< What it needs: where that is missing, there is no such score.
  int digits;        ///< After the point, for a person.
  const char* unit;  ///< With its space; "" for none.
  bool charted;      ///< Lies in [0, 1] and is worth a row of a heatmap.
  int version;       ///< Counted up when the same picture scores otherwise: older values are then another score's.
  /// Null for what is computed elsewhere: of a box that an edit may change, of several pictures' means, or by a model that the user gives.
  double (*compute)(const ScoreInputs&);
  bool if_asked =
      false;  ///< Pictures have it only where it is asked for: by a model that the user gives (see Judges), or of pairs that differ by an attribute.
};

/// All of them, in the order of tables and figures.
const std::vector<ScoreInfo>& score_table();
/// Null for an unknown key.
const ScoreInfo* find_score(std::string_view key);

/// Those that each picture of a localization has.
std::vector<const ScoreInfo*> measured_scores();
/// Those that a localization reports: those, and F1 of the mean precision and recall, as the paper's code has it.
std::vector<const ScoreInfo*> reported_scores();
/// Those of them that a table for people shows: how well both texts are read, what is kept; and what the user's models say, where `scores` (by key) has it.
template <class Value>
std::vector<const ScoreInfo*> shown_scores(const std::map<std::string, Value>& scores) {
  std::vector<const ScoreInfo*> out;
  for (const ScoreInfo* one : reported_scores())
    if (scores.contains(std::string(one->key)) && (one->if_asked || one->key == "target_f1" || one->key == "source_f1" || one->key == "ssim_outside_text"))
      out.push_back(one);
  return out;
}
/// Those that a heatmap shows.
std::vector<const ScoreInfo*> charted_scores();

}  // namespace glyphscope
