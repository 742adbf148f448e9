#pragma once

#include <QMainWindow>

#include "app/window/page.h"
#include "widgets/site_values.h"

class QLabel;
class QMenu;
class QTabWidget;
class QTimer;

namespace glyphscope {

class AdapterList;
class JobBar;
class MessageStrip;
class ModelMap;
class PicturesPanel;
class PromptPanel;
class ScoresPanel;
class SiteList;

/// The workbench: a model's map, prompts A and B, the pictures, the heatmap, and the pages that edit, fine-tune and guard. It wires widgets to the engine, and
/// computes nothing.
class MainWindow : public QMainWindow, public Workbench {
  Q_OBJECT
 public:
  explicit MainWindow(QWidget* parent = nullptr);

  /// Opens a folder, a checkpoint or a demo model as it comes; or with what the command says.
  void open_model(const QString& source);
  void open_model(const command::OpenModel& model);
  /// Goes on with the localization in a folder, by its own settings; opens its model first if another is open.
  void go_on(const QString& folder);
  /// Saves source.png, target.png, patched.png, heatmap.png, heatmap.svg, scores.csv, localization.json, window.png, of an edit edit-source.png and edit.png,
  /// of a fine-tuning training.svg, training.csv and samples.png, and of the guard's comparison guard.csv, guard.json and guard-samples.png: what there is of
  /// them. Returns the files.
  QStringList export_all(const QString& folder);

  EngineBridge* engine() override { return engine_; }
  SiteSelection* selection() override { return selection_; }
  Drawing drawing() const override;
  void restore_sampling(const command::Sampling& sampling) override;
  void use_adapter(const QString& file) override;
  void save_adapter(const QString& file, const QString& format) override;
  AdapterList& adapters() { return *adapters_; }
  bool busy() const { return job_ != 0; }
  /// Pairs of the next localization.
  int pairs = 16;
  /// A job that takes longer, in seconds, is not ended before the user has said so.
  double long_job = 60;

 protected:
  void dragEnterEvent(QDragEnterEvent*) override;
  void dropEvent(QDropEvent*) override;
  void closeEvent(QCloseEvent*) override;

 private:
  void build();
  void build_menus();
  QWidget* build_side();
  QWidget* build_study();

  void choose_model();
  void localize();
  void start(Command command);
  /// Whether what runs may end: it is short, or the user says so. what: that would end it, for the question.
  bool may_end(const QString& what, bool closing = false);
  void list_unfinished(QMenu* menu);
  void go_on(const QString& folder, bool opened);
  void draw(command::Generate command);
  /// The last pictures again, with the adapters as they are now.
  void draw_again();
  void choose_adapter();
  void on_event(const Event& event);
  void show_model(const event::ModelOpened& model);
  /// What a whole localization found: says it, and selects the best sites.
  void show_findings(const event::ScoresReady& scores);
  void refresh_buttons();
  void fail(const QString& text);
  /// Says these too, under what the job has had to say already.
  void note(const std::vector<std::string>& texts);
  void save_view(QWidget* view, const QString& name);
  /// What a screenshot shows, as JSON for its metadata: the fields as they are, and the run that scores are of by its own settings.
  QString settings_text() const;

  EngineBridge* engine_;
  SiteSelection* selection_;
  std::vector<std::string> notes_;  ///< Of the job.
  JobId job_ = 0;                   ///< The job whose events are shown; others are stale.
  std::vector<SiteItem> sites_;
  command::OpenModel opening_;              ///< The last that was asked for.
  std::optional<command::Generate> drawn_;  ///< The last pictures of this model that were asked for.
  bool drawing_ = false;                    ///< The job draws them.
  bool localizing_ = false;                 ///< The job is a localization.
  QString going_on_;                        ///< The folder of a localization to go on with when its model is open.
  bool drawn_stale_ = false;                ///< Adapters have changed since, while something else ran.
  QString model_source_, model_hash_, upscaler_source_, last_done_;

  QLabel *model_title_, *model_facts_, *selection_facts_;
  ModelMap* map_;
  SiteList* list_;
  PromptPanel* prompts_;
  PicturesPanel* pictures_;
  ScoresPanel* scores_;
  AdapterList* adapters_;
  QTimer* adapters_settle_;
  std::vector<Page*> pages_;  ///< Beside the study, which is the window's own.
  QTabWidget* tabs_;
  JobBar* jobs_;
  MessageStrip* message_;
};

/// Light or dark colours for the whole application.
void apply_theme(bool dark);

}  // namespace glyphscope
