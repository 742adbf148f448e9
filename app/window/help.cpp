#include "app/window/help.h"

#include <QtWidgets>

#include "app/window/wording.h"
#include "core/error.h"
#include "io/resources.h"

namespace glyphscope {

namespace {

const QString kSeen = "tour_seen";

}  // namespace

HelpDialog::HelpDialog(const QString& page, QWidget* parent) : QDialog(parent) {
  setObjectName("help_dialog");
  setAttribute(Qt::WA_DeleteOnClose);
  setWindowTitle(tr("Help"));
  resize(560, 460);
  auto* column = new QVBoxLayout(this);
  auto* text = new QTextBrowser(this);
  text->setObjectName("help_text");
  text->setAccessibleName(tr("Help on this page"));
  text->setOpenExternalLinks(true);
  text->setFrameShape(QFrame::NoFrame);
  const auto file = attempt([&] { return resource(("help/" + page + ".md").toStdString()); });
  QFile help(file ? QString::fromStdString(file->string()) : QString());
  text->setMarkdown(help.open(QIODevice::ReadOnly) ? QString::fromUtf8(help.readAll()) : file ? tr("The help is missing.") : in_words(file.error()));
  column->addWidget(text, 1);
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close, this);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  column->addWidget(buttons);
}

Tour::Tour(std::vector<Step> steps, QWidget* window) : QFrame(window), steps_(std::move(steps)) {
  setObjectName("tour");
  setAttribute(Qt::WA_DeleteOnClose);
  setFrameStyle(QFrame::Panel | QFrame::Raised);
  setLineWidth(2);
  setAutoFillBackground(true);
  setBackgroundRole(QPalette::ToolTipBase);
  setForegroundRole(QPalette::ToolTipText);
  setAccessibleName(tr("First steps"));
  auto* column = new QVBoxLayout(this);
  text_ = new QLabel(this);
  text_->setObjectName("tour_text");
  text_->setForegroundRole(QPalette::ToolTipText);
  text_->setWordWrap(true);
  text_->setFixedWidth(fontMetrics().averageCharWidth() * 46);
  column->addWidget(text_);
  auto* line = new QHBoxLayout;
  count_ = new QLabel(this);
  count_->setForegroundRole(QPalette::ToolTipText);
  line->addWidget(count_);
  line->addStretch(1);
  const auto button = [&](const QString& label, const char* name, auto pressed) {
    auto* out = new QPushButton(label, this);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, pressed);
    line->addWidget(out);
    return out;
  };
  button(tr("Close"), "tour_close", &Tour::end);
  back_ = button(tr("Back"), "tour_back", [this] { show_step(step_ - 1); });
  next_ = button(tr("Next"), "tour_next", [this] { step_ + 1 < steps_.size() ? show_step(step_ + 1) : end(); });
  column->addLayout(line);
  window->installEventFilter(this);
  show_step(0);
  show();
  raise();
  next_->setFocus();
}

bool Tour::unseen() { return !QSettings().value(kSeen, false).toBool(); }

void Tour::show_step(size_t step) {
  step_ = step;
  text_->setText(steps_[step].text);
  text_->setFixedHeight(text_->heightForWidth(text_->width()));  // a layout asks too late
  count_->setText(tr("%1 of %2").arg(step + 1).arg(steps_.size()));
  back_->setEnabled(step > 0);
  next_->setText(step + 1 < steps_.size() ? tr("Next") : tr("Done"));
  place();
}

// Below what it is about, or above, where there is room: never over it, as far as the window lets it.
void Tour::place() {
  adjustSize();
  const QWidget* about = steps_[step_].about;
  const QRect room = parentWidget()->rect().adjusted(8, 8, -8, -8);
  QRect own(QPoint(), size());
  if (about && about->isVisible()) {
    const QRect target(about->mapTo(parentWidget(), QPoint()), about->size());
    constexpr int kGap = 8;
    if (target.right() + kGap + own.width() <= room.right())
      own.moveTopLeft({target.right() + kGap, target.top()});
    else if (target.bottom() + kGap + own.height() <= room.bottom())
      own.moveTopLeft({target.left(), target.bottom() + kGap});
    else
      own.moveTopLeft({target.left(), target.top() - kGap - own.height()});
  } else {
    own.moveCenter(room.center());
  }
  own.moveLeft(std::clamp(own.left(), room.left(), std::max(room.left(), room.right() - own.width())));
  own.moveTop(std::clamp(own.top(), room.top(), std::max(room.top(), room.bottom() - own.height())));
  move(own.topLeft());
}

bool Tour::eventFilter(QObject*, QEvent* event) {
  if (event->type() == QEvent::Resize) place();
  return false;
}

void Tour::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_Escape) return end();
  QFrame::keyPressEvent(event);
}

void Tour::end() {
  QSettings().setValue(kSeen, true);
  close();
}

}  // namespace glyphscope
