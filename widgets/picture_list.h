#pragma once

#include <QAbstractListModel>
#include <QCache>
#include <QPixmap>
#include <QWidget>
#include <vector>

class QLineEdit;
class QListView;
class QSortFilterProxyModel;

namespace glyphscope {

/// A picture of a data set.
struct PictureItem {
  QString file, caption, note;  ///< note: "128 x 128, held out"
};

/// Small pictures with captions, to browse and to search; a picture is read when it comes into sight.
class PictureList : public QWidget {
  Q_OBJECT
 public:
  explicit PictureList(QWidget* parent = nullptr);
  void set_pictures(std::vector<PictureItem> pictures);
  /// How many the search leaves.
  int shown() const;

 private:
  class Model;
  Model* model_;
  QSortFilterProxyModel* found_;
  QLineEdit* search_;
  QListView* view_;
};

}  // namespace glyphscope
