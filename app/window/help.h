#pragma once

#include <QDialog>
#include <QFrame>
#include <QPointer>
#include <vector>

class QLabel;
class QPushButton;

namespace glyphscope {

/// What a page is for and how it is used: resources/help/NAME.md.
class HelpDialog : public QDialog {
  Q_OBJECT
 public:
  /// page: its object name without "_page".
  HelpDialog(const QString& page, QWidget* parent);
};

/// A few steps, each told beside what it is about, one after the other.
class Tour : public QFrame {
  Q_OBJECT
 public:
  struct Step {
    QString text;
    QPointer<QWidget> about;
  };
  Tour(std::vector<Step> steps, QWidget* window);

  /// Whether nobody has seen or closed it on this machine yet.
  static bool unseen();

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  void show_step(size_t step);
  void place();
  void end();

  std::vector<Step> steps_;
  size_t step_ = 0;
  QLabel *text_, *count_;
  QPushButton *next_, *back_;
};

}  // namespace glyphscope
