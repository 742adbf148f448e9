#pragma once

#include <QWidget>
#include <map>
#include <vector>

#include "runtime/engine_thread.h"
#include "widgets/site_values.h"

class QComboBox;

namespace glyphscope {

class Heatmap;
class SiteSelection;

/// What a localization has measured so far, as a heatmap of sites against scores or pairs, and the score that the map and
/// the list of sites show.
class ScoresPanel : public QWidget {
  Q_OBJECT
 public:
  explicit ScoresPanel(SiteSelection* selection, QWidget* parent = nullptr);

  /// Forgets everything measured, of these sites or others.
  void set_sites(const std::vector<SiteItem>& sites);
  void clear();
  /// Keeps its scores, and its pictures as long as there is room (half a gigabyte for all pairs).
  void add_pair(const event::PairReady& pair);
  void set_scores(const event::ScoresReady& scores);
  bool empty() const { return scores_.empty(); }
  Heatmap* heatmap() const { return heatmap_; }
  /// Every score of every site as a table: site, path, score, mean, low, high, images. False if it could not be written.
  bool save_table(const QString& file) const;

 signals:
  /// The score to show on the map, by site.
  void shown(const QString& title, const std::map<int, glyphscope::ScoreValue>& values);
  /// A cell was clicked: show this pair's pictures.
  void pair_chosen(const glyphscope::event::PairReady& pair, int site);

 private:
  void refresh();

  std::vector<SiteItem> sites_;
  std::map<QString, std::map<int, ScoreValue>> scores_;
  std::vector<event::PairReady> pairs_;
  QComboBox *score_, *rows_;
  Heatmap* heatmap_;
};

}  // namespace glyphscope
