#include "app/window/compare_page.h"

#include <QtWidgets>
#include <cmath>

#include "app/window/card_text.h"
#include "app/window/figure_form.h"
#include "app/window/wording.h"
#include "app/window/workspace.h"
#include "metrics/scores.h"
#include "tasks/session_file.h"
#include "widgets/compare_view.h"
#include "widgets/elided_label.h"
#include "widgets/flow_layout.h"
#include "widgets/number_item.h"

namespace glyphscope {

namespace {

enum Column { kWhat, kFirst, kSecond, kDifference, kColumns };

QString with_sign(const Score& difference) {
  const auto number = [](double value) {
    const double size = std::abs(value);
    if (size == 0) return QStringLiteral("0");
    return (value >= 0 ? QStringLiteral("+") : QStringLiteral("\u2212")) + QString::number(size, 'f', size > 0 && size < 0.095 ? 4 : 2);
  };
  QString out = number(difference.mean);
  if (difference.low) out += QStringLiteral(" [%1, %2]").arg(number(*difference.low), number(*difference.high));
  return out;
}

QString name_of(const event::RunsCompared::Variant& one) {
  const QString base = one.base == 0 ? QStringLiteral("A") : QStringLiteral("B");
  if (one.sites.empty()) return QObject::tr("%1's own").arg(base);
  const QString where =
      one.sites.size() == 1 ? QObject::tr("site %1").arg(QString::fromStdString(one.label)) : QObject::tr("sites %1").arg(QString::fromStdString(one.label));
  return one.base == 0 ? where : QObject::tr("B, %1").arg(where);
}

}  // namespace

Page* make_compare_page(Workbench* bench, QWidget* parent) { return new ComparePage(bench, parent); }

ComparePage::ComparePage(Workbench* bench, QWidget* parent) : Page(bench, tr("Compare"), parent), reader_(new EngineBridge(this)) {
  setObjectName("compare_page");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(6);
  auto* line = new FlowLayout;
  const auto field = [&](const QString& label, const char* name) {
    auto* out = new QLineEdit(this);
    out->setObjectName(name);
    out->setPlaceholderText(tr("a run's folder, or a picture"));
    out->setMinimumWidth(fontMetrics().averageCharWidth() * 26);
    line->add_field(label, out);
    auto* choose = new QToolButton(this);
    choose->setText(QStringLiteral("\u2026"));
    choose->setToolTip(tr("Choose a run or a picture"));
    choose->setAccessibleName(choose->toolTip());
    choose->setPopupMode(QToolButton::InstantPopup);
    auto* menu = new QMenu(choose);
    connect(menu, &QMenu::aboutToShow, this, [this, menu, out] {
      menu->clear();
      constexpr size_t kMost = 20;
      const std::vector<RunEntry> runs = runs_in(workspace_folder());
      for (size_t i = 0; i < std::min(kMost, runs.size()); ++i) menu->addAction(runs[i].name(), this, [out, folder = runs[i].folder] { out->setText(folder); });
      menu->addSeparator();
      menu->addAction(tr("Another run\u2026"), this, [this, out] { choose_into(out, true); });
      menu->addAction(tr("A picture\u2026"), this, [this, out] { choose_into(out, false); });
    });
    choose->setMenu(menu);
    line->addWidget(choose);
    connect(out, &QLineEdit::textChanged, this, &ComparePage::refresh);
    connect(out, &QLineEdit::returnPressed, this, &ComparePage::compare);
    return out;
  };
  first_ = field(tr("F&irst"), "compare_first_field");
  second_ = field(tr("Se&cond"), "compare_second_field");
  const auto button = [&](const QString& text, const char* name, auto pressed) {
    auto* out = new QPushButton(text, this);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, pressed);
    line->addWidget(out);
    return out;
  };
  button(tr("S&wap"), "compare_swap", [this] {
    const QString first = first_->text();
    first_->setText(second_->text());
    second_->setText(first);
    compare();
  });
  compare_ = button(tr("Co&mpare"), "compare_start", &ComparePage::compare);
  stop_ = button(tr("Stop"), "compare_stop", [this] {
    if (job_) reader_->cancel(job_);
  });
  column->addLayout(line);
  facts_ = new QLabel(this);
  facts_->setObjectName("compare_facts");
  facts_->setWordWrap(true);
  facts_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  facts_->hide();
  column->addWidget(facts_);
  auto* split = new QSplitter(Qt::Horizontal, this);
  split->addWidget(build_table());
  view_ = new CompareView(split);
  view_->setObjectName("compare_view");
  split->addWidget(view_);
  split->setStretchFactor(0, 2);
  split->setStretchFactor(1, 3);
  split->setChildrenCollapsible(false);
  column->addWidget(split, 1);
  state_ = new ElidedLabel(this);
  state_->setObjectName("compare_state");
  column->addWidget(state_);
  connect(reader_, &EngineBridge::happened, this, &ComparePage::on_compared);
  state_->setText(tr("Choose two runs: of two models, with and without an adapter, in two number formats. Or two pictures of one size."));
  refresh();
}

