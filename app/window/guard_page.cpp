#include "app/window/guard_page.h"

#include <QtWidgets>

#include "app/window/guard_log_view.h"
#include "app/window/picture_text.h"
#include "app/window/wording.h"
#include "core/error.h"
#include "editing/prompt_terms.h"
#include "experiments/prompt_set.h"
#include "io/resources.h"
#include "io/text_file.h"
#include "patching/patch_plan.h"
#include "tasks/session_file.h"
#include "widgets/flow_layout.h"
#include "widgets/message_strip.h"
#include "widgets/picture_view.h"
#include "widgets/plain_text_field.h"
#include "widgets/save_picture.h"

namespace glyphscope {

namespace {

QString quoted(const std::string& text) { return QStringLiteral("\u201c%1\u201d").arg(QString::fromStdString(text).toHtmlEscaped()); }

// The prompt with what was found in it marked.
QString marked(const std::string& prompt, const std::vector<TermMatch>& found) {
  QString out;
  size_t at = 0;
  const auto part = [&](size_t begin, size_t end) { return QString::fromStdString(prompt.substr(begin, end - begin)).toHtmlEscaped(); };
  for (const auto& match : found) {
    out += part(at, match.begin) + "<span style='background:#f2c14e; color:black'>" + part(match.begin, match.end) + "</span>";
    at = match.end;
  }
  return out + part(at, prompt.size());
}

QString interval(const Score& score) {
  QString out = QString::number(score.mean, 'f', 2);
  if (score.low && score.high) out += QStringLiteral(" [%1, %2]").arg(*score.low, 0, 'f', 2).arg(*score.high, 0, 'f', 2);
  return out;
}

bool write_whole(const QString& file, const QByteArray& text) {
  QSaveFile out(file);
  return out.open(QIODevice::WriteOnly) && out.write(text) == text.size() && out.commit();
}

}  // namespace

Page* make_guard_page(Workbench* bench, QWidget* parent) { return new GuardPage(bench, parent); }

GuardPage::GuardPage(Workbench* bench, QWidget* parent) : Page(bench, tr("Guard"), parent) {
  setObjectName("guard_page");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(8);
  message_ = new MessageStrip(this);
  message_->setObjectName("guard_message");
  auto* sides = new QSplitter(Qt::Horizontal, this);
  sides->setChildrenCollapsible(false);
  sides->addWidget(build_settings());
  auto* results = new QTabWidget(sides);
  results->setObjectName("guard_results");
  results->setDocumentMode(true);
  results->addTab(build_comparison(), tr("Comparison"));
  log_view_ = new GuardLogView(results);
  log_view_->setObjectName("guard_log_view");
  results->addTab(log_view_, tr("Log"));
  connect(results, &QTabWidget::currentChanged, this, [this, results] {
    if (results->currentWidget() == log_view_) log_view_->read(log_->text());
  });
  sides->addWidget(results);
  sides->setStretchFactor(0, 2);
  sides->setStretchFactor(1, 3);
  sides->setSizes({320, 580});
  column->addWidget(sides, 1);
  connect(bench->selection(), &SiteSelection::changed, this, &GuardPage::refresh);
  const auto shipped = attempt([&] { return read_text_file(resource("words/guard.txt")); });
  if (shipped)
    words_->setPlainText(QString::fromStdString(*shipped));
  else
    message_->show_message(MessageStrip::Kind::error, in_words(shipped.error()));
  show_test();
  refresh();
}

QWidget* GuardPage::build_settings() {
  auto* part = new QWidget(this);
  auto* column = new QVBoxLayout(part);
  column->setContentsMargins(0, 0, 6, 0);
  column->setSpacing(6);
  auto* head = new QHBoxLayout;
  head->addWidget(new QLabel(tr("Words to keep out of pictures"), part), 1);
  auto* load = new QPushButton(tr("Load\u2026"), part);
  auto* store = new QPushButton(tr("Save\u2026"), part);
  head->addWidget(load);
  head->addWidget(store);
  column->addLayout(head);
  words_ = new PlainTextField(part);
  words_->setObjectName("guard_words");
  words_->setAccessibleName(tr("Words to keep out of pictures"));
  words_->setToolTip(tr("A word a line, or WORD => REPLACEMENT; # begins a comment"));
  column->addWidget(words_, 2);
  list_facts_ = new QLabel(part);
  list_facts_->setObjectName("guard_list");
  list_facts_->setWordWrap(true);
  column->addWidget(list_facts_);

  test_ = new QLineEdit(part);
  test_->setObjectName("guard_test");
  test_->setAccessibleName(tr("A prompt to try"));
  test_->setPlaceholderText(tr("Try a prompt: what is found in it, and why"));
  column->addWidget(test_);
  found_ = new QLabel(part);
  found_->setObjectName("guard_found");
  found_->setWordWrap(true);
  found_->setTextFormat(Qt::RichText);
  found_->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  found_->setMinimumHeight(4 * fontMetrics().lineSpacing());
  column->addWidget(found_, 1);

  auto* grid = new QGridLayout;
  grid->setHorizontalSpacing(8);
  grid->setVerticalSpacing(6);
  site_facts_ = new QLabel(part);
  site_facts_->setObjectName("guard_sites");
  site_facts_->setWordWrap(true);
  take_ = new QPushButton(tr("Take the selection"), part);
  take_->setObjectName("guard_take");
  grid->addWidget(site_facts_, 0, 0, 1, 2);
  grid->addWidget(take_, 0, 2);
  from_step_ = new QSpinBox(part);
  from_step_->setObjectName("guard_from_step");
  from_step_->setAccessibleName(tr("From step"));
  from_step_->setRange(0, 999);
  from_step_->setToolTip(tr("First step at which the sites see the replaced prompt"));
  grid->addWidget(new QLabel(tr("From step"), part), 1, 0);
  grid->addWidget(from_step_, 1, 1, Qt::AlignLeft);
  log_ = new QLineEdit(part);
  log_->setObjectName("guard_log");
  log_->setAccessibleName(tr("File of the log"));
  log_->setPlaceholderText(tr("none"));
  log_->setToolTip(tr("A line is added to this file for each request, never changed after"));
  auto* choose = new QPushButton(tr("Choose\u2026"), part);
  grid->addWidget(new QLabel(tr("Log"), part), 2, 0);
  grid->addWidget(log_, 2, 1);
  grid->addWidget(choose, 2, 2);
  clear_text_ = new QCheckBox(tr("The log names prompts and words, not their hashes"), part);
  clear_text_->setObjectName("guard_clear");
  grid->addWidget(clear_text_, 3, 0, 1, 3);
  grid->setColumnStretch(1, 1);
  column->addLayout(grid);

  auto* line = new QHBoxLayout;
  line->setSpacing(8);
  switch_ = new QPushButton(part);
  switch_->setObjectName("guard_switch");
  switch_->setDefault(true);
  apply_ = new QPushButton(tr("Apply changes"), part);
  apply_->setObjectName("guard_apply");
  state_ = new QLabel(part);
  state_->setObjectName("guard_state");
  state_->setWordWrap(true);
  line->addWidget(switch_);
  line->addWidget(apply_);
  line->addWidget(state_, 1);
  column->addLayout(line);

  connect(load, &QPushButton::clicked, this, &GuardPage::load_words);
  connect(store, &QPushButton::clicked, this, &GuardPage::store_words);
  connect(words_, &QPlainTextEdit::textChanged, this, [this] {
    show_test();
    refresh();
  });
  connect(test_, &QLineEdit::textChanged, this, &GuardPage::show_test);
  connect(take_, &QPushButton::clicked, this, [this] { set_sites(bench().selection()->sorted()); });
  connect(from_step_, &QSpinBox::valueChanged, this, &GuardPage::refresh);
  connect(log_, &QLineEdit::textChanged, this, &GuardPage::refresh);
  connect(clear_text_, &QCheckBox::toggled, this, &GuardPage::refresh);
  connect(choose, &QPushButton::clicked, this, [this] {
    const QString file = QFileDialog::getSaveFileName(this, tr("Log to"), "guard.jsonl", tr("Logs (*.jsonl)"), nullptr, QFileDialog::DontConfirmOverwrite);
    if (!file.isEmpty()) log_->setText(file);
  });
  connect(switch_, &QPushButton::clicked, this, [this] { set(!on_); });
  connect(apply_, &QPushButton::clicked, this, [this] { set(true); });
  return part;
}

QWidget* GuardPage::build_comparison() {
  auto* part = new QWidget(this);
  auto* column = new QVBoxLayout(part);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(6);
  auto* line = new FlowLayout;
  count_ = new QSpinBox(part);
  count_->setObjectName("guard_count");
  count_->setAccessibleName(tr("Number of prompts"));
  count_->setRange(1, 10000);
  count_->setValue(16);
  count_->setSuffix(tr(" prompts"));
  count_->setToolTip(tr("Made of the words on the list. Intervals need many: the paper has some hundreds"));
  prompts_ = new QLineEdit(part);
  prompts_->setObjectName("guard_prompts");
  prompts_->setAccessibleName(tr("File of prompts"));
  prompts_->setPlaceholderText(tr("or a file of prompts with listed words"));
  compare_ = new QPushButton(tr("Compare"), part);
  compare_->setObjectName("guard_compare");
  stop_ = new QPushButton(tr("Stop"), part);
  stop_->setObjectName("guard_stop");
  classifier_ = new QLineEdit(part);
  classifier_->setObjectName("guard_classifier");
  classifier_->setAccessibleName(tr("Folder of a text classifier"));
  classifier_->setPlaceholderText(tr("folder of a RoBERTa that flags toxic texts; none: the list of words does"));
  classifier_->setToolTip(
      tr("A RobertaForSequenceClassification that says which texts are toxic; its toxic labels may follow a colon: FOLDER:hate,offensive. "
         "Without one, a text is toxic that has a listed word"));
  line->addWidget(count_);
  line->addWidget(prompts_);
  line->addWidget(compare_);
  line->addWidget(stop_);
  column->addLayout(line);
  column->addWidget(classifier_);
  auto* progress = new QHBoxLayout;
  status_ = new QLabel(tr("The guard beside a negative prompt, a swapped prompt and Safe Latent Diffusion, on the same noise"), part);
  status_->setObjectName("guard_status");
  status_->setWordWrap(true);
  bar_ = new QProgressBar(part);
  bar_->setTextVisible(false);
  bar_->setMaximumHeight(8);
  progress->addWidget(status_, 2);
  progress->addWidget(bar_, 1);
  column->addLayout(progress);
  table_ = new QTableWidget(0, 8, part);
  table_->setObjectName("guard_table");
  table_->setAccessibleName(tr("Ways to keep words out, compared"));
  table_->setHorizontalHeaderLabels({tr("SSIM to\nunguarded"), tr("F1 of\nthe word"), tr("Word\nreadable"), tr("Toxic"), tr("Replacement\nreadable"),
                                     tr("Passes"), tr("Seconds"), tr("Drawn by")});
  table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table_->setSelectionMode(QAbstractItemView::NoSelection);
  table_->setWordWrap(false);
  table_->horizontalHeader()->setStretchLastSection(true);
  table_->verticalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
  table_->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 8);
  table_->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
  table_->setMinimumHeight(5 * (fontMetrics().height() + 8));
  table_->setMaximumHeight(9 * (fontMetrics().height() + 8) + 16);
  column->addWidget(table_, 1);
  sheet_ = new PictureView(tr("Some of the pictures"), tr("Compare draws each prompt in every way"), new ViewState(this), part);
  sheet_->setObjectName("guard_sheet");
  column->addWidget(sheet_, 1);
  connect(compare_, &QPushButton::clicked, this, &GuardPage::compare);
  connect(stop_, &QPushButton::clicked, this, [this] {
    if (comparison_) engine()->cancel(comparison_);
  });
  return part;
}

