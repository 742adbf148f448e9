#pragma once

#include <optional>
#include <vector>

#include "app/window/page.h"

class QCheckBox;
class QLabel;
class QLineEdit;
class QPlainTextEdit;
class QProgressBar;
class QPushButton;
class QSpinBox;
class QTableWidget;
class QTabWidget;

namespace glyphscope {

class GuardLogView;
class MessageStrip;
class PictureView;
class TermList;

/// Keeps listed words out of every picture that the window makes: the list with a live test of a prompt, the switch, a comparison with what one would do
/// otherwise, and the log.
class GuardPage : public Page {
  Q_OBJECT
 public:
  GuardPage(Workbench* bench, QWidget* parent);

  /// The guard stays on, with the new model's sites.
  void set_model(const event::ModelOpened& model) override;
  void keep(SessionFile& session) const override;
  /// The guard that was on is switched on again.
  void restore(const SessionFile& session) override;
  bool on() const { return on_; }
  bool busy() const { return set_ != 0 || comparison_ != 0; }
  /// Of its tab: says whether it is on.
  QString title() const override;
  /// Of a comparison guard.csv, guard.json and guard-samples.png. Files go to `saved`, those that could not be written to `failed`.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;

 protected:
  void on_event(const Event& event) override;
  void job_ended() override;

 private:
  QWidget* build_settings();
  QWidget* build_comparison();
  std::optional<TermList> terms() const;  ///< None where the list has a fault; it is shown.
  command::SetGuard settings() const;
  void set(bool on);
  void compare();
  void load_words();
  void store_words();
  void show_test();
  void show_comparison(const event::GuardCompared& compared);
  void set_sites(const std::vector<int>& sites);
  void refresh();

  JobId set_ = 0, comparison_ = 0;
  bool model_ = false, on_ = false;
  command::SetGuard asked_, held_;  ///< What set_ asks for, and what is on.
  std::vector<int> sites_;
  std::optional<event::GuardCompared> compared_;

  MessageStrip* message_;
  QPlainTextEdit* words_;
  QLineEdit *test_, *log_, *prompts_, *classifier_;
  QLabel *list_facts_, *found_, *site_facts_, *state_, *status_;
  QPushButton *switch_, *apply_, *take_, *compare_, *stop_;
  QSpinBox *from_step_, *count_;
  QCheckBox* clear_text_;
  QProgressBar* bar_;
  QTableWidget* table_;
  PictureView* sheet_;
  GuardLogView* log_view_;
};

}  // namespace glyphscope
