#pragma once

#include <optional>

#include "app/window/page.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QTableWidget;

namespace glyphscope {

class CompareView;

/// Two runs, or two pictures, beside each other: what their scores differ by, with intervals, and their pictures. No model is needed: an engine of the page's
/// own reads them, whatever the window's is at.
class ComparePage : public Page {
  Q_OBJECT
 public:
  ComparePage(Workbench* bench, QWidget* parent);

  int rank() const override { return 3; }
  void set_model(const event::ModelOpened& model) override;
  std::vector<View> views() override;
  /// The first of two, or the second where there is a first; compared once there are both.
  bool take_to_compare(const QString& what) override;
  void keep(SessionFile& session) const override;
  void restore(const SessionFile& session) override;
  /// Saves comparison.json and comparison.csv, if there is one.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;

 protected:
  void on_event(const Event&) override {}

 private:
  QWidget* build_table();
  void choose_into(QLineEdit* field, bool run);
  void compare();
  void forget();
  void on_compared(const Event& event);
  void show_table();
  void show_variant();
  void show_cell();
  /// Colours the window's map by the differences of single sites, where its model has those.
  void show_on_map();
  Figure figure() const;
  void refresh();

  EngineBridge* reader_;
  JobId job_ = 0;
  std::optional<event::RunsCompared> runs_;
  std::optional<event::PicturesCompared> pictures_;

  QLineEdit *first_, *second_;
  int sites_ = 0;  ///< Of the window's model.
  QPushButton *compare_, *stop_, *map_;
  QLabel *facts_, *state_;
  QComboBox *score_, *cell_;
  QTableWidget* table_;
  QWidget* side_;
  CompareView* view_;
};

}  // namespace glyphscope
