#pragma once

#include <optional>

#include "app/window/page.h"

namespace glyphscope {

class PicturesPanel;
class PromptPanel;
class ScoresPanel;

/// Two prompts, their pictures and A's patched; and the localization: its pairs' pictures and the heatmap of what they scored.
class StudyPage : public Page {
  Q_OBJECT
 public:
  StudyPage(Workbench* bench, QWidget* parent);

  int rank() const override { return 0; }
  void set_model(const event::ModelOpened& model) override;
  void set_job(WindowJob job, bool succeeded) override;
  /// The last pictures are drawn again; if something else runs, after it.
  void adapters_changed() override;
  void add_actions(QMenu& file, QMenu& view) override;
  std::vector<View> views() override;
  void describe(QJsonObject& settings) const override;
  /// Saves source.png, target.png, patched.png, heatmap.png, heatmap.svg, scores.csv and localization.json.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;

  void keep(SessionFile& session) const override;
  void restore(const SessionFile& session) override;
  bool go_on(const QString& folder) override;
  /// Pairs of the next localization.
  int pairs = 16;

 protected:
  void on_event(const Event& event) override;

 private:
  void draw(command::Generate command);
  void localize();
  void list_unfinished(QMenu* menu);
  /// What a whole localization found: says it, and selects the best sites.
  void show_findings(const event::ScoresReady& scores);
  /// Pictures whose fields have been changed since say so.
  void mark_undrawn();
  void refresh();

  JobId drawing_ = 0;                          ///< The last pictures that were asked for here, if they are not there yet; events of others are stale.
  JobId localizing_ = 0;                       ///< The last localization, the same.
  WindowJob window_job_ = WindowJob::none;     ///< Whoever started it.
  std::optional<event::PicturesReady> shown_;  ///< Of the prompts, as they were drawn last,
  command::Generate shown_of_;                 ///< and by what.
  std::optional<command::Generate> drawn_;     ///< The last pictures of this model that were asked for.
  bool drawn_stale_ = false;                   ///< Adapters have changed since, while something else ran.
  bool pair_shown_ = false;                    ///< A pair of the localization is, in place of the prompts' pictures.
  QString model_source_;
  std::optional<ModelHash> model_hash_;

  PromptPanel* prompts_;
  PicturesPanel* pictures_;
  ScoresPanel* scores_;
};

}  // namespace glyphscope
