// Each widget alone, fed by values and driven by mouse and keyboard.
#include <qcustomplot.h>

#include <QCheckBox>
#include <QClipboard>
#include <QGuiApplication>
#include <QLineEdit>
#include <QMenu>
#include <QMimeData>
#include <QSignalSpy>
#include <QSlider>
#include <QTest>
#include <QToolButton>

#include "widgets/adapter_list.h"
#include "widgets/heatmap.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"
#include "widgets/model_map.h"
#include "widgets/picture_list.h"
#include "widgets/picture_view.h"
#include "widgets/plain_text_field.h"
#include "widgets/site_list.h"
#include "widgets/step_curves.h"

using namespace glyphscope;

namespace {

BlockRow row_of(const QString& block) {
  return block.startsWith("down") ? BlockRow::down : block.startsWith("up") ? BlockRow::up : block == "mid" ? BlockRow::middle : BlockRow::stack;
}

std::vector<SiteItem> u_net() {
  std::vector<SiteItem> sites;
  for (const auto& [block, count] : {std::pair{"down 0", 2}, {"down 1", 2}, {"mid", 1}, {"up 0", 3}, {"up 1", 3}})
    for (int i = 0; i < count; ++i)
      sites.push_back({static_cast<int>(sites.size()), QStringLiteral("%1.attentions.%2").arg(block).arg(i), block, 4, 32768, 0.003, row_of(block)});
  return sites;
}

}  // namespace

class WidgetsTest : public QObject {
  Q_OBJECT
 private slots:
  void map_draws_the_u() {
    SiteSelection selection;
    ModelMap map(&selection);
    map.resize(360, 320);
    map.set_sites(u_net());
    // Down on the left from the top, up on the right to the top, the middle below both.
    QVERIFY(map.cell(0).center().x() < map.width() / 2);
    QVERIFY(map.cell(10).center().x() > map.width() / 2);
    QVERIFY(map.cell(0).top() < map.cell(2).top());
    QVERIFY(map.cell(2).top() < map.cell(4).top());
    QVERIFY(map.cell(8).top() < map.cell(5).top());
    QCOMPARE(map.cell(0).top(), map.cell(8).top());
    for (int site = 0; site < 11; ++site) {
      QVERIFY(map.rect().contains(map.cell(site)));
      for (int other = 0; other < site; ++other) QVERIFY(!map.cell(site).intersects(map.cell(other)));
    }
  }

  // SDXL has 30 sites in one block, Stable Diffusion 3 no U at all: every cell can still be clicked on.
  void map_draws_joint_blocks_as_a_column() {
    SiteSelection selection;
    ModelMap map(&selection);
    map.resize(360, 320);
    std::vector<SiteItem> sites;
    for (int i = 0; i < 8; ++i) sites.push_back({i, QString("transformer_blocks.%1.attn").arg(i), "blocks", 4, 1000, 0.01});
    map.set_sites(sites);
    for (int i = 1; i < 8; ++i) {
      QCOMPARE(map.cell(i).left(), map.cell(0).left());
      QVERIFY(map.cell(i).top() > map.cell(i - 1).bottom());
    }
    QVERIFY(map.cell(0).width() > map.width() / 2);
    // FLUX has two kinds of them.
    sites.clear();
    for (int i = 0; i < 57; ++i) sites.push_back({i, QString::number(i), i < 19 ? "double" : "single", 24, 1000, 0.01});
    map.set_sites(sites);
    for (int i = 0; i < 57; ++i) {
      QVERIFY(map.rect().contains(map.cell(i)));
      for (int other = 0; other < i; ++other) QVERIFY(!map.cell(i).intersects(map.cell(other)));
    }
    QVERIFY(map.cell(19).top() > map.cell(18).bottom());
  }

