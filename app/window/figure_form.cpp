#include "app/window/figure_form.h"

#include <QtWidgets>
#include <nlohmann/json.hpp>

#include "app/window/wording.h"
#include "core/error.h"
#include "widgets/figure_source.h"
#include "widgets/flow_layout.h"
#include "widgets/save_picture.h"

namespace glyphscope {

namespace {

constexpr double kBest = 0, kOther = -1;
constexpr int kScreenDpi = 96;

nlohmann::ordered_json json_of(const QString& metadata) {
  const auto json = nlohmann::ordered_json::parse(metadata.toStdString(), nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? nlohmann::ordered_json() : json;
}

}  // namespace

bool write_figure_file(const Figure& figure, const QString& file, const QString& metadata) {
  return bool(attempt([&] { write_figure(figure, {}, file.toStdString(), json_of(metadata)); }));
}

FigureForm::FigureForm(QWidget* parent) : QWidget(parent) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  auto* line = new FlowLayout;
  const auto field = [&](auto* box, const QString& label, const QString& tip, const char* name) {
    box->setObjectName(name);
    box->setToolTip(tip);
    line->add_field(label, box);
    return box;
  };
  width_ = field(new QComboBox(this), tr("&Width"), tr("How wide it is printed"), "figure_width");
  for (const auto& [name, value] : {std::pair(tr("as it is read best"), kBest),
                                    {tr("one column, 85 mm"), 85.0},
                                    {tr("one and a half, 120 mm"), 120.0},
                                    {tr("two columns, 180 mm"), 180.0},
                                    {tr("other"), kOther}})
    width_->addItem(name, value);
  millimetres_ = new QDoubleSpinBox(this);
  millimetres_->setObjectName("figure_millimetres");
  millimetres_->setRange(20, 2000);
  millimetres_->setValue(150);
  millimetres_->setDecimals(1);
  millimetres_->setSuffix(tr(" mm"));
  millimetres_->setAccessibleName(tr("Width in millimetres"));
  line->addWidget(millimetres_);
  millimetres_->hide();
  dpi_ = field(new QSpinBox(this), tr("&Dots per inch"), tr("Of a PNG"), "figure_dpi");
  dpi_->setRange(36, 1200);
  dpi_->setValue(300);
  letters_ = field(new QSpinBox(this), tr("&Letters"), tr("Size of the letters, in points"), "figure_letters");
  letters_->setRange(4, 24);
  letters_->setValue(9);
  letters_->setSuffix(tr(" pt"));
  colours_ = field(new QComboBox(this), tr("C&olours"), tr("Of values"), "figure_colours");
  for (const auto& name : colour_map_names()) colours_->addItem(QString::fromStdString(name));
  paper_ = field(new QComboBox(this), tr("&Paper"), tr("Dark letters on white, or light ones on dark"), "figure_paper");
  paper_->addItems({tr("light"), tr("dark")});
  titles_ = new QCheckBox(tr("&Title"), this);
  titles_->setObjectName("figure_titles");
  titles_->setToolTip(tr("The figure's title, and what stands below it"));
  titles_->setChecked(true);
  line->addWidget(titles_);
  column->addLayout(line);
  warning_ = new QLabel(this);
  warning_->setObjectName("figure_warning");
  warning_->setWordWrap(true);
  warning_->hide();
  column->addWidget(warning_);
  around_ = new QScrollArea(this);
  around_->setObjectName("figure_around");
  around_->setAccessibleName(tr("The figure as it will be printed"));
  around_->setWidgetResizable(true);
  around_->setAlignment(Qt::AlignCenter);
  around_->setBackgroundRole(QPalette::Mid);
  preview_ = new QLabel(around_);
  preview_->setObjectName("figure_preview");
  preview_->setAlignment(Qt::AlignCenter);
  preview_->setWordWrap(true);
  around_->setWidget(preview_);
  column->addWidget(around_, 1);
  settle_ = new QTimer(this);
  settle_->setSingleShot(true);
  settle_->setInterval(60);
  connect(settle_, &QTimer::timeout, this, &FigureForm::draw);
  const auto changed = [this] {
    millimetres_->setVisible(width_->currentData().toDouble() == kOther);
    settle_->start();
    emit style_changed();
  };
  for (QComboBox* box : {width_, colours_, paper_}) connect(box, &QComboBox::currentIndexChanged, this, changed);
  for (QSpinBox* box : {dpi_, letters_}) connect(box, &QSpinBox::valueChanged, this, changed);
  connect(millimetres_, &QDoubleSpinBox::valueChanged, this, changed);
  connect(titles_, &QCheckBox::toggled, this, changed);
}

void FigureForm::set_figure(const Figure& figure, const QString& hint) {
  figure_ = figure;
  hint_ = hint;
  settle_->start();
}

FigureStyle FigureForm::style() const {
  const double width = width_->currentData().toDouble();
  return {.width_mm = width == kOther ? millimetres_->value() : width,
          .dpi = dpi_->value(),
          .dark = paper_->currentIndex() == 1,
          .titles = titles_->isChecked(),
          .colours = colour_map_of(colours_->currentText().toStdString()),
          .letters = static_cast<double>(letters_->value())};
}

void FigureForm::set_style(const FigureStyle& style) {
  const int known = width_->findData(style.width_mm);
  width_->setCurrentIndex(known >= 0 ? known : width_->findData(kOther));
  if (known < 0) millimetres_->setValue(style.width_mm);
  dpi_->setValue(style.dpi);
  paper_->setCurrentIndex(style.dark ? 1 : 0);
  titles_->setChecked(style.titles);
  colours_->setCurrentText(QString::fromStdString(to_string(style.colours)));
  letters_->setValue(static_cast<int>(std::lround(style.letters)));
}

void FigureForm::draw() {
  FigureStyle style = this->style();
  const QString warning = QString::fromStdString(colour_warning(style.colours));
  warning_->setText(warning);
  warning_->setVisible(!warning.isEmpty());
  if (figure_.parts.empty()) {
    preview_->setPixmap({});
    preview_->setText(hint_);
    return;
  }
  // As large as it is printed, as far as there is room for it.
  style.dpi = static_cast<int>(kScreenDpi * devicePixelRatioF());
  auto drawn = attempt([&] { return glyphscope::draw(figure_, style); });
  const int room = static_cast<int>((around_->viewport()->width() - 2) * devicePixelRatioF());
  if (drawn && drawn->width > room) {
    constexpr int kFewest = 36;
    style.dpi = std::max(kFewest, style.dpi * room / drawn->width);
    drawn = attempt([&] { return glyphscope::draw(figure_, style); });
  }
  if (!drawn) return preview_->setText(in_words(drawn.error()));
  QImage image = to_image(*drawn);
  if (image.width() > room) image = image.scaledToWidth(std::max(1, room), Qt::SmoothTransformation);
  image.setDevicePixelRatio(devicePixelRatioF());
  preview_->setPixmap(QPixmap::fromImage(image));
}

void FigureForm::resizeEvent(QResizeEvent*) { settle_->start(); }

QString FigureForm::save(const QString& proposed, const QString& metadata) {
  const QString file = ask_where_to_save(this, tr("Save the figure"), proposed, tr("Figures (*.png *.svg *.pdf)"), "png");
  if (file.isEmpty()) return {};
  const auto saved = attempt([&] { return save_figure(figure_, style(), file.toStdString(), json_of(metadata)); });
  if (saved) return saved->empty() ? tr("Saved %1").arg(file) : tr("Saved %1, and its values in %2").arg(file, QString::fromStdString(saved->string()));
  emit failed(in_words(saved.error()));
  return {};
}

bool FigureForm::copy() {
  const auto drawn = attempt([&] { return glyphscope::draw(figure_, style()); });
  if (drawn)
    QGuiApplication::clipboard()->setImage(to_image(*drawn));
  else
    emit failed(in_words(drawn.error()));
  return bool(drawn);
}

FigureDialog::FigureDialog(const Figure& figure, const QString& proposed, const QString& metadata, QWidget* parent) : QDialog(parent) {
  setObjectName("figure_dialog");
  setAttribute(Qt::WA_DeleteOnClose);
  setWindowTitle(tr("Save a figure"));
  resize(760, 620);
  auto* column = new QVBoxLayout(this);
  auto* form = new FigureForm(this);
  form->set_figure(figure);
  column->addWidget(form, 1);
  auto* said = new QLabel(this);
  said->setObjectName("figure_said");
  said->setWordWrap(true);
  said->setTextInteractionFlags(Qt::TextSelectableByMouse);
  said->hide();
  column->addWidget(said);
  const auto say = [said](const QString& text) {
    said->setText(text);
    said->show();
  };
  connect(form, &FigureForm::failed, this, say);
  auto* buttons = new QDialogButtonBox(this);
  auto* save = buttons->addButton(tr("&Save\u2026"), QDialogButtonBox::AcceptRole);
  save->setObjectName("figure_dialog_save");
  auto* copy = buttons->addButton(tr("Cop&y"), QDialogButtonBox::ActionRole);
  auto* add = buttons->addButton(tr("&Add to the figure"), QDialogButtonBox::ActionRole);
  buttons->addButton(QDialogButtonBox::Close);
  column->addWidget(buttons);
  connect(save, &QPushButton::clicked, this, [this, form, proposed, metadata] {
    const QString said = form->save(proposed, metadata);
    if (said.isEmpty()) return;
    emit saved(said);
    accept();
  });
  connect(copy, &QPushButton::clicked, this, [form, say] {
    if (form->copy()) say(tr("The figure is in the clipboard."));
  });
  connect(add, &QPushButton::clicked, this, [this, form] {
    emit wanted(form->figure().parts);
    accept();
  });
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
}

}  // namespace glyphscope
