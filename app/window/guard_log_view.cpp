#include "app/window/guard_log_view.h"

#include <QtWidgets>

#include "app/window/wording.h"
#include "core/error.h"
#include "editing/guard_log.h"
#include "pipelines/outcome.h"
#include "widgets/flow_layout.h"

namespace glyphscope {

namespace {

enum Column { kTime, kDone, kPrompt, kMatched, kRead, kSeed, kImage, kColumns };
enum Kind { kAll, kReplaced, kWithheld, kAsAsked };

QString joined(const std::vector<std::string>& texts) {
  QStringList out;
  for (const auto& text : texts) out << QString::fromStdString(text);
  return out.join(", ");
}

}  // namespace

/// Rows of a log; the whole text is the tool tip, where a cell shows the beginning of a hash.
class GuardLogModel : public QAbstractTableModel {
 public:
  using QAbstractTableModel::QAbstractTableModel;

  void set_rows(std::vector<GuardLogRow> rows) {
    beginResetModel();
    rows_ = std::move(rows);
    endResetModel();
  }
  const std::vector<GuardLogRow>& rows() const { return rows_; }

  int rowCount(const QModelIndex& parent) const override { return parent.isValid() ? 0 : static_cast<int>(rows_.size()); }
  int columnCount(const QModelIndex& parent) const override { return parent.isValid() ? 0 : kColumns; }
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override {
    if (role != Qt::DisplayRole) return {};
    if (orientation == Qt::Vertical) return static_cast<qint64>(rows_[static_cast<size_t>(section)].line);
    return QStringList{tr("Time"), tr("Done"), tr("Prompt"), tr("Listed words"), tr("Read in the image"), tr("Seed"), tr("Image")}.at(section);
  }
  QVariant data(const QModelIndex& index, int role) const override {
    if (role != Qt::DisplayRole && role != Qt::ToolTipRole) return {};
    const QString text = cell(rows_[static_cast<size_t>(index.row())], index.column());
    static const QRegularExpression hash("\\b([0-9a-f]{10})[0-9a-f]{54}\\b");
    return role == Qt::ToolTipRole ? text : QString(text).replace(hash, "\\1\u2026");
  }
  static QString cell(const GuardLogRow& row, int column) {
    switch (column) {
      case kTime:
        return QString::fromStdString(row.time);
      case kDone:
        return QString::fromStdString(row.done);
      case kPrompt:
        return QString::fromStdString(row.prompt);
      case kMatched:
        return joined(row.matched);
      case kRead:
        return QString::fromStdString(row.read) + (row.terms_read.empty() ? QString() : tr(" (%n listed)", nullptr, static_cast<int>(row.terms_read.size())));
      case kSeed:
        return QString::number(row.seed);
      default:
        return QString::fromStdString(row.image_sha256);
    }
  }

 private:
  std::vector<GuardLogRow> rows_;
};

namespace {

/// By what was done, and a text in any column.
class LogFilter : public QSortFilterProxyModel {
 public:
  using QSortFilterProxyModel::QSortFilterProxyModel;
  void set(const QString& text, int kind) {
    text_ = text;
    kind_ = kind;
    invalidateFilter();
  }

 protected:
  bool filterAcceptsRow(int row, const QModelIndex&) const override {
    const GuardLogRow& one = static_cast<GuardLogModel*>(sourceModel())->rows()[static_cast<size_t>(row)];
    const bool asked = one.done == glyphscope::kAsAsked, withheld = one.done == glyphscope::kWithheld;
    if ((kind_ == kWithheld && !withheld) || (kind_ == kAsAsked && !asked) || (kind_ == kReplaced && (asked || withheld))) return false;
    if (text_.isEmpty()) return true;
    for (int column = 0; column < kColumns; ++column)
      if (GuardLogModel::cell(one, column).contains(text_, Qt::CaseInsensitive)) return true;
    return false;
  }