  // The second stage takes room from the first, but no clicks.
  void map_draws_a_cascade() {
    SiteSelection selection;
    ModelMap map(&selection);
    map.resize(360, 420);
    map.set_sites(u_net());
    map.show();
    const QRect alone = map.cell(4);
    map.set_second_stage("Stage II", u_net());
    QVERIFY(map.cell(4).bottom() < alone.top());
    for (int site = 0; site < 11; ++site) {
      QVERIFY(map.rect().contains(map.cell(site)) && map.cell(site).height() >= 8);
      for (int other = 0; other < site; ++other) QVERIFY(!map.cell(site).intersects(map.cell(other)));
      QTest::mouseClick(&map, Qt::LeftButton, {}, map.cell(site).center());
      QCOMPARE(selection.sorted(), (std::vector<int>{site}));
    }
    for (int y = map.cell(4).bottom() + 10; y < map.height(); y += 7) {
      QTest::mouseClick(&map, Qt::LeftButton, {}, {map.width() / 4, y});
      QVERIFY(selection.sorted().empty());
    }
    map.set_sites(u_net());
    QCOMPARE(map.cell(4), alone);
  }

  void map_has_room_for_every_site() {
    auto model = [](const std::vector<std::pair<const char*, int>>& blocks) {
      std::vector<SiteItem> sites;
      for (const auto& [block, count] : blocks)
        for (int i = 0; i < count; ++i)
          sites.push_back({static_cast<int>(sites.size()), QStringLiteral("%1.%2").arg(block).arg(i), block, 4, 32768, 0.003, row_of(block)});
      return sites;
    };
    for (const auto& sites :
         {model({{"down 1", 4}, {"down 2", 20}, {"mid", 10}, {"up 0", 30}, {"up 1", 6}}), model({{"blocks", 24}}), model({{"blocks", 38}})}) {
      SiteSelection selection;
      ModelMap map(&selection);
      map.resize(360, 320);
      map.set_sites(sites);
      map.show();
      for (const auto& site : sites) {
        const QRect cell = map.cell(site.index);
        QVERIFY2(map.rect().contains(cell) && cell.width() >= 12 && cell.height() >= 8, qPrintable(site.path));
        for (int other = 0; other < site.index; ++other) QVERIFY(!cell.intersects(map.cell(other)));
        QTest::mouseClick(&map, Qt::LeftButton, {}, cell.center());
        QCOMPARE(selection.sorted(), (std::vector<int>{site.index}));
      }
    }
  }

  void map_selects_by_mouse() {
    SiteSelection selection;
    ModelMap map(&selection);
    map.resize(360, 320);
    map.set_sites(u_net());
    map.show();
    QTest::mouseClick(&map, Qt::LeftButton, {}, map.cell(3).center());
    QCOMPARE(selection.sorted(), (std::vector<int>{3}));
    QTest::mouseClick(&map, Qt::LeftButton, Qt::ShiftModifier, map.cell(5).center());
    QCOMPARE(selection.sorted(), (std::vector<int>{3, 5}));
    QTest::mouseClick(&map, Qt::LeftButton, Qt::ControlModifier, map.cell(3).center());
    QCOMPARE(selection.sorted(), (std::vector<int>{5}));
    QTest::mouseClick(&map, Qt::LeftButton, {}, {2, 2});
    QVERIFY(selection.sites().isEmpty());
    // A rubber band over the right half takes the up blocks.
    const QPoint from(map.cell(8).left() - 2, map.cell(8).top() - 2), to(map.cell(7).right() + 2, map.cell(7).bottom() + 2);
    QTest::mousePress(&map, Qt::LeftButton, {}, from);
    QMouseEvent move(QEvent::MouseMove, to, map.mapToGlobal(to), Qt::NoButton, Qt::LeftButton, {});
    QApplication::sendEvent(&map, &move);
    QTest::mouseRelease(&map, Qt::LeftButton, {}, to);
    QCOMPARE(selection.sorted(), (std::vector<int>{5, 6, 7, 8, 9, 10}));
  }

  void map_selects_by_keyboard() {
    SiteSelection selection;
    ModelMap map(&selection);
    map.set_sites(u_net());
    QTest::keyClick(&map, Qt::Key_Right);
    QTest::keyClick(&map, Qt::Key_Space);
    QCOMPARE(selection.sorted(), (std::vector<int>{1}));
    QTest::keyClick(&map, Qt::Key_End);
    QTest::keyClick(&map, Qt::Key_Space);
    QCOMPARE(selection.sorted(), (std::vector<int>{1, 10}));
    QTest::keyClick(&map, Qt::Key_A, Qt::ControlModifier);
    QCOMPARE(selection.sites().size(), 11);
    QTest::keyClick(&map, Qt::Key_Escape);
    QVERIFY(selection.sites().isEmpty());
  }