QWidget* ComparePage::build_table() {
  side_ = new QWidget(this);
  auto* column = new QVBoxLayout(side_);
  column->setContentsMargins(0, 0, 0, 0);
  auto* line = new FlowLayout;
  score_ = new QComboBox(side_);
  score_->setObjectName("compare_score");
  score_->setToolTip(arrow_text());
  for (const ScoreInfo* score : charted_scores())
    score_->addItem(score_title(*score), QString::fromUtf8(score->key.data(), static_cast<qsizetype>(score->key.size())));
  line->add_field(tr("Sc&ore"), score_);
  cell_ = new QComboBox(side_);
  cell_->setObjectName("compare_cell");
  cell_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  cell_->setMinimumContentsLength(16);
  line->add_field(tr("&Pictures of"), cell_);
  map_ = new QPushButton(tr("On the m&ap"), side_);
  map_->setObjectName("compare_on_map");
  map_->setToolTip(tr("Colours the map of the model by these differences"));
  connect(map_, &QPushButton::clicked, this, &ComparePage::show_on_map);
  line->addWidget(map_);
  column->addLayout(line);
  table_ = new QTableWidget(0, kColumns, side_);
  table_->setObjectName("compare_table");
  table_->setAccessibleName(tr("Pictures of both runs, compared"));
  table_->setHorizontalHeaderLabels({tr("Picture"), tr("First"), tr("Second"), tr("Difference")});
  table_->horizontalHeaderItem(kDifference)
      ->setToolTip(tr("Second less first: mean over the same prompts and noises, with its 95 % interval; none where under five words differ.\n"
                      "*: differs by more than chance; of all that are marked, 5 % may be false."));
  table_->verticalHeader()->hide();
  table_->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 6);
  table_->setSelectionBehavior(QAbstractItemView::SelectRows);
  table_->setSelectionMode(QAbstractItemView::SingleSelection);
  table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table_->setAlternatingRowColors(true);
  table_->setShowGrid(false);
  table_->setTabKeyNavigation(false);
  table_->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
  table_->horizontalHeader()->setSectionResizeMode(kWhat, QHeaderView::Stretch);
  table_->horizontalHeader()->setMinimumSectionSize(fontMetrics().averageCharWidth() * 6);
  table_->setMinimumWidth(fontMetrics().averageCharWidth() * 30);
  table_->horizontalHeader()->setHighlightSections(false);
  column->addWidget(table_, 1);
  connect(score_, &QComboBox::currentIndexChanged, this, &ComparePage::show_table);
  connect(table_, &QTableWidget::itemSelectionChanged, this, &ComparePage::show_variant);
  connect(cell_, &QComboBox::currentIndexChanged, this, &ComparePage::show_cell);
  return side_;
}

void ComparePage::choose_into(QLineEdit* field, bool run) {
  const QString chosen = run ? QFileDialog::getExistingDirectory(this, tr("A run"), workspace_folder())
                             : QFileDialog::getOpenFileName(this, tr("A picture"), {}, tr("Pictures (*.png *.jpg *.jpeg *.webp *.tif *.tiff *.bmp)"));
  if (!chosen.isEmpty()) field->setText(chosen);
}

bool ComparePage::take_to_compare(const QString& what) {
  const bool first = first_->text().isEmpty() || !second_->text().isEmpty();
  if (first) second_->clear();
  (first ? first_ : second_)->setText(what);
  if (first)
    state_->setText(tr("Choose the second one: here, or by Compare on the page Runs"));
  else
    compare();
  return true;
}

void ComparePage::forget() {
  if (job_) reader_->cancel(std::exchange(job_, 0));
  runs_.reset();
  pictures_.reset();
  table_->setRowCount(0);
  cell_->clear();
  view_->clear();
  facts_->hide();
}

void ComparePage::compare() {
  // Of what the fields say now, whatever is being compared.
  forget();
  if (first_->text().trimmed().isEmpty() || second_->text().trimmed().isEmpty()) return refresh();
  job_ = reader_->post(command::Compare{first_->text().trimmed().toStdString(), second_->text().trimmed().toStdString(), {}});
  refresh();
}

