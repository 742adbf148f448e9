#pragma once

#include <QTableWidget>
#include <map>
#include <vector>

#include "widgets/site_selection.h"
#include "widgets/site_values.h"

namespace glyphscope {

/// The sites as a sortable table; its rows are the shared selection.
class SiteList : public QTableWidget {
  Q_OBJECT
 public:
  explicit SiteList(SiteSelection* selection, QWidget* parent = nullptr);
  void set_sites(const std::vector<SiteItem>& sites);
  void set_scores(const QString& name, const std::map<int, ScoreValue>& scores);

 private:
  void read_selection();
  void show_selection();
  SiteSelection* selection_;
  bool updating_ = false;
};

}  // namespace glyphscope
