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

constexpr int kMostLeft = 5;

QString workspace_file(const QString& name) { return QDir(workspace_folder()).filePath(name); }

// A name of its own for a session that is left behind.
QString left_name() {
  const QString time = QDateTime::currentDateTime().toString("yyyyMMdd-HHmmss");
  QString name = workspace_file(QStringLiteral(".last-%1.glyph").arg(time));
  for (int number = 2; QFileInfo::exists(name); ++number) name = workspace_file(QStringLiteral(".last-%1-%2.glyph").arg(time).arg(number));
  return name;
}

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
  adopt();
  watch_->setInterval(kWatch);
  connect(watch_, &QTimer::timeout, this, &SessionKeeper::observe);
  watch_->start();
}

SessionKeeper::~SessionKeeper() {
  // What the user has asked for, and the last changes; whatever is being written is done first.
  if (!next_.isEmpty()) static_cast<void>(writer_->write(next_, host_.collect()));
  if (!kept_) static_cast<void>(writer_->write(own_file(), host_.collect()));
}

// What windows before this one kept, and nobody holds any more, gets a name that no later one takes.
void SessionKeeper::adopt() {
  for (const QFileInfo& one : QDir(workspace_folder()).entryInfoList({".session-*.glyph"}, QDir::Files | QDir::Hidden)) {
    QLockFile lock(one.filePath() + ".lock");
    lock.setStaleLockTime(0);
    if (lock.tryLock()) QFile::rename(one.filePath(), left_name());
  }
  const QStringList left = left_behind();
  for (int i = kMostLeft; i < left.size(); ++i) QFile::remove(left[i]);
}

QStringList SessionKeeper::left_behind() {
  QStringList out;
  for (const QFileInfo& one : QDir(workspace_folder()).entryInfoList({".last-*.glyph"}, QDir::Files | QDir::Hidden, QDir::Time)) out << one.filePath();
  return out;
}

// The file that this window keeps its session in: of several on one workspace each has its own.
QString SessionKeeper::own_file() {
  const QString folder = workspace_folder();
  if (lock_ && QFileInfo(own_).absolutePath() == QDir(folder).absolutePath()) return own_;
  QDir().mkpath(folder);
  for (int number = 1; number < 100; ++number) {
    const QString name = workspace_file(QStringLiteral(".session-%1.glyph").arg(number));
    auto lock = std::make_unique<QLockFile>(name + ".lock");
    lock->setStaleLockTime(0);
    if (!lock->tryLock()) continue;
    if (QFileInfo::exists(name)) QFile::rename(name, left_name());
    lock_ = std::move(lock);
    own_ = name;
    return own_;
  }
  return left_name();
}

void SessionKeeper::set_aside() {
  if (kept_ && !QFileInfo::exists(own_)) return;  // nothing was done
  const QString name = left_name();
  QFile::rename(own_, name);
  // As it is now: what is shown goes the next moment. Until it is written, there is what was kept before.
  if (!kept_) QThreadPool::globalInstance()->start([writer = writer_, name, session = host_.collect()] { static_cast<void>(writer->write(name, session)); });
  kept_ = true;
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
  // A large session is not written all the time.
  if (!kept_ && !writing_ && moment - last_written_ >= std::max<qint64>(kKeepEvery, 20 * took_)) write(own_file(), true);
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
  file_ = file;
  remember(file);
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
    QElapsedTimer clock;
    clock.start();
    const Expected<Done> done = writer->write(file, session);
    QMetaObject::invokeMethod(qApp, [self, file, automatic, done, took = clock.elapsed()] {
      if (!self) return;
      self->writing_ = false;
      self->took_ = took;
      if (!done) {
        // Of one that keeps itself, once; it is tried again with the next change.
        (automatic ? self->kept_ : self->changed_) = !automatic;
        if (automatic) self->kept_ = true;
        emit self->failed(in_words(done.error()));
      } else if (!automatic) {
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
