#include "app/window/scores_panel.h"

#include <QBoxLayout>
#include <QComboBox>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QLabel>
#include <QSaveFile>
#include <QTextStream>

#include "app/window/wording.h"
#include "metrics/scores.h"
#include "patching/patch_plan.h"
#include "widgets/flow_layout.h"
#include "widgets/heatmap.h"

namespace glyphscope {

namespace {

enum Rows { kScoreRows, kPairRows };

}  // namespace

ScoresPanel::ScoresPanel(SiteSelection* selection, QWidget* parent) : QWidget(parent) {
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 4, 0, 0);
  rows->setSpacing(4);
  auto* line = new FlowLayout;
  rows_ = new QComboBox(this);
  rows_->setObjectName("rows");
  rows_->addItems({tr("sites \u00d7 scores"), tr("sites \u00d7 pairs")});
  line->add_field(tr("Heat&map"), rows_);
  score_ = new QComboBox(this);
  score_->setObjectName("score");
  score_->setToolTip(arrow_text());
  for (const ScoreInfo* score : charted_scores())
    score_->addItem(score_title(*score), QString::fromUtf8(score->key.data(), static_cast<qsizetype>(score->key.size())));
  line->add_field(tr("Map and pairs &show"), score_);
  rows->addLayout(line);
  findings_ = new QLabel(this);
  findings_->setObjectName("findings");
  findings_->setWordWrap(true);
  findings_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  findings_->hide();
  rows->addWidget(findings_);
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
  shown_ = {};
  tell_findings({});
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
  shown_ = scores;
  tell_findings(scores.final ? findings_text(scores) : tr("Partial: the means of %1 so far; what is localized is known at the end.").arg(images_text(scores)));
  refresh();
}

void ScoresPanel::set_stopped() {
  if (scores_.empty() || shown_.final) return;
  tell_findings(tr("Partial: stopped after %1. Nothing is localized yet; File, Go on with a localization, draws the rest.").arg(images_text(shown_)));
}

void ScoresPanel::tell_findings(const QString& text) {
  findings_->setText(text);
  findings_->setVisible(!text.isEmpty());
  make_room();
}

// A label that wraps asks its layout for one line only: the heatmap below would be pressed together.
void ScoresPanel::make_room() {
  findings_->setMinimumHeight(0);  // which counts in what it asks for
  findings_->setFixedHeight(findings_->isHidden() ? 0 : findings_->heightForWidth(width()));
}

void ScoresPanel::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  make_room();
}

QString ScoresPanel::findings() const { return findings_->text(); }

QString ScoresPanel::images_text(const event::ScoresReady& scores) {
  const auto found = scores.source.find("target_f1");
  const int count = found == scores.source.end() ? 0 : found->second.n;
  return count == 1 ? tr("one image a site") : tr("%1 images a site").arg(count);
}

QString ScoresPanel::findings_text(const event::ScoresReady& scores) {
  const auto cell = [](const std::map<std::string, Score>& of) {
    const Score& score = of.at("target_f1");
    QString out = QString::number(score.mean, 'f', 2);
    if (score.low) out += QStringLiteral(" [%1, %2]").arg(*score.low, 0, 'f', 2).arg(*score.high, 0, 'f', 2);
    return out;
  };
  const auto sites = [](const std::vector<int>& list) { return QString::fromStdString(format_sites(list)); };
  QStringList out;
  out << (scores.localized.empty() ? tr("No single site is localized.") : tr("Localized: %1.").arg(sites(scores.localized)));
  out << (scores.smallest.empty() ? tr("No set of sites was found that keeps B's text.")
                                  : tr("Smallest set found that keeps B's text: %1.").arg(sites(scores.smallest)));
  QStringList read{tr("A's own picture %1").arg(cell(scores.source)), tr("B's own %1").arg(cell(scores.target))};
  for (const auto& set : scores.sets)
    read << (set.kind == SetKind::all      ? tr("all sites %1").arg(cell(set.scores))
             : set.kind == SetKind::random ? tr("random %1: %2").arg(sites(set.sites), cell(set.scores))
                                           : tr("sites %1: %2").arg(sites(set.sites), cell(set.scores)));
  out << tr("Reads as B (F1): %1.").arg(read.join(", "));
  out << (scores.halved ? tr("Chosen by the other half of the pairs; scores are of the %1 pairs that had no part in it.").arg(scores.pairs)
                        : tr("Scores are of the pairs that chose: there were too few to be halved."));
  return out.join(" ");
}