  void selection_is_shared() {
    SiteSelection selection;
    ModelMap map(&selection);
    SiteList list(&selection);
    Heatmap heatmap(&selection);
    map.set_sites(u_net());
    list.set_sites(u_net());
    list.selectRow(6);
    QCOMPARE(selection.sorted(), (std::vector<int>{6}));
    selection.select({2, 4});
    QCOMPARE(list.selectionModel()->selectedRows().size(), 2);
    QSignalSpy changed(&selection, &SiteSelection::changed);
    selection.select({4, 2});
    QCOMPARE(changed.count(), 0);
  }

  void list_sorts_by_number() {
    SiteSelection selection;
    SiteList list(&selection);
    list.set_sites(u_net());
    list.set_scores("F1", {{3, {0.9, {}, {}, 4}}, {10, {0.95, {}, {}, 4}}, {2, {0.1, {}, {}, 4}}});
    list.sortByColumn(4, Qt::DescendingOrder);
    QCOMPARE(list.item(0, 0)->text(), "10");
    QCOMPARE(list.item(1, 0)->text(), "3");
    list.sortByColumn(0, Qt::AscendingOrder);
    QCOMPARE(list.item(10, 0)->text(), "10");
  }

  void heatmap_tells_and_selects() {
    SiteSelection selection;
    Heatmap heatmap(&selection);
    heatmap.resize(700, 260);
    std::vector<std::vector<std::optional<ScoreValue>>> values(2, std::vector<std::optional<ScoreValue>>(5));
    values[0][3] = ScoreValue{0.75, 0.6, 0.9, 16};
    heatmap.set_values({"reads as B", "background"}, "site", Heatmap::site_columns(5), values);
    heatmap.show();
    QVERIFY(QTest::qWaitForWindowExposed(&heatmap));
    heatmap.plot()->replot();
    QVERIFY(heatmap.tip(0, 3).contains("0.750 [0.600, 0.900], 16 images"));
    QVERIFY(heatmap.tip(1, 3).contains("not measured yet"));
    QSignalSpy clicked(&heatmap, &Heatmap::clicked);
    QTest::mouseClick(heatmap.plot(), Qt::LeftButton, {}, heatmap.plot()->mapFrom(&heatmap, heatmap.cell_centre(0, 3)));
    QCOMPARE(selection.sorted(), (std::vector<int>{3}));
    QCOMPARE(clicked.count(), 1);
    QCOMPARE(clicked[0][0].toInt(), 0);
    QCOMPARE(clicked[0][1].toInt(), 3);
    // What is drawn is the colour of the value.
    const QColor seen = heatmap.grab().toImage().pixelColor(heatmap.cell_centre(0, 3) + QPoint(8, 0)), expected = heat_colour(0.75);
    QVERIFY(std::abs(seen.red() - expected.red()) + std::abs(seen.green() - expected.green()) + std::abs(seen.blue() - expected.blue()) < 12);
    QTemporaryDir folder;
    for (const char* name : {"h.svg", "h.pdf"}) {
      QVERIFY(heatmap.save_vector(folder.filePath(name), "Localized: 3. Seeds 42, 43"));
      QVERIFY(QFileInfo(folder.filePath(name)).size() > 1000);
    }
    QFile svg(folder.filePath("h.svg"));
    QVERIFY(svg.open(QIODevice::ReadOnly));
    QVERIFY(svg.readAll().contains("Localized: 3. Seeds 42, 43"));
    // The caption is in the figure, and no longer in the window.
    const QImage figure = heatmap.figure("Localized: 3");
    QVERIFY(figure.height() > 2 * heatmap.height());
    QCOMPARE(heatmap.plot()->plotLayout()->rowCount(), 1);
  }

