#include "app/window/scores_panel.h"

#include <QBoxLayout>
#include <QComboBox>
#include <QLabel>
#include <QSaveFile>
#include <QTextStream>

#include "widgets/heatmap.h"

namespace glyphscope {

namespace {

struct ScoreName {
  const char* key;
  const char* title;
};
// Scores that lie in [0, 1]; the first is shown at the start.
constexpr ScoreName kScores[] = {{"target_f1", "reads as B (F1)"},
                                 {"source_f1", "reads as A (F1)"},
                                 {"word_accuracy", "is B's word"},
                                 {"ssim_outside_text", "background kept (SSIM)"},
                                 {"ssim", "image kept (SSIM)"}};
enum Rows { kScoreRows, kPairRows };

}  // namespace

ScoresPanel::ScoresPanel(SiteSelection* selection, QWidget* parent) : QWidget(parent) {
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 4, 0, 0);
  rows->setSpacing(4);
  auto* line = new QHBoxLayout;
  line->addWidget(new QLabel(tr("Heatmap"), this));
  rows_ = new QComboBox(this);
  rows_->setObjectName("rows");
  rows_->addItems({tr("sites \u00d7 scores"), tr("sites \u00d7 pairs")});
  line->addWidget(rows_);
  line->addSpacing(12);
  line->addWidget(new QLabel(tr("Map and pairs show"), this));
  score_ = new QComboBox(this);
  score_->setObjectName("score");
  for (const auto& score : kScores) score_->addItem(tr(score.title), QString(score.key));
  line->addWidget(score_);
  line->addStretch(1);
  rows->addLayout(line);
  heatmap_ = new Heatmap(selection, this);
  heatmap_->setObjectName("heatmap");
  rows->addWidget(heatmap_, 1);
  connect(rows_, &QComboBox::currentIndexChanged, this, &ScoresPanel::refresh);
  connect(score_, &QComboBox::currentIndexChanged, this, &ScoresPanel::refresh);
  connect(heatmap_, &Heatmap::clicked, this, [this](int row, int site) {
    const auto pair = static_cast<size_t>(rows_->currentIndex() == kPairRows ? row : 0);
    if (pair < pairs_.size()) emit pair_chosen(pairs_[pair], site);
  });
}

void ScoresPanel::set_sites(const std::vector<SiteItem>& sites) {
  sites_ = sites;
  clear();
}

void ScoresPanel::clear() {
  scores_.clear();
  pairs_.clear();
  refresh();
}

void ScoresPanel::add_pair(const event::PairReady& pair) {
  pairs_.push_back(pair);
  // Of many or large pictures only the last are kept; scores are kept of all.
  constexpr std::size_t kPictureBytes = std::size_t{512} << 20;
  std::size_t bytes = 0;
  for (auto one = pairs_.rbegin(); one != pairs_.rend(); ++one) {
    auto weigh = [&](Picture& picture) {
      if (picture.rgb) bytes += picture.rgb->size();
      if (bytes > kPictureBytes) picture.rgb.reset();
    };
    weigh(one->source);
    weigh(one->target);
    for (auto& picture : one->patched) weigh(picture);
  }
  refresh();
}

void ScoresPanel::set_scores(const event::ScoresReady& scores) {
  for (const auto& [name, list] : scores.sites) {
    auto& into = scores_[QString::fromStdString(name)];
    for (size_t site = 0; site < list.size(); ++site) {
      const Score& score = list[site];
      into[static_cast<int>(site)] = {score.mean, score.low, score.high, score.n};
    }
  }
  refresh();
}

void ScoresPanel::refresh() {
  const QString key = score_->currentData().toString();
  auto found = scores_.find(key);
  emit shown(score_->currentText(), found == scores_.end() ? std::map<int, ScoreValue>{} : found->second);

  QStringList names;
  std::vector<std::vector<std::optional<ScoreValue>>> values;
  auto add_row = [&](const QString& name) -> std::vector<std::optional<ScoreValue>>& {
    names << name;
    return values.emplace_back(sites_.size());
  };
  if (rows_->currentIndex() == kScoreRows) {
    for (const auto& score : kScores) {
      auto& row = add_row(tr(score.title));
      if (auto list = scores_.find(score.key); list != scores_.end())
        for (const auto& [site, value] : list->second)
          if (site < static_cast<int>(sites_.size())) row[static_cast<size_t>(site)] = value;
    }
  } else {
    for (const auto& pair : pairs_) {
      auto& row = add_row(QStringLiteral("%1 \u2192 %2").arg(QString::fromStdString(pair.source_text), QString::fromStdString(pair.target_text)));
      for (size_t site = 0; site < pair.patched.size() && site < sites_.size(); ++site)
        if (auto value = pair.patched[site].scores.find(key.toStdString()); value != pair.patched[site].scores.end())
          row[site] = ScoreValue{value->second, {}, {}, 1};
    }
  }
  heatmap_->set_values(sites_.empty() ? QStringList() : names, static_cast<int>(sites_.size()), values);
}

bool ScoresPanel::save_table(const QString& file) const {
  QSaveFile table(file);  // all of it or nothing
  if (!table.open(QIODevice::WriteOnly)) return false;
  QTextStream text(&table);
  text << "site,path,score,mean,low,high,images\n";
  for (const auto& [name, values] : scores_)
    for (const auto& [site, value] : values) {
      text << site << ',' << sites_[static_cast<size_t>(site)].path << ',' << name << ',' << value.mean << ',';
      if (value.low) text << *value.low;
      text << ',';
      if (value.high) text << *value.high;
      text << ',' << value.n << '\n';
    }
  text.flush();
  return table.commit();
}

}  // namespace glyphscope
