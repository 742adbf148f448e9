#include "app/window/run_list.h"

#include <QtWidgets>

namespace glyphscope {

namespace {

enum Column { kName, kAsked, kDone, kModel, kBegun, kColumns };

QString done_text(const RunEntry& run) {
  if (run.whole()) return QObject::tr("whole");
  // A card does not ask of every cell.
  return run.can_go_on() ? QObject::tr("%1 of %2 cells").arg(run.done).arg(run.cells()) : QObject::tr("%1 cells so far").arg(run.done);
}

QString first_line(const QString& text) { return text.section('\n', 0, 0); }

}  // namespace

class RunListModel : public QAbstractTableModel {
 public:
  using QAbstractTableModel::QAbstractTableModel;

  void set_runs(std::vector<RunEntry> runs) {
    beginResetModel();
    runs_ = std::move(runs);
    endResetModel();
  }
  const std::vector<RunEntry>& runs() const { return runs_; }

  int rowCount(const QModelIndex& parent) const override { return parent.isValid() ? 0 : static_cast<int>(runs_.size()); }
  int columnCount(const QModelIndex& parent) const override { return parent.isValid() ? 0 : kColumns; }
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override {
    if (role != Qt::DisplayRole || orientation != Qt::Horizontal) return {};
    return QStringList{tr("Run"), tr("Asked"), tr("Done"), tr("Model"), tr("Begun")}.at(section);
  }
  QVariant data(const QModelIndex& index, int role) const override {
    const RunEntry& run = runs_[static_cast<size_t>(index.row())];
    if (role == Qt::ToolTipRole) return run.note.isEmpty() ? run.folder : run.folder + "\n" + run.note;
    if (role == Qt::UserRole && index.column() == kBegun) return run.begun;  // to sort by
    if (role == Qt::DisplayRole || role == Qt::UserRole) return cell(run, index.column());
    return {};
  }
  static QString cell(const RunEntry& run, int column) {
    switch (column) {
      case kName:
        return run.note.isEmpty() ? run.name() : run.name() + " \u2013 " + first_line(run.note);
      case kModel:
        return QFileInfo(run.model).fileName();
      case kAsked:
        return run.asked.join(", ");
      case kBegun:
        return QLocale().toString(run.begun, QLocale::ShortFormat);
      default:
        return done_text(run);
    }
  }

 private:
  std::vector<RunEntry> runs_;
};

RunList::RunList(QWidget* parent) : QWidget(parent), model_(new RunListModel(this)), shown_(new QSortFilterProxyModel(this)) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(6);
  filter_ = new QLineEdit(this);
  filter_->setObjectName("run_filter");
  filter_->setPlaceholderText(tr("Filter by any text"));
  filter_->setAccessibleName(tr("Filter of runs"));
  filter_->setClearButtonEnabled(true);
  column->addWidget(filter_);
  shown_->setSourceModel(model_);
  shown_->setFilterKeyColumn(-1);
  shown_->setFilterCaseSensitivity(Qt::CaseInsensitive);
  shown_->setSortRole(Qt::UserRole);
  table_ = new QTableView(this);
  table_->setObjectName("runs");
  table_->setAccessibleName(tr("Runs"));
  table_->setModel(shown_);
  table_->setSelectionBehavior(QAbstractItemView::SelectRows);
  table_->setSelectionMode(QAbstractItemView::SingleSelection);
  table_->setTabKeyNavigation(false);
  table_->setSortingEnabled(true);
  table_->sortByColumn(kBegun, Qt::DescendingOrder);
  table_->setAlternatingRowColors(true);
  table_->setShowGrid(false);
  table_->setWordWrap(false);
  table_->verticalHeader()->hide();
  table_->verticalHeader()->setDefaultSectionSize(table_->fontMetrics().height() + 6);
  table_->horizontalHeader()->setSectionResizeMode(QHeaderView::Interactive);
  table_->horizontalHeader()->setStretchLastSection(true);
  column->addWidget(table_, 1);
  empty_ = new QLabel(this);
  empty_->setWordWrap(true);
  empty_->setForegroundRole(QPalette::PlaceholderText);
  column->addWidget(empty_);
  connect(filter_, &QLineEdit::textChanged, this, [this](const QString& text) {
    const QSignalBlocker quiet(table_->selectionModel());
    shown_->setFilterFixedString(text);
    mark();
  });
  connect(table_->selectionModel(), &QItemSelectionModel::currentRowChanged, this, [this](const QModelIndex& now) {
    if (!now.isValid() || run_of(now.row()).folder == current_) return;
    current_ = run_of(now.row()).folder;
    emit current_changed();
  });
}

