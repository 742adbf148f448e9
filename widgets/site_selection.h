#pragma once

#include <QObject>
#include <QSet>
#include <vector>

namespace glyphscope {

/// Which sites are selected, and which one the mouse or the keyboard is at: one object that map, heatmap and list share.
class SiteSelection : public QObject {
  Q_OBJECT
 public:
  using QObject::QObject;

  /// How a gesture changes the selection.
  enum class Mode { replace, toggle, add };

  const QSet<int>& sites() const { return sites_; }
  std::vector<int> sorted() const;
  bool contains(int site) const { return sites_.contains(site); }
  void select(const QSet<int>& sites, Mode mode = Mode::replace);
  void clear() { select({}); }

  /// The site that is pointed at; -1: none.
  int pointed() const { return pointed_; }
  void point_at(int site);

 signals:
  void changed();
  void pointed_changed();

 private:
  QSet<int> sites_;
  int pointed_ = -1;
};

}  // namespace glyphscope
