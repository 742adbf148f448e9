#include "app/window/figure_page.h"

#include <QtWidgets>
#include <nlohmann/json.hpp>

#include "app/window/figure_form.h"
#include "app/window/wording.h"
#include "app/window/workspace.h"
#include "core/error.h"
#include "tasks/session_file.h"
#include "widgets/flow_layout.h"
#include "widgets/save_picture.h"

namespace glyphscope {

namespace {

QString kind_name(const Figure::Part& part) {
  struct Name {
    QString operator()(const HeatPanel&) const { return QObject::tr("Heatmap"); }
    QString operator()(const LinePanel&) const { return QObject::tr("Curves"); }
    QString operator()(const IntervalPanel&) const { return QObject::tr("Intervals"); }
    QString operator()(const PicturePanel&) const { return QObject::tr("Picture"); }
    QString operator()(const MapPanel&) const { return QObject::tr("Map"); }
  };
  return std::visit(Name(), part.panel);
}

}  // namespace

Page* make_figure_page(Workbench* bench, QWidget* parent) { return new FigurePage(bench, parent); }

FigurePage::FigurePage(Workbench* bench, QWidget* parent) : Page(bench, tr("Figure"), parent) {
  setObjectName("figure_page");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(6);
  auto* split = new QSplitter(Qt::Horizontal, this);
  split->setChildrenCollapsible(false);
  auto* side = new QWidget(split);
  auto* rows = new QVBoxLayout(side);
  rows->setContentsMargins(0, 0, 6, 0);
  list_ = new QListWidget(side);
  list_->setObjectName("figure_parts");
  list_->setAccessibleName(tr("Parts of the figure"));
  list_->setToolTip(tr("F2 or a double click writes another title"));
  list_->setEditTriggers(QAbstractItemView::DoubleClicked | QAbstractItemView::EditKeyPressed);
  list_->setMinimumWidth(fontMetrics().averageCharWidth() * 20);
  rows->addWidget(list_, 1);
  auto* keys = new FlowLayout;
  const auto button = [&](QLayout* line, const QString& text, const char* name, std::vector<QPushButton*>* group, auto pressed) {
    auto* out = new QPushButton(text, this);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, pressed);
    line->addWidget(out);
    if (group) group->push_back(out);
    return out;
  };
  const auto move = [this](int by) {
    const int from = list_->currentRow(), to = from + by;
    if (from < 0 || to < 0 || to >= list_->count()) return;
    change([&](auto& parts) { std::swap(parts[static_cast<size_t>(from)], parts[static_cast<size_t>(to)]); });
    show_parts(to);
  };
  button(keys, tr("Earlie&r"), "figure_earlier", &of_a_part_, [move] { move(-1); });
  button(keys, tr("L&ater"), "figure_later", &of_a_part_, [move] { move(1); });
  button(keys, tr("Re&move"), "figure_remove", &of_a_part_, [this] {
    const int row = list_->currentRow();
    if (row < 0) return;
    change([&](auto& parts) { parts.erase(parts.begin() + row); });
    show_parts(std::min(row, static_cast<int>(parts_.size()) - 1));
  });
  rows->addLayout(keys);
  auto* fields = new QFormLayout;
  fields->setFieldGrowthPolicy(QFormLayout::ExpandingFieldsGrow);
  const auto field = [&](auto* box, const QString& label, const QString& tip, const char* name) {
    box->setObjectName(name);
    box->setToolTip(tip);
    fields->addRow(label, box);
    return box;
  };
  title_ = field(new QLineEdit(side), tr("T&itle"), tr("Above all parts"), "figure_title");
  note_ = field(new QLineEdit(side), tr("&Note"), tr("Below all parts"), "figure_note");
  columns_ = field(new QSpinBox(side), tr("&Beside"), tr("So many parts beside each other"), "figure_columns");
  columns_->setRange(1, 20);
  columns_->setValue(3);
  lettered_ = new QCheckBox(tr("a, b, &c before titles"), side);
  lettered_->setObjectName("figure_lettered");
  lettered_->setChecked(true);
  fields->addRow(lettered_);
  rows->addLayout(fields);
  split->addWidget(side);
  form_ = new FigureForm(split);
  split->addWidget(form_);
  split->setStretchFactor(0, 0);
  split->setStretchFactor(1, 1);
  column->addWidget(split, 1);
  auto* line = new FlowLayout;
  button(line, tr("&Save\u2026"), "figure_save", &of_a_figure_, [this] {
    if (const QString said = form_->save("figure.pdf", "{}"); !said.isEmpty()) this->bench().say(said);
  });
  button(line, tr("Cop&y"), "figure_copy", &of_a_figure_, [this] {
    if (form_->copy()) this->bench().say(tr("The figure is in the clipboard."));
  });
  button(line, tr("Open\u2026"), "figure_open", nullptr, [this] { open(); });
  button(line, tr("Clear"), "figure_clear", &of_a_figure_, [this] {
    change([](auto& parts) { parts.clear(); });
    show_parts(-1);
  });
  column->addLayout(line);
  connect(form_, &FigureForm::failed, this, [this](const QString& text) { this->bench().fail(text); });
  connect(form_, &FigureForm::style_changed, this, [this] { kept_.reset(); });
  connect(list_, &QListWidget::currentRowChanged, this, [this] { refresh(); });
  connect(list_, &QListWidget::itemChanged, this, [this](QListWidgetItem* item) {
    if (showing_) return;
    const auto row = static_cast<size_t>(list_->row(item));
    change([&](auto& parts) { parts[row].title = item->text().toStdString(); });
    refresh();
  });
  for (QLineEdit* text : {title_, note_}) connect(text, &QLineEdit::textChanged, this, [this] { refresh(); });
  connect(columns_, &QSpinBox::valueChanged, this, [this] { refresh(); });
  connect(lettered_, &QCheckBox::toggled, this, [this] { refresh(); });
  show_parts(-1);
}