QString ScoresPanel::caption() const {
  const QJsonObject run = QJsonDocument::fromJson(QByteArray::fromStdString(shown_.document)).object(), settings = run["settings"].toObject();
  QStringList seeds;
  for (const auto& seed : settings["seeds"].toArray()) seeds << QString::number(seed.toInteger());
  const QString made = tr("%1 (SHA-256 %2): %3 pairs, seeds %4, %5 steps, guidance %6, from step %7.")
                           .arg(run["model"].toObject()["source"].toString(), run["model"].toObject()["hash"].toString().left(12))
                           .arg(settings["pairs"].toArray().size())
                           .arg(seeds.join(", "))
                           .arg(settings["steps"].toInt())
                           .arg(settings["guidance"].toDouble())
                           .arg(settings["from_step"].toInt());
  return made + "\n" + findings();
}

Figure ScoresPanel::figure() const {
  return {.title = tr("Which site writes the text?").toStdString(), .parts = heatmap_->figure_parts(), .note = caption().toStdString()};
}

void ScoresPanel::refresh() {
  const QString key = score_->currentData().toString();
  auto found = scores_.find(key);
  emit shown(score_->currentText(), found == scores_.end() ? std::map<int, ScoreValue>{} : found->second, threshold_of(key));

  QStringList names;
  std::vector<std::vector<std::optional<ScoreValue>>> values;
  auto add_row = [&](const QString& name) -> std::vector<std::optional<ScoreValue>>& {
    names << name;
    return values.emplace_back(sites_.size());
  };
  if (rows_->currentIndex() == kScoreRows) {
    for (int score = 0; score < score_->count(); ++score) {
      auto& row = add_row(score_->itemText(score));
      if (auto list = scores_.find(score_->itemData(score).toString()); list != scores_.end())
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
  heatmap_->set_values(sites_.empty() ? QStringList() : names, tr("site"), Heatmap::site_columns(static_cast<int>(sites_.size())), values);
  std::map<int, double> thresholds;
  for (int score = 0; rows_->currentIndex() == kScoreRows && score < score_->count(); ++score)
    if (const auto threshold = threshold_of(score_->itemData(score).toString())) thresholds[score] = *threshold;
  heatmap_->set_thresholds(thresholds);
}

std::optional<double> ScoresPanel::threshold_of(const QString& score) const {
  const auto own = shown_.target.find(score.toStdString());
  if (score != "target_f1" || own == shown_.target.end()) return std::nullopt;
  const QJsonObject settings = QJsonDocument::fromJson(QByteArray::fromStdString(shown_.document)).object()["settings"].toObject();
  const QJsonValue share = settings["localized_f1_share"];
  return share.isDouble() ? std::optional(share.toDouble() * own->second.mean) : std::nullopt;
}

bool ScoresPanel::save_table(const QString& file) const {
  QSaveFile table(file);  // all of it or nothing
  if (!table.open(QIODevice::WriteOnly)) return false;
  QTextStream text(&table);
  text << "sites,kind,path,score,mean,low,high,images,infinite\n";
  const auto write = [&](const QString& sites, const QString& kind, const QString& path, const std::string& name, const Score& score) {
    text << '"' << sites << "\"," << kind << ',' << path << ',' << QString::fromStdString(name) << ',';
    if (score.n > 0) text << score.mean;
    text << ',';
    if (score.low) text << *score.low;
    text << ',';
    if (score.high) text << *score.high;
    text << ',' << score.n << ',' << score.infinite << '\n';
  };
  for (const auto& [name, list] : shown_.sites)
    for (size_t site = 0; site < list.size(); ++site) write(QString::number(site), set_kind_name(SetKind::site), sites_[site].path, name, list[site]);
  for (const auto& set : shown_.sets)
    for (const auto& [name, score] : set.scores) write(QString::fromStdString(format_sites(set.sites)), set_kind_name(set.kind), {}, name, score);
  for (const auto& [name, score] : shown_.source) write({}, "A's own picture", {}, name, score);
  for (const auto& [name, score] : shown_.target) write({}, "B's own picture", {}, name, score);
  text.flush();
  return table.commit();
}

bool ScoresPanel::save_run(const QString& file) const {
  QSaveFile out(file);
  return out.open(QIODevice::WriteOnly) && out.write(QJsonDocument::fromJson(QByteArray::fromStdString(shown_.document)).toJson()) > 0 && out.commit();
}

}  // namespace glyphscope