RunList::~RunList() = default;

int RunList::shown() const { return shown_->rowCount(); }

int RunList::unfinished() const {
  return static_cast<int>(std::count_if(model_->runs().begin(), model_->runs().end(), [](const RunEntry& run) { return run.can_go_on(); }));
}

std::optional<RunEntry> RunList::current() const {
  for (const RunEntry& run : model_->runs())
    if (run.folder == current_) return run;
  return std::nullopt;
}

void RunList::add(const QString& folder) {
  const QString path = QDir(folder).absolutePath();
  if (!others_.contains(path)) others_ << path;
  // One that is listed already is no news for show().
  if (std::exchange(current_, path) != path && current()) {
    mark();
    emit current_changed();
  }
  read_again();
}

void RunList::know(const QString& folder) {
  const QString path = QDir(folder).absolutePath();
  if (others_.contains(path)) return;
  others_ << path;
  read_again();
}

void RunList::read_again() {
  // Of a slow disk one reading at a time, and one more if it is asked for meanwhile.
  if (std::exchange(reading_, true)) {
    again_ = true;
    return;
  }
  QPointer<RunList> self(this);
  QThreadPool::globalInstance()->start([self, workspace = workspace_folder(), others = others_] {
    std::vector<RunEntry> runs = runs_in(workspace);
    for (const QString& folder : others)
      if (std::none_of(runs.begin(), runs.end(), [&](const RunEntry& one) { return one.folder == folder; }))
        if (auto run = run_at(folder)) runs.push_back(std::move(*run));
    // By way of the application, which outlives the list.
    QMetaObject::invokeMethod(qApp, [self, runs = std::move(runs)] {
      if (self) self->show(runs);
    });
  });
}

void RunList::show(const std::vector<RunEntry>& runs) {
  reading_ = false;
  const auto before = current();
  const bool first = model_->runs().empty();
  if (runs != model_->runs()) {
    const QSignalBlocker quiet(table_->selectionModel());
    model_->set_runs(runs);
    mark();
  }
  if (first && !model_->runs().empty()) {
    table_->resizeColumnsToContents();
    constexpr int kWidestName = 190;
    table_->setColumnWidth(kName, std::min(table_->columnWidth(kName), kWidestName));
  }
  empty_->setText(
      tr("No run is in %1. The pages Study and Localize write them; a folder of the command line's can be opened or dropped here.").arg(workspace_folder()));
  empty_->setVisible(model_->runs().empty());
  if (before != current()) emit current_changed();
  emit read();
  if (std::exchange(again_, false)) read_again();
}

void RunList::mark() {
  const QSignalBlocker quiet(table_->selectionModel());
  // Else the neighbour of a row that a filter hides would be current, and a click on it no change.
  table_->clearSelection();
  table_->selectionModel()->clearCurrentIndex();
  for (int row = 0; row < shown(); ++row)
    if (run_of(row).folder == current_) table_->setCurrentIndex(shown_->index(row, 0));
  table_->viewport()->update();
}

const RunEntry& RunList::run_of(int row) const { return model_->runs()[static_cast<size_t>(shown_->mapToSource(shown_->index(row, 0)).row())]; }

}  // namespace glyphscope
