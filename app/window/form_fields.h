#pragma once

#include <QFormLayout>
#include <functional>

class QComboBox;
class QLabel;
class QSpinBox;
class QVBoxLayout;
class QWidget;

namespace glyphscope {

/// Rows of fields in groups, one under the other, as forms lay them out: labels begin in one line, are buddies of their fields, and give them their names.
class FormFields {
 public:
  /// owner: gets the layout, and outlives this. widest: the longest label of all groups. changed: a whole number or a choice has changed.
  FormFields(QWidget* owner, const QString& widest, std::function<void()> changed);

  QVBoxLayout* rows() const { return rows_; }
  QFormLayout* form() const { return form_; }

  void group(const QString& title);
  template <class Widget>
  Widget* field(Widget* widget, const QString& label, const QString& tip, const char* name) {
    add(widget, label, tip, name);
    return widget;
  }
  QSpinBox* whole(const QString& label, const QString& tip, const char* name, int low, int high, int value);
  QComboBox* combo(const QStringList& items, const QString& label, const QString& tip, const char* name);
  /// Words in grey, over the whole width.
  QLabel* facts(const char* name);
  QLabel* caption(const QString& text, QWidget* field);
  /// Once all fields are there: the wheel moves the panel, and changes no field that has not been chosen.
  void guard_wheel();

 private:
  void add(QWidget* widget, const QString& label, const QString& tip, const char* name);

  QWidget* owner_;
  std::function<void()> changed_;
  QVBoxLayout* rows_;
  QFormLayout* form_ = nullptr;
  int width_;
};

}  // namespace glyphscope