void ComparePage::on_compared(const Event& event) {
  if (event.job != job_ || job_ == 0) return;
  if (const auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    const Progress& progress = progressed->progress;
    state_->setText(tr("%1: %2 of %3").arg(QString::fromStdString(progress.what)).arg(progress.done).arg(progress.total));
  } else if (const auto* runs = std::get_if<event::RunsCompared>(&event.what)) {
    runs_ = *runs;
    QStringList differences;
    for (const auto& one : runs->differences) differences << QString::fromStdString(one);
    facts_->setText(tr("In common: %1, %2. %3")
                        .arg(counted(runs->pairs, tr("pair"), tr("pairs")), counted(runs->noises, tr("noise"), tr("noises")),
                             differences.isEmpty() ? tr("What they have in common was asked alike, of the same model.")
                                                   : tr("They differ by %1.").arg(differences.join(tr("; ")))));
    facts_->show();
    show_table();
  } else if (const auto* pictures = std::get_if<event::PicturesCompared>(&event.what)) {
    pictures_ = *pictures;
    facts_->setText(std::isfinite(pictures->psnr) ? tr("SSIM %1, PSNR %2 dB, mean squared error %3; %4 % of the pixels differ, by %5 of 255 at most.")
                                                        .arg(pictures->ssim, 0, 'f', 4)
                                                        .arg(pictures->psnr, 0, 'f', 1)
                                                        .arg(pictures->mse, 0, 'g', 4)
                                                        .arg(100 * pictures->share, 0, 'f', 2)
                                                        .arg(pictures->largest)
                                                  : tr("The pictures are the same to the bit."));
    facts_->show();
    show_cell();
  } else if (is_end(event.what)) {
    job_ = 0;
    const auto* failed = std::get_if<event::Failed>(&event.what);
    state_->setText(failed ? in_words(failed->error) : std::holds_alternative<event::Cancelled>(event.what) ? tr("Stopped") : QString());
    refresh();
  }
}

void ComparePage::show_table() {
  if (!runs_) return;
  const std::string key = score_->currentData().toString().toStdString();
  const int before = table_->currentRow() < 0 ? 0 : table_->item(table_->currentRow(), kWhat)->data(Qt::UserRole).toInt();
  const QSignalBlocker quiet(table_);
  table_->setSortingEnabled(false);
  table_->setRowCount(static_cast<int>(runs_->variants.size()));
  for (int row = 0; row < table_->rowCount(); ++row) {
    const auto& one = runs_->variants[static_cast<size_t>(row)];
    auto* what = new NumberItem(name_of(one), row);
    what->setTextAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    table_->setItem(row, kWhat, what);
    const auto found = one.difference.find(key);
    const bool there = found != one.difference.end();
    const auto mean = [&](const std::map<std::string, Score>& of) { return there ? of.at(key).mean : -2; };
    table_->setItem(row, kFirst, new NumberItem(there ? QString::number(mean(one.first), 'f', 2) : QString(), mean(one.first)));
    table_->setItem(row, kSecond, new NumberItem(there ? QString::number(mean(one.second), 'f', 2) : QString(), mean(one.second)));
    auto* difference = new NumberItem(there ? with_sign(found->second) + (one.differs.contains(key) ? QStringLiteral(" *") : QString()) : QString(),
                                      there ? found->second.mean : 0);
    QFont font = table_->font();
    font.setBold(there && one.differs.contains(key));
    difference->setFont(font);
    table_->setItem(row, kDifference, difference);
  }
  table_->setSortingEnabled(true);
  table_->sortByColumn(kWhat, Qt::AscendingOrder);
  table_->selectRow(std::min(before, table_->rowCount() - 1));
  show_variant();
}

void ComparePage::show_variant() {
  if (!runs_ || table_->currentRow() < 0) return;
  const auto& one = runs_->variants[static_cast<size_t>(table_->item(table_->currentRow(), kWhat)->data(Qt::UserRole).toInt())];
  const QVariant before = cell_->currentData();
  {
    const QSignalBlocker quiet(cell_);
    cell_->clear();
    for (const auto& cell : one.cells) cell_->addItem(tr("pair %1, noise %2").arg(cell.pair + 1).arg(cell.noise + 1), QPoint(cell.pair, cell.noise));
    cell_->setCurrentIndex(std::max(0, cell_->findData(before)));
  }
  show_cell();
}

