#pragma once

#include <map>
#include <optional>
#include <vector>

#include "app/window/page.h"
#include "app/window/workspace.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QStackedWidget;
class QTextBrowser;
class QTimer;

namespace glyphscope {

class Heatmap;
class PicturesPanel;
class RunList;
class ScoresPanel;

/// Runs of the workspace and of any folder, whole or being filled by whoever fills them: what each asked, what it has found, its pictures. No model is needed
/// to look at one: an engine of the page's own reads it, whatever the window's is at.
class RunsPage : public Page {
  Q_OBJECT
 public:
  RunsPage(Workbench* bench, QWidget* parent);

  int rank() const override { return 3; }
  /// Of its tab: says how many localizations were cut off, by a crash or by the user, and can be gone on with.
  QString title() const override;
  void set_model(const event::ModelOpened&) override {}
  void runs_changed(int count) override;
  bool show_run(const QString& folder) override;
  void keep(SessionFile& session) const override;
  void restore(const SessionFile& session) override;
  std::vector<View> views() override;
  /// Of the run that is shown, as the page Study saves its own: heatmap.png, scores.csv and localization.json, under run-.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;

 protected:
  void on_event(const Event&) override {}
  void showEvent(QShowEvent* event) override;
  void hideEvent(QHideEvent* event) override;

 private:
  QWidget* build_list();
  QWidget* build_run();
  void read(const QString& folder);
  void stop_reading();
  void on_read(const Event& event);
  void show_facts(const event::RunRead& run);
  void show_map();
  void show_part();
  void refresh();
  void rename();
  void move_to_trash();
  // Whether nobody fills the folder now; says so if someone does.
  bool is_free(const RunEntry& run);

  EngineBridge* reader_;
  JobId reading_ = 0;
  bool read_again_ = false;  // what is shown has changed since the reading began
  QString shown_folder_;
  int unfinished_ = 0;
  bool window_works_ = false;
  std::map<QString, event::MapReady> maps_;
  QString facts_text_;
  QStringList faults_;        // of the run's files
  SiteSelection* selection_;  // of the run's sites, whatever is open

  RunList* list_;
  QTimer* again_;
  QPushButton *go_on_, *rename_, *trash_, *files_, *compare_;
  QLabel *title_, *facts_, *state_;
  QLineEdit* note_;
  QComboBox *part_, *map_score_;
  QStackedWidget* parts_;
  PicturesPanel* pictures_;
  ScoresPanel* scores_;
  QTextBrowser* card_;
  Heatmap* map_;
  QLabel* map_text_;
};

}  // namespace glyphscope
