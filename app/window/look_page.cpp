#include "app/window/look_page.h"

#include <QtWidgets>
#include <nlohmann/json.hpp>

#include "app/window/figure_form.h"
#include "app/window/picture_text.h"
#include "app/window/sampling_fields.h"
#include "app/window/wording.h"
#include "core/error.h"
#include "widgets/figure_source.h"
#include "widgets/flow_layout.h"
#include "widgets/heatmap.h"
#include "widgets/picture_view.h"
#include "widgets/save_picture.h"

namespace glyphscope {

Page* make_look_page(Workbench* bench, QWidget* parent) { return new LookPage(bench, parent); }

LookPage::LookPage(Workbench* bench, QWidget* parent) : Page(bench, tr("Look"), parent) {
  setObjectName("look_page");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(6);
  auto* ask = new FlowLayout;
  const auto field = [this](FlowLayout* line, auto* box, const QString& label, const QString& tip, const char* name) {
    box->setObjectName(name);
    box->setToolTip(tip);
    line->add_field(label, box);
    return box;
  };
  prompt_ = field(ask, new QLineEdit(this), tr("&Prompt"), tr("What is drawn while attention is recorded"), "look_prompt");
  prompt_->setMinimumWidth(fontMetrics().averageCharWidth() * 46);
  heads_ = field(ask, new QLineEdit(this), tr("Head&s"), tr("Of some sites only some heads, as 5:0,2;7:1. Empty: the mean over all."), "look_heads");
  heads_->setPlaceholderText(tr("all"));
  heads_->setMinimumWidth(fontMetrics().averageCharWidth() * 10);
  sampling_ = new SamplingFields(bench->sampling(), ask, this, "look_");
  draw_ = new QPushButton(tr("D&raw"), this);
  draw_->setObjectName("look_draw");
  ask->addWidget(draw_);
  column->addLayout(ask);
  auto* show = new FlowLayout;
  word_ = field(show, new QComboBox(this), tr("&Word"), tr("Of the prompt: the map shows where the picture looks at it"), "look_word");
  word_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
  const auto slider = [&](const QString& label, const QString& tip, const char* name, int most, int value) {
    auto* out = field(show, new QSlider(Qt::Horizontal, this), label, tip, name);
    out->setRange(0, most);
    out->setValue(value);
    out->setMinimumWidth(fontMetrics().averageCharWidth() * 18);
    connect(out, &QSlider::valueChanged, this, &LookPage::refresh);
    return out;
  };
  step_ = slider(tr("&At"), tr("All steps at the left end, then one after the other"), "look_step_scrubber", 0, 0);
  step_text_ = new QLabel(this);
  step_text_->setObjectName("look_steps_shown");
  step_text_->setMinimumWidth(fontMetrics().horizontalAdvance(tr("steps 100-100")));
  show->addWidget(step_text_);
  opacity_ = slider(tr("&Opacity"), tr("Of the map over the picture; at the right end the map alone is seen"), "look_opacity", 100, 60);
  column->addLayout(show);
  auto* split = new QSplitter(Qt::Vertical, this);
  split->setChildrenCollapsible(false);
  view_ = new PictureView(tr("Where it looks"), tr("Draw shows the picture here, and over it where it looks at a word"), new ViewState(this), split);
  view_->setObjectName("look_view");
  table_view_ = new Heatmap(bench->selection(), split);
  table_view_->setObjectName("look_table");
  split->addWidget(view_);
  split->addWidget(table_view_);
  split->setSizes({340, 270});  // a line of the table for each word of a usual prompt
  column->addWidget(split, 1);
  facts_ = new QLabel(this);
  facts_->setObjectName("look_facts");
  facts_->setWordWrap(true);
  column->addWidget(facts_);
  connect(draw_, &QPushButton::clicked, this, &LookPage::draw);
  connect(prompt_, &QLineEdit::returnPressed, this, &LookPage::draw);
  connect(prompt_, &QLineEdit::textChanged, this, &LookPage::refresh);
  connect(word_, &QComboBox::currentIndexChanged, this, &LookPage::refresh);
  connect(bench->selection(), &SiteSelection::changed, this, &LookPage::refresh);
  connect(table_view_, &Heatmap::clicked, this, [this](int row, int) { word_->setCurrentIndex(row); });
  refresh();
}

void LookPage::set_model(const event::ModelOpened& model) {
  table_ = model.table;
  look_.reset();
  sampling_->set_model(model);
  // Not over what the user wrote.
  if (prompt_->text() == given_prompt_) prompt_->setText(given_prompt_ = QString::fromStdString(model.source_prompt));
  prompt_->setCursorPosition(0);
  word_->clear();
  view_->clear();
  show_table();
  refresh();
}

void LookPage::set_job(WindowJob job, bool) {
  window_job_ = job;
  refresh();
}

void LookPage::draw() {
  if (!draw_->isEnabled()) return;
  command::Look command{.prompt = prompt_->text().toStdString(), .sampling = bench().sampling()->value(), .adapters = bench().drawing().adapters};
  std::vector<int> all;
  for (int site = 0; site < static_cast<int>(table_.sites.size()); ++site) all.push_back(site);
  const auto heads =
      attempt([&] { return heads_->text().trimmed().isEmpty() ? std::map<int, std::vector<int>>() : parse_heads(heads_->text().toStdString(), all, table_); });
  if (!heads) return bench().fail(in_words(heads.error()));
  command.heads = *heads;
  run(std::move(command));
}

void LookPage::on_event(const Event& event) {
  const auto* ready = std::get_if<event::AttentionReady>(&event.what);
  if (!ready) return;
  look_ = *ready;
  const QString before = word_->currentText();
  {
    const QSignalBlocker block(word_);
    word_->clear();
    for (const auto& word : look_->words) word_->addItem(QString::fromStdString(bare_word(word)));
    const auto meant = attempt([&] { return words_meant(look_->words, prompt_->text().toStdString(), {}); });
    const int known = word_->findText(before);
    word_->setCurrentIndex(known >= 0 ? known : meant && !meant->empty() ? meant->front() : 0);
  }
  step_->setRange(0, look_->ranges);
  bench().note(look_->notes);
  show_table();
  refresh();
}

// Of each word, by site: how much of the attention is paid to it.
void LookPage::show_table() {
  if (!look_) return table_view_->set_values({}, {}, {}, {});
  QStringList rows;
  std::vector<Heatmap::Column> columns;
  for (const auto& site : look_->sites) columns.push_back({QString::number(site.site), tr("Site %1").arg(site.site), {site.site}});
  Heatmap::Values values;
  double largest = 0;
  for (size_t word = 0; word < look_->words.size(); ++word) {
    rows << QString::fromStdString(bare_word(look_->words[word]));
    values.emplace_back();
    for (const auto& site : look_->sites) {
      const double share = attention_of(*look_, static_cast<int>(word), {site.site}, 0, look_->ranges).mean;
      values.back().push_back(ScoreValue{share, {}, {}, 1});
      largest = std::max(largest, share);
    }
  }
  table_view_->set_largest(largest);
  table_view_->set_values(rows, tr("site"), columns, values);
}

std::vector<int> LookPage::sites() const {
  std::vector<int> out;
  for (const auto& site : look_->sites)
    if (bench().selection()->contains(site.site)) out.push_back(site.site);
  return out;
}

AttentionMap LookPage::map_shown() const {
  const int step = step_->value();
  return step == 0 ? attention_of(*look_, word_->currentIndex(), sites(), 0, look_->ranges)
                   : attention_of(*look_, word_->currentIndex(), sites(), step - 1, step);
}

void LookPage::refresh() {
  draw_->setEnabled(!table_.sites.empty() && window_job_ != WindowJob::opening && !prompt_->text().trimmed().isEmpty());
  for (QWidget* one : {static_cast<QWidget*>(word_), static_cast<QWidget*>(step_), static_cast<QWidget*>(opacity_)}) one->setEnabled(look_.has_value());
  if (!look_) {
    step_text_->setText({});
    facts_->setText(
        tr("Draws the prompt and records the attention: of each site, how much of it each point of the picture pays to each word. What looks at a word need "
           "not write it: Localize "
           "tells that."));
    return;
  }
  const QString steps = step_->value() == 0 ? QString() : QString::fromStdString(steps_of_range(*look_, step_->value() - 1));
  step_text_->setText(step_->value() == 0 ? tr("all steps") : steps.contains('-') ? tr("steps %1").arg(steps) : tr("step %1").arg(steps));
  const AttentionMap map = map_shown();
  const std::vector<int> some = sites();
  const QString where = some.empty()       ? tr("all sites")
                        : some.size() == 1 ? tr("site %1").arg(some.front())
                                           : tr("sites %1").arg(QString::fromStdString(format_sites(some)));
  const QString caption = tr("%1 % of the attention, %2 % where most").arg(100 * map.mean, 0, 'f', 1).arg(100 * map.largest, 0, 'f', 1);
  view_->set_title(tr("\u201c%1\u201d, %2, %3").arg(word_->currentText(), where, step_text_->text()));
  view_->set_picture(to_image(attention_picture(look_->picture, map, opacity_->value() / 100.0)), caption, QString::fromStdString(look_->document));
  facts_->setText(
      tr("Colours span 0 to the map's largest value. Without a selection the mean over all sites is shown. What looks at a word need not write it: Localize "
         "tells that."));
}

std::vector<View> LookPage::views() {
  return {picture_of(this, name()),
          {tr("Words of the picture"), "words.png", {}, [this] { return look_ ? words_figure(*look_) : Figure(); }},
          {tr("A word by site"), "sites.png", {}, [this] { return look_ ? sites_figure(*look_, {word_->currentIndex()}) : Figure(); }},
          {tr("A word by step"), "steps.png", {}, [this] { return look_ ? steps_figure(*look_, {word_->currentIndex()}) : Figure(); }}};
}

void LookPage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  if (!look_) return;
  const QDir out(folder);
  const auto keep = [&](const QString& name, bool done) { (done ? saved : failed) << out.filePath(name); };
  const QString document = QString::fromStdString(look_->document);
  keep("look.png", save_picture(view_->picture(), out.filePath("look.png"), document));
  keep("look-words.png", write_figure_file(words_figure(*look_), out.filePath("look-words.png"), document));
  keep("look-sites.png", write_figure_file(sites_figure(*look_, {word_->currentIndex()}), out.filePath("look-sites.png"), document));
  QSaveFile json(out.filePath("look.json"));
  keep("look.json", json.open(QIODevice::WriteOnly) && json.write(QByteArray::fromStdString(look_->document)) > 0 && json.commit());
}

}  // namespace glyphscope
