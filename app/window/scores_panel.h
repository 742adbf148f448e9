#pragma once

#include <QWidget>
#include <map>
#include <vector>

#include "plot/figure.h"
#include "tasks/events.h"
#include "widgets/site_values.h"

class QComboBox;
class QLabel;

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
  /// The run will not go on: what is shown is marked as a part of it.
  void set_stopped();
  bool empty() const { return scores_.empty(); }
  bool whole() const { return shown_.final; }
  /// Of the run; empty: it is kept nowhere.
  QString folder() const { return QString::fromStdString(shown_.folder); }
  /// What was found, or how far the run has got: shown above the heatmap, and in every export.
  QString findings() const;
  /// Under a figure: the run's own model, seeds, steps and pairs, and what was found.
  QString caption() const;
  /// The heatmap with its caption.
  Figure figure() const;
  /// The run as a document: run.json without its pairs; empty before the first is done.
  QString document() const { return QString::fromStdString(shown_.document); }
  Heatmap* heatmap() const { return heatmap_; }
  /// Every score of every site, of the sets that were tried, and of A's and B's own pictures as a table. False if it could not be written.
  bool save_table(const QString& file) const;
  /// document() as a file. False if it could not be written.
  bool save_run(const QString& file) const;

 signals:
  /// The score to show on the map, by site; and from which value on a site is localized, if it is by this score.
  void shown(const QString& title, const std::map<int, glyphscope::ScoreValue>& values, std::optional<double> threshold);
  /// A cell was clicked: show this pair's pictures.
  void pair_chosen(const glyphscope::event::PairReady& pair, int site);

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  void refresh();
  std::optional<double> threshold_of(const QString& score) const;
  void make_room();
  void tell_findings(const QString& text);
  static QString findings_text(const event::ScoresReady& scores);
  static QString images_text(const event::ScoresReady& scores);

  event::ScoresReady shown_;  ///< The last of the run.
  std::vector<SiteItem> sites_;
  std::map<QString, std::map<int, ScoreValue>> scores_;
  std::vector<event::PairReady> pairs_;
  QComboBox *score_, *rows_;
  QLabel* findings_;
  Heatmap* heatmap_;
};

}  // namespace glyphscope
