// The whole program in a real window: open, localize on 2 pairs, select the best site, edit the text, export, and look at
// the files. The model is trained on the spot by the program itself, in seconds; what it draws is noise.
#include <sys/resource.h>

#include <cstring>

#include <QtTest>
#include <QtWidgets>

#include "app/window/compare_page.h"
#include "app/window/edit_history.h"
#include "app/window/edit_page.h"
#include "app/window/figure_form.h"
#include "app/window/figure_page.h"
#include "app/window/finetune_page.h"
#include "app/window/guard_log_view.h"
#include "app/window/guard_page.h"
#include "app/window/help.h"
#include "app/window/localize_page.h"
#include "app/window/look_page.h"
#include "app/window/main_window.h"
#include "app/window/runs_page.h"
#include "app/window/samples_view.h"
#include "app/window/session_keeper.h"
#include "app/window/study_page.h"
#include "app/window/workspace.h"
#include "tests/support/engine_latch.h"
#include "tests/support/process_memory.h"
#include "widgets/adapter_list.h"
#include "widgets/heatmap.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"
#include "widgets/model_map.h"
#include "widgets/picture_view.h"

using namespace glyphscope;

namespace {

// This program again, as the window of a_killed_window_loses_a_cell_at_most.
constexpr const char* kChild = "--window-that-is-killed";
constexpr int kChildSteps = 150, kChildPairs = 4;

int be_killed(int count, char** arguments) {
  QApplication application(count, arguments);
  set_workspace_folder(arguments[2]);
  MainWindow window;
  window.show();
  window.open_model(arguments[3]);
  while (window.busy()) QCoreApplication::processEvents(QEventLoop::WaitForMoreEvents, 100);
  window.findChild<QSpinBox*>("steps")->setValue(kChildSteps);
  window.selection()->select({4});
  window.findChild<StudyPage*>()->pairs = kChildPairs;
  window.findChild<QPushButton*>("localize")->click();
  return QApplication::exec();
}

}  // namespace

class WindowTest : public QObject {
  Q_OBJECT

  QTemporaryDir folder_;
  QString model_;
  std::unique_ptr<MainWindow> window_;

