#pragma once

#include <QWidget>
#include <set>
#include <vector>

#include "app/window/drawing.h"
#include "app/window/engine_bridge.h"
#include "widgets/site_selection.h"

namespace glyphscope {

/// What the window offers its pages.
class Workbench {
 public:
  virtual EngineBridge* engine() = 0;
  virtual SiteSelection* selection() = 0;
  /// How pictures are sampled now, and by which adapters.
  virtual Drawing drawing() const = 0;
  /// Shows a sampling in the fields that all pages share.
  virtual void restore_sampling(const command::Sampling& sampling) = 0;
  /// Puts an adapter to work, where its pictures are seen.
  virtual void use_adapter(const QString& file) = 0;
  /// Asks where to, and writes an adapter anew in this format.
  virtual void save_adapter(const QString& file, const QString& format) = 0;

 protected:
  ~Workbench() = default;
};

/// A tab of the window. Its file NAME_page.cpp defines `Page* make_NAME_page(Workbench*, QWidget*)`; that is all: the window has a tab for each such file, in
/// their order.
class Page : public QWidget {
  Q_OBJECT
 public:
  /// name: of its tab, its view in the menu, and (in lower case) of the picture that is saved of it.
  Page(Workbench* bench, const QString& name, QWidget* parent);

  const QString& name() const { return name_; }
  /// Of its tab: the name, and how things are.
  virtual QString title() const { return name_; }
  /// Another model is open.
  virtual void set_model(const event::ModelOpened& model) = 0;
  /// Another model is on its way: until it is there, nothing can be started. Or it did not come.
  virtual void set_opening(bool opening) { (void)opening; }
  /// What is at work has changed.
  virtual void adapters_changed() {}
  /// Saves what there is to keep of what is shown, under names of its own. Files go to `saved`, those that could not be written to `failed`.
  virtual void save(const QString& folder, QStringList& saved, QStringList& failed) const = 0;

 signals:
  void title_changed();

 protected:
  Workbench& bench() const { return *bench_; }
  EngineBridge* engine() const { return bench_->engine(); }
  /// Asks the engine for it; what happens to it comes to on_event().
  JobId post(Command command);
  /// Of a job of this page.
  virtual void on_event(const Event& event) = 0;
  /// Any job has ended, whoever posted it.
  virtual void job_ended() {}

 private:
  Workbench* bench_;
  QString name_;
  std::set<JobId> jobs_;
};

/// All pages there are.
std::vector<Page*> make_pages(Workbench* bench, QWidget* parent);

}  // namespace glyphscope
