#include "app/window/session_keeper.h"

#include <QtWidgets>
#include <mutex>

#include "app/window/wording.h"
#include "app/window/workspace.h"
#include "core/error.h"

namespace glyphscope {

namespace {

constexpr int kWatch = 400, kKeepEvery = 3000;  // milliseconds
constexpr size_t kMostSteps = 200;
constexpr int kMostRecent = 8;
constexpr const char* kRecent = "recent_sessions";

QString workspace_file(const QString& name) { return QDir(workspace_folder()).filePath(name); }

}  // namespace

/// What writing needs beside the session; one writing at a time.
struct SessionKeeper::Writer {
  EncodedPictures pictures;
  std::mutex one_at_a_time;

  Expected<Done> write(const QString& file, const SessionFile& session) {
    const std::lock_guard lock(one_at_a_time);
    return attempt([&] { write_session(file.toStdString(), session, pictures); });
  }
};

SessionKeeper::SessionKeeper(Host host, QObject* parent)
    : QObject(parent), host_(std::move(host)), watch_(new QTimer(this)), writer_(std::make_shared<Writer>()) {
  watch_->setInterval(kWatch);
  connect(watch_, &QTimer::timeout, this, &SessionKeeper::observe);
  watch_->start();
}

SessionKeeper::~SessionKeeper() {
  // The last changes too; whatever is being written is done first.
  if (!kept_) static_cast<void>(writer_->write(own_file(), host_.collect()));
}

QString SessionKeeper::left_behind() const {
  const QString file = workspace_file(".last.glyph");
  return QFileInfo::exists(file) ? file : QString();
}

// The file that this window keeps its session in. Of several windows on one workspace each has its own; what an earlier one left becomes the last session.
QString SessionKeeper::own_file() const {
  auto* self = const_cast<SessionKeeper*>(this);
  const QString folder = workspace_folder();
  if (lock_ && QFileInfo(own_).absolutePath() == QDir(folder).absolutePath()) return own_;
  QDir().mkpath(folder);
  for (int number = 1; number < 100; ++number) {
    const QString name = workspace_file(QStringLiteral(".session-%1.glyph").arg(number));
    auto lock = std::make_unique<QLockFile>(name + ".lock");
    lock->setStaleLockTime(0);
    if (!lock->tryLock()) continue;
    if (QFileInfo::exists(name)) {
      const QString last = workspace_file(".last.glyph");
      QFile::remove(last);
      QFile::rename(name, last);
    }
    self->lock_ = std::move(lock);
    self->own_ = name;
    return own_;
  }
  return workspace_file(".session.glyph");
}

void SessionKeeper::set_file(const QString& file) {
  file_ = file;
  changed_ = false;
  emit status_changed();
}

void SessionKeeper::touch() {
  changed_ = true;
  kept_ = false;
  emit status_changed();
}

void SessionKeeper::begin_anew() {
  states_ = {host_.state()};
  pending_ = states_.front();
  at_ = 0;
  emit status_changed();
}

void SessionKeeper::observe() {
  const QJsonObject now = host_.state();
  if (at_ < 0) begin_anew();
  // A slider that moves, a word that is typed: one step, once it rests.
  const bool rests = now == std::exchange(pending_, now);
  if (rests && now != states_[static_cast<size_t>(at_)] && QApplication::mouseButtons() == Qt::NoButton) {
    states_.resize(static_cast<size_t>(at_) + 1);
    states_.push_back(now);
    if (states_.size() > kMostSteps) states_.erase(states_.begin());
    at_ = static_cast<int>(states_.size()) - 1;
    touch();
  }
  const qint64 moment = QDateTime::currentMSecsSinceEpoch();
  if (!kept_ && !writing_ && moment - last_written_ >= kKeepEvery) write(own_file(), true);
}

void SessionKeeper::go_to(int state) {
  at_ = state;
  host_.apply(states_[static_cast<size_t>(at_)]);
  // As the fields have it: one may not take every value again.
  states_[static_cast<size_t>(at_)] = pending_ = host_.state();
  touch();
}

void SessionKeeper::undo() {
  if (at_ < 0) return;
  // What was changed a moment ago is a step too.
  const QJsonObject now = host_.state();
  if (now != states_[static_cast<size_t>(at_)]) {
    states_.resize(static_cast<size_t>(at_) + 1);
    states_.push_back(now);
    ++at_;
  }
  if (can_undo()) go_to(at_ - 1);
}

void SessionKeeper::redo() {
  if (can_redo()) go_to(at_ + 1);
}

void SessionKeeper::save(const QString& file) {
  if (writing_)
    next_ = file;
  else
    write(file, false);
}

void SessionKeeper::write(const QString& file, bool automatic) {
  writing_ = true;
  last_written_ = QDateTime::currentMSecsSinceEpoch();
  (automatic ? kept_ : changed_) = automatic;
  QPointer<SessionKeeper> self(this);
  QThreadPool::globalInstance()->start([self, writer = writer_, file, automatic, session = host_.collect()] {
    const Expected<Done> done = writer->write(file, session);
    QMetaObject::invokeMethod(qApp, [self, file, automatic, done] {
      if (!self) return;
      self->writing_ = false;
      if (!done) {
        // Of one that keeps itself, once; it is tried again with the next change.
        (automatic ? self->kept_ : self->changed_) = !automatic;
        if (automatic) self->kept_ = true;
        emit self->failed(in_words(done.error()));
      } else if (!automatic) {
        self->file_ = file;
        remember(file);
        emit self->saved(file);
      }
      emit self->status_changed();
      if (const QString next = std::exchange(self->next_, QString()); !next.isEmpty()) self->save(next);
    });
  });
}

QStringList SessionKeeper::recent() {
  QStringList out = QSettings().value(kRecent).toStringList();
  out.removeIf([](const QString& file) { return !QFileInfo::exists(file); });
  return out;
}

void SessionKeeper::remember(const QString& file) {
  QStringList all = recent();
  const QString path = QFileInfo(file).absoluteFilePath();
  all.removeAll(path);
  all.prepend(path);
  QSettings().setValue(kRecent, all.mid(0, kMostRecent));
}

}  // namespace glyphscope
