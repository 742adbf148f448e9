#include "app/window/field_state.h"

#include <QtWidgets>

namespace glyphscope {

namespace {

// Names of what looks, and sets nothing.
bool only_looks(const QString& name) {
  static const QRegularExpression looks("^(qt_|run_)|swipe|scrubber|search|filter|^look_word$");
  return name.isEmpty() || looks.match(name).hasMatch();
}

// The value of a field; undefined for what is none.
QJsonValue value_of(const QWidget* field) {
  if (const auto* line = qobject_cast<const QLineEdit*>(field)) return line->text();
  if (const auto* text = qobject_cast<const QPlainTextEdit*>(field))
    return text->isReadOnly() ? QJsonValue(QJsonValue::Undefined) : QJsonValue(text->toPlainText());
  if (const auto* number = qobject_cast<const QSpinBox*>(field)) return number->value();
  if (const auto* number = qobject_cast<const QDoubleSpinBox*>(field)) return number->value();
  if (const auto* choice = qobject_cast<const QComboBox*>(field)) return choice->currentIndex();
  if (const auto* box = qobject_cast<const QCheckBox*>(field)) return box->isChecked();
  if (const auto* slider = qobject_cast<const QSlider*>(field)) return slider->value();
  return QJsonValue::Undefined;
}

bool set_value(QWidget* field, const QJsonValue& value) {
  if (value_of(field) == value) return true;
  if (auto* line = qobject_cast<QLineEdit*>(field)) return value.isString() && (line->setText(value.toString()), true);
  if (auto* text = qobject_cast<QPlainTextEdit*>(field)) return value.isString() && (text->setPlainText(value.toString()), true);
  if (!value.isDouble() && !value.isBool()) return false;
  if (auto* number = qobject_cast<QSpinBox*>(field)) return number->setValue(value.toInt()), true;
  if (auto* number = qobject_cast<QDoubleSpinBox*>(field)) return number->setValue(value.toDouble()), true;
  if (auto* choice = qobject_cast<QComboBox*>(field)) {
    if (value.toInt() < choice->count()) choice->setCurrentIndex(value.toInt());
    return true;
  }
  if (auto* box = qobject_cast<QCheckBox*>(field)) return value.isBool() && (box->setChecked(value.toBool()), true);
  if (auto* slider = qobject_cast<QSlider*>(field)) return slider->setValue(value.toInt()), true;
  return false;
}

}  // namespace

QJsonObject fields_of(const QWidget& root) {
  QJsonObject out;
  for (const QWidget* field : root.findChildren<QWidget*>()) {
    if (only_looks(field->objectName())) continue;
    if (const QJsonValue value = value_of(field); !value.isUndefined()) out[field->objectName()] = value;
  }
  return out;
}

QStringList set_fields(QWidget& root, const QJsonObject& fields) {
  QStringList unknown;
  // Twice, as a field may have another range or other choices once another is set.
  for (const bool last : {false, true})
    for (auto one = fields.begin(); one != fields.end(); ++one) {
      auto* field = only_looks(one.key()) ? nullptr : root.findChild<QWidget*>(one.key());
      const bool set = field && set_value(field, one.value());
      if (!set && last) unknown << one.key();
    }
  return unknown;
}

}  // namespace glyphscope
