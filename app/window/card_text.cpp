#include "app/window/card_text.h"

#include <QObject>
#include <algorithm>
#include <vector>

#include "metrics/scores.h"
#include "patching/patch_plan.h"

namespace glyphscope {

QString score_text(const Score& score) {
  QString out = QString::number(score.mean, 'f', 2);
  if (score.low && score.high) out += QStringLiteral(" [%1, %2]").arg(*score.low, 0, 'f', 2).arg(*score.high, 0, 'f', 2);
  return out;
}

QString counted(int count, const QString& one, const QString& many) { return QString::number(count) + " " + (count == 1 ? one : many); }

namespace {

QString numbers(const std::vector<int>& sites) { return QString::fromStdString(format_sites(sites)); }

// What a set of a card was asked for; empty: it is not in the table.
QString role_text(const event::Certified::Set& set) {
  const QString sites = numbers(set.sites);
  if (set.role == "sufficiency") return QObject::tr("A, %1 see B (sufficiency)").arg(sites);
  if (set.role == "necessity") return QObject::tr("B, %1 see A (necessity)").arg(sites);
  if (set.role == "complement") return QObject::tr("A, all but %1 see B (complement)").arg(sites);
  if (set.role == "control") return QObject::tr("A, %1 see B (control)").arg(sites);
  if (set.role == "control_necessity") return QObject::tr("B, %1 see A (the same control)").arg(sites);
  if (set.role == "all_sites") return QObject::tr("A, all sites see B");
  return {};
}

}  // namespace

QString card_html(const event::Certified& card) {
  QString html;
  const auto say = [&](bool holds, const QString& yes, const QString& no) { return holds ? yes : no; };
  html += card.chosen.empty()
              ? QStringLiteral("<h3>%1</h3>").arg(QObject::tr("No set of sites that was tried keeps B's text"))
              : QStringLiteral("<h3>%1</h3>")
                    .arg((card.chosen.size() == 1 ? QObject::tr("Site %1: %2, %3, %4") : QObject::tr("Sites %1: %2, %3, %4"))
                             .arg(numbers(card.chosen), say(card.sufficient, QObject::tr("sufficient"), QObject::tr("not surely sufficient")),
                                  say(card.necessary, QObject::tr("necessary"), QObject::tr("not surely necessary")),
                                  say(card.beats_controls, QObject::tr("better than controls"), QObject::tr("not surely better than controls"))));
  const QString reported = QObject::tr("%1 and %2")
                               .arg(counted(card.reporting_words, QObject::tr("word"), QObject::tr("words")),
                                    counted(card.reporting_noises, QObject::tr("noise"), QObject::tr("noises")));
  if (card.from)
    html += QStringLiteral("<p>%1</p>")
                .arg(QObject::tr("The sites are those of the card of %1; reported on its %2.")
                         .arg(QString::fromStdString(card.from->model), reported)
                         .toHtmlEscaped());
  else
    html += QStringLiteral("<p>%1</p>")
                .arg(QObject::tr("Chosen on %1 and %2, reported on %3 and %4.")
                         .arg(counted(card.choosing_words, QObject::tr("word"), QObject::tr("words")),
                              counted(card.choosing_noises, QObject::tr("noise"), QObject::tr("noises")),
                              counted(card.reporting_words, QObject::tr("word"), QObject::tr("words")),
                              counted(card.reporting_noises, QObject::tr("noise"), QObject::tr("noises"))));
  const std::vector<const ScoreInfo*> shown = shown_scores(card.source);
  html += "<table cellpadding='4'><tr><th align='left'>" + QObject::tr("Picture") + "</th>";
  for (const ScoreInfo* score : shown) html += "<th align='left'>" + QObject::tr(score->title).toHtmlEscaped() + "</th>";
  html += "</tr>";
  const auto row = [&](const QString& name, const std::map<std::string, Score>& scores) {
    html += "<tr><td>" + name.toHtmlEscaped() + "</td>";
    for (const ScoreInfo* score : shown) {
      const auto found = scores.find(std::string(score->key));
      html += "<td>" + (found == scores.end() ? QString("\u2013") : score_text(found->second)) + "</td>";
    }
    html += "</tr>";
  };
  row(QObject::tr("A's own"), card.source);
  for (const auto& set : card.sets)
    if (const QString name = role_text(set); !name.isEmpty()) row(name, set.scores);
  row(QObject::tr("B's own"), card.target);
  html += "</table>";
  if (!card.sites.empty()) {
    html += "<h4>" + QObject::tr("Sites alone") + QString(card.search ? QObject::tr(", on the words that report") : QObject::tr(", on the words that choose")) +
            "</h4><table cellpadding='4'><tr><th align='left'>" + QObject::tr("Site") + "</th><th align='left'>" + QObject::tr("adds to B's F1") +
            "</th><th align='left'>p</th><th align='left'>" + QObject::tr("Shapley value") + "</th></tr>";
    for (const auto& site : card.sites)
      html += QStringLiteral("<tr><td>%1%2</td><td>%3</td><td>%4</td><td>%5</td></tr>")
                  .arg(site.site)
                  .arg(std::find(card.discovered.begin(), card.discovered.end(), site.site) != card.discovered.end() ? " *" : "")
                  .arg(score_text(site.effect))
                  .arg(site.p, 0, 'g', 2)
                  .arg(site.shapley ? score_text(*site.shapley) : QString("\u2013"));
    html += "</table><p>" + QObject::tr("* discovered: of all that are, %1 % may be false (Benjamini-Hochberg).").arg(100 * card.false_discovery) + "</p>";
  }
  return html;
}

}  // namespace glyphscope