  // Columns may be steps, heads or sets of sites: whatever an experiment varies.
  void heatmap_takes_any_columns() {
    SiteSelection selection;
    Heatmap heatmap(&selection);
    heatmap.resize(700, 260);
    std::vector<std::vector<std::optional<ScoreValue>>> values(1, std::vector<std::optional<ScoreValue>>(3));
    values[0][2] = ScoreValue{0.5, {}, {}, 1};
    heatmap.set_values({"reads as B"}, "variant", {{"5,7", "Sites 5 and 7", {5, 7}}, {"all", "All sites", {0, 5, 7}}, {"step 3", "From step 3", {}}}, values);
    heatmap.show();
    QVERIFY(QTest::qWaitForWindowExposed(&heatmap));
    heatmap.plot()->replot();
    QCOMPARE(heatmap.plot()->xAxis->label(), "variant");
    const auto click = [&](int column) {
      QTest::mouseClick(heatmap.plot(), Qt::LeftButton, {}, heatmap.plot()->mapFrom(&heatmap, heatmap.cell_centre(0, column)));
    };
    click(0);
    QCOMPARE(selection.sorted(), (std::vector<int>{5, 7}));
    QSignalSpy clicked(&heatmap, &Heatmap::clicked);
    click(2);  // no site's: what is selected stays
    QCOMPARE(selection.sorted(), (std::vector<int>{5, 7}));
    QCOMPARE(clicked.count(), 1);
    QCOMPARE(clicked[0][1].toInt(), 2);
    QVERIFY(heatmap.tip(0, 2).contains("From step 3") && heatmap.tip(0, 2).contains("0.5"));
    heatmap.set_values({}, {}, {}, {});
    QCOMPARE(heatmap.plot()->xAxis->label(), QString());
  }

  void pictures_zoom_together() {
    ViewState state;
    PictureView left("A", "empty", &state), right("B", "empty", &state);
    QImage image(64, 64, QImage::Format_RGB888);
    image.fill(Qt::red);
    for (auto* view : {&left, &right}) {
      view->resize(300, 340);
      view->set_picture(image, "caption");
    }
    QWheelEvent wheel(QPointF(150, 170), left.mapToGlobal(QPointF(150, 170)), {}, {0, 120}, Qt::NoButton, {}, Qt::NoScrollPhase, false);
    QApplication::sendEvent(&left, &wheel);
    QVERIFY(state.zoom() > 1.1);
    QTest::mouseDClick(&right, Qt::LeftButton);
    QCOMPARE(state.zoom(), 1.0);
    state.set(4, {2, -1});  // never leaves the picture
    QCOMPARE(state.centre(), QPointF(0.875, 0.125));
  }

  void a_box_is_moved_resized_and_drawn_anew() {
    ViewState state;
    PictureView view("A", "empty", &state);
    view.resize(300, 340);
    QImage image(64, 64, QImage::Format_RGB888);
    image.fill(Qt::red);
    view.set_picture(image, "caption");
    QSignalSpy changed(&view, &PictureView::box_changed);
    const auto drag = [&](QPointF from, QPointF to) {
      QTest::mousePress(&view, Qt::LeftButton, {}, view.place_of(from).toPoint());
      QTest::mouseMove(&view, view.place_of(to).toPoint());
      QTest::mouseRelease(&view, Qt::LeftButton, {}, view.place_of(to).toPoint());
    };
    view.set_box({10, 10, 20, 10}, false);
    drag({20, 15}, {30, 15});  // moves the picture, not the box
    QCOMPARE(view.box(), QRect(10, 10, 20, 10));
    QCOMPARE(changed.count(), 0);
    state.reset();
    view.set_box({10, 10, 20, 10}, true);
    drag({20, 15}, {30, 25});
    QCOMPARE(view.box(), QRect(20, 20, 20, 10));
    drag({40, 25}, {50, 25});  // its right edge
    QCOMPARE(view.box(), QRect(20, 20, 30, 10));
    drag({20, 20}, {10, 15});  // a corner
    QCOMPARE(view.box(), QRect(10, 15, 40, 15));
    drag({30, 22}, {200, 22});  // not out of the picture
    QCOMPARE(view.box(), QRect(24, 15, 40, 15));
    drag({2, 50}, {12, 60});
    QCOMPARE(changed.count(), 5);
    QVERIFY(QRect(1, 49, 13, 13).contains(view.box()) && view.box().width() > 8);
    drag({5, 20}, {5, 20});  // a click changes nothing
    QCOMPARE(changed.count(), 5);
  }

  void swipe_shows_the_other_picture() {
    ViewState state;
    PictureView view("A", "empty", &state);
    view.resize(300, 340);
    QImage red(64, 64, QImage::Format_RGB888), blue = red;
    red.fill(Qt::red);
    blue.fill(Qt::blue);
    view.set_picture(red, "");
    view.set_other(blue);
    view.set_divider(0.5);
    const QImage seen = view.grab().toImage();
    QCOMPARE(seen.pixelColor(60, 170), QColor(Qt::blue));
    QCOMPARE(seen.pixelColor(240, 170), QColor(Qt::red));
  }

