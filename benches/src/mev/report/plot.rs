//! The figure: what is extracted in each arm, and what the traders of swaps lose.

use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{ArmReport, Report};
use crate::mev::statistics::Estimate;
use crate::report::PlotError;

const SIZE: (u32, u32) = (1_120, 600);
/// Where the second panel begins.
const SECOND_PANEL: u32 = 640;
const HEADER: u32 = 84;
const LEGEND: u32 = 76;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(38, 38, 38);
const GREY: RGBColor = RGBColor(110, 110, 110);
const GRID: RGBColor = RGBColor(226, 226, 226);
/// Sandwich, copy, back-run before release, back-run after release (Okabe and Ito).
const COLORS: [RGBColor; 4] =
    [RGBColor(213, 94, 0), RGBColor(204, 121, 167), RGBColor(230, 159, 0), RGBColor(86, 180, 233)];
const LOSS: RGBColor = RGBColor(0, 114, 178);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A bar of parts that stand on each other, with the interval of their sum.
struct Bar {
    left: f64,
    right: f64,
    parts: Vec<(f64, RGBColor)>,
    sum: Estimate,
    label: String,
}

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError(error.to_string())
}

/// The figure as SVG.
pub(super) fn draw(report: &Report) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        header(&area, report)?;
        let (_, below) = area.split_vertically(HEADER);
        let (panels, legends) = below.split_vertically(SIZE.1 - HEADER - LEGEND);
        let (left, right) = panels.split_horizontally(SECOND_PANEL);
        panel(&left, &report.arms, "dollars a run", &extraction(report))?;
        panel(&right, &report.arms, "basis points of the swaps' volume", &losses(report))?;
        legend(&legends)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn header(area: &Area<'_>, report: &Report) -> Result<(), PlotError> {
    let text = |text: &str, size: u32, color: RGBColor, at: (i32, i32)| {
        let style = (FONT, size).into_text_style(area).color(&color);
        area.draw_text(text, &style, at).map_err(failed)
    };
    text(
        "What a searcher extracts from one flow of swaps, and what the swaps lose",
        22,
        INK,
        (20, 14),
    )?;
    let subtitle = format!(
        "two pools on two rollups, ${:.0},000 of swaps a run, the same flow in every arm; means of {} \
         seeds with 95 % intervals",
        report.volume.value / 1_000.0,
        report.seeds
    );
    text(&subtitle, 15, GREY, (20, 44))?;
    text("the searcher earns", 16, INK, (82, 68))?;
    text("swaps are worse than without him by", 16, INK, (SECOND_PANEL as i32 + 82, 68))
}

fn extraction(report: &Report) -> Vec<Bar> {
    let bars = report.arms.iter().enumerate().flat_map(|(place, arm)| {
        let value = |strategy: usize| arm.strategies[strategy].value;
        let front = vec![(value(0).value, COLORS[0]), (value(1).value, COLORS[1])];
        let parts = [
            (front, arm.front_running),
            (vec![(value(2).value, COLORS[2])], value(2)),
            (vec![(value(3).value, COLORS[3])], value(3)),
        ];
        let bar = move |(number, (parts, sum)): (usize, (Vec<(f64, RGBColor)>, Estimate))| {
            let left = place as f64 + 0.06 + 0.3 * number as f64;
            Bar { left, right: left + 0.27, parts, sum, label: money(sum.value) }
        };
        parts.into_iter().enumerate().map(bar).collect::<Vec<_>>()
    });
    bars.collect()
}

fn losses(report: &Report) -> Vec<Bar> {
    let bar = |(place, arm): (usize, &ArmReport)| Bar {
        left: place as f64 + 0.28,
        right: place as f64 + 0.72,
        parts: vec![(arm.slippage_bps.value, LOSS)],
        sum: arm.slippage_bps,
        label: format!("{:.1}", arm.slippage_bps.value),
    };
    report.arms.iter().enumerate().map(bar).collect()
}

fn money(dollars: f64) -> String {
    let sign = if dollars < -0.5 { "\u{2212}" } else { "" };
    format!("{sign}${:.0}", dollars.abs())
}

