// The window's session: what it holds, how it is saved, opened and undone.
#include <QtWidgets>

#include "app/window/field_state.h"
#include "app/window/main_window.h"
#include "app/window/session_keeper.h"
#include "app/window/wording.h"
#include "app/window/workspace.h"
#include "io/json.h"
#include "patching/patch_plan.h"
#include "tasks/session_file.h"
#include "widgets/adapter_list.h"
#include "widgets/message_strip.h"
#include "widgets/save_picture.h"

namespace glyphscope {

namespace {

QJsonObject to_qt(const nlohmann::ordered_json& json) { return QJsonDocument::fromJson(QByteArray::fromStdString(json.dump())).object(); }
nlohmann::ordered_json from_qt(const QJsonObject& object) {
  return nlohmann::ordered_json::parse(QJsonDocument(object).toJson(QJsonDocument::Compact).toStdString());
}

const QString kFilter = QObject::tr("Sessions (*.glyph)");

}  // namespace

void MainWindow::build_session_menu(QMenu& file, QMenu& edit) {
  session_ = new SessionKeeper(
      {[this] { return collect_session(); }, [this] { return session_state(); }, [this](const QJsonObject& state) { apply_state(state); }}, this);
  connect(session_, &SessionKeeper::status_changed, this, &MainWindow::show_session_status);
  connect(session_, &SessionKeeper::failed, this, [this](const QString& text) { fail(tr("The session could not be saved: %1").arg(text)); });
  connect(session_, &SessionKeeper::saved, this, [this](const QString& name) { say(tr("The session is saved in %1.").arg(name)); });
  for (Page* page : pages_) connect(page, &Page::content_changed, session_, &SessionKeeper::touch);
  file.addAction(tr("Open sess&ion\u2026"), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_O), this, [this] {
    const QString chosen = QFileDialog::getOpenFileName(this, tr("Open a session"), workspace_folder(), kFilter);
    if (!chosen.isEmpty()) open_session(chosen);
  });
  auto* recent = file.addMenu(tr("&Recent sessions"));
  recent->setObjectName("recent_sessions");
  connect(recent, &QMenu::aboutToShow, this, [this, recent] {
    recent->clear();
    for (const QString& left : SessionKeeper::left_behind())
      recent->addAction(tr("As it was left, %1").arg(QLocale().toString(QFileInfo(left).lastModified(), QLocale::ShortFormat)), this,
                        [this, left] { open_session(left); });
    recent->addSeparator();
    for (const QString& one : SessionKeeper::recent()) recent->addAction(one, this, [this, one] { open_session(one); });
    if (recent->isEmpty()) recent->addAction(tr("None was saved yet"))->setEnabled(false);
  });
  file.addAction(tr("&Save session"), QKeySequence::Save, this, &MainWindow::save_session);
  file.addAction(tr("Save session &as\u2026"), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_S), this, &MainWindow::save_session_as);
  // A page with steps of its own takes them back first.
  const auto step = [this](bool (Page::*own)(), void (SessionKeeper::*whole)()) {
    return [this, own, whole] {
      if (!(static_cast<Page*>(tabs_->currentWidget())->*own)()) (session_->*whole)();
    };
  };
  undo_ = edit.addAction(tr("&Undo"), QKeySequence::Undo, this, step(&Page::undo, &SessionKeeper::undo));
  undo_->setObjectName("undo");
  redo_ = edit.addAction(tr("&Redo"), QKeySequence::Redo, this, step(&Page::redo, &SessionKeeper::redo));
  redo_->setObjectName("redo");
}

QJsonObject MainWindow::session_state() const {
  QJsonArray sites, adapters;
  for (int site : selection_->sorted()) sites.append(site);
  for (const auto& one : adapters_->state()) adapters.append(QJsonObject{{"file", one.file}, {"strength", one.strength}, {"on", one.on}});
  return {{"fields", fields_of(*tabs_)}, {"sites", sites}, {"adapters", adapters}};
}

void MainWindow::apply_state(const QJsonObject& state) {
  QSet<int> sites;
  for (const auto& site : state["sites"].toArray())
    if (site.toInt(-1) >= 0 && site.toInt() < static_cast<int>(sites_.size())) sites.insert(site.toInt());
  selection_->select(sites);
  std::vector<AdapterList::State> adapters;
  for (const auto& one : state["adapters"].toArray()) {
    const QJsonObject adapter = one.toObject();
    adapters.push_back({adapter["file"].toString(), adapter["strength"].toDouble(1), adapter["on"].toBool(true)});
  }
  adapters_->set_state(adapters);
  set_fields(*tabs_, state["fields"].toObject());
}

