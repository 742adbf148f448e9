// Each widget alone, fed by values and driven by mouse and keyboard.
#include <qcustomplot.h>

#include <QCheckBox>
#include <QClipboard>
#include <QGuiApplication>
#include <QLineEdit>
#include <QMenu>
#include <QMimeData>
#include <QScrollArea>
#include <QSignalSpy>
#include <QSlider>
#include <QSpinBox>
#include <QTest>
#include <QToolButton>
#include <set>

#include "widgets/adapter_list.h"
#include "widgets/elided_label.h"
#include "widgets/flow_layout.h"
#include "widgets/heat_legend.h"
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

  // However small the place and large the font: numbers can be read in their cells, and what is not in sight is scrolled to.
  void map_is_readable_in_a_small_place() {
    std::vector<SiteItem> sdxl;
    for (const auto& [block, count] : {std::pair{"down 1", 4}, {"down 2", 20}, {"mid", 10}, {"up 0", 30}, {"up 1", 6}})
      for (int i = 0; i < count; ++i)
        sdxl.push_back({static_cast<int>(sdxl.size()), QStringLiteral("%1.%2").arg(block).arg(i), block, 4, 32768, 0.003, row_of(block)});
    std::vector<SiteItem> flux;
    for (int i = 0; i < 57; ++i) flux.push_back({i, QString::number(i), i < 19 ? "double" : "single", 24, 1000, 0.01});
    for (const auto& sites : {sdxl, flux})
      for (const double points : {10.0, 15.0, 20.0}) {
        SiteSelection selection;
        QScrollArea area;
        area.setWidgetResizable(true);
        auto* map = new ModelMap(&selection);
        QFont font = map->font();
        font.setPointSizeF(points);
        map->setFont(font);
        area.setWidget(map);
        area.resize(260, 160);
        area.show();
        map->set_sites(sites);
        QVERIFY(QTest::qWaitForWindowExposed(&area));
        QTRY_VERIFY(map->height() >= map->minimumSizeHint().height());
        for (const auto& site : sites) {
          const QRect cell = map->cell(site.index);
          QVERIFY2(cell.width() >= map->fontMetrics().horizontalAdvance("00") && cell.height() >= map->fontMetrics().height(), qPrintable(site.path));
          QVERIFY(map->rect().contains(cell));
        }
        QSignalSpy wanted(map, &ModelMap::visible_wanted);
        QTest::keyClick(map, Qt::Key_End);
        QVERIFY(wanted.last()[0].toRect().contains(map->cell(static_cast<int>(sites.size()) - 1)));
        const int before = map->cell(0).height();
        QTest::keyClick(map, Qt::Key_Plus);
        QVERIFY(map->cell(0).height() > before);
      }
  }

  void map_folds_blocks() {
    SiteSelection selection;
    ModelMap map(&selection);
    map.resize(360, 320);
    map.set_sites(u_net());
    map.show();
    QTest::mouseClick(&map, Qt::LeftButton, {}, map.block_title(5).center());
    QVERIFY(map.folded(5) && map.folded(7) && !map.folded(8) && map.cell(5).isEmpty() && !map.cell(8).isEmpty());
    // The cursor passes it by.
    QTest::keyClick(&map, Qt::Key_Home);
    for (int i = 0; i < 30; ++i) {
      QTest::keyClick(&map, Qt::Key_Down);
      QTest::keyClick(&map, Qt::Key_Right);
      QTest::keyClick(&map, Qt::Key_Return);
      QVERIFY(selection.sorted().size() == 1 && !map.folded(selection.sorted().front()));
    }
    QTest::mouseClick(&map, Qt::LeftButton, {}, map.block_title(5).center());
    QVERIFY(!map.cell(5).isEmpty());
    map.fold_all(true);
    QTest::keyClick(&map, Qt::Key_Down);  // nowhere to go
    QMenu menu;
    map.fill_menu(menu, -1);
    for (QAction* action : menu.actions())
      if (action->text().startsWith("Unfold")) action->trigger();
    QVERIFY(!map.cell(0).isEmpty());
  }

  // What lies in a direction, not the next index.
  void map_arrows_go_where_they_point() {
    SiteSelection selection;
    ModelMap map(&selection);
    map.resize(360, 320);
    map.set_sites(u_net());
    const auto at = [&](std::initializer_list<Qt::Key> keys) {
      for (const Qt::Key key : keys) QTest::keyClick(&map, key);
      QTest::keyClick(&map, Qt::Key_Return);
      return selection.sorted().front();
    };
    QCOMPARE(at({Qt::Key_Home, Qt::Key_Down}), 2);
    QCOMPARE(at({Qt::Key_Home, Qt::Key_Down, Qt::Key_Up}), 0);
    QCOMPARE(at({Qt::Key_Home, Qt::Key_Right, Qt::Key_Right}), 8);  // across to the other arm
    QCOMPARE(at({Qt::Key_Home, Qt::Key_Down, Qt::Key_Down}), 4);
    // All sites can be reached, from any.
    for (int from = 0; from < 11; ++from) {
      QSet<int> reached{from};
      QList<int> open{from};
      while (!open.isEmpty()) {
        const int here = open.takeFirst();
        for (const Qt::Key key : {Qt::Key_Left, Qt::Key_Right, Qt::Key_Up, Qt::Key_Down}) {
          QTest::mouseClick(&map, Qt::LeftButton, {}, map.cell(here).center());
          if (const int there = at({key}); !reached.contains(there)) reached.insert(there), open << there;
        }
      }
      QCOMPARE(reached.size(), 11);
    }
    QVERIFY(map.accessibleDescription().contains("selected"));
  }

  void map_hatches_what_is_not_decided() {
    SiteSelection selection;
    ModelMap map(&selection);
    map.resize(360, 320);
    map.set_sites(u_net());
    const auto colours = [&](int site) {
      const QImage seen = map.grab(map.cell(site).adjusted(3, 3, -3, -3)).toImage();
      std::set<QRgb> out;
      for (int x = 0; x < seen.width() / 3; ++x)  // beside the number
        for (int y = 0; y < seen.height(); ++y) out.insert(seen.pixel(x, y));
      return out.size();
    };
    map.set_scores("F1", {{0, {0.5, 0.3, 0.7, 4}}, {1, {0.5, 0.45, 0.7, 4}}, {8, {0.5, {}, {}, 4}}}, 0.4);
    QVERIFY(colours(0) > 1);
    QCOMPARE(colours(1), 1U);
    QCOMPARE(colours(8), 1U);
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

  void list_is_searched_and_scrolls() {
    SiteSelection selection;
    SiteList list(&selection);
    std::vector<SiteItem> sites;
    for (int i = 0; i < 70; ++i) sites.push_back({i, QStringLiteral("blocks.%1.attn%2").arg(i / 2).arg(1 + i % 2), i < 35 ? "down 2" : "up 0", 10, 1000, 0.01});
    list.set_sites(sites);
    list.resize(300, 200);
    list.show();
    QVERIFY(QTest::qWaitForWindowExposed(&list));
    // The score is in sight, and so is what is selected elsewhere.
    QVERIFY(list.columnViewportPosition(4) + list.columnWidth(4) <= list.viewport()->width());
    selection.select({66});
    QVERIFY(list.viewport()->rect().intersects(list.visualItemRect(list.item(66, 0))));
    QCOMPARE(list.search("attn2 up"), std::optional(QSet<int>([] {
               QSet<int> out;
               for (int i = 35; i < 70; ++i)
                 if (i % 2 == 1) out.insert(i);
               return out;
             }())));
    QCOMPARE(list.search(" 7 "), std::optional(QSet<int>{7}));
    QCOMPARE(list.search("nowhere"), std::optional(QSet<int>{}));
    // Sorting keeps the search.
    list.search("attn2");
    list.sortByColumn(0, Qt::DescendingOrder);
    for (int row = 0; row < 70; ++row) QCOMPARE(list.isRowHidden(row), list.item(row, 0)->text().toInt() % 2 == 0);
    QVERIFY(!list.search(""));
    QVERIFY(!list.isRowHidden(0));
  }

  void list_keys_are_the_maps() {
    SiteSelection selection;
    SiteList list(&selection);
    list.set_sites(u_net());
    list.show();
    QVERIFY(QTest::qWaitForWindowExposed(&list));
    list.setFocus();
    selection.select({4});
    list.setCurrentCell(0, 0, QItemSelectionModel::NoUpdate);
    for (const Qt::Key key : {Qt::Key_Down, Qt::Key_Down, Qt::Key_Right, Qt::Key_Tab}) QTest::keyClick(&list, key);
    QCOMPARE(selection.sorted(), (std::vector<int>{4}));
    QCOMPARE(list.currentRow(), 2);
    QTest::keyClick(&list, Qt::Key_Space);
    QCOMPARE(selection.sorted(), (std::vector<int>{2, 4}));
    QTest::keyClick(&list, Qt::Key_Return);
    QCOMPARE(selection.sorted(), (std::vector<int>{2}));
    QTest::keyClick(&list, Qt::Key_Escape);
    QVERIFY(selection.sites().isEmpty());
  }

  void heatmap_works_by_keyboard() {
    SiteSelection selection;
    Heatmap heatmap(&selection);
    heatmap.resize(700, 260);
    Heatmap::Values values(2, std::vector<std::optional<ScoreValue>>(5));
    values[1][2] = ScoreValue{0.25, {}, {}, 1};
    heatmap.set_values({"one", "two"}, "site", Heatmap::site_columns(5), values);
    heatmap.show();
    QVERIFY(QTest::qWaitForWindowExposed(&heatmap));
    heatmap.setFocus();
    QVERIFY(heatmap.focusPolicy() & Qt::TabFocus);
    QSignalSpy clicked(&heatmap, &Heatmap::clicked);
    for (const Qt::Key key : {Qt::Key_Down, Qt::Key_Right, Qt::Key_Right, Qt::Key_Down}) QTest::keyClick(&heatmap, key);
    QCOMPARE(selection.pointed(), 2);
    QVERIFY(heatmap.accessibleDescription().contains("0.250"));
    QTest::keyClick(&heatmap, Qt::Key_Return);
    QCOMPARE(clicked.last(), (QVariantList{1, 2}));
    QCOMPARE(selection.sorted(), (std::vector<int>{2}));
    QTest::keyClick(&heatmap, Qt::Key_End);
    QTest::keyClick(&heatmap, Qt::Key_Space);
    QCOMPARE(selection.sorted(), (std::vector<int>{2, 4}));
    QTest::keyClick(&heatmap, Qt::Key_C, Qt::ControlModifier);
    QCOMPARE(QGuiApplication::clipboard()->text(), QString("\t0\t1\t2\t3\t4\none\t\t\t\t\t\ntwo\t\t\t0.25\t\t\n"));
  }

  // Rows that are sorted are still the same rows to whoever asks or is told.
  void heatmap_sorts_rows() {
    SiteSelection selection;
    Heatmap heatmap(&selection);
    heatmap.resize(700, 260);
    Heatmap::Values values(3, std::vector<std::optional<ScoreValue>>(2));
    values[0][0] = ScoreValue{0.2, {}, {}, 1};
    values[2][0] = ScoreValue{0.9, {}, {}, 1};
    values[1][1] = ScoreValue{1.0, {}, {}, 1};
    heatmap.set_values({"low", "none", "high"}, "site", Heatmap::site_columns(2), values);
    heatmap.show();
    QVERIFY(QTest::qWaitForWindowExposed(&heatmap));
    heatmap.sort_rows(0);
    heatmap.plot()->replot();
    QVERIFY(heatmap.table().indexOf("high") < heatmap.table().indexOf("low") && heatmap.table().indexOf("low") < heatmap.table().indexOf("none"));
    QVERIFY(heatmap.cell_centre(2, 0).y() < heatmap.cell_centre(0, 0).y());
    QVERIFY(heatmap.tip(2, 0).contains("0.9"));
    QSignalSpy clicked(&heatmap, &Heatmap::clicked);
    QTest::mouseClick(heatmap.plot(), Qt::LeftButton, {}, heatmap.plot()->mapFrom(&heatmap, heatmap.cell_centre(2, 1)));
    QCOMPARE(clicked.last(), (QVariantList{2, 1}));
    heatmap.sort_rows(-1);
    heatmap.plot()->replot();
    QVERIFY(heatmap.table().indexOf("none") < heatmap.table().indexOf("high"));
    heatmap.sort_rows({});
    heatmap.plot()->replot();
    QVERIFY(heatmap.cell_centre(0, 0).y() < heatmap.cell_centre(1, 0).y());
    // A drag over columns takes all of them.
    const auto at = [&](int row, int column) { return heatmap.plot()->mapFrom(&heatmap, heatmap.cell_centre(row, column)); };
    QTest::mousePress(heatmap.plot(), Qt::LeftButton, {}, at(0, 0));
    QMouseEvent move(QEvent::MouseMove, at(1, 1), heatmap.plot()->mapToGlobal(at(1, 1)), Qt::NoButton, Qt::LeftButton, {});
    QApplication::sendEvent(heatmap.plot(), &move);
    QTest::mouseRelease(heatmap.plot(), Qt::LeftButton, {}, at(1, 1));
    QCOMPARE(selection.sorted(), (std::vector<int>{0, 1}));
  }

  // Labels that would lie on each other are left out on the screen, and are in the figure.
  void heatmap_labels_do_not_overlap() {
    SiteSelection selection;
    Heatmap heatmap(&selection);
    heatmap.resize(500, 170);
    QStringList rows;
    for (int i = 0; i < 40; ++i) rows << QStringLiteral("WORD%1 \u2192 OTHER%1").arg(i);
    heatmap.set_values(rows, "site", Heatmap::site_columns(70), Heatmap::Values(40, std::vector<std::optional<ScoreValue>>(70, ScoreValue{0.5, {}, {}, 1})));
    heatmap.show();
    QVERIFY(QTest::qWaitForWindowExposed(&heatmap));
    heatmap.plot()->replot();
    heatmap.plot()->replot();
    const auto apart = [&](QCPAxis* axis) {
      double least = 1e9;
      const auto ticks = axis->ticker().dynamicCast<QCPAxisTickerText>()->ticks();
      for (auto one = ticks.begin(); std::next(one) != ticks.end(); ++one)
        least = std::min(least, std::abs(axis->coordToPixel(std::next(one).key()) - axis->coordToPixel(one.key())));
      return least;
    };
    const QFontMetrics metrics(heatmap.plot()->yAxis->tickLabelFont());
    QVERIFY2(apart(heatmap.plot()->yAxis) >= metrics.height(), qPrintable(QString::number(apart(heatmap.plot()->yAxis))));
    QVERIFY2(apart(heatmap.plot()->xAxis) >= metrics.horizontalAdvance("69"), qPrintable(QString::number(apart(heatmap.plot()->xAxis))));
    const auto parts = heatmap.figure_parts();
    QCOMPARE(parts.size(), size_t{1});
    const auto& panel = std::get<HeatPanel>(parts[0].panel);
    for (int i = 0; i < 40; ++i) QCOMPARE(QString::fromStdString(panel.rows[static_cast<size_t>(i)]), rows[i]);
    QCOMPARE(panel.columns.size(), size_t{70});
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
    const QColor seen = heatmap.grab().toImage().pixelColor(heatmap.cell_centre(0, 3) + QPoint(0, 20)), expected = heat_colour(0.75);
    QVERIFY(std::abs(seen.red() - expected.red()) + std::abs(seen.green() - expected.green()) + std::abs(seen.blue() - expected.blue()) < 12);
    // A figure has what is shown: the selection, the order of rows, and their thresholds with them.
    values[1] = std::vector<std::optional<ScoreValue>>(5, ScoreValue{1, {}, {}, 1});
    heatmap.set_values({"reads as B", "background"}, "site", Heatmap::site_columns(5), values);
    heatmap.set_thresholds({{0, 0.7}});
    heatmap.sort_rows(-1);
    const auto parts = heatmap.figure_parts();
    const auto& panel = std::get<HeatPanel>(parts.at(0).panel);
    QCOMPARE(panel.rows, (std::vector<std::string>{"background", "reads as B"}));
    QVERIFY(panel.marked == std::set<int>{3});
    QVERIFY(panel.thresholds == (std::map<int, double>{{1, 0.7}}));
    QCOMPARE(panel.values[1][3]->mean, 0.75);
    QVERIFY(!panel.values[1][2]);
    // Its menu has what the window adds.
    heatmap.more_actions = [](QMenu& menu) { menu.addAction("more"); };
    QMenu menu;
    heatmap.fill_menu(menu, 3);
    const QList<QAction*> actions = menu.actions();
    QVERIFY(std::any_of(actions.begin(), actions.end(), [](const QAction* one) { return one->text() == "more"; }));
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

  void pictures_work_by_keyboard() {
    ViewState state;
    PictureView view("A", "nothing yet", &state);
    QVERIFY(view.focusPolicy() & Qt::TabFocus);
    QVERIFY(view.accessibleName().contains("nothing yet"));
    QImage picture(32, 32, QImage::Format_RGB888);
    picture.fill(Qt::red);
    view.set_picture(picture, "reads \u201cGO\u201d", R"({"seed": 3})");
    QVERIFY(view.accessibleName().contains("GO"));
    view.resize(200, 240);
    for (const Qt::Key key : {Qt::Key_Plus, Qt::Key_Plus, Qt::Key_Right}) QTest::keyClick(&view, key);
    QVERIFY(state.zoom() > 1.5 && state.centre().x() > 0.5);
    QTest::keyClick(&view, Qt::Key_0);
    QCOMPARE(state.zoom(), 1.0);
    QTest::keyClick(&view, Qt::Key_C, Qt::ControlModifier);
    QCOMPARE(QGuiApplication::clipboard()->image().size(), picture.size());
    QMenu menu;
    view.fill_menu(menu);
    QVERIFY(menu.actions().size() >= 4);
    // A mark is seen beside the title.
    const QImage before = view.grab().toImage();
    view.set_mark("not drawn yet");
    QVERIFY(view.grab().toImage() != before);
  }

  // Fields go on in the next line, and nothing is cut; a layout that goes takes its parts with it.
  void flow_wraps() {
    auto owner = std::make_unique<QWidget>();
    auto* column = new QVBoxLayout(owner.get());
    auto* line = new FlowLayout;
    column->addLayout(line);
    column->addStretch(1);
    QList<QWidget*> fields;
    for (int i = 0; i < 6; ++i) {
      auto* field = new QSpinBox(owner.get());
      QCOMPARE(line->add_field(QString("Field &%1").arg(i), field)->buddy(), field);
      fields << field;
    }
    line->add_stretch();
    auto* button = new QPushButton("Press", owner.get());
    line->addWidget(button);
    for (const int width : {2000, 500, 260, 140}) {
      owner->resize(width, 600);
      owner->show();
      QCoreApplication::processEvents();
      for (QWidget* field : fields) {
        QVERIFY2(owner->rect().contains(field->geometry()) && field->width() >= field->minimumSizeHint().width(), qPrintable(QString::number(width)));
        for (QWidget* other : fields) QVERIFY(other == field || !other->geometry().intersects(field->geometry()));
      }
      QVERIFY(owner->rect().contains(button->geometry()));
      if (width == 2000) QVERIFY(button->geometry().right() > 1900 && button->y() < 20);
      if (width == 140) QVERIFY(fields[5]->y() > fields[0]->y() + 4 * fields[0]->height());
    }
    owner.reset();
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

  // However long the job's name: the bar is not wider for it.
  void job_bar_keeps_its_width() {
    JobBar bar;
    bar.start("short");
    const int width = bar.minimumSizeHint().width();
    const QString name = QString("a very long name of a model ").repeated(20);
    bar.start(name);
    QCOMPARE(bar.minimumSizeHint().width(), width);
    bar.resize(width + 200, 40);
    bar.grab();
    QCOMPARE(bar.text(), name);
    QCOMPARE(bar.findChild<ElidedLabel*>()->toolTip(), name);
  }

  // Nothing moves under the mouse.
  void message_lies_over_what_is_there() {
    QWidget window;
    auto* column = new QVBoxLayout(&window);
    auto* page = new QPushButton("page", &window);
    column->addWidget(page);
    MessageStrip strip(&window);
    window.resize(300, 200);
    window.show();
    QVERIFY(QTest::qWaitForWindowExposed(&window));
    const QRect before = page->geometry();
    for (const QString& text : {QString("short"), QString("a sentence that needs several lines ").repeated(8)}) {
      strip.show_message(MessageStrip::Kind::note, text);
      QTest::qWait(1);
      QCOMPARE(page->geometry(), before);
      QVERIFY(window.rect().contains(strip.geometry()));
      const auto* label = strip.findChild<QLabel*>();
      QVERIFY(label->height() >= label->heightForWidth(label->width()));
    }
    window.resize(500, 400);
    QTRY_VERIFY(window.rect().contains(strip.geometry()) && strip.geometry().bottom() > 360);
  }

  void legend_tells_the_scale() {
    HeatLegend legend;
    legend.show_scale("reads as B", "the interval holds 0.43");
    QVERIFY(legend.accessibleName().contains("reads as B") && legend.accessibleName().contains("0.43"));
    legend.resize(300, legend.sizeHint().height());
    const QImage seen = legend.grab().toImage();
    std::set<QRgb> colours;
    for (int x = 0; x < seen.width(); ++x) colours.insert(seen.pixel(x, seen.height() / 2));
    QVERIFY(colours.size() > 40);
    legend.show_scale({}, {});
    QVERIFY(legend.isHidden());
  }

  void message_shows_and_closes() {
    QWidget window;
    MessageStrip strip(&window);
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
    const auto parts = curves.figure_parts();
    const auto& panel = std::get<LinePanel>(parts.at(0).panel);
    QVERIFY(panel.logarithmic);
    QCOMPARE(panel.lines.at(0).points.back(), std::pair(100.0, 0.01));
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
