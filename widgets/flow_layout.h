#pragma once

#include <QLayout>
#include <vector>

class QLabel;

namespace glyphscope {

/// A line of fields and buttons that goes on in the next line where there is no room: a window can be made narrow, and nothing is cut.
class FlowLayout : public QLayout {
  Q_OBJECT
 public:
  explicit FlowLayout(QWidget* parent = nullptr);
  ~FlowLayout() override;

  /// A field with its label, which stay together and know each other: the label's mnemonic goes to the field, whose name for screen readers it is.
  QLabel* add_field(const QString& label, QWidget* field);
  /// What comes after it stands at the line's right end.
  void add_stretch();

  void addItem(QLayoutItem* item) override;
  int count() const override { return static_cast<int>(items_.size()); }
  QLayoutItem* itemAt(int index) const override;
  QLayoutItem* takeAt(int index) override;
  Qt::Orientations expandingDirections() const override { return {}; }
  bool hasHeightForWidth() const override { return true; }
  int heightForWidth(int width) const override { return arrange(QRect(0, 0, width, 0), false); }
  QSize sizeHint() const override;
  QSize minimumSize() const override;
  void setGeometry(const QRect& area) override;

 private:
  int arrange(const QRect& area, bool apply) const;
  std::vector<QLayoutItem*> items_;
};

}  // namespace glyphscope
