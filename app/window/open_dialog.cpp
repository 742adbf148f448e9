#include "app/window/open_dialog.h"

#include <QtWidgets>

#include "app/window/wording.h"
#include "device/devices_in_sight.h"
#include "io/resources.h"

namespace glyphscope {
namespace {

constexpr int kRemembered = 8;

QString open_text(const QString& text) {
  QString path = text.trimmed();
  if (path.startsWith("~/")) path = QDir::homePath() + path.mid(1);
  return path.isEmpty() || path.startsWith("demo:") ? path : QDir::cleanPath(path);
}

// Of a model that was opened: source, configurations, upscaler, dtype, and since there is a choice the device, and GiB of its memory.
QList<QStringList> remembered() {
  QList<QStringList> out;
  for (const QVariant& one : QSettings().value("recent").toList())
    if (const auto count = one.toStringList().size(); count >= 4 && count <= 6) out << one.toStringList();
  return out;
}

}  // namespace

OpenDialog::OpenDialog(QString device, std::int64_t bytes, QWidget* parent) : QDialog(parent), open_device_(std::move(device)), open_bytes_(bytes) {
  setWindowTitle(tr("Open a model"));
  setObjectName("open_dialog");
  auto* rows = new QVBoxLayout(this);
  auto* form = new QFormLayout;
  form->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
  auto row = [&](const QString& label, QWidget* field, const QList<QPushButton*>& buttons) {
    auto* line = new QHBoxLayout;
    line->addWidget(field, 1);
    for (auto* button : buttons) {
      button->setAutoDefault(false);
      line->addWidget(button);
    }
    auto* caption = new QLabel(label, this);
    caption->setBuddy(field);
    form->addRow(caption, line);
    return QList<QWidget*>{caption, field} + QList<QWidget*>(buttons.begin(), buttons.end());
  };
  auto folder_into = [this](auto* field, const QString& title) {
    auto* button = new QPushButton(tr("Folder\u2026"), this);
    connect(button, &QPushButton::clicked, this, [this, field, title] {
      const QString folder = QFileDialog::getExistingDirectory(this, title);
      if (folder.isEmpty()) return;
      if constexpr (std::is_same_v<std::decay_t<decltype(*field)>, QComboBox>)
        field->setEditText(folder);
      else
        field->setText(folder);
    });
    return button;
  };

  source_ = new QComboBox(this);
  source_->setObjectName("model");
  source_->setEditable(true);
  source_->setMinimumContentsLength(36);
  source_->setInsertPolicy(QComboBox::NoInsert);
  source_->setCompleter(nullptr);  // it would finish a path to another one that was open before
  for (const QStringList& one : remembered()) source_->addItem(one[0], one);
  for (const auto& demo : demo_models()) source_->addItem(QString::fromStdString(demo));
  source_->setToolTip(tr("A diffusers folder, a checkpoint (.safetensors or .gguf), or a demo model"));
  auto* file = new QPushButton(tr("File\u2026"), this);
  connect(file, &QPushButton::clicked, this, [this] {
    const QString path = QFileDialog::getOpenFileName(this, tr("Open a checkpoint in a single file"), {}, tr("Checkpoints (*.safetensors *.gguf)"));
    if (!path.isEmpty()) source_->setEditText(path);
  });
  row(tr("&Model"), source_, {folder_into(source_, tr("Open a diffusers folder")), file});

  config_ = new QLineEdit(this);
  config_->setObjectName("config");
  config_->setToolTip(tr("For a checkpoint in a single file: the diffusers folder with its configurations and tokenizers"));
  config_row_ = row(tr("&Configurations"), config_, {folder_into(config_, tr("The diffusers folder with the file's configurations"))});

  upscaler_ = new QLineEdit(this);
  upscaler_->setObjectName("upscaler");
  upscaler_->setPlaceholderText(tr("none"));
  upscaler_->setToolTip(tr("A super-resolution model, which enlarges what the model draws; scores are then of the large pictures"));
  row(tr("&Upscaler"), upscaler_, {folder_into(upscaler_, tr("Open a second stage"))});

  dtype_ = new QComboBox(this);
  dtype_->setObjectName("dtype");
  dtype_->addItem(tr("automatic: bf16 on a GPU that has it, else fp32"), "auto");
  dtype_->addItem(tr("fp32"), "fp32");
  dtype_->addItem(tr("bf16: half the memory"), "bf16");
  dtype_->addItem(tr("fp16: half the memory, very slow on a CPU"), "fp16");
  form->addRow(tr("&Dtype"), dtype_);

  device_ = new QComboBox(this);
  device_->setObjectName("device");
  device_->addItem(tr("automatic: the GPU with most free memory that holds the model, else the CPU"), "auto");
  device_->addItem(tr("the CPU"), "cpu");
  for (const auto& [name, title] : devices_in_sight())
    device_->addItem(title.empty() ? QString::fromStdString(name) : tr("%1: %2").arg(QString::fromStdString(name), QString::fromStdString(title)),
                     QString::fromStdString(name));
  form->addRow(tr("D&evice"), device_);

  memory_ = new QDoubleSpinBox(this);
  memory_->setObjectName("memory");
  memory_->setDecimals(1);
  memory_->setRange(0, 1000);
  memory_->setSuffix(tr(" GiB"));
  memory_->setSpecialValueText(tr("what is free"));
  memory_->setToolTip(tr("What of a GPU's memory the model may take; of one that needs more, parts are copied there when they compute"));
  form->addRow(tr("Memo&ry"), memory_);
  rows->addLayout(form);

  hint_ = new QLabel(this);
  hint_->setObjectName("hint");
  hint_->setWordWrap(true);
  hint_->setForegroundRole(QPalette::PlaceholderText);
  hint_->setMinimumHeight(2 * fontMetrics().lineSpacing());
  rows->addWidget(hint_);

  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Open | QDialogButtonBox::Cancel, this);
  open_ = buttons->button(QDialogButtonBox::Open);
  open_->setDefault(true);
  rows->addWidget(buttons);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  connect(buttons, &QDialogButtonBox::accepted, this, [this] {
    emit chosen(entered());
    accept();
  });
  connect(source_, &QComboBox::activated, this, &OpenDialog::recall);
  connect(source_, &QComboBox::editTextChanged, this, &OpenDialog::refresh);
  for (auto* field : {config_, upscaler_}) connect(field, &QLineEdit::textChanged, this, &OpenDialog::refresh);
  for (auto* field : {dtype_, device_}) connect(field, &QComboBox::currentIndexChanged, this, &OpenDialog::refresh);
  connect(memory_, &QDoubleSpinBox::valueChanged, this, &OpenDialog::refresh);
  plan_timer_ = new QTimer(this);
  plan_timer_->setSingleShot(true);
  plan_timer_->setInterval(300);
  connect(plan_timer_, &QTimer::timeout, this, &OpenDialog::find_plan);
  source_->setCurrentIndex(-1);
  source_->lineEdit()->setPlaceholderText(tr("a folder, a .safetensors or .gguf file, or a demo model"));
  source_->setFocus();
  refresh();
}

