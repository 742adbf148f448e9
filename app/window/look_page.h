#pragma once

#include "app/window/page.h"
#include "tasks/attention_view.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QSlider;

namespace glyphscope {

class Heatmap;
class PictureView;
class SamplingFields;

/// Where a picture looks among its prompt's words: attention maps over it, of the selected sites, of all steps or some.
class LookPage : public Page {
  Q_OBJECT
 public:
  LookPage(Workbench* bench, QWidget* parent);

  void set_model(const event::ModelOpened& model) override;
  void set_job(WindowJob job, bool succeeded) override;
  std::vector<View> views() override;
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;

 protected:
  void on_event(const Event& event) override;

 private:
  void draw();
  void refresh();
  void show_table();
  /// Of sites that were recorded, those that are selected; none: all.
  std::vector<int> sites() const;
  AttentionMap map_shown() const;

  std::optional<event::AttentionReady> look_;
  SiteTable table_;
  QString given_prompt_;
  WindowJob window_job_ = WindowJob::none;
  QLineEdit *prompt_, *heads_;
  SamplingFields* sampling_;
  QPushButton* draw_;
  QComboBox* word_;
  QSlider *step_, *opacity_;
  QLabel *step_text_, *facts_;
  PictureView* view_;
  Heatmap* table_view_;
};

}  // namespace glyphscope
