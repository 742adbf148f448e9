#include "widgets/picture_list.h"

#include <QApplication>
#include <QImageReader>
#include <QLineEdit>
#include <QListView>
#include <QPointer>
#include <QSortFilterProxyModel>
#include <QThreadPool>
#include <QVBoxLayout>

namespace glyphscope {

namespace {
constexpr int kSide = 56;          // of a thumbnail, pixels
constexpr int kRemembered = 2000;  // thumbnails
}  // namespace

class PictureList::Model : public QAbstractListModel {
 public:
  using QAbstractListModel::QAbstractListModel;
  void set(std::vector<PictureItem> pictures) {
    beginResetModel();
    pictures_ = std::move(pictures);
    thumbnails_.clear();
    endResetModel();
  }
  int rowCount(const QModelIndex& parent) const override { return parent.isValid() ? 0 : static_cast<int>(pictures_.size()); }
  QVariant data(const QModelIndex& index, int role) const override {
    const PictureItem& one = pictures_[static_cast<size_t>(index.row())];
    if (role == Qt::DisplayRole) return one.caption + "\n" + one.note;
    if (role == Qt::ToolTipRole) return QStringLiteral("<b>%1</b><br>%2<br>%3").arg(one.caption.toHtmlEscaped(), one.note, one.file.toHtmlEscaped());
    if (role == Qt::DecorationRole) return thumbnail(one.file);
    return {};
  }

 private:
  // Empty until it has been read, which may take a while: another thread does.
  QPixmap thumbnail(const QString& file) const {
    if (const QPixmap* known = thumbnails_.object(file)) return *known;
    QPixmap room(kSide, kSide);
    room.fill(Qt::transparent);
    thumbnails_.insert(file, new QPixmap(room));
    QPointer<Model> self(const_cast<Model*>(this));
    QThreadPool::globalInstance()->start([self, file] {
      QImageReader reader(file);
      reader.setAutoTransform(true);
      if (const QSize size = reader.size(); size.isValid()) reader.setScaledSize(size.scaled(kSide, kSide, Qt::KeepAspectRatio));
      const QImage image = reader.read();
      // By way of the application, which outlives the list.
      QMetaObject::invokeMethod(qApp, [self, file, image] {
        if (self) self->keep(file, image);
      });
    });
    return room;
  }
  void keep(const QString& file, const QImage& image) {
    if (image.isNull()) return;
    thumbnails_.insert(file, new QPixmap(QPixmap::fromImage(image)));
    for (size_t i = 0; i < pictures_.size(); ++i)
      if (pictures_[i].file == file) emit dataChanged(index(static_cast<int>(i)), index(static_cast<int>(i)), {Qt::DecorationRole});
  }
  std::vector<PictureItem> pictures_;
  mutable QCache<QString, QPixmap> thumbnails_{kRemembered};
};

PictureList::PictureList(QWidget* parent)
    : QWidget(parent), model_(new Model(this)), found_(new QSortFilterProxyModel(this)), search_(new QLineEdit(this)), view_(new QListView(this)) {
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 4, 0, 0);
  rows->setSpacing(4);
  search_->setPlaceholderText(tr("Search captions and notes"));
  search_->setClearButtonEnabled(true);
  search_->setObjectName("search_pictures");
  search_->setAccessibleName(tr("Search of the pictures"));
  view_->setAccessibleName(tr("Pictures"));
  rows->addWidget(search_);
  found_->setSourceModel(model_);
  found_->setFilterCaseSensitivity(Qt::CaseInsensitive);
  connect(search_, &QLineEdit::textChanged, found_, &QSortFilterProxyModel::setFilterFixedString);
  view_->setModel(found_);
  view_->setIconSize({kSide, kSide});
  view_->setUniformItemSizes(true);  // no picture is read before it is in sight
  view_->setAlternatingRowColors(true);
  view_->setVerticalScrollMode(QAbstractItemView::ScrollPerPixel);
  rows->addWidget(view_, 1);
}

void PictureList::set_pictures(std::vector<PictureItem> pictures) { model_->set(std::move(pictures)); }

int PictureList::shown() const { return found_->rowCount(); }

}  // namespace glyphscope
