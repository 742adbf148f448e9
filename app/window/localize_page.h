#pragma once

#include <optional>

#include "app/window/page.h"

class QLabel;
class QPushButton;
class QTableWidget;

namespace glyphscope {

class LocalizeForm;

/// Asks a model which of its sites write the text: the question, what it takes, and the run, which is kept in the workspace and seen on the page Runs.
class LocalizePage : public Page {
  Q_OBJECT
 public:
  LocalizePage(Workbench* bench, QWidget* parent);

  int rank() const override { return 1; }
  void set_model(const event::ModelOpened& model) override;
  void set_job(WindowJob job, bool succeeded) override;
  void adapters_changed() override { outdate(); }
  /// With a card or a map; a localization is seen on the page Study.
  bool go_on(const QString& folder) override;
  void keep(SessionFile& session) const override;
  void restore(const SessionFile&) override { folder_.clear(); }
  /// What the last plan says: localization-plan.json.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;

 protected:
  void on_event(const Event& event) override;

 private:
  QWidget* build_plan();
  // What the form asks for, if it can be; else says why not.
  std::optional<command::Localize> asked();
  void plan();
  void start();
  void show_plan(const event::RunPlanned& plan);
  // The plan is of another question than the form's.
  void outdate();
  void refresh();

  LocalizeForm* form_;
  QTableWidget* table_;
  QLabel *sums_, *state_;
  QPushButton *plan_, *start_, *see_;
  WindowJob window_job_ = WindowJob::none;
  JobId planning_ = 0, running_ = 0;
  bool model_ = false;
  QString model_source_, folder_;  // of the run that was begun last
  std::string document_;           // of the plan
  bool changed_since_ = false;     // what is asked is another question than the plan's
  std::vector<int> found_;
};

}  // namespace glyphscope