QString GuardPage::title() const { return on_ ? tr("Guard: on") : name(); }

std::optional<TermList> GuardPage::terms() const {
  auto list = attempt([&] { return TermList::parse(words_->toPlainText().toStdString(), tr("the list").toStdString()); });
  if (!list) {
    list_facts_->setText(in_words(list.error()));
    return {};
  }
  list_facts_->setText(tr("%n words", nullptr, static_cast<int>(list->terms().size())));
  return std::move(*list);
}

command::SetGuard GuardPage::settings() const {
  return {true, words_->toPlainText().toStdString(), sites_, from_step_->value(), log_->text().trimmed().toStdString(), clear_text_->isChecked()};
}

void GuardPage::set_model(const event::ModelOpened& model) {
  model_ = true;
  set_sites(model.studied);
  // As it is on, or is about to be, with this model's sites: what was changed on the page, and not applied, still is not.
  if (!set_) asked_ = held_;
  if (!(set_ ? asked_.on : on_)) return;
  asked_.sites = sites_;
  set_ = post(asked_);
  refresh();
}

void GuardPage::keep(SessionFile& session) const {
  if (on_) session.guard = held_;
}

void GuardPage::restore(const SessionFile& session) {
  if (!session.guard) return;
  asked_ = *session.guard;
  words_->setPlainText(QString::fromStdString(asked_.words));
  set_sites(asked_.sites);
  set_ = post(asked_);
  refresh();
}