void OpenDialog::recall(int index) {
  const QStringList one = source_->itemData(index).toStringList();
  config_->setText(one.value(1));
  upscaler_->setText(one.value(2));
  dtype_->setCurrentIndex(std::max(0, dtype_->findData(one.value(3))));
  device_->setCurrentIndex(std::max(0, device_->findData(one.value(4))));
  memory_->setValue(one.value(5).toDouble());
}

command::OpenModel OpenDialog::entered() const {
  constexpr double kGiB = 1 << 30;
  return {.source = open_text(source_->currentText()).toStdString(),
          .config = config_->isEnabled() ? open_text(config_->text()).toStdString() : std::string(),
          .upscaler = open_text(upscaler_->text()).toStdString(),
          .device = device_->currentData().toString().toStdString(),
          .dtype = dtype_->currentData().toString().toStdString(),
          .memory = static_cast<std::uint64_t>(memory_->value() * kGiB)};
}

void OpenDialog::find_plan() {
  // Files are looked at, and perhaps a GPU for the first time.
  QThreadPool::globalInstance()->start([self = QPointer<OpenDialog>(this), model = entered(), device = open_device_.toStdString(), bytes = open_bytes_] {
    const auto plan = describe_plan(model, device, bytes);
    const QString text = plan ? QString::fromStdString(*plan) : in_words(plan.error());
    QMetaObject::invokeMethod(qApp, [self, model, text] {
      if (self) self->show_plan(model, text);
    });
  });
}

void OpenDialog::show_plan(const command::OpenModel& model, const QString& text) {
  if (model == entered() && open_->isEnabled()) hint_->setText(text);
}

// What is wrong with the paths is reported here; what is wrong with the model, by the engine.
void OpenDialog::refresh() {
  const QString source = open_text(source_->currentText()), config = open_text(config_->text()), upscaler = open_text(upscaler_->text());
  const bool file = source.endsWith(".safetensors", Qt::CaseInsensitive) || source.endsWith(".gguf", Qt::CaseInsensitive);
  for (auto* widget : config_row_) widget->setEnabled(file);
  config_->setPlaceholderText(file ? tr("as published") : tr("the folder's own"));
  QString hint;
  if (source.isEmpty()) {
    hint = tr("Name a model, or choose one from the list.");
  } else if (!source.startsWith("demo:") && !QFileInfo::exists(source)) {
    hint = tr("There is no %1.").arg(source);
  } else if (file && !config.isEmpty() && !QFileInfo(config).isDir()) {
    hint = tr("There is no folder %1.").arg(config);
  } else if (!upscaler.isEmpty() && !QFileInfo(upscaler).isDir()) {
    hint = tr("There is no folder %1.").arg(upscaler);
  }
  open_->setEnabled(hint.isEmpty());
  if (hint.isEmpty() && file) hint = tr("A single file holds weights alone; its configurations are the published ones, or those of the folder you name.");
  hint_->setText(hint);
  if (open_->isEnabled()) plan_timer_->start();
}

void OpenDialog::remember(const command::OpenModel& model) {
  const QString source = QString::fromStdString(model.source);
  if (source.startsWith("demo:")) return;
  auto absolute = [](const std::string& path) { return path.empty() ? QString() : QFileInfo(QString::fromStdString(path)).absoluteFilePath(); };
  const QStringList one{absolute(model.source),
                        absolute(model.config),
                        absolute(model.upscaler),
                        QString::fromStdString(model.dtype),
                        QString::fromStdString(model.device),
                        QString::number(static_cast<double>(model.memory) / (1 << 30))};
  QVariantList recent{one};
  for (const QStringList& other : remembered())
    if (other[0] != one[0] && recent.size() < kRemembered) recent << other;
  QSettings().setValue("recent", recent);
}

}  // namespace glyphscope
