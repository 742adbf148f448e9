#include "widgets/site_list.h"

#include <QHeaderView>
#include <QKeyEvent>
#include <algorithm>

#include "widgets/number_item.h"

namespace glyphscope {

namespace {
enum Column { kIndex, kBlock, kHeads, kShare, kScore, kColumns };
}  // namespace

SiteList::SiteList(SiteSelection* selection, QWidget* parent) : QTableWidget(0, kColumns, parent), selection_(selection) {
  setHorizontalHeaderLabels({tr("Site"), tr("Block"), tr("Heads"), tr("Share"), tr("Score")});
  verticalHeader()->hide();
  setSelectionBehavior(SelectRows);
  setSelectionMode(ExtendedSelection);
  setEditTriggers(NoEditTriggers);
  setShowGrid(false);
  setAlternatingRowColors(true);
  horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
  horizontalHeader()->setSectionResizeMode(kBlock, QHeaderView::Stretch);
  horizontalHeader()->setMinimumSectionSize(fontMetrics().averageCharWidth() * 4);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  setMinimumHeight(fontMetrics().height() * 5);
  setTabKeyNavigation(false);
  setAccessibleName(tr("Table of the prompt-reading layers"));
  verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 6);
  connect(this, &QTableWidget::itemSelectionChanged, this, &SiteList::read_selection);
  connect(selection_, &SiteSelection::changed, this, &SiteList::show_selection);
  // Rows are hidden by where they are.
  connect(horizontalHeader(), &QHeaderView::sortIndicatorChanged, this, [this] { search(search_); });
  connect(this, &QTableWidget::currentCellChanged, this, [this](int row) {
    if (!updating_ && row >= 0 && hasFocus()) selection_->point_at(site_of(row));
  });
}

int SiteList::site_of(int row) const { return item(row, kIndex)->data(Qt::UserRole).toInt(); }

void SiteList::set_sites(const std::vector<SiteItem>& sites) {
  updating_ = true;
  setSortingEnabled(false);
  setRowCount(static_cast<int>(sites.size()));
  for (int row = 0; row < rowCount(); ++row) {
    const SiteItem& site = sites[static_cast<size_t>(row)];
    setItem(row, kIndex, new NumberItem(QString::number(site.index), site.index));
    setItem(row, kBlock, new QTableWidgetItem(site.block));
    setItem(row, kHeads, new NumberItem(QString::number(site.heads), site.heads));
    setItem(row, kShare, new NumberItem(tr("%1 %").arg(100 * site.share, 0, 'f', 2), site.share));
    setItem(row, kScore, new NumberItem(QString(), -1));
    for (int column = 0; column < kColumns; ++column) item(row, column)->setToolTip(site.path);
  }
  setSortingEnabled(true);
  sortByColumn(kIndex, Qt::AscendingOrder);
  updating_ = false;
  search(search_);
  show_selection();
}

std::optional<QSet<int>> SiteList::search(const QString& text) {
  search_ = text.simplified();
  QSet<int> found;
  bool index = false;
  const int wanted = search_.toInt(&index);
  const QStringList words = search_.split(' ', Qt::SkipEmptyParts);
  for (int row = 0; row < rowCount(); ++row) {
    const QString where = item(row, kIndex)->toolTip() + ' ' + item(row, kBlock)->text();
    const bool hit = index ? site_of(row) == wanted
                           : std::all_of(words.begin(), words.end(), [&](const QString& word) { return where.contains(word, Qt::CaseInsensitive); });
    if (hit) found.insert(site_of(row));
    setRowHidden(row, !hit);
  }
  return search_.isEmpty() ? std::nullopt : std::optional(found);
}

QItemSelectionModel::SelectionFlags SiteList::selectionCommand(const QModelIndex& index, const QEvent* event) const {
  if (event && event->type() == QEvent::KeyPress && !(static_cast<const QKeyEvent*>(event)->modifiers() & Qt::ShiftModifier))
    return QItemSelectionModel::NoUpdate;
  return QTableWidget::selectionCommand(index, event);
}

void SiteList::keyPressEvent(QKeyEvent* event) {
  const bool at_site = currentRow() >= 0;
  if (at_site && event->key() == Qt::Key_Space) return selection_->select({site_of(currentRow())}, SiteSelection::Mode::toggle);
  if (at_site && (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter)) return selection_->select({site_of(currentRow())});
  if (event->key() == Qt::Key_Escape && !selection_->sites().isEmpty()) return selection_->clear();
  QTableWidget::keyPressEvent(event);
}

void SiteList::resizeEvent(QResizeEvent* event) {
  const int letters = width() / std::max(1, fontMetrics().averageCharWidth());
  setColumnHidden(kHeads, letters < 52);
  setColumnHidden(kShare, letters < 42);
  QTableWidget::resizeEvent(event);
}

void SiteList::set_scores(const QString& name, const std::map<int, ScoreValue>& scores) {
  updating_ = true;
  setSortingEnabled(false);
  horizontalHeaderItem(kScore)->setToolTip(name);  // as wide as a value: the name is in the map's legend
  for (int row = 0; row < rowCount(); ++row) {
    auto score = scores.find(site_of(row));
    item(row, kScore)->setText(score == scores.end() ? QString() : QString::number(score->second.mean, 'f', 2));
    item(row, kScore)->setData(Qt::UserRole, score == scores.end() ? -1.0 : score->second.mean);
    item(row, kScore)->setToolTip(score == scores.end() ? QString() : score->second.text());
  }
  setSortingEnabled(true);
  updating_ = false;
  search(search_);
}

void SiteList::read_selection() {
  if (updating_) return;
  QSet<int> sites;
  for (const auto& index : selectionModel()->selectedRows(kIndex)) sites.insert(index.data(Qt::UserRole).toInt());
  reading_ = true;
  selection_->select(sites);
  reading_ = false;
}

void SiteList::show_selection() {
  if (updating_) return;
  updating_ = true;
  clearSelection();
  int first = -1;
  for (int row = 0; row < rowCount(); ++row) {
    if (!selection_->contains(site_of(row))) continue;
    if (first < 0) first = row;
    for (int column = 0; column < kColumns; ++column) item(row, column)->setSelected(true);
  }
  updating_ = false;
  // What was selected elsewhere is seen here.
  if (first >= 0 && !reading_) scrollTo(model()->index(first, kIndex));
}

}  // namespace glyphscope
