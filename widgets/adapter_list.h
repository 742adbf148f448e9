#pragma once

#include <QWidget>
#include <string>
#include <vector>

class QLabel;
class QVBoxLayout;

namespace glyphscope {

/// Adapters that are at work, each with a switch and a slider for its strength, 0 to 2.
class AdapterList : public QWidget {
  Q_OBJECT
 public:
  explicit AdapterList(QWidget* parent = nullptr);

  /// A file that is there already is switched on.
  void add(const QString& file, double strength = 1);
  void clear();
  int count() const { return static_cast<int>(rows_.size()); }
  /// Those that are on and count more than nothing, as FILE:STRENGTH.
  std::vector<std::string> at_work() const;
  void set_strength(int row, double strength);
  struct State {
    QString file;
    double strength = 1;
    bool on = true;
    bool operator==(const State&) const = default;
  };
  std::vector<State> state() const;
  /// These, and no others.
  void set_state(const std::vector<State>& state);

 signals:
  /// What is at work changed; while a slider moves, at each stop of it.
  void changed();
  void add_requested();
  /// "diffusers" or "kohya".
  void save_requested(const QString& file, const QString& format);

 private:
  struct Row;
  void remove(const QString& file);
  void refresh();

  std::vector<Row*> rows_;
  QVBoxLayout* column_;
  QLabel* empty_;
};

}  // namespace glyphscope
