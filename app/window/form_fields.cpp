#include "app/window/form_fields.h"

#include <QtWidgets>

namespace glyphscope {

namespace {

class WheelGuard : public QObject {
 public:
  using QObject::QObject;
  bool eventFilter(QObject* watched, QEvent* event) override {
    if (event->type() != QEvent::Wheel || static_cast<QWidget*>(watched)->hasFocus()) return false;
    event->ignore();
    return true;
  }
};

}  // namespace

FormFields::FormFields(QWidget* owner, const QString& widest, std::function<void()> changed)
    : owner_(owner), changed_(std::move(changed)), rows_(new QVBoxLayout(owner)), width_(owner->fontMetrics().horizontalAdvance(widest) + 8) {
  rows_->setContentsMargins(0, 0, 8, 0);
  rows_->setSpacing(4);
}

void FormFields::group(const QString& title) {
  auto* label = new QLabel(title, owner_);
  QFont bold = owner_->font();
  bold.setBold(true);
  label->setFont(bold);
  label->setContentsMargins(0, rows_->isEmpty() ? 0 : 8, 0, 0);
  rows_->addWidget(label);
  form_ = new QFormLayout;
  form_->setSpacing(4);
  form_->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
  rows_->addLayout(form_);
}

void FormFields::add(QWidget* widget, const QString& label, const QString& tip, const char* name) {
  widget->setToolTip(tip);
  widget->setObjectName(name);
  widget->setAccessibleName(QString(label).remove('&'));
  form_->addRow(caption(label, widget), widget);
}

QSpinBox* FormFields::whole(const QString& label, const QString& tip, const char* name, int low, int high, int value) {
  auto* box = field(new QSpinBox(owner_), label, tip, name);
  box->setRange(low, high);
  box->setValue(value);
  QObject::connect(box, &QSpinBox::valueChanged, owner_, [changed = changed_] { changed(); });
  return box;
}

QComboBox* FormFields::combo(const QStringList& items, const QString& label, const QString& tip, const char* name) {
  auto* box = field(new QComboBox(owner_), label, tip, name);
  box->addItems(items);
  box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  box->setMinimumContentsLength(10);
  QObject::connect(box, &QComboBox::currentIndexChanged, owner_, [changed = changed_] { changed(); });
  return box;
}

QLabel* FormFields::facts(const char* name) {
  auto* label = new QLabel(owner_);
  label->setWordWrap(true);
  label->setForegroundRole(QPalette::PlaceholderText);
  label->setObjectName(name);
  form_->addRow(label);
  return label;
}

QLabel* FormFields::caption(const QString& text, QWidget* field) {
  auto* label = new QLabel(text, owner_);
  label->setMinimumWidth(width_);
  label->setBuddy(field);
  return label;
}

void FormFields::guard_wheel() {
  auto* guard = new WheelGuard(owner_);
  for (auto* widget : owner_->findChildren<QWidget*>())
    if (qobject_cast<QAbstractSpinBox*>(widget) || qobject_cast<QComboBox*>(widget)) {
      widget->installEventFilter(guard);
      widget->setFocusPolicy(Qt::StrongFocus);
    }
}

}  // namespace glyphscope