 private:
  QString text_;
  int kind_ = kAll;
};

struct ReadLog {
  GuardLog log;
  QString error;
};

}  // namespace

GuardLogView::GuardLogView(QWidget* parent) : QWidget(parent), model_(new GuardLogModel(this)), shown_(new LogFilter(this)) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(6);
  auto* line = new FlowLayout;
  filter_ = new QLineEdit(this);
  filter_->setObjectName("guard_log_filter");
  filter_->setAccessibleName(tr("Filter of the log"));
  filter_->setPlaceholderText(tr("Filter by any text"));
  filter_->setClearButtonEnabled(true);
  done_ = new QComboBox(this);
  done_->setObjectName("guard_log_done");
  done_->addItems({tr("All images"), tr("Words replaced"), tr("Withheld"), tr("As asked")});
  open_ = new QPushButton(tr("Open\u2026"), this);
  again_ = new QPushButton(tr("Read again"), this);
  again_->setObjectName("guard_log_again");
  export_ = new QPushButton(tr("Export CSV\u2026"), this);
  line->addWidget(filter_);
  line->addWidget(done_);
  line->addWidget(open_);
  line->addWidget(again_);
  line->addWidget(export_);
  column->addLayout(line);
  shown_->setSourceModel(model_);
  table_ = new QTableView(this);
  table_->setObjectName("guard_log_table");
  table_->setAccessibleName(tr("Lines of the log"));
  table_->setModel(shown_);
  table_->setSelectionBehavior(QAbstractItemView::SelectRows);
  table_->setAlternatingRowColors(true);
  table_->setWordWrap(false);
  table_->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 8);
  table_->horizontalHeader()->setStretchLastSection(true);
  const int letter = fontMetrics().horizontalAdvance('n');
  for (const auto& [at, letters] : {std::pair{kTime, 20}, {kDone, 16}, {kPrompt, 30}, {kMatched, 13}, {kRead, 20}, {kSeed, 8}})
    table_->setColumnWidth(at, letters * letter);
  column->addWidget(table_, 1);
  status_ = new QLabel(this);
  status_->setObjectName("guard_log_status");
  status_->setWordWrap(true);
  status_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(status_);
  connect(filter_, &QLineEdit::textChanged, this, &GuardLogView::filter);
  connect(done_, &QComboBox::currentIndexChanged, this, &GuardLogView::filter);
  connect(open_, &QPushButton::clicked, this, &GuardLogView::choose);
  connect(again_, &QPushButton::clicked, this, &GuardLogView::read_again);
  connect(export_, &QPushButton::clicked, this, [this] {
    const QString file = QFileDialog::getSaveFileName(this, tr("Export what is shown of the log"), "guard-log.csv", tr("Tables (*.csv)"));
    if (!file.isEmpty())
      status_->setText(save_table(file) ? tr("Saved %1").arg(file) : tr("Cannot write %1. Is the folder writable, and the disk not full?").arg(file));
  });
  read({});
}

GuardLogView::~GuardLogView() = default;

void GuardLogView::choose() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Open a guard's log"), {}, tr("Logs (*.jsonl);;All files (*)"));
  if (!file.isEmpty()) read(file);
}

void GuardLogView::read(const QString& file) {
  file_ = file;
  const int asked = ++reading_;
  if (file.isEmpty() || !QFileInfo::exists(file)) {
    model_->set_rows({});
    status_->setText(file.isEmpty() ? tr("No log: name one where the guard is set up, or open one")
                                    : tr("%1 is not there yet: the first guarded image begins it").arg(file));
    return refresh();
  }
  status_->setText(tr("Reading %1").arg(file));
  auto promise = std::make_shared<QPromise<ReadLog>>();
  promise->future().then(this, [this, asked](const ReadLog& read) {
    if (asked != reading_) return;
    model_->set_rows(read.log.rows);
    const AuditCheck& check = read.log.check;
    if (!read.error.isEmpty())
      status_->setText(read.error);
    else if (check.fault.empty())
      status_->setText(tr("Lines: %1, each follows the one before; the last is %2").arg(check.lines).arg(QString::fromStdString(check.last)));
    else
      status_->setText(
          tr("Not as it was written: after line %1: %2. What comes after it is not shown.").arg(check.lines).arg(QString::fromStdString(check.fault)));
    refresh();
  });
  QThreadPool::globalInstance()->start([promise, file] {
    promise->start();
    ReadLog out;
    const auto done = attempt([&] { out.log = read_guard_log(file.toStdString()); });
    if (!done) out.error = in_words(done.error());
    promise->addResult(std::move(out));
    promise->finish();
  });
}

void GuardLogView::filter() {
  static_cast<LogFilter*>(shown_)->set(filter_->text(), done_->currentIndex());
  refresh();
}

void GuardLogView::refresh() {
  again_->setEnabled(!file_.isEmpty());
  export_->setEnabled(shown() > 0);
}

bool GuardLogView::save_table(const QString& file) const {
  std::vector<GuardLogRow> rows;
  for (int row = 0; row < shown(); ++row) rows.push_back(model_->rows()[static_cast<size_t>(shown_->mapToSource(shown_->index(row, 0)).row())]);
  QSaveFile out(file);
  const QByteArray text = QByteArray::fromStdString(guard_log_csv(rows));
  return out.open(QIODevice::WriteOnly) && out.write(text) == text.size() && out.commit();
}

QString GuardLogView::status() const { return status_->text(); }
int GuardLogView::shown() const { return shown_->rowCount(); }

}  // namespace glyphscope