void GuardPage::set_sites(const std::vector<int>& sites) {
  sites_ = sites;
  refresh();
}

void GuardPage::set(bool on) {
  message_->hide();
  asked_ = settings();
  asked_.on = on;
  set_ = post(asked_);
  refresh();
}

void GuardPage::compare() {
  message_->hide();
  const Drawing drawing = bench().drawing();
  command::CompareGuard command;
  command.words = words_->toPlainText().toStdString();
  command.count = static_cast<size_t>(count_->value());
  command.sampling = drawing.sampling;
  command.sites = sites_;
  command.from_step = from_step_->value();
  command.adapters = drawing.adapters;
  const QString classifier = classifier_->text().trimmed();
  const auto colon = QFileInfo(classifier).isDir() ? -1 : classifier.lastIndexOf(':');
  command.classifier = (colon < 0 ? classifier : classifier.left(colon)).toStdString();
  if (colon >= 0)
    for (const QString& label : classifier.mid(colon + 1).split(',', Qt::SkipEmptyParts)) command.labels.push_back(label.trimmed().toStdString());
  if (const QString file = prompts_->text().trimmed(); !file.isEmpty()) {
    const auto lines = attempt([&] { return read_prompts(file.toStdString()); });
    if (!lines) return message_->show_message(MessageStrip::Kind::error, in_words(lines.error()));
    command.prompts = *lines;
  }
  comparison_ = post(std::move(command));
  status_->setText(engine()->waiting_text());
  refresh();
}

