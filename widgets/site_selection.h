#pragma once

#include <QObject>
#include <QSet>
#include <vector>

namespace glyphscope {

/// Which sites are selected: one object that map, heatmap and list share.
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

 signals:
  void changed();

 private:
  QSet<int> sites_;
};

}  // namespace glyphscope