  void job_bar_counts_and_cancels() {
    JobBar bar;
    QSignalSpy cancelled(&bar, &JobBar::cancel_requested);
    bar.start("work");
    bar.show();
    bar.set_progress("work", 3, 10);
    QVERIFY(bar.running());
    QTest::mouseClick(bar.findChild<QToolButton*>("cancel"), Qt::LeftButton);
    QCOMPARE(cancelled.count(), 1);
    bar.finish("done");
    QVERIFY(!bar.running());
    bar.set_progress("late", 9, 10);  // a stale report changes nothing
    QCOMPARE(bar.text(), "done");
    QCOMPARE(duration_text(125), "2 min 05 s");
  }

  // A job's second phase starts at nothing again: what is left is reckoned from there.
  void job_bar_reckons_each_phase() {
    JobBar bar;
    bar.start("work");
    bar.set_progress("first", 0, 100);
    QTest::qWait(2100);
    bar.set_progress("first", 50, 100);
    QVERIFY2(bar.time_left().contains("about 2 s"), qPrintable(bar.time_left()));
    bar.set_progress("second", 1, 1000);
    QCOMPARE(bar.time_left(), QString());
    QTest::qWait(2100);
    bar.set_progress("second", 501, 1000);
    QVERIFY2(bar.time_left().contains("about 2 s"), qPrintable(bar.time_left()));
  }

  // A clipboard that holds nothing, or no text, is pasted as nothing; by the keys and by the menu.
  void nothing_is_pasted_from_an_empty_clipboard() {
    PlainTextField field;
    field.setPlainText("kept");
    field.show();
    QGuiApplication::clipboard()->clear();
    QTest::keyClick(&field, Qt::Key_V, Qt::ControlModifier);
    field.paste();
    QVERIFY(!field.canPaste());
    auto* picture = new QMimeData;
    picture->setImageData(QImage(2, 2, QImage::Format_RGB888));
    QGuiApplication::clipboard()->setMimeData(picture);
    field.paste();
    QCOMPARE(field.toPlainText(), QString("kept"));
    QGuiApplication::clipboard()->setText("more ");
    field.moveCursor(QTextCursor::Start);
    QTest::keyClick(&field, Qt::Key_V, Qt::ControlModifier);
    QCOMPARE(field.toPlainText(), QString("more kept"));
  }

  void message_shows_and_closes() {
    MessageStrip strip;
    strip.show_message(MessageStrip::Kind::error, "<b>not bold</b>");
    QCOMPARE(strip.text(), "<b>not bold</b>");
    QTest::mouseClick(strip.findChild<QToolButton*>(), Qt::LeftButton);
    QCOMPARE(strip.text(), QString());
  }

