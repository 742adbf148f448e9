#include "app/window/localize_form.h"

#include <QtWidgets>

#include "app/window/form_fields.h"
#include "app/window/wording.h"
#include "core/error.h"
#include "core/option.h"
#include "experiments/prompt_set.h"
#include "io/resources.h"
#include "patching/patch_plan.h"
#include "widgets/plain_text_field.h"

namespace glyphscope {

namespace {

enum PresetIndex { kSuits, kSimple, kCreative, kOwn };
enum DifferIndex { kByWords, kByAttributes };
enum QuestionIndex { kLocalization, kCard, kMap };

// The engine's names of axes, in the order of the choices.
const char* const kAxes[] = {"site", "set", "step", "head", "stream", "part", "token-group", "encoder", "direction", "attribute"};
const char* const kDirections[] = {"sufficiency", "necessity", "complement"};
const char* const kSearches[] = {"exhaustive", "adaptive", "adaptive-reader"};

QStringList axis_names() {
  return {QObject::tr("site"),          QObject::tr("set of sites"), QObject::tr("range of steps"), QObject::tr("head"),      QObject::tr("K or V"),
          QObject::tr("part of block"), QObject::tr("token group"),  QObject::tr("text encoder"),   QObject::tr("direction"), QObject::tr("attribute")};
}

std::vector<std::string> lines_of(const QPlainTextEdit* field) {
  std::vector<std::string> out;
  for (const QString& line : field->toPlainText().split('\n'))
    if (const QString text = line.trimmed(); !text.isEmpty()) out.push_back(text.toStdString());
  return out;
}

std::optional<Error> fault_of(const std::function<void()>& body) {
  const auto done = attempt([&] { return body(), 0; });
  return done ? std::nullopt : std::optional(done.error());
}

QString joined(const std::vector<std::string>& lines) {
  QStringList out;
  for (const auto& line : lines) out << QString::fromStdString(line);
  return out.join('\n');
}

}  // namespace

LocalizeForm::LocalizeForm(Workbench* bench, QWidget* parent) : QWidget(parent), bench_(bench) {
  FormFields fields(this, tr("False discoveries"), [this] { refresh(); });
  add_question(fields);
  add_prompts(fields);
  add_drawing(fields);
  fields.rows()->addStretch(1);
  fields.guard_wheel();
  for (auto* edit : {sites_, sets_, size_}) connect(edit, &QLineEdit::textChanged, this, &LocalizeForm::refresh);
  for (auto* edit : {templates_, words_}) connect(edit, &QPlainTextEdit::textChanged, this, &LocalizeForm::refresh);
  connect(templates_, &QPlainTextEdit::textChanged, this, [this] {
    if (!applying_) preset_->setCurrentIndex(kOwn);
  });
  for (auto* box : {pooled_, keep_images_}) connect(box, &QCheckBox::toggled, this, &LocalizeForm::refresh);
  connect(false_discovery_, &QDoubleSpinBox::valueChanged, this, &LocalizeForm::refresh);
  connect(preset_, &QComboBox::activated, this, &LocalizeForm::apply_preset);
  connect(bench->sampling(), &SharedSampling::changed, this, &LocalizeForm::show_sampling);
  for (QSpinBox* box : {steps_, seed_}) connect(box, &QSpinBox::valueChanged, this, &LocalizeForm::take_sampling);
  connect(guidance_, &QDoubleSpinBox::valueChanged, this, &LocalizeForm::take_sampling);
  columns_->setCurrentIndex(3);  // ranges of steps
  show_sampling();
}

PlainTextField* LocalizeForm::lines(FormFields& fields, const QString& label, const QString& tip, const char* name, int rows) {
  auto* box = new QWidget(this);
  auto* line = new QHBoxLayout(box);
  line->setContentsMargins(0, 0, 0, 0);
  auto* field = new PlainTextField(box);
  field->setObjectName(name);
  field->setToolTip(tip);
  field->setAccessibleName(label);
  field->setTabChangesFocus(true);
  field->setFixedHeight(rows * fontMetrics().lineSpacing() + 12);
  auto* button = new QPushButton(tr("File\u2026"), box);
  button->setToolTip(tr("Take the lines of a file"));
  connect(button, &QPushButton::clicked, this, [this, field, label] { load(field, label); });
  line->addWidget(field, 1);
  line->addWidget(button, 0, Qt::AlignTop);
  fields.form()->addRow(fields.caption(label, field), box);
  return field;
}

void LocalizeForm::add_prompts(FormFields& fields) {
  fields.group(tr("What is written"));
  preset_ = fields.combo({tr("as suits the model"), tr("SimpleBench: one template"), tr("CreativeBench: many places"), tr("my own")}, tr("Prompts"),
                         tr("SimpleBench and CreativeBench are the paper's protocols (arXiv 2502.09935): 50 steps, seed 42, one noise. Its 100 words are not "
                            "shipped: give your own. CreativeBench's templates are written anew"),
                         "localize_preset");
  // Placeholders say what happens where nothing is written.
  templates_ = lines(fields, tr("Templates"), tr("A prompt a line, with <text> in double quotes where the word goes. Empty: those that suit the model"),
                     "localize_templates", 3);
  templates_->setPlaceholderText(tr("those that suit the model, or\na neon sign that says \"<text>\""));
  differ_ = fields.combo({tr("words"), tr("attributes of the signs")}, tr("A and B differ by"),
                         tr("Attributes: word, length, colours and shape, which a demo model's prompts can ask for"), "localize_differ");
  words_ =
      lines(fields, tr("Words"), tr("A word a line, two for each pair. Empty: words that suit the model, which it was not trained on"), "localize_words", 5);
  words_->setPlaceholderText(tr("those that suit the model, or\nlove\npeace"));
  words_facts_ = fields.facts("localize_words_facts");
  pairs_ = fields.whole(tr("Pairs"), tr("Of prompts A and B. Half of the words choose, the others report"), "localize_pairs", 1, 100000, 16);
  noises_ = fields.whole(tr("Noises"), tr("Of each pair. With one alone, intervals are over words only"), "localize_noises", 1, 1000, 1);
}

void LocalizeForm::add_question(FormFields& fields) {
  fields.group(tr("The question"));
  question_ = fields.combo({tr("Which sites write the text?"), tr("The same, as a card with evidence"), tr("A map of what patching does")}, tr("Asks"),
                           tr("A card tests sufficiency, necessity and controls on words and noises that chose nothing. A map has one axis or two"),
                           "localize_question");
  search_ = fields.combo({tr("every site alone"), tr("adaptive: gradients first"), tr("adaptive, towards the reader")}, tr("Search"),
                         tr("Adaptive searches need far fewer pictures, and memory for gradients"), "localize_search");
  false_discovery_ = fields.field(new QDoubleSpinBox(this), tr("False discoveries"), tr("Share of the sites called discovered that may have no effect"),
                                  "localize_false_discovery");
  false_discovery_->setRange(0.001, 0.5);
  false_discovery_->setDecimals(3);
  false_discovery_->setSingleStep(0.01);
  false_discovery_->setValue(0.05);
  rows_ = fields.combo(axis_names(), tr("Rows"), tr("What the map's rows differ by"), "localize_rows");
  columns_ = fields.combo(QStringList{tr("nothing: one column")} + axis_names(), tr("Columns"), tr("What the map's columns differ by"), "localize_columns");
  direction_ = fields.combo({tr("are these sites enough?"), tr("are they needed?"), tr("are all others enough?")}, tr("Direction"),
                            tr("A's picture with sites that see B; B's with sites that see A; A's with all other sites that see B"), "localize_direction");
  sites_ = fields.field(new QLineEdit(this), tr("Sites"), tr("That a map looks at, as 5,7-9. Empty: all"), "localize_sites");
  sites_->setPlaceholderText(tr("all"));
  sets_ = fields.field(new QLineEdit(this), tr("Sets"), tr("Of sites, for an axis of sets, as 5;7-9;all"), "localize_sets");
  sets_->setPlaceholderText(tr("5;7-9;all"));
  step_ranges_ = fields.whole(tr("Ranges of steps"), tr("For an axis of steps"), "localize_step_ranges", 1, 1000, 5);
  question_facts_ = fields.facts("localize_question_facts");
}

void LocalizeForm::add_drawing(FormFields& fields) {
  fields.group(tr("How pictures are drawn"));
  steps_ = fields.whole(tr("Steps"), tr("Denoising steps; the same field as on the other pages"), "localize_steps", 1, 1000, 20);
  guidance_ = fields.field(new QDoubleSpinBox(this), tr("Guidance"), tr("As the model's pipeline counts it; the same field as on the other pages"),
                           "localize_guidance");
  guidance_->setRange(0, 50);
  guidance_->setSingleStep(0.5);
  seed_ = fields.whole(tr("First seed"), tr("Of the first noise; others follow it. The same field as on the other pages"), "localize_seed", 0, 2147483647, 42);
  from_step_ = fields.whole(tr("From step"), tr("The first step that is patched"), "localize_from_step", 0, 999, 0);
  size_ = fields.field(new QLineEdit(this), tr("Size"), tr("In pixels, as 512 x 512. Empty: the model's own"), "localize_size");
  rows_at_once_ =
      fields.whole(tr("Rows at once"), tr("Pictures that go through the denoiser together: more take more memory"), "localize_rows_at_once", 1, 1024, 16);
  pooled_ = fields.field(new QCheckBox(tr("patched pictures read B's"), this), tr("Pooled prompt"),
                         tr("Where the model reads one (SDXL, Stable Diffusion 3, FLUX). Else they read A's"), "localize_pooled");
  keep_images_ = fields.field(new QCheckBox(tr("keep all of them"), this), tr("Pictures"), tr("Else the run keeps what was measured"), "localize_keep_images");
}

void LocalizeForm::load(PlainTextField* field, const QString& title) {
  const QString file = QFileDialog::getOpenFileName(this, title, {}, tr("Text files (*.txt);;All files (*)"));
  if (file.isEmpty()) return;
  const auto read = attempt([&] { return read_word_list(file.toStdString()); });
  if (!read) return bench_->fail(in_words(read.error()));
  field->setPlainText(joined(*read));
}

void LocalizeForm::apply_preset(int index) {
  // What was typed can be had back by undo.
  const auto write = [this](const QString& text) {
    applying_ = true;
    QTextCursor all(templates_->document());
    all.select(QTextCursor::Document);
    all.insertText(text);
    applying_ = false;
  };
  if (index == kSuits) write({});
  if (index == kSimple) write("A sign that says \"<text>\".");
  if (index == kCreative) {
    const auto read = attempt([] { return read_word_list(resource("prompts/creative.txt")); });
    if (!read) return bench_->fail(in_words(read.error()));
    write(joined(*read));
  }
  if (index == kSimple || index == kCreative) {
    steps_->setValue(50);
    seed_->setValue(42);
    noises_->setValue(1);
  }
  refresh();
}

void LocalizeForm::set_model(const event::ModelOpened& model) {
  table_ = model.table;
  // Demo models' prompts can ask for attributes.
  attributes_there_ = model.learned.has_value();
  if (!attributes_there_) differ_->setCurrentIndex(kByWords);
  guidance_->setToolTip(tr("Classifier-free guidance; up to %1: none. The same field as on the other pages").arg(model.no_guidance));
  size_->setPlaceholderText(tr("%1 x %2").arg(model.width).arg(model.height));
  refresh();
}

void LocalizeForm::show_sampling() {
  const command::Sampling& own = bench_->sampling()->value();
  // Not what is there already: a field would write its number anew under the cursor of who types it.
  const auto show = [](auto* box, auto value) {
    if (box->value() == value) return;
    const QSignalBlocker quiet(box);
    box->setValue(value);
  };
  show(steps_, static_cast<int>(own.steps));
  show(guidance_, own.guidance);
  show(seed_, static_cast<int>(own.seed));
  refresh();
}

void LocalizeForm::take_sampling() {
  command::Sampling own = bench_->sampling()->value();
  own.steps = steps_->value();
  own.guidance = guidance_->value();
  own.seed = static_cast<std::uint64_t>(seed_->value());
  bench_->sampling()->set(own);
}

QString LocalizeForm::question() const {
  if (question_->currentIndex() == kCard) return "card";
  if (question_->currentIndex() == kLocalization) return "localize";
  return "map-" + QString::fromStdString(command().by);
}

command::Localize LocalizeForm::command() const {
  command::Localize out;
  const Drawing drawing = bench_->drawing();
  out.sampling = drawing.sampling;
  out.adapters = drawing.adapters;
  out.sampling.rows_at_once = rows_at_once_->value();
  if (const QString size = size_->text().simplified(); !size.isEmpty()) {
    static const QRegularExpression form("^(\\d{1,5}) ?[x\u00d7*] ?(\\d{1,5})$");
    const auto found = form.match(size.toLower());
    if (!found.hasMatch()) reject("'" + size.toStdString() + "' is no size", "Size", "Write it as 512 x 512");
    out.sampling.width = found.captured(1).toInt();
    out.sampling.height = found.captured(2).toInt();
  }
  const bool map = question_->currentIndex() == kMap, attributes = differ_->currentIndex() == kByAttributes;
  if (attributes != uses("attribute")) {
    if (!map) reject("attributes are asked for by a map, with an axis of attributes", "Asks");
    if (attributes) reject("prompts that differ by attributes are mapped by them: choose attribute as rows or columns", "Rows");
    reject("an axis of attributes needs prompts that differ by them", "A and B differ by");
  }
  if (from_step_->value() >= steps_->value()) reject("there is no such step: the first is 0, and nothing would be patched", "From step");
  if (attributes) {
    out.attributes = {"all"};
  } else {
    out.templates = lines_of(templates_);
    out.words = lines_of(words_);
    for (const auto& form : out.templates)
      if (form.find("<text>") == std::string::npos) reject("the template '" + form + "' has no <text>, where the word goes", "Templates");
    if (out.words.size() == 1) reject("one word makes no pair", "Words", "Give two at least");
  }
  out.pairs = static_cast<std::size_t>(pairs_->value());
  out.noises = noises_->value();
  out.from_step = from_step_->value();
  out.pooled_target = pooled_->isChecked();
  out.keep_images = keep_images_->isChecked();
  if (question_->currentIndex() == kCard) {
    out.certify = true;
    out.search = kSearches[search_->currentIndex()];
    out.false_discovery = false_discovery_->value();
    out.random_sets = 2;
  }
  if (map) {
    out.by = kAxes[rows_->currentIndex()];
    if (columns_->currentIndex() > 0) out.by += std::string("-") + kAxes[columns_->currentIndex() - 1];
    out.direction = kDirections[direction_->currentIndex()];
    out.sites = sites_->text().trimmed().toStdString();
    out.sets = sets_->text().trimmed().toStdString();
    out.step_ranges = step_ranges_->value();
    if (!out.sites.empty()) parse_sites(out.sites, table_);
    if (out.by == "site" && out.direction == "sufficiency" && out.sites.empty())
      reject("a map of sites alone is the first question", "Columns", "Choose columns, or some sites, or ask that question");
  }
  return out;
}

bool LocalizeForm::uses(const std::string& axis) const {
  const int rows = rows_->currentIndex(), columns = columns_->currentIndex();
  return question_->currentIndex() == kMap && (kAxes[rows] == axis || (columns > 0 && kAxes[columns - 1] == axis));
}

void LocalizeForm::refresh() {
  const bool map = question_->currentIndex() == kMap, card = question_->currentIndex() == kCard, words = differ_->currentIndex() == kByWords;
  for (QWidget* one : {static_cast<QWidget*>(templates_), static_cast<QWidget*>(words_), static_cast<QWidget*>(preset_)}) one->setEnabled(words);
  // Fields of other questions are away: what is seen is what counts.
  const auto show = [this](QWidget* field, bool on) {
    field->setVisible(on);
    for (auto* label : findChildren<QLabel*>())
      if (label->buddy() == field) label->setVisible(on);
  };
  show(search_, card);
  show(false_discovery_, card);
  for (QWidget* one : {static_cast<QWidget*>(rows_), static_cast<QWidget*>(columns_), static_cast<QWidget*>(direction_), static_cast<QWidget*>(sites_)})
    show(one, map);
  show(sets_, uses("set"));
  show(step_ranges_, uses("step"));
  show(differ_, attributes_there_);
  const auto given = lines_of(words_).size();
  words_facts_->setText(given == 0 ? tr("Words that suit the model, as many as there are pairs for")
                                   : tr("%1 words of yours: a pair takes two, from the first again if there are more pairs").arg(given));
  words_facts_->setVisible(words);
  const auto fault = table_.sites.empty() ? std::optional<Error>() : fault_of([&] { command(); });
  question_facts_->setText(fault ? in_words(*fault) : QString());
  question_facts_->setVisible(!question_facts_->text().isEmpty());
  emit changed();
}

}  // namespace glyphscope
