#pragma once

#include <QWidget>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "app/window/drawing.h"
#include "app/window/engine_bridge.h"
#include "app/window/shared_sampling.h"
#include "plot/figure.h"
#include "widgets/site_selection.h"
#include "widgets/site_values.h"

class QJsonObject;
class QMenu;

namespace glyphscope {

struct SessionFile;

/// What the window offers its pages.
class Workbench {
 public:
  virtual EngineBridge* engine() = 0;
  virtual SiteSelection* selection() = 0;
  virtual SharedSampling* sampling() = 0;
  /// How pictures are sampled now, and by which adapters.
  virtual Drawing drawing() const = 0;

  /// Runs it as the window's job, in place of the one before, but for runs (see enqueue): its progress and its end are shown below all pages, where it can be
  /// cancelled.
  virtual JobId run(Command command) = 0;
  /// Puts a run into the window's queue: runs come one after the other, and what is looked at meanwhile comes between two of their cells.
  virtual JobId enqueue(command::Localize run) = 0;
  /// Whether the window's job and its runs may end: they are short, or the user says so. what: that would end it, for the question.
  virtual bool may_end(const QString& what) = 0;
  /// Opens a model as the window's job. False if it cannot be opened, or the user keeps the job that runs.
  virtual bool open(const command::OpenModel& model) = 0;

  /// Goes on with the run in a folder, by its own settings, where that is seen; opens its model first if another is open.
  virtual void go_on(const QString& folder) = 0;
  /// Shows the run in a folder; false if none is there.
  virtual bool show_run(const QString& folder) = 0;
  /// Puts a run's folder or a picture's file beside another, where both are seen.
  virtual void compare(const QString& what) = 0;
  /// Adds parts to the figure that is composed.
  virtual void add_to_figure(const std::vector<Figure::Part>& parts) = 0;
  /// Puts an adapter to work, where its pictures are seen.
  virtual void use_adapter(const QString& file) = 0;
  /// Asks where to, and writes an adapter anew in this format.
  virtual void save_adapter(const QString& file, const QString& format) = 0;

  /// Colours the map and the list of sites by a score. Cells whose interval holds the threshold are hatched.
  virtual void show_scores(const QString& title, const std::map<int, ScoreValue>& values, std::optional<double> threshold, const ValueScale& scale = {}) = 0;
  /// A message above all pages; under notes that the window's job has had before; of what went wrong.
  virtual void say(const QString& text) = 0;
  virtual void note(const std::vector<std::string>& texts) = 0;
  virtual void fail(const QString& text) = 0;

 protected:
  ~Workbench() = default;
};

/// What the window's job does.
enum class WindowJob { none, opening, other };

/// Something that is shown and can be saved: as it looks, or as a figure.
struct View {
  QString name;  ///< In the menu.
  QString file;  ///< What it is called if the user does not say otherwise.
  std::function<QImage()> look;
  std::function<Figure()> figure;
};

/// A widget as it looks, once all that has changed in it is laid out, twice as fine as on the screen.
QImage look_of(QWidget* widget);
View picture_of(QWidget* widget, const QString& name);

/// Whether a job has ended with it.
bool is_end(const event::Any& what);

/// A tab of the window. Its file NAME_page.cpp defines `Page* make_NAME_page(Workbench*, QWidget*)`; that is all: the window has a tab for each such file.
class Page : public QWidget {
  Q_OBJECT
 public:
  /// name: of its tab, its view in the menu, and (in lower case) of the picture that is saved of it.
  Page(Workbench* bench, const QString& name, QWidget* parent);

  const QString& name() const { return name_; }
  /// Of its tab: the name, and how things are.
  virtual QString title() const { return name_; }
  /// Where its tab is: lower ones first, those of one rank in the order of their files' names.
  virtual int rank() const { return 2; }
  /// Another model is open.
  virtual void set_model(const event::ModelOpened& model) = 0;
  /// The window's job has begun, in place of any before, whose events are stale; or it has ended, as it should or not. While a model is on its way, nothing
  /// can be started.
  virtual void set_job(WindowJob job, bool succeeded) { (void)job, (void)succeeded; }
  /// So many runs are at work or wait.
  virtual void runs_changed(int count) { (void)count; }
  /// Goes on with the run in a folder, whose model is open, if that is this page's job.
  virtual bool go_on(const QString& folder) { return (void)folder, false; }
  /// Shows the run in a folder, if one is there and that is this page's job.
  virtual bool show_run(const QString& folder) { return (void)folder, false; }
  /// Takes a run's folder or a picture's file as one of two to compare, if that is this page's job.
  virtual bool take_to_compare(const QString& what) { return (void)what, false; }
  /// Takes parts of a figure that is composed, or opens the PNG of one, if that is this page's job.
  virtual bool take_parts(const std::vector<Figure::Part>& parts) { return (void)parts, false; }
  virtual bool take_figure(const QString& file) { return (void)file, false; }
  /// Takes a picture's file to work on, if that is this page's job.
  virtual bool take_picture(const QString& file) { return (void)file, false; }
  /// Adds to a session what the page has beside its fields; and shows it again, once the session's model is open and its fields are set.
  virtual void keep(SessionFile& session) const { (void)session; }
  virtual void restore(const SessionFile& session) { (void)session; }
  /// Takes back its own last step, or does it again, where it has steps of its own; else those of the window are meant.
  virtual bool undo() { return false; }
  virtual bool redo() { return false; }
  /// What is at work has changed.
  virtual void adapters_changed() {}
  /// Adds what the page can do to the window's menus.
  virtual void add_actions(QMenu& file, QMenu& view) { (void)file, (void)view; }
  /// What of it can be saved as a picture.
  virtual std::vector<View> views() { return {picture_of(this, name_)}; }
  /// Adds what is shown to the metadata of the window's picture.
  virtual void describe(QJsonObject& settings) const { (void)settings; }
  /// Saves what there is to keep of what is shown, under names of its own. Files go to `saved`, those that could not be written to `failed`.
  virtual void save(const QString& folder, QStringList& saved, QStringList& failed) const = 0;

 signals:
  void title_changed();
  /// What a session keeps of it, beside fields, is other than before.
  void content_changed();

 protected:
  Workbench& bench() const { return *bench_; }
  EngineBridge* engine() const { return bench_->engine(); }
  /// Asks the engine for it, beside the window's job, or as the window's job; what happens to it comes to on_event().
  JobId post(Command command);
  JobId run(Command command);
  JobId enqueue(command::Localize run);
  /// Of a job of this page.
  virtual void on_event(const Event& event) = 0;
  /// Any job has ended, whoever posted it.
  virtual void job_ended() {}

 private:
  Workbench* bench_;
  QString name_;
  std::set<JobId> jobs_;
};

/// All pages there are, in the order of their tabs.
std::vector<Page*> make_pages(Workbench* bench, QWidget* parent);

}  // namespace glyphscope
