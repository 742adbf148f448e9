#pragma once

#include <QMainWindow>
#include <memory>

#include "app/window/page.h"
#include "tasks/session_file.h"

class QLabel;
class QLineEdit;
class QAction;
class QTabWidget;
class QTemporaryDir;
class QTimer;
class QToolButton;

namespace glyphscope {

class AdapterList;
class HeatLegend;
class JobBar;
class MessageStrip;
class ModelMap;
class SessionKeeper;
class SiteList;

/// The workbench: a model's map and the pages. It wires widgets to the engine, and computes nothing.
class MainWindow : public QMainWindow, public Workbench {
  Q_OBJECT
 public:
  explicit MainWindow(QWidget* parent = nullptr);
  ~MainWindow() override;

  /// Opens a folder, a checkpoint or a demo model as it comes.
  void open_model(const QString& source);
  /// Opens a session: its model, and, once that is open, all else. What cannot be read is a message, and changes nothing.
  void open_session(const QString& file);
  /// Saves it under its name, or asks for one.
  void save_session();
  SessionKeeper* session() { return session_; }
  /// Saves what each page has to keep, and window.png. Returns the files; none if one could not be written.
  QStringList export_all(const QString& folder);

  EngineBridge* engine() override { return engine_; }
  SiteSelection* selection() override { return selection_; }
  SharedSampling* sampling() override { return sampling_; }
  Drawing drawing() const override;
  JobId run(Command command) override;
  JobId enqueue(command::Localize run) override;
  bool may_end(const QString& what) override;
  bool open(const command::OpenModel& model) override;
  void go_on(const QString& folder) override;
  bool show_run(const QString& folder) override;
  void compare(const QString& what) override;
  void add_to_figure(const std::vector<Figure::Part>& parts) override;
  void use_adapter(const QString& file) override;
  void save_adapter(const QString& file, const QString& format) override;
  void show_scores(const QString& title, const std::map<int, ScoreValue>& values, std::optional<double> threshold, const ValueScale& scale = {}) override;
  void say(const QString& text) override;
  void note(const std::vector<std::string>& texts) override;
  void fail(const QString& text) override;
  /// Three steps on what is in the window; they are shown by themselves once on a machine.
  void start_tour();
  AdapterList& adapters() { return *adapters_; }
  bool busy() const { return job_ != 0 || !runs_.empty(); }
  /// A job that takes longer, in seconds, is not ended before the user has said so.
  double long_job = 60;

 protected:
  void dragEnterEvent(QDragEnterEvent*) override;
  void dropEvent(QDropEvent*) override;
  void closeEvent(QCloseEvent*) override;

 private:
  // main_window_session.cpp
  void build_session_menu(QMenu& file, QMenu& edit);
  void save_session_as();
  SessionFile collect_session() const;
  QJsonObject session_state() const;
  void apply_state(const QJsonObject& state);
  void take_session(SessionFile session, const QString& file);
  void find_model_of(SessionFile session, const QString& file);
  void restore_session();
  void check_session_hash();
  /// Another model is open, which is no session's: what was there is set aside.
  void leave_session();
  void show_session_status();

  void go_on(const QString& folder, bool opened);
  void build();
  void build_menus();
  QWidget* build_side();

  void choose_model();
  bool may_end(const QString& what, bool closing);
  void choose_adapter();
  void on_event(const Event& event);
  // main_window_runs.cpp
  QWidget* build_queue(QWidget* parent);
  void on_run_event(const Event& event);
  void show_runs();
  void end_runs();

  void show_model(const event::ModelOpened& model);
  void save_view(const View& view);
  void save_figure_of(const Figure& figure, const QString& file);
  void connect_figures();
  /// What a screenshot shows, as JSON for its metadata.
  /// Waits for it, if it is not formed yet; empty if there is no model.
  QString hash_text() const;
  QString settings_text() const;

  EngineBridge* engine_;
  SiteSelection* selection_;
  SharedSampling* sampling_;
  std::vector<std::string> notes_;  ///< Of the job.
  JobId job_ = 0;                   ///< The job whose events are shown; others are stale.
  std::vector<SiteItem> sites_;
  command::OpenModel opened_;    ///< By what the model was opened,
  std::int64_t open_bytes_ = 0;  ///< and what it takes of its device.
  QString going_on_;             ///< The folder of a run to go on with when its model is open.
  // Runs that are at work (the first) and that wait, in order.
  struct QueuedRun {
    JobId job = 0;
    QString name;
  };
  std::vector<QueuedRun> runs_;
  QString model_source_, upscaler_source_, last_done_;
  std::optional<ModelHash> model_hash_;
  QTimer* hash_known_;  ///< Shows it once it is formed.

  // Where the model computes, and a menu to open it again elsewhere.
  QToolButton* device_menu_;
  QLabel *model_title_, *model_facts_, *selection_facts_;
  ModelMap* map_;
  HeatLegend* legend_;
  QLineEdit* search_;
  SiteList* list_;
  AdapterList* adapters_;
  QTimer* adapters_settle_;
  std::vector<Page*> pages_;
  SessionKeeper* session_ = nullptr;
  // A session that is shown once its model is open, and the file that it is of.
  std::unique_ptr<SessionFile> session_to_show_;
  QString session_to_show_file_;
  std::unique_ptr<QTemporaryDir> session_pictures_;  ///< Real pictures that sessions brought along.
  JobId session_job_ = 0;                            ///< Opens its model.
  QString session_hash_;                             ///< Of the model that it is of, until that is known of the open one.
  QStringList session_notes_;
  std::vector<SessionFile::Reference> session_runs_, session_trainings_;
  std::string session_unknown_;  ///< JSON of what the session has from a newer version.
  QAction *undo_ = nullptr, *redo_ = nullptr;
  QTabWidget* tabs_;
  JobBar *jobs_, *run_bar_;
  QToolButton* queue_;
  MessageStrip* message_;
};

/// Light or dark colours for the whole application.
void apply_theme(bool dark);

}  // namespace glyphscope
