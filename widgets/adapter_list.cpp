#include "widgets/adapter_list.h"

#include <QCheckBox>
#include <QDir>
#include <QFileInfo>
#include <QLabel>
#include <QMenu>
#include <QSlider>
#include <QToolButton>
#include <QVBoxLayout>
#include <cmath>

namespace glyphscope {

namespace {
constexpr int kWhole = 100;  // of a slider: strength 1
}

struct AdapterList::Row : QWidget {
  Row(const QString& file, QWidget* parent)
      : QWidget(parent), path(file), on(new QCheckBox(this)), slider(new QSlider(Qt::Horizontal, this)), value(new QLabel(this)) {}
  QString path;
  QCheckBox* on;
  QSlider* slider;
  QLabel* value;
};

AdapterList::AdapterList(QWidget* parent) : QWidget(parent), column_(new QVBoxLayout(this)), empty_(new QLabel(this)) {
  column_->setContentsMargins(0, 0, 0, 0);
  column_->setSpacing(2);
  auto* head = new QHBoxLayout;
  auto* title = new QLabel(tr("Adapters"), this);
  QFont bold = font();
  bold.setBold(true);
  title->setFont(bold);
  head->addWidget(title, 1);
  auto* add = new QToolButton(this);
  add->setText(tr("Add\u2026"));
  add->setToolTip(tr("Put a LoRA (.safetensors of diffusers, PEFT or kohya) to work"));
  add->setObjectName("add_adapter");
  connect(add, &QToolButton::clicked, this, &AdapterList::add_requested);
  head->addWidget(add);
  column_->addLayout(head);
  empty_->setText(tr("None: the model as it is"));
  empty_->setForegroundRole(QPalette::PlaceholderText);
  column_->addWidget(empty_);
}

void AdapterList::add(const QString& file, double strength) {
  for (int i = 0; i < count(); ++i)
    if (rows_[static_cast<size_t>(i)]->path == file) {
      rows_[static_cast<size_t>(i)]->on->setChecked(true);
      emit changed();  // the file may be another one by now
      return;
    }
  auto* row = new Row(file, this);
  auto* line = new QHBoxLayout(row);
  line->setContentsMargins(0, 0, 0, 0);
  line->setSpacing(6);
  const QFileInfo info(file);
  // "last.safetensors" says little; its folder says more.
  const QString name = info.dir().dirName() + "/" + info.completeBaseName();
  row->on->setText(fontMetrics().elidedText(name, Qt::ElideLeft, 150));
  row->on->setToolTip(file);
  row->on->setChecked(true);
  row->on->setFixedWidth(180);
  line->addWidget(row->on);
  row->slider->setRange(0, 2 * kWhole);
  row->slider->setPageStep(10);
  row->slider->setToolTip(tr("Strength: 1 as it was trained, 0 without it"));
  row->slider->setObjectName("strength");
  row->slider->setAccessibleName(tr("Strength of %1").arg(name));
  line->addWidget(row->slider, 1);
  row->value->setMinimumWidth(fontMetrics().horizontalAdvance("0.00"));
  line->addWidget(row->value);
  auto* menu = new QMenu(row);
  for (const char* format : {"diffusers", "kohya"})
    menu->addAction(tr("Save for %1\u2026").arg(format), this, [this, file, format] { emit save_requested(file, format); });
  menu->addSeparator();
  menu->addAction(tr("Remove"), this, [this, file] { remove(file); });
  auto* more = new QToolButton(row);
  more->setText("\u22ef");
  more->setToolTip(tr("Save or remove the adapter"));
  more->setMenu(menu);
  more->setPopupMode(QToolButton::InstantPopup);
  more->setStyleSheet("QToolButton::menu-indicator { image: none; }");
  line->addWidget(more);
  connect(row->slider, &QSlider::valueChanged, this, [this, row](int value) {
    row->value->setText(QString::number(static_cast<double>(value) / kWhole, 'f', 2));
    emit changed();
  });
  connect(row->on, &QCheckBox::toggled, this, [this, row](bool on) {
    row->slider->setEnabled(on);
    emit changed();
  });
  {
    const QSignalBlocker quiet(this);  // once is enough
    row->slider->setValue(static_cast<int>(std::lround(strength * kWhole)));
  }
  rows_.push_back(row);
  column_->addWidget(row);
  refresh();
  emit changed();
}

void AdapterList::remove(const QString& file) {
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (rows_[i]->path != file) continue;
    rows_[i]->deleteLater();
    rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(i));
    break;
  }
  refresh();
  emit changed();
}

void AdapterList::clear() {
  for (auto* row : rows_) row->deleteLater();
  rows_.clear();
  refresh();
}

void AdapterList::refresh() { empty_->setVisible(rows_.empty()); }

std::vector<std::string> AdapterList::at_work() const {
  std::vector<std::string> out;
  for (const auto* row : rows_)
    if (row->on->isChecked() && row->slider->value() > 0)
      out.push_back(row->path.toStdString() + ":" + QString::number(static_cast<double>(row->slider->value()) / kWhole, 'f', 2).toStdString());
  return out;
}

std::vector<AdapterList::State> AdapterList::state() const {
  std::vector<State> out;
  for (const auto* row : rows_) out.push_back({row->path, static_cast<double>(row->slider->value()) / kWhole, row->on->isChecked()});
  return out;
}

void AdapterList::set_state(const std::vector<State>& state) {
  if (state == this->state()) return;
  {
    const QSignalBlocker quiet(this);  // once is enough
    clear();
    for (const State& one : state) {
      add(one.file, one.strength);
      rows_.back()->on->setChecked(one.on);
    }
  }
  emit changed();
}

void AdapterList::set_strength(int row, double strength) {
  rows_[static_cast<size_t>(row)]->slider->setValue(static_cast<int>(std::lround(strength * kWhole)));
}

}  // namespace glyphscope
