#pragma once

#include <QElapsedTimer>
#include <QWidget>

class QLabel;
class QProgressBar;
class QToolButton;

namespace glyphscope {

/// What is running, how far it is, how long it will take, and a button to stop it.
class JobBar : public QWidget {
  Q_OBJECT
 public:
  /// cancel: the name of its button.
  explicit JobBar(QWidget* parent = nullptr, const char* cancel = "cancel");
  /// Beside what is shown: "2 more wait".
  void set_more(const QString& text);
  void start(const QString& what);
  void set_progress(const QString& what, qint64 done, qint64 total);
  /// `summary` stays until the next job.
  void finish(const QString& summary);
  bool running() const { return running_; }
  QString text() const;
  QString time_left() const;
  /// What the running job takes in all, as far as can be told; 0 where none runs.
  double expected_seconds() const;

 signals:
  void cancel_requested();

 protected:
  void changeEvent(QEvent*) override;

 private:
  void colour();
  QLabel *label_, *left_, *more_;
  QProgressBar* bar_;
  QToolButton* cancel_;
  QElapsedTimer clock_, begun_;
  bool running_ = false;
  double first_share_ = 0, last_share_ = 0;  ///< Of the phase that clock_ measures.
};

/// "3 s", "2 min 05 s", "1 h 10 min"
QString duration_text(double seconds);

}  // namespace glyphscope