void GuardPage::load_words() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Load a list of words"), {}, tr("Lists (*.txt);;All files (*)"));
  if (file.isEmpty()) return;
  const auto text = attempt([&] { return read_text_file(file.toStdString()); });
  if (text)
    words_->setPlainText(QString::fromStdString(*text));
  else
    message_->show_message(MessageStrip::Kind::error, in_words(text.error()));
}

void GuardPage::store_words() {
  const QString file = QFileDialog::getSaveFileName(this, tr("Save the list of words"), "words.txt", tr("Lists (*.txt)"));
  if (!file.isEmpty() && !write_whole(file, words_->toPlainText().toUtf8()))
    message_->show_message(MessageStrip::Kind::error, tr("Cannot write %1. Is the folder writable, and the disk not full?").arg(file));
}

// Whatever has been drawn is in the log by now.
void GuardPage::job_ended() {
  if (on_ && log_view_->isVisible()) log_view_->read_again();
}

void GuardPage::on_event(const Event& event) {
  const bool ended = std::holds_alternative<event::Finished>(event.what) || std::holds_alternative<event::Cancelled>(event.what) ||
                     std::holds_alternative<event::Failed>(event.what);
  if (event.job == 0 || (event.job != set_ && event.job != comparison_)) return;
  if (const auto* guard = std::get_if<event::GuardSet>(&event.what)) {
    on_ = guard->on;
    held_ = asked_;
    emit title_changed();
  } else if (const auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    status_->setText(QString::fromStdString(progressed->progress.what));
    bar_->setRange(0, static_cast<int>(std::max<std::int64_t>(1, progressed->progress.total)));
    bar_->setValue(static_cast<int>(progressed->progress.done));
  } else if (const auto* compared = std::get_if<event::GuardCompared>(&event.what)) {
    show_comparison(*compared);
  } else if (const auto* noted = std::get_if<event::Noted>(&event.what)) {
    message_->show_message(MessageStrip::Kind::note, in_words(noted->text));
  }
  if (const auto* failed = std::get_if<event::Failed>(&event.what)) {
    const QString what = in_words(failed->error);
    // Of a guard that could not be set, the one from before still holds.
    message_->show_message(MessageStrip::Kind::error, event.job == set_ && on_ ? what + tr("\nThe guard that was on before stays on.") : what);
    if (event.job == comparison_) status_->setText(tr("Failed"));
  }
  if (std::holds_alternative<event::Cancelled>(event.what) && event.job == comparison_) status_->setText(tr("Stopped"));
  if (ended) (event.job == set_ ? set_ : comparison_) = 0;
  refresh();
}

