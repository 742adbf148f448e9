// The whole program in a real window: open, localize on 2 pairs, select the best site, edit the text, export, and look at
// the files. The model is trained on the spot by the program itself, in seconds; what it draws is noise.
#include <QtTest>
#include <QtWidgets>
#include <condition_variable>
#include <mutex>

#include "app/window/main_window.h"
#include "widgets/heatmap.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"
#include "widgets/model_map.h"
#include "widgets/picture_view.h"

using namespace glyphscope;

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
  void wait() { QTRY_VERIFY_WITH_TIMEOUT(!window_->busy(), 300000); }
  QString message() { return find<MessageStrip>("message")->text(); }
  void press(const char* name) { QTest::mouseClick(find<QPushButton>(name), Qt::LeftButton); }

 private slots:
  void initTestCase() {
    model_ = folder_.filePath("tiny/model");
    QProcess train;
    train.start(qEnvironmentVariable("GLYPHSCOPE_PROGRAM"), {"train-demo", "sign-unet", "--tiny", "--out", folder_.filePath("tiny")});
    QVERIFY(train.waitForFinished(300000));
    QVERIFY2(train.exitCode() == 0, train.readAllStandardError());
    apply_theme(false);
  }

  void init() {
    window_ = std::make_unique<MainWindow>();
    window_->show();
    QVERIFY(QTest::qWaitForWindowExposed(window_.get()));
  }
  void cleanup() { window_.reset(); }

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

    window_->pairs = 2;
    press("localize");
    QVERIFY(window_->busy());
    wait();
    QVERIFY2(message().contains("Localized: ") || message().contains("No single site"), qPrintable(message()));
    auto* heatmap = find<Heatmap>("heatmap");
    for (int site = 0; site < 11; ++site) QVERIFY2(heatmap->tip(0, site).contains("2 images"), qPrintable(heatmap->tip(0, site)));

    // What the model draws is noise, so no site is best: one is chosen on the map.
    auto* map = find<ModelMap>("map");
    QTest::mouseClick(map, Qt::LeftButton, {}, map->cell(5).center());
    QCOMPARE(window_->selection().sorted(), (std::vector<int>{5}));
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
    const QString out = folder_.filePath("export");
    QDir().mkpath(out);
    const QStringList files = window_->export_all(out);
    QCOMPARE(files.size(), 7);
    for (const auto& file : files) QVERIFY2(QFileInfo(file).size() > 100, qPrintable(file));
    const QImage patched(out + "/patched.png");
    QCOMPARE(patched.size(), QSize(64, 64));
    const auto metadata = QJsonDocument::fromJson(patched.text("glyphscope").toUtf8()).object();
    QCOMPARE(metadata["plan"].toArray()[0].toObject()["site"].toInt(), 5);
    QVERIFY(QImage(out + "/window.png").text("glyphscope").contains("glyphscope.view/1"));
    QFile csv(out + "/scores.csv");
    QVERIFY(csv.open(QIODevice::ReadOnly));
    QVERIFY(csv.readAll().count('\n') > 11 * 4);
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

  // With the engine held at a latch inside a run, the window handles 100 events.
  void the_window_never_waits_for_the_engine() {
    window_->open_model(model_);
    wait();
    std::mutex mutex;
    std::condition_variable wake;
    bool hold = true, held = false;
    window_->engine().on_engine_thread = [&](const Event& event) {
      if (!std::holds_alternative<event::Progressed>(event.what)) return;
      std::unique_lock lock(mutex);
      held = true;
      wake.wait(lock, [&] { return !hold; });
    };
    find<QSpinBox>("steps")->setValue(2);
    press("generate");
    QTRY_VERIFY_WITH_TIMEOUT(
        [&] {
          std::lock_guard lock(mutex);
          return held;
        }(),
        30000);
    auto* map = find<ModelMap>("map");
    int handled = 0;
    for (int i = 0; i < 50; ++i) {
      QTest::mouseClick(map, Qt::LeftButton, {}, map->cell(i % 11).center());
      handled += window_->selection().contains(i % 11);
      QTest::keyClick(map, Qt::Key_Escape);
      handled += window_->selection().sites().isEmpty();
    }
    QCOMPARE(handled, 100);
    QVERIFY(window_->busy());
    {
      std::lock_guard lock(mutex);
      hold = false;
    }
    wake.notify_all();
    wait();
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

QTEST_MAIN(WindowTest)
#include "window_e2e.moc"