QString FigurePage::title() const { return parts_.empty() ? name() : tr("%1 (%2)").arg(name()).arg(parts_.size()); }

void FigurePage::change(const std::function<void(std::vector<Figure::Part>&)>& edit) {
  constexpr size_t kMostSteps = 20;  // each holds its pictures
  past_.push_back(drawn());
  if (past_.size() > kMostSteps) past_.erase(past_.begin());
  future_.clear();
  edit(parts_);
  emit content_changed();
}

DrawnFigure FigurePage::drawn() const { return {figure(), form_->style()}; }

void FigurePage::put(const DrawnFigure& drawn) {
  const Figure& figure = drawn.figure;
  showing_ = true;
  parts_ = figure.parts;
  title_->setText(QString::fromStdString(figure.title));
  note_->setText(QString::fromStdString(figure.note));
  columns_->setValue(figure.columns);
  lettered_->setChecked(figure.lettered);
  form_->set_style(drawn.style);
  showing_ = false;
  show_parts(static_cast<int>(parts_.size()) - 1);
  emit content_changed();
}

bool FigurePage::undo() {
  if (past_.empty()) return false;
  future_.push_back(drawn());
  const DrawnFigure before = std::move(past_.back());
  past_.pop_back();
  put(before);
  return true;
}

bool FigurePage::redo() {
  if (future_.empty()) return false;
  past_.push_back(drawn());
  const DrawnFigure after = std::move(future_.back());
  future_.pop_back();
  put(after);
  return true;
}

bool FigurePage::take_parts(const std::vector<Figure::Part>& parts) {
  change([&](auto& own) {
    for (Figure::Part part : parts) {
      if (part.title.empty()) part.title = kind_name(part).toStdString();
      own.push_back(std::move(part));
    }
  });
  show_parts(static_cast<int>(parts_.size()) - 1);
  return true;
}

bool FigurePage::take_figure(const QString& file) {
  if (!holds_figure(file.toStdString())) return false;
  const auto read = attempt([&] { return read_figure(file.toStdString()); });
  if (!read)
    bench().fail(in_words(read.error()));
  else
    show_figure(*read);
  return true;
}

void FigurePage::open() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Open a figure"), workspace_folder(), tr("Figures (*.png *.json)"));
  if (file.isEmpty()) return;
  const auto read = attempt([&] { return read_figure(file.toStdString()); });
  if (read) return show_figure(*read);
  bench().fail(in_words(read.error()));
}

void FigurePage::show_figure(const DrawnFigure& drawn) {
  change([](auto&) {});
  put(drawn);
}

void FigurePage::show_parts(int current) {
  showing_ = true;
  list_->clear();
  for (const auto& part : parts_) {
    auto* item = new QListWidgetItem(QString::fromStdString(part.title), list_);
    item->setFlags(item->flags() | Qt::ItemIsEditable);
    item->setToolTip(kind_name(part));
    item->setData(Qt::AccessibleDescriptionRole, kind_name(part));
  }
  list_->setCurrentRow(current);
  showing_ = false;
  refresh();
  emit title_changed();
}

void FigurePage::refresh() {
  if (showing_) return;
  kept_.reset();
  for (QPushButton* one : of_a_part_) one->setEnabled(list_->currentRow() >= 0);
  for (QPushButton* one : of_a_figure_) one->setEnabled(!parts_.empty());
  form_->set_figure(
      figure(),
      tr("Nothing is in the figure yet.\n\nA right click on a picture, a heatmap, the map of the model or curves adds them: \u201cAdd to the figure\u201d.\n"
         "A PNG of a figure that is dropped here opens again."));
}

Figure FigurePage::figure() const {
  return {.title = title_->text().toStdString(),
          .parts = parts_,
          .columns = columns_->value(),
          .lettered = lettered_->isChecked(),
          .note = note_->text().toStdString()};
}

void FigurePage::keep(SessionFile& session) const {
  if (parts_.empty()) return;
  if (!kept_) {
    auto bytes = attempt([&] { return kept_figure(figure(), form_->style()); });
    if (!bytes) return;  // the preview says why it cannot be drawn
    kept_ = std::make_shared<const std::string>(std::move(*bytes));
  }
  session.figure = kept_;
}

void FigurePage::restore(const SessionFile& session) {
  past_.clear();
  future_.clear();
  parts_.clear();
  if (session.figure) {
    auto read = attempt([&] { return figure_of(*session.figure, "figure.png"); });
    if (read)
      parts_ = std::move(read->figure.parts);
    else
      bench().fail(in_words(read.error()));
  }
  show_parts(static_cast<int>(parts_.size()) - 1);
}

std::vector<View> FigurePage::views() { return {picture_of(this, name())}; }

void FigurePage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  if (parts_.empty()) return;
  for (const char* ending : {"png", "pdf"}) {
    const QString file = QDir(folder).filePath(QStringLiteral("figure.") + ending);
    const auto done = attempt([&] { write_figure(figure(), form_->style(), file.toStdString(), nullptr); });
    (done ? saved : failed) << file;
  }
}

}  // namespace glyphscope
