#include "widgets/site_list.h"

#include <QHeaderView>

namespace glyphscope {

namespace {
enum Column { kIndex, kBlock, kHeads, kShare, kScore, kColumns };

// Sorts by number where it shows one.
class NumberItem : public QTableWidgetItem {
 public:
  NumberItem(const QString& text, double value) : QTableWidgetItem(text) {
    setData(Qt::UserRole, value);
    setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
  }
  bool operator<(const QTableWidgetItem& other) const override { return data(Qt::UserRole).toDouble() < other.data(Qt::UserRole).toDouble(); }
};
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
  horizontalHeader()->setStretchLastSection(true);
  verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 6);
  connect(this, &QTableWidget::itemSelectionChanged, this, &SiteList::read_selection);
  connect(selection_, &SiteSelection::changed, this, &SiteList::show_selection);
}

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
  show_selection();
}

void SiteList::set_scores(const QString& name, const std::map<int, ScoreValue>& scores) {
  updating_ = true;
  setSortingEnabled(false);
  horizontalHeaderItem(kScore)->setText(name);
  for (int row = 0; row < rowCount(); ++row) {
    auto score = scores.find(item(row, kIndex)->data(Qt::UserRole).toInt());
    item(row, kScore)->setText(score == scores.end() ? QString() : QString::number(score->second.mean, 'f', 2));
    item(row, kScore)->setData(Qt::UserRole, score == scores.end() ? -1.0 : score->second.mean);
    item(row, kScore)->setToolTip(score == scores.end() ? QString() : score->second.text());
  }
  setSortingEnabled(true);
  updating_ = false;
}

void SiteList::read_selection() {
  if (updating_) return;
  QSet<int> sites;
  for (const auto& index : selectionModel()->selectedRows(kIndex)) sites.insert(index.data(Qt::UserRole).toInt());
  selection_->select(sites);
}

void SiteList::show_selection() {
  if (updating_) return;
  updating_ = true;
  clearSelection();
  for (int row = 0; row < rowCount(); ++row)
    if (selection_->contains(item(row, kIndex)->data(Qt::UserRole).toInt()))
      for (int column = 0; column < kColumns; ++column) item(row, column)->setSelected(true);
  updating_ = false;
}

}  // namespace glyphscope