  void ink_is_readable_on_every_heat_colour() {
    auto luminance = [](const QColor& c) {
      auto linear = [](double v) { return v <= 0.03928 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
      return 0.2126 * linear(c.redF()) + 0.7152 * linear(c.greenF()) + 0.0722 * linear(c.blueF());
    };
    for (int i = 0; i <= 100; ++i) {
      const double a = luminance(heat_colour(i / 100.0)), b = luminance(ink_on(heat_colour(i / 100.0)));
      QVERIFY((std::max(a, b) + 0.05) / (std::min(a, b) + 0.05) >= 4.0);
    }
  }

  // Steps can be zoomed into and shown whole again; a value that comes anew replaces the old one.
  void curves_zoom_and_fit() {
    using Panel = StepCurves::Panel;
    StepCurves curves({{"learned from", Qt::gray, Panel::losses, false}, {"held out", Qt::blue, Panel::losses, true}, {"F1", Qt::red, Panel::shares, true}});
    curves.resize(500, 320);
    curves.show();
    for (int step = 0; step < 100; ++step) curves.set_value(0, step, 1.0 / (1 + step));
    curves.set_value(1, 50, 0.7);
    curves.set_value(1, 50, 0.5);
    curves.refresh();
    QVERIFY(curves.first_step() <= 0 && curves.last_step() >= 99);
    QVERIFY2(curves.tip(60).contains("held out: 0.5 (step 50)"), qPrintable(curves.tip(60)));
    QVERIFY(!curves.tip(60).contains("F1"));
    QVERIFY(curves.tip(-5).isEmpty());
    auto* plot = curves.findChild<QCustomPlot*>();
    QWheelEvent wheel(QPointF(250, 80), plot->mapToGlobal(QPointF(250, 80)), {}, QPoint(0, 120), Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(plot, &wheel);
    const double first = curves.first_step(), last = curves.last_step();
    QVERIFY(last - first < 99);
    // The losses that are shown fill their axis.
    auto* losses = plot->axisRect(0)->axis(QCPAxis::atLeft);
    QVERIFY2(losses->range().upper < 0.6 && losses->range().upper >= 1.0 / (1 + std::ceil(first)), qPrintable(QString::number(losses->range().upper)));
    curves.set_value(0, 100, 0.01);
    curves.refresh();
    QCOMPARE(curves.first_step(), first);  // what one looks at stays
    QCOMPARE(losses->scaleType(), QCPAxis::stLinear);
    curves.set_logarithmic(true);
    QCOMPARE(losses->scaleType(), QCPAxis::stLogarithmic);
    QVERIFY(losses->range().lower > 0);
    QTest::mouseDClick(plot, Qt::LeftButton, {}, QPoint(250, 80));
    QVERIFY(curves.first_step() <= 0 && curves.last_step() >= 100);
    QTemporaryDir folder;
    for (const QString name : {"curves.svg", "curves.pdf"}) {
      QVERIFY(curves.save_vector(folder.filePath(name)));
      QVERIFY(QFileInfo(folder.filePath(name)).size() > 1000);
    }
    QVERIFY(!curves.save_vector(folder.filePath("nowhere/curves.svg")));
    curves.clear();
    QVERIFY(curves.tip(60).isEmpty());
  }

  void adapters_have_a_switch_and_a_strength() {
    AdapterList list;
    QSignalSpy changed(&list, &AdapterList::changed), saved(&list, &AdapterList::save_requested);
    list.add("/a/b/last.safetensors");
    QCOMPARE(changed.count(), 1);
    list.add("/a/c:1/last.safetensors", 0.5);
    QCOMPARE(list.at_work(), (std::vector<std::string>{"/a/b/last.safetensors:1.00", "/a/c:1/last.safetensors:0.50"}));
    list.add("/a/b/last.safetensors");  // once is enough
    QCOMPARE(list.count(), 2);
    auto* slider = list.findChildren<QSlider*>("strength")[0];
    slider->setFocus();
    changed.clear();
    QTest::keyClick(slider, Qt::Key_Home);
    QCOMPARE(changed.count(), 1);
    QCOMPARE(list.at_work(), (std::vector<std::string>{"/a/c:1/last.safetensors:0.50"}));  // nothing is what no strength adds
    list.set_strength(0, 1.5);
    QCOMPARE(list.at_work()[0], std::string("/a/b/last.safetensors:1.50"));
    list.findChildren<QCheckBox*>()[0]->click();
    QCOMPARE(list.at_work().size(), size_t{1});
    const auto actions = list.findChildren<QMenu*>()[0]->actions();
    actions[1]->trigger();
    QCOMPARE(saved.count(), 1);
    QCOMPARE(saved[0][1].toString(), QString("kohya"));
    actions.last()->trigger();
    QCOMPARE(list.count(), 1);
    list.clear();
    QVERIFY(list.at_work().empty());
  }

  void pictures_can_be_searched() {
    PictureList list;
    list.resize(300, 300);
    list.show();
    std::vector<PictureItem> items;
    for (int i = 0; i < 20000; ++i)
      items.push_back({QString("/nowhere/%1.png").arg(i), i == 7 ? "a Dog" : "a cat", i % 4 ? "64 \u00d7 64" : "64 \u00d7 64, held out"});
    list.set_pictures(items);
    QCOMPARE(list.shown(), 20000);
    auto* search = list.findChild<QLineEdit*>("search_pictures");
    QTest::keyClicks(search, "dog");
    QCOMPARE(list.shown(), 1);
    search->setText("held out");
    QCOMPARE(list.shown(), 5000);
  }
};

QTEST_MAIN(WidgetsTest)
#include "widgets_test.moc"