  template <class T>
  T* find(const char* name) {
    T* widget = window_->findChild<T*>(name);
    Q_ASSERT_X(widget, "find", name);
    return widget;
  }
  template <class P>
  void go_to() {
    find<QTabWidget>("pages")->setCurrentWidget(window_->findChild<P*>());
  }
  void wait() { QTRY_VERIFY_WITH_TIMEOUT(!window_->busy(), 300000); }
  QString message() { return find<MessageStrip>("message")->text(); }
  // The site with the highest mean of a score in an exported table; -1 if there is none.
  static int best_site(const QString& file, const QString& score) {
    QFile table(file);
    if (!table.open(QIODevice::ReadOnly)) return -1;
    int best = -1;
    double highest = -1;
    for (const QString& line : QString::fromUtf8(table.readAll()).split('\n')) {
      const QStringList cells = line.split(',');
      if (cells.size() < 5 || cells[1] != "site" || cells[3] != score || cells[4].toDouble() <= highest) continue;
      highest = cells[4].toDouble();
      best = cells[0].mid(1, cells[0].size() - 2).toInt();
    }
    return best;
  }
  void drop(const QList<QUrl>& urls, bool expected) {
    QMimeData data;
    data.setUrls(urls);
    QDragEnterEvent enter(QPoint(50, 50), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    enter.setAccepted(false);
    QCoreApplication::sendEvent(window_.get(), &enter);
    QCOMPARE(enter.isAccepted(), expected);
    if (!expected) return;
    QDropEvent event(QPointF(50, 50), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QCoreApplication::sendEvent(window_.get(), &event);
  }
  // Presses a button of the question that comes next.
  void answer(const char* button) {
    QTimer::singleShot(300, this, [button] {
      auto* box = qobject_cast<QMessageBox*>(QApplication::activeModalWidget());
      QVERIFY(box && box->objectName() == "may_end");
      QTest::mouseClick(box->findChild<QPushButton*>(button), Qt::LeftButton);
    });
  }
  static QStringList runs() { return QDir(workspace_folder()).entryList(QDir::Dirs | QDir::NoDotAndDotDot, QDir::Name); }
  void press(const char* name) { QTest::mouseClick(find<QPushButton>(name), Qt::LeftButton); }

 private slots:
  void initTestCase() {
    model_ = folder_.filePath("tiny/model");
    QProcess train;
    train.start(qEnvironmentVariable("GLYPHSCOPE_PROGRAM"), {"train-demo", "sign-unet", "--tiny", "--out", folder_.filePath("tiny")});
    QVERIFY(train.waitForFinished(300000));
    QVERIFY2(train.exitCode() == 0, train.readAllStandardError());
    QProcess signs;
    signs.start(qEnvironmentVariable("GLYPHSCOPE_PROGRAM"), {"draw-signs", model_, "--count", "24", "--held-out", "2", "--out", folder_.filePath("signs")});
    QVERIFY(signs.waitForFinished(60000));
    QVERIFY2(signs.exitCode() == 0, signs.readAllStandardError());
    QFile broken(folder_.filePath("signs/broken.png"));
    QVERIFY(broken.open(QIODevice::WriteOnly) && broken.write("no picture") > 0);
    apply_theme(false);
    QDir().mkpath(folder_.filePath("workspace"));
    set_workspace_folder(folder_.filePath("workspace"));
  }

  void init() {
    window_ = std::make_unique<MainWindow>();
    window_->show();
    QVERIFY(QTest::qWaitForWindowExposed(window_.get()));
  }
  void cleanup() { window_.reset(); }

  // A screen of 1920 pixels at 200 % is 960 wide; with letters half as large again, all is still in reach on 1280.
  void every_page_fits_a_small_screen() {
    window_->open_model(model_);
    wait();
    const QFont usual = QApplication::font();
    for (const auto& [scale, width] : {std::pair{1.0, 960}, {1.5, 1280}}) {
      QFont font = usual;
      font.setPointSizeF(usual.pointSizeF() * scale);
      QApplication::setFont(font);
      QCoreApplication::processEvents();
      QStringList large;
      for (QWidget* page : window_->findChildren<Page*>())
        if (const int own = page->minimumSizeHint().width(); own > width - 250 * scale) large << QString("%1 %2").arg(page->objectName()).arg(own);
      const QSize whole = window_->minimumSizeHint();
      if (whole.width() > width || whole.height() > 760) large << QString("window %1 x %2").arg(whole.width()).arg(whole.height());
      QVERIFY2(large.isEmpty(), qPrintable(QString("at %1: %2").arg(scale).arg(large.join(", "))));
    }
    QApplication::setFont(usual);
  }

  // Text can be read on what it stands on, in both themes: 4.5 to 1 at least (WCAG 2.1), but for what is switched off.
  void both_themes_have_contrast() {
    const auto luminance = [](const QColor& colour) {
      const auto linear = [](double c) { return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
      return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) + 0.0722 * linear(colour.blueF());
    };
    for (const bool dark : {false, true}) {
      apply_theme(dark);
      const QPalette palette = QApplication::palette();
      using Role = QPalette;
      for (const auto& [text, ground] : {std::pair{Role::WindowText, Role::Window},
                                         {Role::Text, Role::Base},
                                         {Role::Text, Role::AlternateBase},
                                         {Role::ButtonText, Role::Button},
                                         {Role::PlaceholderText, Role::Base},
                                         {Role::PlaceholderText, Role::Window},
                                         {Role::HighlightedText, Role::Highlight},
                                         {Role::Link, Role::Window},
                                         {Role::ToolTipText, Role::ToolTipBase}}) {
        const double a = luminance(palette.color(text)), b = luminance(palette.color(ground)), contrast = (std::max(a, b) + 0.05) / (std::min(a, b) + 0.05);
        QVERIFY2(contrast >= 4.5, qPrintable(QString("%1 on %2, dark %3: %4").arg(text).arg(ground).arg(dark).arg(contrast)));
      }
    }
    apply_theme(false);
  }

  // WCAG 2.2's 4.5:1 for text, of the pixels as they are drawn: of each widget with a text, the colour that most of it has, and the one farthest from it.
  void rendered_text_has_contrast() {
    window_->open_model(model_);
    wait();
    window_->findChild<MessageStrip*>("message")->hide();
    auto* pages = find<QTabWidget>("pages");
    int measured = 0;
    for (const bool dark : {false, true}) {
      apply_theme(dark);
      for (int page = 0; page < pages->count(); ++page) {
        pages->setCurrentIndex(page);
        const QImage drawn = look_of(window_.get());
        for (QWidget* widget : window_->findChildren<QWidget*>()) {
          QString text;
          if (const auto* label = qobject_cast<QLabel*>(widget)) text = label->pixmap().isNull() ? label->text() : QString();
          if (const auto* button = qobject_cast<QAbstractButton*>(widget)) text = button->text();
          if (const auto* box = qobject_cast<QComboBox*>(widget)) text = box->currentText();
          if (const auto* line = qobject_cast<QLineEdit*>(widget)) text = line->text();
          // What cannot be used need not be read easily, says WCAG too.
          if (text.trimmed().isEmpty() || !widget->isVisible() || !widget->isEnabled() || widget->visibleRegion().isEmpty()) continue;
          const QRect seen = widget->visibleRegion().boundingRect().translated(widget->mapTo(window_.get(), QPoint()));
          const QRect pixels(seen.topLeft() * 2, seen.size() * 2);
          std::map<QRgb, int> colours;
          for (int y = pixels.top(); y <= pixels.bottom(); ++y)
            for (int x = pixels.left(); x <= pixels.right(); ++x)
              if (drawn.rect().contains(x, y)) ++colours[drawn.pixel(x, y)];
          if (colours.empty()) continue;
          const auto most = std::max_element(colours.begin(), colours.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
          const auto rgb = [](QRgb colour) { return Colour{qRed(colour), qGreen(colour), qBlue(colour)}; };
          double best = 1;
          for (const auto& [colour, count] : colours) best = std::max(best, contrast(rgb(colour), rgb(most->first)));
          ++measured;
          QVERIFY2(best >= 4.5,
                   qPrintable(QString("%1, %2: \"%3\" (%4) has %5")
                                  .arg(static_cast<Page*>(pages->widget(page))->name(), dark ? "dark" : "light", text.left(40), widget->objectName())
                                  .arg(best)));
        }
      }
    }
    apply_theme(false);
    QVERIFY2(measured > 300, qPrintable(QString::number(measured)));
  }

  // A letter with Alt means one thing on each page; and within each menu.
  void no_two_things_have_one_letter() {
    window_->open_model(model_);
    wait();
    const auto letter = [](const QString& text) {
      const QRegularExpressionMatch found = QRegularExpression("&([^&])").match(QString(text).remove("&&"));
      return found.hasMatch() ? found.captured(1).toLower() : QString();
    };
    QStringList twice;
    const auto collect = [&](const QString& where, const std::vector<QString>& texts) {
      QMap<QString, QString> seen;
      for (const QString& text : texts) {
        const QString own = letter(text);
        if (own.isEmpty()) continue;
        if (seen.contains(own)) twice << QString("%1: %2 and %3").arg(where, seen[own], text);
        seen[own] = text;
      }
    };
    std::vector<QString> menus;
    for (const QAction* action : window_->menuBar()->actions()) {
      menus.push_back(action->text());
      std::vector<QString> inner;
      for (const QAction* one : action->menu()->actions()) inner.push_back(one->text());
      collect(action->text(), inner);
    }
    auto* pages = find<QTabWidget>("pages");
    const auto collect_visible = [&] {
      std::vector<QString> texts = menus;
      for (const QLabel* label : window_->findChildren<QLabel*>())
        if (label->isVisible() && label->buddy()) texts.push_back(label->text());
      for (const QAbstractButton* button : window_->findChildren<QAbstractButton*>())
        if (button->isVisible()) texts.push_back(button->text());
      collect(pages->tabText(pages->currentIndex()), texts);
    };
    for (int page = 0; page < pages->count(); ++page) {
      pages->setCurrentIndex(page);
      collect_visible();
      for (QStackedWidget* parts : pages->currentWidget()->findChildren<QStackedWidget*>())
        for (int part = 0; part < parts->count(); ++part) {
          parts->setCurrentIndex(part);
          collect_visible();
        }
    }
    twice.removeDuplicates();
    QVERIFY2(twice.isEmpty(), qPrintable(twice.join("; ")));
  }

  // For screen readers: whatever takes the keyboard has a name and a role.
  void everything_that_takes_the_keyboard_has_a_name() {
    window_->open_model(model_);
    wait();
    auto* pages = find<QTabWidget>("pages");
    QSet<QString> nameless;
    int asked = 0;
    for (int page = 0; page < pages->count(); ++page) {
      pages->setCurrentIndex(page);
      for (auto* inner : window_->findChildren<QTabWidget*>())
        for (int tab = 0; inner != pages && tab < inner->count(); ++tab) {
          inner->setCurrentIndex(tab);
          for (QWidget* widget : window_->findChildren<QWidget*>()) {
            if (!widget->isVisible() || !(widget->focusPolicy() & Qt::TabFocus) || widget->focusProxy()) continue;
            const auto* parent = widget->parentWidget();
            if (qobject_cast<const QAbstractSpinBox*>(parent) || qobject_cast<const QComboBox*>(parent)) continue;  // the field's own inner part
            const QAccessibleInterface* seen = QAccessible::queryAccessibleInterface(widget);
            ++asked;
            if (!seen || seen->text(QAccessible::Name).isEmpty() || seen->role() == QAccessible::NoRole)
              nameless.insert(QString("%1 %2 on %3").arg(widget->metaObject()->className(), widget->objectName(), pages->tabText(page)));
          }
        }
    }
    QVERIFY(asked > 100);
    QVERIFY2(nameless.isEmpty(), qPrintable(QStringList(nameless.values()).join("; ")));
  }

  void a_model_that_is_not_there_is_a_sentence() {
    window_->open_model(folder_.filePath("nowhere"));
    wait();
    QVERIFY2(message().contains("there is no such model"), qPrintable(message()));
    QVERIFY(!find<QPushButton>("generate")->isEnabled());
  }

  void the_main_job() {
    window_->open_model(model_);
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    find<QSpinBox>("steps")->setValue(2);
    QVERIFY(!find<QPushButton>("edit")->isEnabled());

    window_->findChild<StudyPage*>()->pairs = 2;
    press("localize");
    QVERIFY(window_->busy());
    wait();
    const QString findings = find<QLabel>("findings")->text();
    QVERIFY2(findings.contains("Localized: ") || findings.contains("No single site"), qPrintable(findings));
    QVERIFY2(findings.contains("A's own picture") && findings.contains("all sites"), qPrintable(findings));
    QVERIFY2(findings.contains("1 pairs that had no part in it"), qPrintable(findings));
    // However many lines are said above it, the heatmap is whole, with its axis.
    auto* heatmap = find<Heatmap>("heatmap");
    const auto whole = [&] {
      return heatmap->height() >= heatmap->minimumHeight() && heatmap->parentWidget()->rect().contains(heatmap->geometry()) &&
             window_->rect().contains(QRect(heatmap->mapTo(window_.get(), QPoint(0, 0)), heatmap->size()));
    };
    QTRY_VERIFY2(whole(), qPrintable(QString("bottom %1 of %2").arg(heatmap->geometry().bottom()).arg(heatmap->parentWidget()->height())));
    for (int site = 0; site < 11; ++site) QVERIFY2(heatmap->tip(0, site).contains("1 image"), qPrintable(heatmap->tip(0, site)));
    // It is kept, whole, as the command line keeps it.
    QCOMPARE(runs().size(), 1);
    QVERIFY(QFileInfo(workspace_folder() + "/" + runs()[0] + "/run.json").size() > 1000);
    QVERIFY(runs_in(workspace_folder()).front().whole());
    // What the fields say afterwards is not what the run was made with.
    const int seed = find<QSpinBox>("seed")->value();
    find<QSpinBox>("seed")->setValue(seed + 5);
    find<QSpinBox>("steps")->setValue(3);

    // What the model draws is noise, so the best site is the one that keeps most of the picture.
    const QString out = folder_.filePath("export");
    QDir().mkpath(out);
    window_->export_all(out);
    QFile told(out + "/localization.json");
    QVERIFY(told.open(QIODevice::ReadOnly));
    const QJsonObject run = QJsonDocument::fromJson(told.readAll()).object();
    for (const QJsonObject& made : {run, QJsonDocument::fromJson(QImage(out + "/heatmap.png").text("glyphscope").toUtf8()).object(),
                                    QJsonDocument::fromJson(QImage(out + "/window.png").text("glyphscope").toUtf8()).object()["run"].toObject()}) {
      QCOMPARE(made["settings"].toObject()["seeds"].toArray()[0].toInt(), seed);
      QCOMPARE(made["settings"].toObject()["steps"].toInt(), 2);
      QCOMPARE(made["settings"].toObject()["pairs"].toArray().size(), 2);
    }
    find<QSpinBox>("steps")->setValue(2);
    find<QSpinBox>("seed")->setValue(seed);
    const int best = best_site(out + "/scores.csv", "ssim");
    QVERIFY(best >= 0);
    auto* map = find<ModelMap>("map");
    QTest::mouseClick(map, Qt::LeftButton, {}, map->cell(best).center());
    QCOMPARE(window_->selection()->sorted(), (std::vector<int>{best}));
    press("edit");
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));

    // The heatmap's other face: a click shows that pair's pictures.
    find<QComboBox>("rows")->setCurrentIndex(1);
    QTest::qWait(100);
    QVERIFY2(heatmap->tip(1, 7).contains("1 image"), qPrintable(heatmap->tip(1, 7)));
    emit heatmap->clicked(1, 7);

    press("edit");
    wait();
    const QStringList files = window_->export_all(out);
    QCOMPARE(files.size(), 8);
    for (const auto& file : files) QVERIFY2(QFileInfo(file).size() > 100, qPrintable(file));
    const QImage patched(out + "/patched.png");
    QCOMPARE(patched.size(), QSize(64, 64));
    const auto metadata = QJsonDocument::fromJson(patched.text("glyphscope").toUtf8()).object();
    QCOMPARE(metadata["plan"].toArray()[0].toObject()["site"].toInt(), best);
    QVERIFY(QImage(out + "/window.png").text("glyphscope").contains("glyphscope.view/2"));
    QFile csv(out + "/scores.csv");
    QVERIFY(csv.open(QIODevice::ReadOnly));
    QVERIFY(csv.readAll().count('\n') > 11 * 4);
  }

  // The first prompts are what the model can write; what a user wrote stays.
  void prompts_suit_the_model() {
    auto *source = find<QLineEdit>("source"), *target = find<QLineEdit>("target");
    window_->open_model("demo:sign-pixel");
    wait();
    QVERIFY2(source->text().contains("\"SUN\""), qPrintable(source->text()));
    QVERIFY2(target->text().contains("\"SEA\""), qPrintable(target->text()));
    // What the model was never taught is said while it is typed.
    auto* limit = find<QLabel>("limit");
    QVERIFY(!limit->isVisible());
    target->setText("a red sign that says \"FLOWERS\" on a blue wall");
    QVERIFY(limit->isVisible());
    QVERIFY2(limit->text().contains("FLOWERS"), qPrintable(limit->text()));
    target->setText("a sign");
    QVERIFY(!limit->isVisible());
    auto* edit_limit = find<QLabel>("edit_limit");
    QVERIFY(edit_limit->isHidden());
    find<QLineEdit>("edit_target")->setText("a red sign that says \"ROSES\" on a blue wall");
    QVERIFY2(!edit_limit->isHidden() && edit_limit->text().contains("ROSES"), qPrintable(edit_limit->text()));
    window_->open_model(model_);
    wait();
    QVERIFY2(source->text().contains("\"LOVE\""), qPrintable(source->text()));
    QCOMPARE(target->text(), QString("a sign"));
  }

  void cancel_stops_and_the_window_goes_on() {
    window_->open_model(model_);
    wait();
    find<QSpinBox>("steps")->setValue(1000);
    press("generate");
    QTest::qWait(300);
    QVERIFY(window_->busy());
    QTest::mouseClick(find<QToolButton>("cancel"), Qt::LeftButton);
    QTRY_VERIFY_WITH_TIMEOUT(!window_->busy(), 10000);
    find<QSpinBox>("steps")->setValue(1);
    press("generate");
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
  }

  // A localization that was stopped, by whatever, is marked as a part, and goes on from its folder: the whole is what it would have been.
  void a_stopped_localization_goes_on() {
    window_->open_model(model_);
    wait();
    find<QSpinBox>("steps")->setValue(2);
    window_->findChild<StudyPage*>()->pairs = 3;
    const QStringList before = runs();
    press("localize");
    auto* findings = find<QLabel>("findings");
    QTRY_VERIFY_WITH_TIMEOUT(findings->text().contains("Partial"), 60000);
    QTest::mouseClick(find<QToolButton>("cancel_run"), Qt::LeftButton);
    wait();
    QVERIFY2(findings->text().contains("Partial: stopped"), qPrintable(findings->text()));
    std::vector<RunEntry> left = runs_in(workspace_folder());
    std::erase_if(left, [](const RunEntry& run) { return !run.can_go_on(); });
    QCOMPARE(left.size(), 1u);
    QCOMPARE(left[0].model, model_);
    QVERIFY(left[0].done >= 1 && left[0].cells() == 3);

    // In another window, with another model open, and other fields.
    cleanup();
    init();
    find<QSpinBox>("steps")->setValue(7);
    // A folder whose settings are damaged is named, and changes nothing.
    QDir().mkpath(folder_.filePath("damaged-run"));
    QFile damaged(folder_.filePath("damaged-run/settings.json"));
    QVERIFY(damaged.open(QIODevice::WriteOnly));
    damaged.write("{\"model\": [5], \"model_hash\": 7}");
    damaged.close();
    window_->go_on(folder_.filePath("damaged-run"));
    QVERIFY2(message().contains("damaged-run/settings.json"), qPrintable(message()));
    window_->go_on(left[0].folder);
    QTRY_VERIFY_WITH_TIMEOUT(window_->busy(), 10000);
    QTRY_VERIFY_WITH_TIMEOUT(QFileInfo(left[0].folder + "/run.json").exists(), 300000);
    wait();
    QVERIFY2(!find<QLabel>("findings")->text().contains("Partial"), qPrintable(find<QLabel>("findings")->text()));
    QVERIFY(runs_in(workspace_folder()).front().whole());
    QFile file(left[0].folder + "/run.json");
    QVERIFY(file.open(QIODevice::ReadOnly));
    QCOMPARE(QJsonDocument::fromJson(file.readAll()).object()["settings"].toObject()["steps"].toInt(), 2);
    QCOMPARE(runs().size(), before.size() + 1);
  }

  // What takes long is not ended before the user has said so; and what cannot be opened, or Escape, ends nothing.
  // A run is seen without its model being open: the same values as when it was drawn; named, noted, found and thrown away.
  void runs_are_seen_without_their_models() {
    window_->open_model(model_);
    wait();
    find<QSpinBox>("steps")->setValue(2);
    window_->findChild<StudyPage*>()->pairs = 2;
    press("localize");
    wait();
    const QString tip = find<Heatmap>("heatmap")->tip(0, 3), findings = find<QLabel>("findings")->text();
    QVERIFY(!findings.isEmpty());
    const QString folder = runs_in(workspace_folder()).front().folder;

    cleanup();
    init();
    auto* page = window_->findChild<RunsPage*>();
    find<QTabWidget>("pages")->setCurrentWidget(page);
    auto* table = find<QTableView>("runs");
    QTRY_VERIFY_WITH_TIMEOUT(table->model()->rowCount() >= 1, 10000);
    QCOMPARE(table->model()->rowCount(), runs().size());
    table->selectRow(0);  // the newest
    QTRY_COMPARE_WITH_TIMEOUT(find<QLabel>("run_findings")->text(), findings, 20000);
    QCOMPARE(find<Heatmap>("run_heatmap")->tip(0, 3), tip);
    QVERIFY2(find<QLabel>("run_facts")->text().contains("2 pairs"), qPrintable(find<QLabel>("run_facts")->text()));
    QVERIFY(!find<QPushButton>("run_go_on")->isEnabled());

    auto* note = find<QLineEdit>("run_note");
    QTest::keyClicks(note, "the first try");
    QTest::keyClick(note, Qt::Key_Return);
    QTRY_COMPARE_WITH_TIMEOUT(run_at(folder)->note, QString("the first try"), 10000);
    auto* filter = find<QLineEdit>("run_filter");
    QTest::keyClicks(filter, "first try");
    QTRY_COMPARE_WITH_TIMEOUT(table->model()->rowCount(), 1, 10000);
    QTest::keyClicks(filter, " of many");
    QTRY_COMPARE_WITH_TIMEOUT(table->model()->rowCount(), 0, 10000);
    filter->clear();

    // What is missing of it is seen as soon as it is; and it goes on from here.
    const QDir cells(folder + "/cells");
    QVERIFY(QDir(cells.filePath(cells.entryList(QDir::Dirs | QDir::NoDotAndDotDot)[1])).removeRecursively());
    QVERIFY(QFile::remove(folder + "/run.json"));
    QTRY_VERIFY_WITH_TIMEOUT(find<QPushButton>("run_go_on")->isEnabled(), 20000);
    QCOMPARE(page->title(), QString("Runs (1 unfinished)"));
    QTRY_VERIFY2_WITH_TIMEOUT(find<QLabel>("run_findings")->text().contains("Partial"), qPrintable(find<QLabel>("run_findings")->text()), 20000);
    press("run_go_on");
    QTRY_VERIFY_WITH_TIMEOUT(QFileInfo::exists(folder + "/run.json"), 300000);
    wait();
    QTRY_COMPARE_WITH_TIMEOUT(page->title(), QString("Runs"), 20000);
    QCOMPARE(find<QLabel>("findings")->text(), findings);

    // A folder that is no run is a sentence; one that is dropped is shown.
    go_to<StudyPage>();
    drop({QUrl::fromLocalFile(folder)}, true);
    QCOMPARE(find<QTabWidget>("pages")->currentWidget(), page);
    QVERIFY(!page->show_run(folder_.path()));
    QTRY_COMPARE_WITH_TIMEOUT(find<QLabel>("run_title")->text(), QFileInfo(folder).fileName(), 20000);
  }

  // A window that is killed in the middle of a run: the next one finds the session and the run, goes on, and has what an uninterrupted run has.
  void a_killed_window_loses_a_cell_at_most() {
    window_.reset();
    const QStringList before = runs(), left_before = SessionKeeper::left_behind();
    QProcess child;
    child.start(QCoreApplication::applicationFilePath(), {kChild, workspace_folder(), model_});
    RunEntry run;
    QTRY_VERIFY_WITH_TIMEOUT(
        [&] {
          const auto all = runs_in(workspace_folder());
          if (!all.empty() && !before.contains(all.front().name())) run = all.front();
          return run.done >= 1 && !QDir(workspace_folder()).entryList({".session-*.glyph"}, QDir::Files | QDir::Hidden).isEmpty();
        }(),
        120000);
    child.kill();
    QVERIFY(child.waitForFinished(20000));
    run = *run_at(run.folder);
    QVERIFY(run.done >= 1 && run.done < run.cells() && run.can_go_on());

    init();
    QVERIFY(SessionKeeper::left_behind().size() > std::min<qsizetype>(left_before.size(), 4));
    auto* page = window_->findChild<RunsPage*>();
    QTRY_VERIFY2_WITH_TIMEOUT(page->title().contains("unfinished"), qPrintable(page->title()), 20000);
    window_->open_session(SessionKeeper::left_behind().front());
    QTRY_COMPARE_WITH_TIMEOUT(find<QSpinBox>("steps")->value(), kChildSteps, 60000);
    wait();
    QCOMPARE(window_->selection()->sorted(), (std::vector<int>{4}));
    window_->go_on(run.folder);
    wait();
    QVERIFY2(run_at(run.folder)->whole(), qPrintable(message()));
    window_->findChild<StudyPage*>()->pairs = kChildPairs;
    press("localize");
    wait();
    const QString alone = runs_in(workspace_folder()).front().folder;
    QVERIFY(alone != run.folder);
    QDirIterator cells(alone + "/cells", QDir::Files, QDirIterator::Subdirectories);
    int compared = 0;
    while (cells.hasNext()) {
      QFile one(cells.next()), other(QString(one.fileName()).replace(alone, run.folder));
      QVERIFY(one.open(QIODevice::ReadOnly) && other.open(QIODevice::ReadOnly));
      QVERIFY2(one.readAll() == other.readAll(), qPrintable(other.fileName()));
      ++compared;
    }
    QVERIFY(compared >= kChildPairs);
  }

  // Two runs of the same prompts, one with fewer steps: what they have in common, their pictures, and what cannot be compared.
  void two_runs_are_compared() {
    window_->open_model(model_);
    wait();
    window_->findChild<StudyPage*>()->pairs = 2;
    QStringList folders;
    for (const int steps : {4, 3}) {
      find<QSpinBox>("steps")->setValue(steps);
      press("localize");
      wait();
      folders << runs_in(workspace_folder()).front().folder;
    }
    QVERIFY(folders[0] != folders[1]);
    // From the list of runs, one after the other.
    auto* runs = window_->findChild<RunsPage*>();
    auto* table = find<QTableWidget>("compare_table");
    for (const QString& folder : folders) {
      find<QTabWidget>("pages")->setCurrentWidget(runs);
      QVERIFY(runs->show_run(folder));
      QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("run_title")->text() == QFileInfo(folder).fileName(), 20000);
      press("run_compare");
      QCOMPARE(find<QTabWidget>("pages")->currentWidget(), window_->findChild<ComparePage*>());
    }
    QTRY_VERIFY_WITH_TIMEOUT(table->rowCount() >= 13, 20000);  // A's own, B's own, 11 sites
    const QString facts = find<QLabel>("compare_facts")->text();
    QVERIFY2(facts.contains("2 pairs") && facts.contains("steps: 4; 3"), qPrintable(facts));
    QVERIFY(!find<PictureView>("compare_first")->picture().isNull() && !find<PictureView>("compare_second")->picture().isNull());
    auto* look = find<QComboBox>("compare_look");
    look->setCurrentIndex(3);
    QVERIFY(find<PictureView>("compare_first")->isHidden());
    // Of other steps the pictures are others.
    const QImage difference = find<PictureView>("compare_second")->picture();
    bool grey = true;
    for (int x = 0; x < difference.width(); ++x) grey = grey && difference.pixel(x, x) == qRgb(128, 128, 128);
    QVERIFY(!grey);
    QTemporaryDir out;
    QStringList saved, failed;
    window_->findChild<ComparePage*>()->save(out.path(), saved, failed);
    QCOMPARE(saved.size(), 3);
    QFile document(out.filePath("comparison.json"));
    QVERIFY(document.open(QIODevice::ReadOnly));
    QCOMPARE(QJsonDocument::fromJson(document.readAll()).object()["pairs"].toInt(), 2);
    // A run with itself; then a picture in one field.
    find<QLineEdit>("compare_second_field")->setText(folders[0]);
    press("compare_start");
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("compare_facts")->text().contains("was asked alike"), 20000);
    const QString picture = QDir(folders[0] + "/pictures").entryInfoList(QDir::Files).front().absoluteFilePath();
    find<QLineEdit>("compare_second_field")->setText(picture);
    press("compare_start");
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("compare_state")->text().contains("one is a folder and one a file"), 20000);
    drop({QUrl::fromLocalFile(picture)}, true);
    drop({QUrl::fromLocalFile(picture)}, true);
    QTRY_VERIFY2_WITH_TIMEOUT(find<QLabel>("compare_facts")->text().contains("the same to the bit"), qPrintable(find<QLabel>("compare_facts")->text()), 20000);
  }

  // Everything comes back: model, fields, selection, drawings, edits; steps can be undone; and the command line makes the same pictures again.
  void a_session_comes_back_and_is_made_again() {
    window_->open_model(model_);
    wait();
    find<QSpinBox>("steps")->setValue(3);
    window_->selection()->select({2, 5});
    press("generate");
    wait();
    press("edit");
    wait();
    go_to<EditPage>();
    press("edit_text");
    QTRY_VERIFY_WITH_TIMEOUT(!window_->findChild<EditPage*>()->busy() && find<EditHistory>("edit_history")->count() == 1, 60000);
    find<QLineEdit>("edit_target")->setText(QString(find<QLineEdit>("edit_target")->text()).replace("TIME", "OPEN"));
    press("edit_text");
    QTRY_VERIFY_WITH_TIMEOUT(!window_->findChild<EditPage*>()->busy() && find<EditHistory>("edit_history")->count() == 2, 60000);
    find<QPlainTextEdit>("guard_words")->setPlainText("hate => love");
    const auto views = [this] {
      std::vector<QImage> out;
      for (const char* name : {"edit_view_source", "edit_view_result"}) out.push_back(find<PictureView>(name)->picture());
      for (auto* view : window_->findChild<StudyPage*>()->findChildren<PictureView*>()) out.push_back(view->picture().convertToFormat(QImage::Format_RGB888));
      for (QImage& image : out) image.setText("glyphscope", QString());
      return out;
    };
    const auto before = views();
    for (const QImage& one : before) QVERIFY(!one.isNull());
    for (auto* view : window_->findChild<StudyPage*>()->findChildren<PictureView*>()) window_->add_to_figure(view->figure_parts());

    // Undo and redo of a field, of the selection.
    go_to<StudyPage>();
    QTest::qWait(1200);
    auto* seed = find<QSpinBox>("seed");
    seed->setValue(77);
    QTest::qWait(1200);
    window_->selection()->select({1});
    QTest::qWait(1200);
    const auto step = [this](const char* name) { find<QAction>(name)->trigger(); };
    step("undo");
    QCOMPARE(window_->selection()->sorted(), (std::vector<int>{2, 5}));
    QCOMPARE(seed->value(), 77);
    step("undo");
    QCOMPARE(seed->value(), 42);
    step("redo");
    QCOMPARE(seed->value(), 77);
    step("undo");

    const QString file = folder_.filePath("work.glyph");
    window_->session()->save(file);
    QTRY_VERIFY_WITH_TIMEOUT(message().contains("saved"), 20000);
    QTRY_VERIFY_WITH_TIMEOUT(QFileInfo::exists(workspace_folder() + "/.session-1.glyph"), 20000);

    cleanup();
    init();
    // What the window before left behind is the last session.
    window_->open_session(file);
    QTRY_VERIFY_WITH_TIMEOUT(window_->windowTitle().startsWith("work"), 60000);
    wait();
    QCOMPARE(find<QTabWidget>("pages")->currentWidget(), window_->findChild<StudyPage*>());
    QCOMPARE(find<QSpinBox>("seed")->value(), 42);
    QCOMPARE(find<QSpinBox>("steps")->value(), 3);
    QCOMPARE(window_->selection()->sorted(), (std::vector<int>{2, 5}));
    QCOMPARE(find<QPlainTextEdit>("guard_words")->toPlainText(), QString("hate => love"));
    QCOMPARE(find<EditHistory>("edit_history")->count(), 2);
    QVERIFY(find<QLineEdit>("edit_target")->text().contains("OPEN"));
    QCOMPARE(window_->findChild<FigurePage*>()->title(), QString("Figure (3)"));
    const auto after = views();
    for (size_t i = 0; i < before.size(); ++i) QVERIFY2(before[i] == after[i], qPrintable(QString::number(i)));
    // What the window before kept by itself is there too.
    QVERIFY(!SessionKeeper::left_behind().isEmpty());
    // Nothing is drawn again unasked, wherever one looks: later edits would be gone.
    go_to<EditPage>();
    QTest::qWait(1500);
    QCOMPARE(find<EditHistory>("edit_history")->count(), 2);
    QVERIFY(!window_->findChild<EditPage*>()->busy());

    QProcess replay;
    replay.start(qEnvironmentVariable("GLYPHSCOPE_PROGRAM"), {"replay", file, "--check", "--out", folder_.filePath("replayed")});
    QVERIFY(replay.waitForFinished(300000));
    QVERIFY2(replay.exitCode() == 0, replay.readAllStandardOutput() + replay.readAllStandardError());
    QVERIFY(QFileInfo::exists(folder_.filePath("replayed/edits/1/edit.png")) && QFileInfo::exists(folder_.filePath("replayed/study/patched.png")));
    QVERIFY(read_figure(folder_.filePath("replayed/figure.png").toStdString()).figure.parts.size() == 3 &&
            QFileInfo::exists(folder_.filePath("replayed/figure.pdf")));

    // A session that is cut off changes nothing.
    QFile whole(file), cut(folder_.filePath("cut.glyph"));
    QVERIFY(whole.open(QIODevice::ReadOnly) && cut.open(QIODevice::WriteOnly));
    cut.write(whole.read(whole.size() / 2));
    cut.close();
    window_->open_session(cut.fileName());
    QTRY_VERIFY2_WITH_TIMEOUT(message().contains("cut off"), qPrintable(message()), 20000);
    QCOMPARE(find<EditHistory>("edit_history")->count(), 2);
    // A model that was moved is asked for.
    const QString moved = folder_.filePath("moved");
    QVERIFY(QDir().rename(model_, moved));
    QTimer::singleShot(1500, this, [this] {
      auto* box = window_->findChild<QMessageBox*>("find_model");
      QVERIFY(box);
      box->button(QMessageBox::Cancel)->click();
    });
    cleanup();
    init();
    window_->open_session(file);
    QTest::qWait(2500);
    QVERIFY(QDir().rename(moved, model_));
  }

  // Pictures, a heatmap and the map, from their menus into one figure, which is changed, saved, and opened again from its PNG.
  void a_figure_is_composed() {
    window_->open_model(model_);
    wait();
    find<QSpinBox>("steps")->setValue(3);
    window_->findChild<StudyPage*>()->pairs = 2;
    press("generate");
    wait();
    press("localize");
    wait();
    const auto trigger = [](QMenu& menu, const QString& text) {
      for (QAction* one : menu.actions())
        if (one->text() == text) return one->trigger(), true;
      return false;
    };
    auto* study = window_->findChild<StudyPage*>();
    for (auto* view : study->findChildren<PictureView*>()) {
      QMenu menu;
      view->fill_menu(menu);
      if (!view->picture().isNull()) QVERIFY(trigger(menu, "Add to the figure"));
    }
    auto* page = window_->findChild<FigurePage*>();
    auto* parts = find<QListWidget>("figure_parts");
    QCOMPARE(parts->count(), 2);
    QMenu of_heatmap, of_map;
    study->findChild<Heatmap*>()->fill_menu(of_heatmap, {});
    QVERIFY(trigger(of_heatmap, "Add to the figure"));
    window_->findChild<ModelMap*>()->fill_menu(of_map, -1);
    QVERIFY(trigger(of_map, "Add to the figure"));
    QCOMPARE(page->title(), QString("Figure (4)"));
    QVERIFY2(message().contains("Figure (4)"), qPrintable(message()));
    QVERIFY(trigger(of_map, "Copy as a picture"));
    QVERIFY(!QGuiApplication::clipboard()->image().isNull());

    go_to<FigurePage>();
    parts->item(0)->setText("A sign");
    parts->setCurrentRow(0);
    press("figure_later");
    QCOMPARE(parts->item(1)->text(), QString("A sign"));
    press("figure_remove");
    QCOMPARE(parts->count(), 3);
    find<QAction>("undo")->trigger();
    QCOMPARE(parts->count(), 4);
    find<QAction>("redo")->trigger();
    QCOMPARE(parts->count(), 3);
    find<QAction>("undo")->trigger();
    find<QLineEdit>("figure_title")->setText("What site 3 does");
    find<QComboBox>("figure_width")->setCurrentIndex(3);
    auto* preview = find<QLabel>("figure_preview");
    QTRY_VERIFY_WITH_TIMEOUT(!preview->pixmap().isNull() && preview->width() > 200, 5000);
    QVERIFY(!find<QLabel>("figure_warning")->isVisible());
    find<QComboBox>("figure_colours")->setCurrentText("turbo");
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("figure_warning")->text().contains("colour-blind"), 5000);
    find<QComboBox>("figure_colours")->setCurrentText("cividis");

    const QString out = folder_.filePath("composed");
    QVERIFY(QDir().mkpath(out));
    QVERIFY(!window_->export_all(out).isEmpty());
    for (const char* file : {"figure.pdf", "heatmap.png", "heatmap.svg"}) QVERIFY2(QFileInfo(out + "/" + file).size() > 1000, file);
    const auto [figure, style] = read_figure((out + "/figure.png").toStdString());
    QCOMPARE(figure.title, std::string("What site 3 does"));
    QCOMPARE(figure.parts.size(), size_t{4});
    QCOMPARE(figure.parts[1].title, std::string("A sign"));
    QCOMPARE(style.width_mm, 180.0);
    QVERIFY(style.colours == ColourMap::cividis);
    // The picture of the figure is the one that was drawn, and the window's is twice as fine as the screen.
    const auto& picture = std::get<PicturePanel>(figure.parts[1].panel).rows.at(0).at(0).image;
    QVERIFY(to_image(picture) == study->findChildren<PictureView*>()[0]->picture().convertToFormat(QImage::Format_RGB888));
    QCOMPARE(QImage(out + "/window.png").size(), window_->size() * 2);

    press("figure_clear");
    QCOMPARE(parts->count(), 0);
    QTRY_VERIFY_WITH_TIMEOUT(preview->text().contains("right click"), 5000);
    go_to<StudyPage>();
    drop({QUrl::fromLocalFile(out + "/figure.png")}, true);
    QCOMPARE(find<QTabWidget>("pages")->currentWidget(), page);
    QCOMPARE(parts->count(), 4);
    QCOMPARE(find<QLineEdit>("figure_title")->text(), QString("What site 3 does"));
    // One that is damaged changes nothing.
    QFile whole(out + "/figure.png"), damaged(folder_.filePath("damaged.png"));
    QVERIFY(whole.open(QIODevice::ReadOnly) && damaged.open(QIODevice::WriteOnly));
    damaged.write(whole.readAll().replace("\"kind\":\"heat\"", "\"kind\":\"neat\""));
    damaged.close();
    drop({QUrl::fromLocalFile(damaged.fileName())}, true);
    QCOMPARE(parts->count(), 4);

    // A single one, by the menu of views.
    QMenu again;
    study->findChild<Heatmap*>()->fill_menu(again, {});
    QVERIFY(trigger(again, QStringLiteral("Save as a figure\u2026")));
    auto* dialog = window_->findChild<FigureDialog*>();
    QVERIFY(dialog && dialog->isVisible());
    QTRY_VERIFY_WITH_TIMEOUT(!dialog->findChild<QLabel*>("figure_preview")->pixmap().isNull(), 5000);
    dialog->reject();
  }

  // Where a picture looks: a word's map over it, of the selected sites and of single steps; the picture is the one that Generate draws.
  void a_picture_is_looked_into() {
    window_->open_model(model_);
    wait();
    go_to<LookPage>();
    find<QSpinBox>("look_steps")->setValue(3);
    find<QLineEdit>("look_prompt")->setText("a sign that says \"TIME\" on a wall");
    auto* word = find<QComboBox>("look_word");
    QVERIFY(!word->isEnabled());
    press("look_draw");
    wait();
    QCOMPARE(word->count(), 8);
    QCOMPARE(word->currentText(), QString("TIME"));
    auto* view = find<PictureView>("look_view");
    const QImage mean = view->picture();
    QVERIFY(!mean.isNull() && view->caption().contains("% of the attention"));
    auto* step = find<QSlider>("look_step_scrubber");
    QCOMPARE(step->maximum(), 3);
    step->setValue(2);
    QCOMPARE(find<QLabel>("look_steps_shown")->text(), QString("step 1"));
    QVERIFY(view->picture() != mean);
    step->setValue(0);
    QVERIFY(view->picture() == mean);
    window_->selection()->select({8});
    QVERIFY(view->picture() != mean);
    // A cell of the table chooses its word.
    auto* table = find<Heatmap>("look_table");
    auto* plot = table->findChild<QWidget*>();
    QTest::mouseClick(plot, Qt::LeftButton, {}, plot->mapFrom(table, table->cell_centre(1, 5)));
    QCOMPARE(word->currentText(), QString("sign"));
    QCOMPARE(window_->selection()->sorted(), (std::vector<int>{5}));
    // Without the map it is the picture itself.
    find<QSlider>("look_opacity")->setValue(0);
    const QImage bare = view->picture();
    go_to<StudyPage>();
    find<QLineEdit>("source")->setText("a sign that says \"TIME\" on a wall");
    press("generate");
    wait();
    QVERIFY(window_->findChild<StudyPage*>()->findChildren<PictureView*>()[0]->picture().convertToFormat(QImage::Format_RGB888) ==
            bare.convertToFormat(QImage::Format_RGB888));
    // Heads that are not there are a sentence.
    go_to<LookPage>();
    find<QLineEdit>("look_heads")->setText("8:99");
    press("look_draw");
    QVERIFY2(message().contains("99"), qPrintable(message()));
    find<QLineEdit>("look_heads")->setText("8:0");
    press("look_draw");
    wait();
    const QString out = folder_.filePath("looked");
    QVERIFY(QDir().mkpath(out));
    QVERIFY(!window_->export_all(out).isEmpty());
    for (const char* file : {"look.png", "look-words.png", "look-sites.png", "look.json"}) QVERIFY2(QFileInfo(out + "/" + file).size() > 300, file);
  }

  // F1 helps on the page that is shown; the first steps stay beside what they are about, and are not shown again by themselves.
  void help_and_first_steps() {
    auto* pages = find<QTabWidget>("pages");
    for (int page = 0; page < pages->count(); ++page) {
      pages->setCurrentIndex(page);
      QVERIFY(find<QAction>("help_page")->shortcut() == QKeySequence(Qt::Key_F1));
      find<QAction>("help_page")->trigger();
      auto* dialog = window_->findChild<HelpDialog*>();
      QVERIFY(dialog);
      const QString text = dialog->findChild<QTextBrowser*>("help_text")->toPlainText();
      QVERIFY2(text.startsWith(static_cast<Page*>(pages->widget(page))->name()), qPrintable(text.left(60)));
      dialog->reject();
      QTRY_VERIFY(!window_->findChild<HelpDialog*>());
    }
    QSettings().remove("tour_seen");
    QVERIFY(Tour::unseen());
    window_->resize(960, 760);
    window_->start_tour();
    auto* tour = window_->findChild<Tour*>();
    QVERIFY(tour && tour->isVisible());
    const char* const about[] = {nullptr, "localize", "edit"};
    for (int step = 0; step < 3; ++step) {
      QVERIFY(window_->rect().contains(tour->geometry()));
      const QWidget* target = about[step] ? window_->findChild<QWidget*>(about[step]) : window_->findChild<ModelMap*>();
      const QRect place(target->mapTo(window_.get(), QPoint()), target->size());
      QVERIFY2(!tour->geometry().intersects(place), qPrintable(QString::number(step)));
      const auto* text = tour->findChild<QLabel*>("tour_text");
      QVERIFY(text->height() >= text->heightForWidth(text->width()));
      press("tour_next");
    }
    QTRY_VERIFY(!window_->findChild<Tour*>());
    QVERIFY(!Tour::unseen());
  }

  // A question with the user's own words: its plan, its run, and what is left of one that was cut off.
  void questions_are_asked_on_the_page_localize() {
    window_->open_model(model_);
    wait();
    auto* pages = find<QTabWidget>("pages");
    auto* page = window_->findChild<LocalizePage*>();
    pages->setCurrentWidget(page);
    find<QPlainTextEdit>("localize_words")->setPlainText("love");
    QVERIFY2(find<QLabel>("localize_question_facts")->text().contains("one word makes no pair"), qPrintable(find<QLabel>("localize_question_facts")->text()));
    QVERIFY(!find<QPushButton>("localize_start")->isEnabled());
    find<QPlainTextEdit>("localize_words")->setPlainText("LOVE\nPEACE\nOPEN\nSHOP");
    find<QPlainTextEdit>("localize_templates")->setPlainText("a red sign");
    QVERIFY2(find<QLabel>("localize_question_facts")->text().contains("has no <text>"), qPrintable(find<QLabel>("localize_question_facts")->text()));
    find<QPlainTextEdit>("localize_templates")->setPlainText("a round red sign that says \"<text>\" on a blue wall");
    find<QSpinBox>("localize_pairs")->setValue(2);
    find<QSpinBox>("localize_steps")->setValue(2);
    QCOMPARE(find<QSpinBox>("steps")->value(), 2);  // one field on all pages
    auto* guidance = find<QDoubleSpinBox>("localize_guidance");
    guidance->selectAll();
    QTest::keyClicks(guidance, "7.5");
    QCOMPARE(guidance->value(), 7.5);
    QCOMPARE(find<QDoubleSpinBox>("guidance")->value(), 7.5);
    auto* question = find<QComboBox>("localize_question");
    QVERIFY(!find<QComboBox>("localize_rows")->isVisible());
    question->setCurrentIndex(2);
    QVERIFY(find<QComboBox>("localize_rows")->isVisible() && find<QSpinBox>("localize_step_ranges")->isVisible());
    find<QLineEdit>("localize_sites")->setText("5,99");
    QVERIFY(!find<QPushButton>("localize_start")->isEnabled());
    find<QLineEdit>("localize_sites")->setText("5-6");
    find<QSpinBox>("localize_step_ranges")->setValue(2);
    auto* columns = find<QComboBox>("localize_columns");
    const int steps = columns->currentIndex();
    columns->setCurrentIndex(10);  // attributes, by which these prompts do not differ
    QVERIFY(!find<QPushButton>("localize_start")->isEnabled());
    columns->setCurrentIndex(steps);
    QVERIFY(find<QPushButton>("localize_start")->isEnabled());

    const auto before = runs();
    press("localize_plan");
    wait();
    auto* table = find<QTableWidget>("localize_plan_table");
    QVERIFY(table->rowCount() >= 1 && table->isEnabled());
    QVERIFY2(find<QLabel>("localize_sums")->text().contains("is found four times in five"), qPrintable(find<QLabel>("localize_sums")->text()));
    QCOMPARE(runs(), before);  // a plan keeps nothing
    find<QSpinBox>("localize_noises")->setValue(2);
    QVERIFY(!table->isEnabled());  // of another question
    find<QSpinBox>("localize_noises")->setValue(1);

    press("localize_start");
    wait();
    QCOMPARE(runs().size(), before.size() + 1);
    RunEntry run = runs_in(workspace_folder()).front();
    QVERIFY2(run.name().startsWith("map-site-step-model-"), qPrintable(run.name()));
    QCOMPARE(run.answered, QStringList{"map site-step-sites-5,6-ranges-2"});
    QFile settings(run.folder + "/settings.json");
    QVERIFY(settings.open(QIODevice::ReadOnly));
    const QByteArray written = settings.readAll();
    QVERIFY(written.contains("LOVE") && written.contains("round red sign"));
    press("localize_see");
    QCOMPARE(pages->currentWidget(), window_->findChild<RunsPage*>());
    QTRY_COMPARE_WITH_TIMEOUT(find<QLabel>("run_title")->text(), run.name(), 20000);

    // Of a map and of a card something is missing: the run says so, and goes on from the list.
    const auto goes_on = [&](const QString& result) {
      const QDir cells(run.folder + "/cells");
      QVERIFY(QDir(cells.filePath(cells.entryList(QDir::Dirs | QDir::NoDotAndDotDot)[1])).removeRecursively());
      QVERIFY(QFile::rename(run.folder + "/" + result, run.folder + "/before"));
      QVERIFY(run_at(run.folder)->can_go_on());
      window_->go_on(run.folder);
      QTRY_VERIFY_WITH_TIMEOUT(window_->busy(), 10000);
      wait();
      QCOMPARE(pages->currentWidget(), page);
      QVERIFY2(run_at(run.folder)->whole(), qPrintable(message()));
      QVERIFY(QFile::remove(run.folder + "/before"));
    };
    goes_on("map-site-step-sites-5,6-ranges-2.json");
    pages->setCurrentWidget(page);
    question->setCurrentIndex(1);
    press("localize_start");
    wait();
    run = runs_in(workspace_folder()).front();
    QVERIFY2(run.name().startsWith("card-model-"), qPrintable(run.name() + message()));
    QCOMPARE(run.answered, QStringList{"card"});
    goes_on("card.json");
  }

  // Nothing is cancelled but by the user: runs queue, pictures are drawn between two cells of the one at work.
  void runs_queue_and_pictures_come_between() {
    window_->open_model(model_);
    wait();
    window_->findChild<StudyPage*>()->pairs = 4;
    find<QSpinBox>("steps")->setValue(150);
    for (int i = 0; i < 3; ++i) {
      press("localize");
      QVERIFY(window_->busy() && find<QPushButton>("localize")->isEnabled());
    }
    auto* queue = find<QToolButton>("queue");
    QTRY_VERIFY_WITH_TIMEOUT(queue->isVisible() && find<JobBar>("run_bar")->text().contains("Patching"), 20000);
    emit queue->menu()->aboutToShow();
    QCOMPARE(queue->menu()->findChildren<QMenu*>().size(), 2);
    find<QSpinBox>("steps")->setValue(2);
    auto* pictures = window_->findChild<StudyPage*>()->findChildren<PictureView*>().front();
    pictures->clear();
    press("generate");
    QTRY_VERIFY_WITH_TIMEOUT(!pictures->picture().isNull(), 60000);
    QVERIFY(queue->isVisible());  // the runs are still there
    QVERIFY(find<JobBar>("run_bar")->running());
    // The last is next; the other is not wanted.
    emit queue->menu()->aboutToShow();
    const auto menus = queue->menu()->findChildren<QMenu*>();
    menus[1]->actions()[0]->trigger();
    menus[0]->actions()[1]->trigger();
    QTRY_VERIFY_WITH_TIMEOUT(!queue->isVisible(), 200000);
    QVERIFY(window_->busy());
    // Opening a model would end two runs: it asks.
    press("localize");
    answer("stay");
    window_->open_model(model_);
    QVERIFY(window_->busy() && queue->isVisible());
    emit queue->menu()->aboutToShow();
    queue->menu()->actions().back()->trigger();
    wait();
    int left = 0;
    for (const RunEntry& run : runs_in(workspace_folder())) {
      left += run.can_go_on();
      if (run.can_go_on()) QVERIFY(QDir(run.folder).removeRecursively());
    }
    QVERIFY(left >= 1);
    QVERIFY(find<QWidget>("run_bar")->isHidden() || !find<QWidget>("run_bar")->isVisible());
  }

  void a_long_job_is_not_lost_by_accident() {
    window_->open_model(model_);
    wait();
    find<QSpinBox>("steps")->setValue(1000);
    press("generate");
    QTRY_VERIFY_WITH_TIMEOUT(find<JobBar>("jobs")->expected_seconds() > 0.2, 10000);
    window_->long_job = 0.1;
    QTest::keyClick(window_.get(), Qt::Key_Escape);
    window_->open_model(folder_.filePath("nowhere"));
    QVERIFY2(message().contains("no such model"), qPrintable(message()));
    QVERIFY(window_->busy());
    answer("stay");
    window_->open_model(model_);
    QVERIFY(window_->busy());
    answer("stay");
    QVERIFY(!window_->close());
    QVERIFY(window_->busy() && window_->isVisible());
    answer("end");
    QVERIFY(window_->close());
  }

  // With the engine held at a latch inside a forward pass, the window handles 100 events.
  void the_window_never_waits_for_the_engine() {
    window_->open_model(model_);
    wait();
    testing::EngineLatch latch;
    find<QSpinBox>("steps")->setValue(2);
    press("generate");
    QTRY_VERIFY_WITH_TIMEOUT(latch.holds(), 30000);
    auto* map = find<ModelMap>("map");
    int handled = 0;
    for (int i = 0; i < 50; ++i) {
      QTest::mouseClick(map, Qt::LeftButton, {}, map->cell(i % 11).center());
      handled += window_->selection()->contains(i % 11);
      QTest::keyClick(map, Qt::Key_Escape);
      handled += window_->selection()->sites().isEmpty();
    }
    QCOMPARE(handled, 100);
    QVERIFY(window_->busy());
    latch.release();
    wait();
  }

  void a_folder_dropped_on_the_window_opens() {
    drop({QUrl::fromLocalFile(model_)}, true);
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    QVERIFY(find<QPushButton>("generate")->isEnabled());
    drop({QUrl("ftp://elsewhere/model")}, false);
    drop({}, false);
  }

  // A picture goes to be edited, an adapter to work: neither is a model.
  void what_is_dropped_goes_where_it_belongs() {
    const QString adapter = qEnvironmentVariable("GLYPHSCOPE_GOLDEN") + "/adapters/unet_sd1.safetensors", picture = folder_.filePath("signs/broken.png");
    drop({QUrl::fromLocalFile(adapter)}, true);
    QVERIFY2(message().contains("unet_sd1.safetensors is an adapter"), qPrintable(message()));
    window_->open_model(model_);
    wait();
    drop({QUrl::fromLocalFile(adapter)}, true);
    QCOMPARE(window_->adapters().count(), 1);
    QVERIFY(window_->windowTitle().contains(model_));
    drop({QUrl::fromLocalFile(picture)}, true);
    QCOMPARE(find<QTabWidget>("pages")->currentWidget(), window_->findChild<EditPage*>());
    QVERIFY2(message().contains("say what it shows"), qPrintable(message()));
    wait();
  }

  // Two stages by the dialog: the map keeps the first's sites, the pictures are the second's.
  void the_dialog_opens_a_cascade() {
    const QString golden = qEnvironmentVariable("GLYPHSCOPE_GOLDEN");
    press("open");
    auto* dialog = window_->findChild<QDialog*>("open_dialog");
    QVERIFY(dialog);
    auto* open = dialog->findChild<QDialogButtonBox*>()->button(QDialogButtonBox::Open);
    auto* source = dialog->findChild<QComboBox*>("model");
    source->setEditText(golden + "/nowhere");
    QVERIFY(!open->isEnabled());
    QVERIFY(dialog->findChild<QLabel*>("hint")->text().contains("nowhere"));
    source->setEditText(golden + "/single_file/pipeline.safetensors");
    QVERIFY(open->isEnabled() && dialog->findChild<QLineEdit*>("config")->isEnabled());
    source->setEditText(golden + "/pipeline_if");
    QVERIFY(!dialog->findChild<QLineEdit*>("config")->isEnabled());
    dialog->findChild<QLineEdit*>("upscaler")->setText(golden + "/pipeline_if2");
    QTest::mouseClick(open, Qt::LeftButton);
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    find<QSpinBox>("steps")->setValue(1);
    press("generate");
    wait();
    QVERIFY2(!message().contains("upscale"), qPrintable(message()));
    const QString out = folder_.filePath("cascade");
    QDir().mkpath(out);
    window_->export_all(out);
    const auto metadata = QJsonDocument::fromJson(QImage(out + "/source.png").text("glyphscope").toUtf8()).object();
    QVERIFY(metadata["upscaler"].toObject()["model"].toString().endsWith("pipeline_if2"));
  }

  // Where a model would go is said before it is opened; and the open one can be opened again elsewhere.
  void the_plan_is_shown_and_the_device_can_be_changed() {
    press("open");
    auto* dialog = window_->findChild<QDialog*>("open_dialog");
    dialog->findChild<QComboBox*>("model")->setEditText(model_);
    auto* device = dialog->findChild<QComboBox*>("device");
    device->setFocus();  // with which a model that was open before brings what it was opened with
    device->setCurrentIndex(device->findData("cpu"));
    auto* hint = dialog->findChild<QLabel*>("hint");
    QTRY_VERIFY2(hint->text().startsWith("On cpu, in fp32: "), qPrintable(hint->text()));
    QTest::mouseClick(dialog->findChild<QDialogButtonBox*>()->button(QDialogButtonBox::Open), Qt::LeftButton);
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    auto* menu = find<QToolButton>("device_menu");
    QCOMPARE(menu->text(), QString("cpu"));
    // Automatic: the stand-in, where there is one.
    menu->menu()->actions().first()->trigger();
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    QCOMPARE(menu->text(), qEnvironmentVariable("GLYPHSCOPE_TEST_DEVICE") == "standin" ? QString("standin:0") : QString("cpu"));
    find<QSpinBox>("steps")->setValue(1);
    press("generate");
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
  }

  // A single file with the configurations that the dialog names.
  void the_dialog_opens_a_single_file() {
    const QString golden = qEnvironmentVariable("GLYPHSCOPE_GOLDEN");
    press("open");
    auto* dialog = window_->findChild<QDialog*>("open_dialog");
    dialog->findChild<QComboBox*>("model")->setEditText(golden + "/single_file/pipeline.safetensors");
    dialog->findChild<QLineEdit*>("config")->setText(golden + "/pipeline");
    auto* dtype = dialog->findChild<QComboBox*>("dtype");
    dtype->setCurrentIndex(dtype->findData("bf16"));
    QTest::mouseClick(dialog->findChild<QDialogButtonBox*>()->button(QDialogButtonBox::Open), Qt::LeftButton);
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    QVERIFY(window_->windowTitle().contains("pipeline.safetensors"));
  }

  // A folder that is no model leaves the open one in use.
  void a_bad_folder_leaves_the_open_model_alone() {
    window_->open_model(model_);
    wait();
    drop({QUrl::fromLocalFile(folder_.path())}, true);
    wait();
    QVERIFY2(message().contains("model_index.json"), qPrintable(message()));
    QVERIFY(window_->windowTitle().contains(model_));
    find<QSpinBox>("steps")->setValue(1);
    press("generate");
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
  }

  // A sentence, and the open model goes on.
  void where_memory_ends_the_window_says_so() {
    window_->open_model(model_);
    wait();
    rlimit before{};
    QCOMPARE(getrlimit(RLIMIT_AS, &before), 0);
    rlimit less = before;
    less.rlim_cur = static_cast<rlim_t>(glyphscope::testing::process_bytes("VmSize") + (8 << 20));
    QCOMPARE(setrlimit(RLIMIT_AS, &less), 0);
    window_->open_model("demo:sign-pixel");
    wait();
    QCOMPARE(setrlimit(RLIMIT_AS, &before), 0);
    QVERIFY2(message().contains("not enough memory"), qPrintable(message()));
    QVERIFY(window_->windowTitle().contains(model_));
    find<QSpinBox>("steps")->setValue(1);
    press("generate");
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
  }

  // Edits a drawn picture, then a real one; typing edits again; undo and redo; what is not seen any more is not saved.
  void a_text_is_edited_as_one_types() {
    window_->open_model(model_);
    wait();
    auto* page = find<EditPage>("edit_page");
    find<QSpinBox>("steps")->setValue(2);
    go_to<EditPage>();
    auto* edit = find<QPushButton>("edit_text");
    QVERIFY(!edit->isEnabled());
    QVERIFY(edit->toolTip().contains("Select the sites"));
    window_->selection()->select({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    QVERIFY(!page->busy());
    QTest::mouseClick(edit, Qt::LeftButton);
    QVERIFY(page->busy());
    QTRY_VERIFY_WITH_TIMEOUT(!page->busy(), 60000);
    QVERIFY2(find<QLabel>("edit_status")->text().contains("2 steps"), qPrintable(find<QLabel>("edit_status")->text()));
    auto* source = find<PictureView>("edit_view_source");
    auto* result = find<PictureView>("edit_view_result");
    const QImage first = result->picture();
    QVERIFY(!first.isNull() && first != source->picture());
    QVERIFY(!find<PictureView>("edit_view_target")->isVisible());

    find<QLineEdit>("edit_target")->setFocus();
    QTest::keyClicks(find<QLineEdit>("edit_target"), "X");
    QVERIFY(!page->busy());  // the pause
    QTRY_COMPARE_WITH_TIMEOUT(find<QListWidget>("edit_history")->count(), 2, 60000);
    const QImage second = result->picture();
    QVERIFY(second != first);
    find<QComboBox>("edit_look")->setCurrentIndex(1);
    QVERIFY(result->picture() != second);
    find<QComboBox>("edit_look")->setCurrentIndex(0);
    QCOMPARE(result->picture(), second);

    QTest::mouseClick(find<QPushButton>("edit_undo"), Qt::LeftButton);
    QCOMPARE(result->picture(), first);
    QVERIFY(!find<QLineEdit>("edit_target")->text().endsWith("X"));
    QTest::mouseClick(find<QPushButton>("edit_redo"), Qt::LeftButton);
    QCOMPARE(result->picture(), second);

    // Beside what else one would do: all sites that see the target draw what the target prompt draws, and every picture is saved with what makes it.
    find<QCheckBox>("edit_compared")->setChecked(true);
    QTRY_COMPARE_WITH_TIMEOUT(find<QListWidget>("edit_history")->count(), 3, 60000);
    QVERIFY2(find<PictureView>("edit_view_target")->isVisible(), qPrintable(message() + find<QLabel>("edit_status")->text()));
    QVERIFY(!find<PictureView>("edit_view_prompt_to_prompt")->picture().isNull());
    const QString out = folder_.filePath("edit-export");
    QDir().mkpath(out);
    window_->export_all(out);
    for (const char* name : {"edit-source", "edit", "edit-target", "edit-prompt-to-prompt"})
      QVERIFY2(QImage(out + "/" + name + ".png").text("glyphscope").contains("glyphscope.image/1"), name);

    // A real picture.
    page->set_picture(folder_.filePath("signs/00000.png"));
    QTRY_COMPARE_WITH_TIMEOUT(find<QListWidget>("edit_history")->count(), 4, 60000);
    QVERIFY2(find<QLabel>("edit_status")->text().contains("round trip"), qPrintable(find<QLabel>("edit_status")->text()));
    QCOMPARE(source->picture().size(), QImage(folder_.filePath("signs/00000.png")).size());
    QVERIFY2(find<MessageStrip>("edit_message")->text().contains("Before anything is edited"), qPrintable(find<MessageStrip>("edit_message")->text()));
    window_->export_all(out);
    QVERIFY(!QImage(out + "/edit-reconstruction.png").isNull());
    page->set_picture(folder_.filePath("signs/broken.png"));
    QTRY_VERIFY_WITH_TIMEOUT(find<MessageStrip>("edit_message")->text().contains("broken.png"), 60000);
  }

  // Strength and heads, other texts in one batch, a box that is dragged, and an edit that becomes the source.
  void an_edit_has_variants_a_box_and_successors() {
    window_->open_model(model_);
    wait();
    auto* page = find<EditPage>("edit_page");
    auto* history = find<QListWidget>("edit_history");
    auto* result = find<PictureView>("edit_view_result");
    auto* source = find<PictureView>("edit_view_source");
    find<QSpinBox>("steps")->setValue(4);
    const int seed = find<QSpinBox>("seed")->value();
    go_to<EditPage>();
    window_->selection()->select({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    press("edit_text");
    QTRY_COMPARE_WITH_TIMEOUT(history->count(), 1, 60000);
    const QImage first = result->picture();
    // No strength is no edit; the slider's own draws again.
    find<QSlider>("edit_strength")->setValue(0);
    QTRY_COMPARE_WITH_TIMEOUT(history->count(), 2, 60000);
    QCOMPARE(result->picture(), source->picture());
    find<QSlider>("edit_strength")->setValue(100);
    QTRY_COMPARE_WITH_TIMEOUT(history->count(), 3, 60000);
    QCOMPARE(result->picture(), first);
    QTest::keyClicks(find<QLineEdit>("edit_heads"), "99");  // no such head
    QVERIFY(!find<QPushButton>("edit_text")->isEnabled());
    QVERIFY2(find<QPushButton>("edit_text")->toolTip().contains("99"), qPrintable(find<QPushButton>("edit_text")->toolTip()));
    find<QLineEdit>("edit_heads")->clear();
    QTest::keyClicks(find<QLineEdit>("edit_heads"), "1");  // by number: of each site, its second
    QTRY_COMPARE_WITH_TIMEOUT(history->count(), 4, 60000);
    QVERIFY(result->picture() != first);
    press("edit_undo");
    QVERIFY(find<QLineEdit>("edit_heads")->text().isEmpty());

    find<QLineEdit>("edit_texts")->setText("CAT, DOG");
    find<QCheckBox>("edit_each_step")->setChecked(true);
    press("edit_variants");
    QTRY_COMPARE_WITH_TIMEOUT(history->count(), 3 + 2 * 4, 60000);  // what was undone is gone
    QVERIFY2(find<QLabel>("edit_status")->text().contains("8 variants"), qPrintable(find<QLabel>("edit_status")->text()));
    QVERIFY(find<QLineEdit>("edit_target")->text().contains("\"CAT\""));
    QCOMPARE(history->currentRow(), 3);
    history->setCurrentRow(10);
    QVERIFY(find<QLineEdit>("edit_target")->text().contains("\"DOG\""));
    QCOMPARE(find<QSlider>("edit_from_step")->value(), 3);

    // The box: drawn anew on the source; outside it and its feather nothing changes.
    find<QCheckBox>("edit_masked")->setChecked(true);
    auto at = [&](double x, double y) { return source->place_of({x, y}).toPoint(); };
    QTest::mousePress(source, Qt::LeftButton, {}, at(4, 4));
    QTest::mouseMove(source, at(12, 10));
    QTest::mouseRelease(source, Qt::LeftButton, {}, at(12, 10));
    QVERIFY(!source->box().isEmpty());
    QTRY_COMPARE_WITH_TIMEOUT(history->count(), 12, 60000);
    QCOMPARE(result->picture().pixel(result->picture().width() - 1, result->picture().height() - 1),
             source->picture().pixel(source->picture().width() - 1, source->picture().height() - 1));

    const QString target = find<QLineEdit>("edit_target")->text();
    const QImage edited = result->picture();
    find<QCheckBox>("edit_masked")->setChecked(false);
    QTRY_COMPARE_WITH_TIMEOUT(history->count(), 13, 60000);
    const QImage unmasked = result->picture();
    press("edit_as_source");
    QCOMPARE(find<QLineEdit>("edit_source")->text(), target);
    QCOMPARE(source->picture(), unmasked);
    QVERIFY(result->picture().isNull());
    // Not for good.
    press("edit_undo");
    QCOMPARE(result->picture(), unmasked);
    QCOMPARE(find<QLineEdit>("edit_target")->text(), target);
    press("edit_as_source");
    find<QSpinBox>("seed")->setValue(seed + 1);
    find<QSpinBox>("steps")->setValue(2);
    press("edit_text");
    QTRY_COMPARE_WITH_TIMEOUT(history->count(), 14, 60000);
    QCOMPARE(source->picture(), unmasked);
    QVERIFY(!page->busy() || !result->picture().isNull());
    // Back to the picture that a prompt draws, and to how it was drawn.
    history->setCurrentRow(10);
    QCOMPARE(find<QSlider>("edit_from_step")->value(), 3);
    history->setCurrentRow(0);
    QCOMPARE(result->picture(), first);
    QCOMPARE(find<QSpinBox>("seed")->value(), seed);
    QCOMPARE(find<QSpinBox>("steps")->value(), 4);
    QVERIFY(edited != first);
  }

  // Words are tried, the guard compared, switched on, and stays on with another model; its log is read and filtered.
  void the_guard_holds_for_the_whole_window() {
    window_->open_model(model_);
    wait();
    auto* page = find<GuardPage>("guard_page");
    auto* pages = find<QTabWidget>("pages");
    pages->setCurrentWidget(page);
    find<QSpinBox>("steps")->setValue(2);
    auto* words = find<QPlainTextEdit>("guard_words");
    QVERIFY(find<QLabel>("guard_list")->text().startsWith("16"));
    QTest::keyClicks(find<QLineEdit>("guard_test"), "A sign that says \"h4te\"");
    const QString found = find<QLabel>("guard_found")->text();
    QVERIFY2(found.contains("digits or signs for letters") && found.contains("love"), qPrintable(found));
    words->setPlainText("hate => love\n123\n");
    QVERIFY(find<QLabel>("guard_list")->text().contains("line 2"));
    QVERIFY(!find<QPushButton>("guard_switch")->isEnabled());
    words->setPlainText("hate => love\nrat => cat\n");
    find<QLineEdit>("guard_test")->setText("a hateful wall");
    QVERIFY(find<QLabel>("guard_found")->text().contains("No listed word"));

    window_->selection()->select({0, 1});
    press("guard_take");
    QVERIFY(find<QLabel>("guard_sites")->text().contains("0,1"));
    find<QSpinBox>("guard_count")->setValue(2);
    press("guard_compare");
    QTRY_COMPARE_WITH_TIMEOUT(find<QTableWidget>("guard_table")->rowCount(), 7, 120000);
    QTRY_VERIFY_WITH_TIMEOUT(!page->busy(), 60000);
    QVERIFY(!find<PictureView>("guard_sheet")->picture().isNull());
    const QString out = folder_.filePath("guard-export");
    QDir().mkpath(out);
    window_->export_all(out);
    for (const char* name : {"guard.csv", "guard.json", "guard-samples.png"}) QVERIFY2(QFileInfo(out + "/" + name).size() > 0, name);

    const QString log = folder_.filePath("guard.jsonl");
    find<QLineEdit>("guard_log")->setText(log);
    press("guard_switch");
    QTRY_VERIFY_WITH_TIMEOUT(page->on() && !page->busy(), 60000);
    QCOMPARE(pages->tabText(pages->indexOf(page)), "Guard: on");
    QVERIFY(!find<QPushButton>("guard_compare")->isEnabled());
    QVERIFY(!find<QPushButton>("guard_apply")->isVisible());
    find<QLineEdit>("source")->setText("A sign that says \"HATE\"");
    press("generate");
    wait();
    QVERIFY2(message().contains("Guard, picture A"), qPrintable(message()));
    find<QTabWidget>("guard_results")->setCurrentIndex(1);
    auto* view = find<GuardLogView>("guard_log_view");
    QTRY_COMPARE_WITH_TIMEOUT(view->shown(), 2, 10000);
    QVERIFY2(view->status().contains("Lines: 1,"), qPrintable(view->status()));
    find<QComboBox>("guard_log_done")->setCurrentIndex(3);
    QCOMPARE(view->shown(), 1);
    QVERIFY(view->save_table(out + "/log.csv"));
    QVERIFY(!view->save_table(out + "/nowhere/log.csv"));
    QFile csv(out + "/log.csv");
    QVERIFY(csv.open(QIODevice::ReadOnly));
    QCOMPARE(csv.readAll().count('\n'), 2);
    find<QComboBox>("guard_log_done")->setCurrentIndex(0);

    // Settings that do not hold leave it on as it was; other ones wait for a press.
    find<QLineEdit>("guard_log")->setText(folder_.filePath("nowhere/guard.jsonl"));
    QVERIFY(find<QPushButton>("guard_apply")->isVisible());
    find<QLineEdit>("guard_log")->setText(log);
    QVERIFY(!find<QPushButton>("guard_apply")->isVisible());

    window_->open_model(model_);
    wait();
    QTRY_VERIFY_WITH_TIMEOUT(!page->busy(), 60000);
    QVERIFY(page->on());
    find<QSpinBox>("steps")->setValue(2);
    find<QLineEdit>("source")->setText("A sign that says \"HATE\"");
    press("generate");
    wait();
    QVERIFY2(message().contains("Guard, picture A"), qPrintable(message()));
    QTRY_COMPARE_WITH_TIMEOUT(view->shown(), 4, 10000);
    press("guard_switch");
    QTRY_VERIFY_WITH_TIMEOUT(!page->on() && !page->busy(), 60000);
    QCOMPARE(pages->tabText(pages->indexOf(page)), "Guard");

    // A log that was changed says where.
    QFile file(log);
    QVERIFY(file.open(QIODevice::ReadWrite));
    QByteArray text = file.readAll();
    text.replace("\"seed\":", "\"seeD\":");
    file.resize(0);
    file.seek(0);
    file.write(text);
    file.close();
    press("guard_log_again");
    QTRY_VERIFY_WITH_TIMEOUT(view->status().contains("after line 0"), 10000);
  }

  // Fine-tunes on the selected site while pictures are drawn; pauses, goes on; then draws with the adapter, and without.
  void fine_tuning_goes_on_while_pictures_are_drawn() {
    window_->open_model(model_);
    wait();
    auto* page = find<FinetunePage>("finetune_page");
    go_to<FinetunePage>();
    auto* start = find<QPushButton>("start_training");
    QVERIFY(start->toolTip().contains("Select sites"));
    window_->selection()->select({0});
    QVERIFY2(find<QLabel>("share")->text().contains("Site 0: "), qPrintable(find<QLabel>("share")->text()));
    QVERIFY(!start->isEnabled());
    find<QLineEdit>("training_pictures")->setText(folder_.filePath("signs"));
    emit find<QLineEdit>("training_pictures")->editingFinished();
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("pictures_facts")->text().contains("1 left out"), 30000);
    QCOMPARE(find<QListWidget>("faults")->count(), 1);
    const QString out = folder_.filePath("adapter");
    find<QLineEdit>("training_folder")->setText(out);
    find<QSpinBox>("rank")->setValue(2);
    find<QSpinBox>("training_steps")->setValue(1'000'000);
    find<QSpinBox>("batch")->setValue(2);
    find<QSpinBox>("sample_every")->setValue(0);
    QVERIFY(start->isEnabled());
    QTest::mouseClick(start, Qt::LeftButton);
    QVERIFY(page->training());
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("training_status")->text().contains("loss"), 60000);

    go_to<StudyPage>();
    find<QSpinBox>("steps")->setValue(1);
    press("generate");
    QVERIFY2(find<JobBar>("jobs")->text().contains("between two of its steps"), qPrintable(find<JobBar>("jobs")->text()));
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    QVERIFY(page->training());
    const QString before = folder_.filePath("before"), with = folder_.filePath("with"), after = folder_.filePath("after");
    auto picture = [&](const QString& folder) {
      QDir().mkpath(folder);
      window_->export_all(folder);
      return QImage(folder + "/source.png");
    };
    const QImage plain = picture(before);

    // A model has to wait, as long as it is wanted.
    window_->open_model(model_);
    QVERIFY(message().contains("when you pause"));
    QTest::qWait(200);
    QVERIFY(window_->busy());
    QTest::mouseClick(find<QToolButton>("cancel"), Qt::LeftButton);
    wait();

    QVERIFY(page->training());
    QTest::mouseClick(find<QPushButton>("pause_training"), Qt::LeftButton);
    QTRY_VERIFY_WITH_TIMEOUT(!page->training(), 30000);
    QVERIFY2(page->title().contains("paused"), qPrintable(page->title()));
    QVERIFY(!find<QSpinBox>("rank")->isEnabled());
    QTest::mouseClick(find<QPushButton>("pause_training"), Qt::LeftButton);
    QVERIFY(page->training());
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("training_status")->text().contains("loss"), 60000);
    QTest::mouseClick(find<QPushButton>("stop_training"), Qt::LeftButton);
    QTRY_VERIFY_WITH_TIMEOUT(!page->training(), 30000);
    QVERIFY2(find<QLabel>("training_status")->text().contains("Stopped"), qPrintable(find<QLabel>("training_status")->text()));
    QCOMPARE(start->text(), QString("&Resume"));

    // It is saved for another program, under a name that is asked for.
    const QString saved = folder_.filePath("for-kohya.safetensors");
    auto* menu = find<QPushButton>("export_adapter")->menu();
    QTimer::singleShot(500, this, [&] {
      auto* dialog = qobject_cast<QFileDialog*>(QApplication::activeModalWidget());
      QVERIFY(dialog);
      dialog->findChild<QLineEdit*>("fileNameEdit")->setText(saved);
      QMetaObject::invokeMethod(dialog, "accept");
    });
    menu->actions().at(2)->trigger();
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    QVERIFY(QFileInfo(saved).size() > 100);

    // With the adapter the last picture is drawn anew; without it, it is as before.
    int drawn = 0;
    connect(window_->engine(), &EngineBridge::happened, this, [&](const Event& event) { drawn += std::holds_alternative<event::PicturesReady>(event.what); });
    press("use_last");
    QTRY_COMPARE_WITH_TIMEOUT(drawn, 1, 10000);
    wait();
    QVERIFY2(message().isEmpty(), qPrintable(message()));
    const QImage adapted = picture(with);
    QVERIFY(adapted != plain);
    const auto metadata = QJsonDocument::fromJson(adapted.text("glyphscope").toUtf8()).object();
    QVERIFY(metadata["adapters"].toArray()[0].toObject()["file"].toString().contains("adapter/last.safetensors"));
    QVERIFY(QFileInfo(with + "/training.svg").size() > 1000 && QFileInfo(with + "/training.csv").size() > 10);
    window_->adapters().set_strength(0, 0);
    QTRY_COMPARE_WITH_TIMEOUT(drawn, 2, 10000);
    wait();
    QCOMPARE(picture(after), plain);

    // An edit that is shown follows the adapters; one that is not, once it is.
    auto* edits = find<QListWidget>("edit_history");
    auto* edited = find<PictureView>("edit_view_result");
    go_to<EditPage>();
    press("edit_text");
    QTRY_COMPARE_WITH_TIMEOUT(edits->count(), 1, 60000);
    const QImage without = edited->picture();
    window_->adapters().set_strength(0, 2);
    QTRY_COMPARE_WITH_TIMEOUT(edits->count(), 2, 60000);
    QVERIFY(edited->picture() != without);
    go_to<StudyPage>();
    window_->adapters().set_strength(0, 0);
    QTest::qWait(1500);
    QCOMPARE(edits->count(), 2);
    go_to<EditPage>();
    QTRY_COMPARE_WITH_TIMEOUT(edits->count(), 3, 60000);
    QCOMPARE(edited->picture(), without);
  }

  // The program itself opens what its command line names.
  void the_command_line_opens_a_folder() {
    QProcess program;
    program.start(qEnvironmentVariable("GLYPHSCOPE_PROGRAM"), {model_});
    QVERIFY(program.waitForStarted());
    QTest::qWait(3000);
    QCOMPARE(program.state(), QProcess::Running);
    program.terminate();
    QVERIFY(program.waitForFinished(10000));
  }

  void pictures_are_shown_though_ocr_is_missing() {
    qputenv("GLYPHSCOPE_OCR_MODELS", "/nowhere");
    window_->open_model(model_);
    wait();
    find<QSpinBox>("steps")->setValue(1);
    press("generate");
    wait();
    qunsetenv("GLYPHSCOPE_OCR_MODELS");
    QVERIFY2(message().contains("texts were not read") && message().contains("/nowhere"), qPrintable(message()));
    QCOMPARE(window_->export_all(folder_.path()).size(), 3);  // source, target and window
  }

  // Every field by its name for those who do not see it, and the wheel over one that has not been chosen changes nothing.
  void fields_have_names_and_keep_their_values() {
    window_->open_model(model_);
    wait();
    go_to<FinetunePage>();
    for (const char* name : {"training_pictures", "rank", "preset", "rate", "training_folder"}) {
      auto* field = find<QWidget>(name);
      bool named = false;
      for (auto* label : window_->findChildren<QLabel*>()) named |= label->buddy() == field;
      QVERIFY2(named, name);
    }
    auto* preset = find<QComboBox>("preset");
    find<QSpinBox>("rank")->setValue(33);
    QWheelEvent wheel(QPointF(5, 5), preset->mapToGlobal(QPointF(5, 5)), {}, QPoint(0, -120), Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(preset, &wheel);
    QCOMPARE(find<QSpinBox>("rank")->value(), 33);
    preset->setFocus();
    QTest::keyClick(preset, Qt::Key_Down);
    QCOMPARE(find<QSpinBox>("rank")->value(), 4);

    // Keys, one after the other: what a field changes elsewhere does not come back under the cursor, and half a number changes nothing for good.
    go_to<StudyPage>();
    const auto type = [](QAbstractSpinBox* field, const QString& text) {
      field->setFocus();
      field->selectAll();
      QTest::keyClicks(field, text);
    };
    auto* guidance = find<QDoubleSpinBox>("guidance");
    guidance->setValue(3);
    type(guidance, "7.5");
    QCOMPARE(guidance->value(), 7.5);
    auto* steps = find<QSpinBox>("steps");
    auto* from_step = find<QSlider>("edit_from_step");
    steps->setValue(20);
    from_step->setValue(10);
    type(steps, "30");
    QCOMPARE(steps->value(), 30);
    QCOMPARE(from_step->value(), 10);
    steps->setValue(4);
    QCOMPARE(from_step->value(), 3);
  }

  // Samples by step; then a training that cannot begin; then one that is paused while another model is open.
  void a_training_draws_samples_to_its_end() {
    window_->open_model(model_);
    wait();
    auto* page = find<FinetunePage>("finetune_page");
    go_to<FinetunePage>();
    window_->selection()->select({0, 1});
    find<QLineEdit>("training_pictures")->setText(folder_.filePath("signs"));
    emit find<QLineEdit>("training_pictures")->editingFinished();
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("pictures_facts")->text().contains("left out"), 30000);
    find<QSpinBox>("training_steps")->setValue(4);
    find<QSpinBox>("batch")->setValue(2);
    find<QSpinBox>("sample_every")->setValue(2);
    find<QPlainTextEdit>("sample_prompts")
        ->setPlainText("# no prompt\na round red sign that says \"HI\" on a blue wall\na blank round red sign on a blue wall\n");
    find<QLineEdit>("training_folder")->setText(folder_.filePath("sampled"));
    press("start_training");
    QTRY_VERIFY_WITH_TIMEOUT(!page->training(), 120000);
    auto* strip = find<MessageStrip>("finetune_message");
    QVERIFY2(strip->text().contains("Trained "), qPrintable(strip->text()));
    QCOMPARE(page->title(), QString("Fine-tune"));
    auto* scrubber = find<QSlider>("scrubber");
    QCOMPARE(scrubber->maximum(), 2);
    QCOMPARE(scrubber->value(), 2);
    auto* table = window_->findChild<SamplesView*>()->findChild<QTreeWidget*>();
    QCOMPARE(table->topLevelItemCount(), 2);
    QCOMPARE(table->topLevelItem(0)->text(0), QString("HI"));
    QVERIFY(table->topLevelItem(1)->text(3).toDouble() > 0);
    auto* swipe = find<QSlider>("samples_swipe");
    auto* picture = window_->findChild<SamplesView*>()->findChild<PictureView*>();
    const QImage after = picture->grab().toImage();
    swipe->setValue(swipe->maximum() / 2);
    const QImage half = picture->grab().toImage();
    QVERIFY(half != after);  // the left half is before
    swipe->setValue(0);
    QCOMPARE(picture->grab().toImage(), after);
    scrubber->setFocus();
    QTest::keyClick(scrubber, Qt::Key_Home);
    QCOMPARE(table->topLevelItem(1)->text(3), QString("1.00"));  // nothing has been learned there

    // The folder is a file: what the engine says is shown in the window's words, and nothing is locked.
    QFile file(folder_.filePath("file"));
    QVERIFY(file.open(QIODevice::WriteOnly));
    find<QLineEdit>("training_folder")->setText(file.fileName());
    press("start_training");
    QTRY_VERIFY_WITH_TIMEOUT(!page->training(), 60000);
    QVERIFY2(strip->text().contains("file") && !strip->text().contains("--"), qPrintable(strip->text()));
    QVERIFY(find<QSpinBox>("rank")->isEnabled());

    find<QLineEdit>("training_folder")->setText(folder_.filePath("paused"));
    find<QSpinBox>("training_steps")->setValue(100'000);
    find<QSpinBox>("sample_every")->setValue(0);
    press("start_training");
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("training_status")->text().contains("loss"), 60000);
    press("pause_training");
    QTRY_VERIFY_WITH_TIMEOUT(!page->training(), 30000);
    auto* pause = find<QPushButton>("pause_training");
    QVERIFY(pause->isEnabled());
    window_->open_model(qEnvironmentVariable("GLYPHSCOPE_GOLDEN") + "/pipeline");
    QVERIFY(!pause->isEnabled());  // until it is known which model that will be
    wait();
    QVERIFY(!pause->isEnabled() && pause->toolTip().contains("another model"));
    window_->open_model(model_);
    wait();
    QVERIFY(pause->isEnabled());
    press("pause_training");
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("training_status")->text().contains("loss"), 60000);
    press("pause_training");
    QTRY_VERIFY_WITH_TIMEOUT(!page->training(), 30000);
    press("stop_training");
    QVERIFY(find<QPushButton>("start_training")->isVisible());
  }

  // The training is saved on the way out.
  void closing_while_it_trains_keeps_the_adapter() {
    window_->open_model(model_);
    wait();
    window_->selection()->select({0});
    find<QLineEdit>("training_pictures")->setText(folder_.filePath("signs"));
    emit find<QLineEdit>("training_pictures")->editingFinished();
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("pictures_facts")->text().contains("left out"), 30000);
    const QString out = folder_.filePath("closed");
    find<QLineEdit>("training_folder")->setText(out);
    find<QSpinBox>("sample_every")->setValue(0);
    find<QSpinBox>("rank")->setValue(3);
    find<QLineEdit>("rate")->setText("3e-4");
    press("start_training");
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("training_status")->text().contains("loss"), 60000);
    window_.reset();
    QVERIFY(QFileInfo(out + "/last.safetensors").size() > 100);
    QVERIFY(QFileInfo(out + "/checkpoint/state.safetensors").size() > 100);

    // Another window fills its fields with that training's settings, and goes on with it.
    init();
    window_->open_model(model_);
    wait();
    auto* page = find<FinetunePage>("finetune_page");
    go_to<FinetunePage>();
    find<QLineEdit>("training_pictures")->setText(folder_.filePath("signs"));
    emit find<QLineEdit>("training_pictures")->editingFinished();
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("pictures_facts")->text().contains("left out"), 30000);
    find<QLineEdit>("training_folder")->setText(out);
    emit find<QLineEdit>("training_folder")->editingFinished();
    QVERIFY2(find<QLabel>("folder_facts")->text().contains("filled in"), qPrintable(find<QLabel>("folder_facts")->text()));
    QCOMPARE(find<QSpinBox>("rank")->value(), 3);
    QCOMPARE(find<QLineEdit>("rate")->text().toDouble(), 3e-4);
    QCOMPARE(window_->selection()->sorted(), std::vector<int>{0});
    find<QSpinBox>("sample_every")->setValue(0);
    find<QSpinBox>("training_steps")->setValue(1'000'000);
    press("start_training");
    QTRY_VERIFY_WITH_TIMEOUT(find<QLabel>("training_status")->text().contains("loss"), 60000);
    press("stop_training");
    QTRY_VERIFY_WITH_TIMEOUT(!page->training(), 30000);
    QVERIFY2(find<QLabel>("training_status")->text().contains("Stopped"), qPrintable(find<QLabel>("training_status")->text()));
  }

  void closing_while_it_works_is_clean() {
    window_->open_model(model_);
    wait();
    find<QSpinBox>("steps")->setValue(1000);
    press("generate");
    QTest::qWait(200);
    window_.reset();  // must cancel and join, not hang
  }
};

int main(int count, char** arguments) {
  if (count == 4 && std::strcmp(arguments[1], kChild) == 0) return be_killed(count, arguments);
  QApplication application(count, arguments);
  WindowTest test;
  return QTest::qExec(&test, count, arguments);
}
#include "window_e2e.moc"