void GuardPage::show_test() {
  const auto list = terms();
  const std::string given = test_->text().toStdString();
  if (!list || given.empty()) return found_->clear();
  const auto read = attempt([&] { return find_terms(*list, given); });
  if (!read) return found_->setText(in_words(read.error()).toHtmlEscaped());
  const auto& [prompt, found] = *read;
  if (found.empty()) return found_->setText(tr("No listed word."));
  QStringList lines{marked(prompt, found)};
  for (const auto& match : found) {
    const Term& term = list->terms()[match.term];
    QStringList ways;
    for (const auto& way : list->disguises(prompt, match)) ways << QString::fromStdString(way);
    lines << tr("%1 is %2%3: %4")
                 .arg(quoted(prompt.substr(match.begin, match.end - match.begin)), quoted(term.text), ways.isEmpty() ? QString() : " (" + ways.join(", ") + ")",
                      term.replacement && !term.replacement->empty() ? tr("replaced by %1").arg(quoted(*term.replacement)) : tr("taken out"));
  }
  const auto cleared = attempt([&] { return cleared_prompt(*list, given); });
  lines << (cleared ? tr("The sites see: %1").arg(quoted(*cleared)) : in_words(cleared.error()).toHtmlEscaped());
  found_->setText(lines.join("<br>"));
}

void GuardPage::show_comparison(const event::GuardCompared& compared) {
  compared_ = compared;
  table_->setRowCount(static_cast<int>(compared.methods.size()));
  QStringList names;
  for (int row = 0; row < table_->rowCount(); ++row) {
    const GuardMethod& one = compared.methods[static_cast<size_t>(row)];
    names << QString::fromStdString(one.name);
    QStringList outcomes;
    for (const auto& [way, count] : one.outcomes) outcomes << tr("%1: %2").arg(QString::fromStdString(way)).arg(count);
    const QStringList cells{interval(one.ssim),
                            interval(one.term_f1),
                            interval(one.readable),
                            interval(one.toxic),
                            one.replacement.n > 0 ? interval(one.replacement) : QString(),
                            QString::number(one.passes, 'f', 1),
                            QString::number(one.seconds, 'f', 2),
                            outcomes.join(", ")};
    for (int column = 0; column < cells.size(); ++column) {
      auto* item = new QTableWidgetItem(cells[column]);
      item->setToolTip(cells[column]);
      table_->setItem(row, column, item);
    }
  }
  table_->setVerticalHeaderLabels(names);
  table_->setColumnHidden(3, compared.classifier.empty());  // else it is the one before
  table_->resizeColumnsToContents();
  sheet_->set_picture(to_image(compared.sheet), tr("rows from the top: %1,\n%2").arg(names.mid(0, 4).join(", "), names.mid(4).join(", ")));
  if (!compared.notes.empty()) message_->show_message(MessageStrip::Kind::note, in_words(compared.notes));
  status_->setText(tr("%n prompts; 95 % intervals over words and noises; passes and seconds of a picture", nullptr, static_cast<int>(compared.prompts)));
}

void GuardPage::refresh() {
  const bool list = terms().has_value();
  site_facts_->setText(sites_.empty() ? tr("No sites: whole prompts are swapped")
                                      : (sites_.size() == 1 ? tr("Site %1 sees the replaced prompt") : tr("Sites %1 see the replaced prompt"))
                                            .arg(QString::fromStdString(format_sites(sites_))));
  take_->setEnabled(bench().selection()->sorted() != sites_);
  const command::SetGuard now = settings();
  const bool changed = on_ && (now.words != held_.words || now.sites != held_.sites || now.from_step != held_.from_step || now.log != held_.log ||
                               now.clear_text != held_.clear_text);
  switch_->setText(on_ ? tr("Switch off") : tr("Switch on"));
  switch_->setEnabled(set_ == 0 && (on_ || list));
  apply_->setVisible(changed);
  apply_->setEnabled(set_ == 0 && list);
  state_->setText(set_ ? tr("Takes hold when what runs now has ended")
                       : (on_ ? (changed ? tr("On, as it was set before these changes") : tr("On: for every picture that the window makes")) : tr("Off")));
  compare_->setEnabled(model_ && list && !on_ && comparison_ == 0);
  compare_->setToolTip(on_ ? tr("While the guard is on, nothing is drawn without it: switch it off to compare") : QString());
  stop_->setEnabled(comparison_ != 0);
  bar_->setVisible(comparison_ != 0);
}

void GuardPage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  if (!compared_) return;
  const QDir out(folder);
  const auto keep = [&](const QString& name, bool done) { (done ? saved : failed) << out.filePath(name); };
  keep("guard.csv", write_whole(out.filePath("guard.csv"), QByteArray::fromStdString(compared_->csv)));
  keep("guard.json", write_whole(out.filePath("guard.json"), QByteArray::fromStdString(compared_->json)));
  keep("guard-samples.png", save_picture(to_image(compared_->sheet), out.filePath("guard-samples.png"), QString::fromStdString(compared_->json)));
}

}  // namespace glyphscope