SessionFile MainWindow::collect_session() const {
  SessionFile out;
  if (!model_source_.isEmpty()) out.model = opened_;
  if (model_hash_ && model_hash_->ready()) out.model_hash = hash_text().toStdString();
  for (const auto& one : adapters_->state()) out.adapters.push_back({one.file.toStdString(), {}, one.strength, one.on});
  out.sites = selection_->sorted();
  out.window["fields"] = from_qt(fields_of(*tabs_));
  out.window["page"] = static_cast<Page*>(tabs_->currentWidget())->objectName().toStdString();
  out.runs = session_runs_;
  out.trainings = session_trainings_;
  for (const Page* page : pages_) page->keep(out);
  for (auto* references : {&out.runs, &out.trainings}) {
    std::vector<SessionFile::Reference> once;
    for (auto& one : *references)
      if (std::none_of(once.begin(), once.end(), [&](const auto& other) { return other.folder == one.folder; }))
        once.push_back({one.folder, one.sha256.empty() ? reference_hash(one.folder) : one.sha256});
    *references = std::move(once);
  }
  if (!session_unknown_.empty()) out.unknown = nlohmann::ordered_json::parse(session_unknown_);
  return out;
}

void MainWindow::show_session_status() {
  if (!session_) return;
  const QString name = session_->file().isEmpty() ? QString() : QFileInfo(session_->file()).completeBaseName() + (session_->changed() ? "*" : "");
  QStringList parts;
  if (!name.isEmpty()) parts << name;
  if (!model_source_.isEmpty()) parts << model_source_;
  parts << tr("Glyphscope");
  setWindowTitle(parts.join(QStringLiteral(" \u2013 ")));
  if (undo_) undo_->setToolTip(tr("Takes back the last change of fields, selection or adapters"));
}

void MainWindow::save_session() {
  if (session_->file().isEmpty())
    save_session_as();
  else
    session_->save(session_->file());
}

void MainWindow::save_session_as() {
  const QString proposed = QDir(workspace_folder()).filePath(QFileInfo(model_source_.section(':', -1)).completeBaseName() + ".glyph");
  const QString file = ask_where_to_save(this, tr("Save the session"), session_->file().isEmpty() ? proposed : session_->file(), kFilter, "glyph");
  if (!file.isEmpty()) session_->save(file);
}

void MainWindow::open_session(const QString& file) {
  say(tr("Reading the session %1").arg(file));
  QPointer<MainWindow> self(this);
  // Its pictures may be many.
  QThreadPool::globalInstance()->start([self, file] {
    struct Read {
      Expected<SessionFile> session;
      std::vector<std::string> notes;
    };
    std::vector<std::string> notes;
    auto session = attempt([&] { return read_session(file.toStdString(), notes); });
    auto read = std::make_shared<Read>(Read{std::move(session), std::move(notes)});
    QMetaObject::invokeMethod(qApp, [self, file, read] {
      if (!self) return;
      if (!read->session) return self->fail(in_words(read->session.error()));
      self->message_->hide();
      self->session_notes_.clear();
      for (const auto& text : read->notes) self->session_notes_ << in_words(text);
      self->take_session(std::move(*read->session), file);
    });
  });
}

void MainWindow::take_session(SessionFile session, const QString& file) {
  if (!session_pictures_) session_pictures_ = std::make_unique<QTemporaryDir>();
  if (const auto unpacked = attempt([&] { unpack_inputs(session, session_pictures_->path().toStdString()); }); !unpacked)
    return fail(in_words(unpacked.error()));
  const auto show = [&] {
    session_to_show_ = std::make_unique<SessionFile>(std::move(session));
    session_to_show_file_ = file;
  };
  if (session.model.source.empty()) {
    show();
    return restore_session();
  }
  // The same model need not be opened again.
  if (!model_source_.isEmpty() && opened_ == session.model && !busy()) {
    show();
    return restore_session();
  }
  const QString source = QString::fromStdString(session.model.source);
  if (!source.startsWith("demo:") && !QFileInfo::exists(source)) return find_model_of(std::move(session), file);
  const command::OpenModel model = session.model;
  if (!open(model)) return;
  show();
  session_job_ = job_;
}