fn panel(area: &Area<'_>, arms: &[ArmReport], unit: &str, bars: &[Bar]) -> Result<(), PlotError> {
    let tops = bars.iter().flat_map(|bar| [bar.sum.high, stacked(bar).1]);
    let top = tops.fold(f64::MIN_POSITIVE, f64::max) * 1.14;
    let bottoms = bars.iter().flat_map(|bar| [bar.sum.low, stacked(bar).0]);
    let bottom = bottoms.fold(0.0, f64::min) * 1.25;
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(18)
        .margin_top(10)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..arms.len() as f64, bottom..top)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(7)
        .y_desc(unit)
        .label_style((FONT, 13).into_font().color(&GREY))
        .axis_desc_style((FONT, 14).into_font().color(&GREY))
        .bold_line_style(GRID)
        .light_line_style(WHITE)
        .axis_style(GRID)
        .y_label_formatter(&|y| format!("{y:.0}").replace('-', "\u{2212}"))
        .draw()
        .map_err(failed)?;
    for bar in bars {
        draw_bar(&mut chart, area, bar)?;
    }
    let ground = PathElement::new([(0.0, 0.0), (arms.len() as f64, 0.0)], INK.stroke_width(1));
    chart.draw_series([ground]).map_err(failed)?;
    let (left_edge, top_edge) = area.get_base_pixel();
    for (place, arm) in arms.iter().enumerate() {
        let (x, y) = chart.plotting_area().map_coordinate(&(place as f64 + 0.5, bottom));
        let (first, second) = arm.name.split_once(", ").unwrap_or((&arm.name, ""));
        for (line, name) in [(0, first), (1, second)] {
            let pos = Pos::new(HPos::Center, VPos::Top);
            let style = (FONT, 15).into_text_style(area).color(&INK).pos(pos);
            let at = (x - left_edge, y - top_edge + 6 + 18 * line);
            area.draw_text(name, &style, at).map_err(failed)?;
        }
    }
    Ok(())
}

/// Where the parts of a bar begin below zero, and where they end above it.
fn stacked(bar: &Bar) -> (f64, f64) {
    bar.parts.iter().fold((0.0, 0.0), |(low, high), (part, _)| {
        if *part < 0.0 { (low + part, high) } else { (low, high + part) }
    })
}

fn draw_bar(chart: &mut Panel<'_, '_>, area: &Area<'_>, bar: &Bar) -> Result<(), PlotError> {
    let (mut low, mut high) = (0.0, 0.0);
    for (part, color) in &bar.parts {
        let from = if *part < 0.0 { &mut low } else { &mut high };
        let corners = [(bar.left, *from), (bar.right, *from + part)];
        *from += part;
        chart.draw_series([Rectangle::new(corners, color.filled())]).map_err(failed)?;
    }
    let middle = f64::midpoint(bar.left, bar.right);
    let Estimate { low: from, high: to, .. } = bar.sum;
    let half = 0.035;
    let lines = [
        [(middle, from), (middle, to)],
        [(middle - half, from), (middle + half, from)],
        [(middle - half, to), (middle + half, to)],
    ];
    let lines = lines.map(|line| PathElement::new(line, INK.stroke_width(1)));
    chart.draw_series(lines).map_err(failed)?;
    let (left_edge, top_edge) = area.get_base_pixel();
    let (x, y) = chart.plotting_area().map_coordinate(&(middle, to.max(high)));
    let pos = Pos::new(HPos::Center, VPos::Bottom);
    let style = (FONT, 14).into_text_style(area).color(&INK).pos(pos);
    area.draw_text(&bar.label, &style, (x - left_edge, y - top_edge - 4)).map_err(failed)
}

fn legend(area: &Area<'_>) -> Result<(), PlotError> {
    let entries = [
        (COLORS[0], "sandwiches (sealed: bets on habits)", (82, 20)),
        (COLORS[1], "copies of arbitrages (taken by back-runs)", (82, 46)),
        (COLORS[2], "back-runs before release (sealed: blind)", (380, 20)),
        (COLORS[3], "back-runs after release: public", (380, 46)),
        (LOSS, "all swaps that were executed both times", (SECOND_PANEL as i32 + 82, 20)),
    ];
    for (color, name, (x, y)) in entries {
        let mark = Rectangle::new([(x, y - 7), (x + 18, y + 7)], color.filled());
        area.draw(&mark).map_err(failed)?;
        let pos = Pos::new(HPos::Left, VPos::Center);
        let style = (FONT, 14).into_text_style(area).color(&INK).pos(pos);
        area.draw_text(name, &style, (x + 26, y)).map_err(failed)?;
    }
    Ok(())
}