void ComparePage::show_cell() {
  if (pictures_) {
    const auto one = [](const std::string& file) {
      const QString name = QString::fromStdString(file);
      QImageReader reader(name);
      reader.setAutoTransform(true);
      return CompareView::One{QFileInfo(name).fileName(), reader.read(), name, {}};
    };
    return view_->show_pictures(one(pictures_->first), one(pictures_->second));
  }
  if (!runs_ || table_->currentRow() < 0 || cell_->currentIndex() < 0) return;
  const auto& variant = runs_->variants[static_cast<size_t>(table_->item(table_->currentRow(), kWhat)->data(Qt::UserRole).toInt())];
  const auto& cell = variant.cells[static_cast<size_t>(cell_->currentIndex())];
  const auto one = [&](const QString& title, const std::string& run, const std::string& picture, const std::string& read) {
    CompareView::One out{tr("%1: %2").arg(title, name_of(variant)), {}, {}, {}};
    if (!picture.empty()) out.picture.load(QDir(QString::fromStdString(run)).filePath(QString::fromStdString(picture)));
    out.caption = read.empty() ? tr("nothing read") : tr("reads \u201c%1\u201d").arg(QString::fromStdString(read));
    out.metadata = out.picture.text("glyphscope");
    return out;
  };
  view_->show_pictures(one(tr("First"), runs_->first, cell.first_picture, cell.first_read),
                       one(tr("Second"), runs_->second, cell.second_picture, cell.second_read));
  const auto ssim = variant.pictures.find("ssim");
  state_->setText(cell.first_picture.empty() || cell.second_picture.empty()
                      ? tr("Patched pictures are kept if the run is drawn with all of them kept: on the page Localize, Pictures")
                  : ssim != variant.pictures.end() ? tr("SSIM between both runs' pictures of this kind: %1, over %2")
                                                         .arg(ssim->second.mean, 0, 'f', 4)
                                                         .arg(counted(ssim->second.n, tr("picture"), tr("pictures")))
                                                   : QString());
}

void ComparePage::refresh() {
  const bool both = !first_->text().trimmed().isEmpty() && !second_->text().trimmed().isEmpty();
  compare_->setEnabled(both && job_ == 0);
  stop_->setEnabled(job_ != 0);
  side_->setVisible(!pictures_);
  map_->setEnabled(runs_ && sites_ > 0);
}

void ComparePage::set_model(const event::ModelOpened& model) {
  sites_ = static_cast<int>(model.table.sites.size());
  refresh();
}

void ComparePage::show_on_map() {
  if (!runs_) return;
  const std::string key = score_->currentData().toString().toStdString();
  std::map<int, ScoreValue> values;
  double largest = 0;
  for (const auto& one : runs_->variants) {
    const auto found = one.difference.find(key);
    if (one.base != 0 || one.sites.size() != 1 || found == one.difference.end() || one.sites.front() >= sites_) continue;
    const Score& score = found->second;
    values[one.sites.front()] = {score.mean, score.low, score.high, score.n};
    largest = std::max(largest, std::abs(score.mean));
  }
  if (values.empty()) return bench().say(tr("The runs have no single sites of this model in common."));
  bench().show_scores(tr("%1, second less first").arg(score_->currentText()), values, 0.0,
                      {ColourMap::difference, -std::max(largest, 0.01), std::max(largest, 0.01)});
}

Figure ComparePage::figure() const {
  if (!runs_) return {};
  const std::string key = score_->currentData().toString().toStdString();
  IntervalPanel panel;
  panel.numbers = true;
  IntervalPanel::Column column{tr("%1, second less first").arg(score_->currentText()).toStdString(), 0, 0, {}, 0.0};
  for (const auto& one : runs_->variants) {
    const auto found = one.difference.find(key);
    if (found == one.difference.end()) continue;
    panel.rows.push_back({name_of(one).toStdString(), one.differs.contains(key)});
    column.values.push_back(plot_value(found->second));
    column.low = std::min(column.low, found->second.low.value_or(found->second.mean));
    column.high = std::max(column.high, found->second.high.value_or(found->second.mean));
  }
  const double room = 0.05 * std::max(0.02, column.high - column.low);
  column.low -= room, column.high += room;
  panel.columns.push_back(std::move(column));
  return {
      .title = tr("What two runs differ by").toStdString(),
      .subtitle = tr("Means over the same prompts and noises, with 95 % intervals. Squares: more than chance; of all of them, 5 % may be false.").toStdString(),
      .parts = {{"", std::move(panel)}},
      .note = facts_->text().toStdString()};
}

std::vector<View> ComparePage::views() {
  return {picture_of(this, name()), {tr("Differences of two runs"), "comparison.png", {}, [this] { return figure(); }}};
}

void ComparePage::keep(SessionFile& session) const {
  if (!runs_) return;
  session.runs.push_back({runs_->first, {}});
  session.runs.push_back({runs_->second, {}});
}

void ComparePage::restore(const SessionFile&) { compare(); }

void ComparePage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  const auto write = [&](const QString& name, const std::string& text) {
    const QString file = QDir(folder).filePath(name);
    QSaveFile out(file);
    const auto size = static_cast<qint64>(text.size());
    (out.open(QIODevice::WriteOnly) && out.write(text.data(), size) == size && out.commit() ? saved : failed) << file;
  };
  if (runs_) {
    write("comparison.json", runs_->document);
    write("comparison.csv", runs_->csv);
    const QString figure_file = QDir(folder).filePath("comparison.png");
    (write_figure_file(figure(), figure_file, QString::fromStdString(runs_->document)) ? saved : failed) << figure_file;
  } else if (pictures_) {
    write("comparison.json", pictures_->document);
  }
}

}  // namespace glyphscope