// A model that was moved: where it is now.
void MainWindow::find_model_of(SessionFile session, const QString& file) {
  auto* box = new QMessageBox(QMessageBox::Question, tr("Glyphscope"),
                              tr("The session's model is not at %1.").arg(QString::fromStdString(session.model.source)), {}, this);
  box->setObjectName("find_model");
  box->setAttribute(Qt::WA_DeleteOnClose);
  box->setInformativeText(tr("Where is it now? It is told from others by its SHA-256."));
  auto* folder = box->addButton(tr("A folder\u2026"), QMessageBox::AcceptRole);
  auto* checkpoint = box->addButton(tr("A checkpoint\u2026"), QMessageBox::AcceptRole);
  box->addButton(QMessageBox::Cancel);
  auto kept = std::make_shared<SessionFile>(std::move(session));
  connect(box, &QMessageBox::buttonClicked, this, [this, folder, checkpoint, kept, file](QAbstractButton* pressed) {
    QString found;
    if (pressed == folder) found = QFileDialog::getExistingDirectory(this, tr("The session's model"));
    if (pressed == checkpoint) found = QFileDialog::getOpenFileName(this, tr("The session's model"), {}, tr("Checkpoints (*.safetensors *.gguf)"));
    if (found.isEmpty()) return;
    kept->model.source = found.toStdString();
    take_session(std::move(*kept), file);
  });
  box->open();
}

void MainWindow::restore_session() {
  leave_session();  // where the same model stays open
  const std::unique_ptr<SessionFile> session = std::move(session_to_show_);
  const QString file = session_to_show_file_;
  const bool left = QFileInfo(file).fileName().startsWith('.');
  QStringList notes = std::exchange(session_notes_, {});
  session_hash_ = QString::fromStdString(session->model_hash);
  for (const auto* references : {&session->runs, &session->trainings})
    for (const auto& one : *references) {
      const QString folder = QString::fromStdString(one.folder);
      if (!QFileInfo::exists(folder))
        notes << tr("%1 is not there any more.").arg(folder);
      else if (!one.sha256.empty() && reference_hash(one.folder) != one.sha256)
        notes << tr("In %1 is another one by now than the session is of.").arg(folder);
    }
  QJsonObject state{{"fields", to_qt(session->window.value("fields", nlohmann::ordered_json::object()))}};
  QJsonArray sites, adapters;
  for (int site : session->sites) sites.append(site);
  for (const auto& one : session->adapters) {
    const QString name = QString::fromStdString(one.file);
    if (!QFileInfo::exists(name)) {
      notes << tr("The adapter %1 is not there any more, and is left out.").arg(name);
      continue;
    }
    adapters.append(QJsonObject{{"file", name}, {"strength", one.strength}, {"on", one.on}});
  }
  state["sites"] = sites;
  state["adapters"] = adapters;
  // Edits at sites that this model has not are of another one.
  const auto edits = session->edits.size();
  std::erase_if(session->edits, [&](const auto& edit) {
    const std::vector<int> own = sites_of(edit.command.plan);
    return std::any_of(own.begin(), own.end(), [&](int site) { return site >= static_cast<int>(sites_.size()); });
  });
  if (session->edits.size() < edits) {
    session->present = std::min(session->present, static_cast<int>(session->edits.size()) - 1);
    notes << tr("Edits at sites that this model has not are left out.");
  }
  if (session->guard) notes << tr("The guard was on, and is switched on again, without its log.");
  apply_state(state);
  for (Page* page : pages_) page->restore(*session);
  const auto page = session->window.find("page");
  for (Page* one : pages_)
    if (page != session->window.end() && page->is_string() && one->objectName().toStdString() == page->get<std::string>()) tabs_->setCurrentWidget(one);
  adapters_settle_->stop();  // their pictures are there
  session_runs_ = session->runs;
  session_trainings_ = session->trainings;
  session_unknown_ = session->unknown.empty() ? std::string() : session->unknown.dump();
  session_->begin_anew();
  session_->set_file(left ? QString() : file);
  session_->keep_soon();
  if (!left) SessionKeeper::remember(file);
  if (!notes.isEmpty()) say(notes.join("\n"));
  check_session_hash();
}

// Nobody waits for the hash of a model of many gigabytes.
void MainWindow::check_session_hash() {
  if (session_hash_.isEmpty() || !model_hash_ || !model_hash_->ready()) return;
  if (std::exchange(session_hash_, QString()) != hash_text())
    say(tr("The model is another one by now than the session is of: what is drawn may be other than its pictures."));
}

void MainWindow::leave_session() {
  session_->set_aside();
  session_->set_file({});
  session_runs_.clear();
  session_trainings_.clear();
  session_unknown_.clear();
  session_hash_.clear();
}

}  // namespace glyphscope
