#pragma once

#include "app/window/page.h"
#include "plot/figure.h"

class QCheckBox;
class QLineEdit;
class QListWidget;
class QPushButton;
class QSpinBox;

namespace glyphscope {

class FigureForm;

/// A figure that is composed of pictures, heatmaps, maps and curves, which their menus send here.
class FigurePage : public Page {
  Q_OBJECT
 public:
  FigurePage(Workbench* bench, QWidget* parent);

  QString title() const override;
  int rank() const override { return 3; }
  void set_model(const event::ModelOpened&) override {}
  bool take_parts(const std::vector<Figure::Part>& parts) override;
  bool take_figure(const QString& file) override;
  void keep(SessionFile& session) const override;
  void restore(const SessionFile& session) override;
  bool undo() override;
  bool redo() override;
  std::vector<View> views() override;
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;

 protected:
  void on_event(const Event&) override {}

 private:
  /// The parts have changed, by the user: the step before can be taken back, with the fields as they were.
  void change(const std::function<void(std::vector<Figure::Part>&)>& edit);
  DrawnFigure drawn() const;
  void put(const DrawnFigure& drawn);
  void show_parts(int current);
  void refresh();
  void open();
  void show_figure(const DrawnFigure& drawn);
  Figure figure() const;

  std::vector<Figure::Part> parts_;
  std::vector<DrawnFigure> past_, future_;
  mutable std::shared_ptr<const std::string> kept_;  ///< As the session keeps it; none since the last change.
  bool showing_ = false;
  QListWidget* list_;
  QLineEdit *title_, *note_;
  QSpinBox* columns_;
  QCheckBox* lettered_;
  FigureForm* form_;
  std::vector<QPushButton*> of_a_part_, of_a_figure_;
};

}  // namespace glyphscope
