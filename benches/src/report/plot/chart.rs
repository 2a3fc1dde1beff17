//! The two kinds of charts: lines over logarithmic axes, and stacked bars.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;

const SIZE: (u32, u32) = (1_000, 540);
const LEGEND_WIDTH: u32 = 290;
const LEGEND_LINE: i32 = 26;
const FONT: &str = "sans-serif";
/// Told apart also by those who see few colours (Okabe and Ito).
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// How the points of a line are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A full line with filled points.
    Filled,
    /// A thin line with open points.
    Open,
}

/// A line.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) color: usize,
    pub(super) mark: Mark,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over logarithmic axes.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) lines: Vec<Line>,
}

/// A bar of parts that stand on each other.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) parts: Vec<f64>,
}

/// Stacked bars.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) parts: Vec<&'static str>,
    pub(super) bars: Vec<Bar>,
}

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError(error.to_string())
}

fn color(place: usize) -> RGBColor {
    COLORS[place % COLORS.len()]
}

fn drawn(draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Title and subtitle; what is left, and the place of the legend.
fn framed<'a>(
    area: &Area<'a>,
    title: &str,
    subtitle: &str,
) -> Result<(Area<'a>, Area<'a>), PlotError> {
    area.draw_text(title, &(FONT, 22).into_text_style(area), (16, 12)).map_err(failed)?;
    let grey = BLACK.mix(0.7);
    let style = (FONT, 15).into_text_style(area).color(&grey);
    area.draw_text(subtitle, &style, (16, 40)).map_err(failed)?;
    let (_, below) = area.split_vertically(64);
    Ok(below.split_horizontally(SIZE.0 - LEGEND_WIDTH))
}

impl Lines {
    pub(super) fn draw(&self) -> Result<String, PlotError> {
        drawn(|area| {
            let (plot, legend) = framed(area, &self.title, &self.subtitle)?;
            self.draw_lines(&plot)?;
            for (place, line) in self.lines.iter().enumerate() {
                let y = 20 + LEGEND_LINE * place as i32;
                let (color, width) = (color(line.color), width(line.mark));
                legend
                    .draw(&PathElement::new([(10, y), (40, y)], color.stroke_width(width)))
                    .map_err(failed)?;
                legend.draw(&Circle::new((25, y), 4, fill(line.mark, color))).map_err(failed)?;
                named(&legend, &line.name, (48, y))?;
            }
            Ok(())
        })
    }

    fn draw_lines(&self, area: &Area<'_>) -> Result<(), PlotError> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let mut xs: Vec<f64> = points().map(|(x, _)| x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let (x_min, x_max) = ends(xs.iter().copied());
        let (y_min, y_max) = ends(points().map(|(_, y)| y));
        let (x_min, x_max) = (x_min / 1.25, x_max * 1.25);
        let (y_min, y_max) = (y_min / 1.5, y_max * 1.5);
        let x_axis = (x_min..x_max).log_scale().with_key_points(xs);
        let y_axis = (y_min..y_max).log_scale().with_key_points(ticks(y_min, y_max));
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .x_label_area_size(52)
            .y_label_area_size(76)
            .build_cartesian_2d(x_axis, y_axis)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 16))
            .x_label_formatter(&|x| x.to_string())
            .y_label_formatter(&|y| y.to_string())
            .light_line_style(WHITE)
            .draw()
            .map_err(failed)?;
        for line in &self.lines {
            let (color, width) = (color(line.color), width(line.mark));
            chart
                .draw_series(LineSeries::new(line.points.clone(), color.stroke_width(width)))
                .map_err(failed)?;
            let style = fill(line.mark, color);
            let points = line.points.iter().map(|point| Circle::new(*point, 4, style));
            chart.draw_series(points).map_err(failed)?;
        }
        Ok(())
    }
}

impl Bars {
    pub(super) fn draw(&self) -> Result<String, PlotError> {
        drawn(|area| {
            let (plot, legend) = framed(area, &self.title, &self.subtitle)?;
            self.draw_bars(&plot)?;
            // The part on top is the last one, so the legend begins with it.
            for (line, (place, name)) in self.parts.iter().enumerate().rev().enumerate() {
                let y = 20 + LEGEND_LINE * line as i32;
                let part = Rectangle::new([(14, y - 8), (36, y + 8)], color(place).filled());
                legend.draw(&part).map_err(failed)?;
                named(&legend, name, (48, y))?;
            }
            Ok(())
        })
    }

    fn draw_bars(&self, area: &Area<'_>) -> Result<(), PlotError> {
        let total = |bar: &Bar| bar.parts.iter().sum::<f64>();
        let highest = self.bars.iter().map(total).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let count = self.bars.len().max(1) as f64;
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .x_label_area_size(52)
            .y_label_area_size(76)
            .build_cartesian_2d(0.0..count, 0.0..highest * 1.15)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .x_desc(self.x)
            .y_desc(self.y)
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 16))
            .y_label_formatter(&|y| format!("{y:.2}"))
            .light_line_style(WHITE)
            .draw()
            .map_err(failed)?;
        let label = |pos| (FONT, 14).into_text_style(area).pos(pos);
        let above = label(Pos::new(HPos::Center, VPos::Bottom));
        let below = label(Pos::new(HPos::Center, VPos::Top));
        let (left_edge, top_edge) = area.get_base_pixel();
        for (place, bar) in self.bars.iter().enumerate() {
            let (left, right) = (place as f64 + 0.2, place as f64 + 0.8);
            let mut bottom = 0.0;
            for (part, height) in bar.parts.iter().enumerate() {
                let top = bottom + height;
                let corners = [(left, bottom), (right, top)];
                let part = Rectangle::new(corners, color(part).filled());
                chart.draw_series([part]).map_err(failed)?;
                bottom = top;
            }
            let middle = place as f64 + 0.5;
            let sum = Text::new(format!("{bottom:.2}"), (middle, bottom), above.clone());
            chart.draw_series([sum]).map_err(failed)?;
            let (x, y) = chart.plotting_area().map_coordinate(&(middle, 0.0));
            let at = (x - left_edge, y - top_edge + 8);
            area.draw_text(&bar.name, &below, at).map_err(failed)?;
        }
        Ok(())
    }
}

fn named(legend: &Area<'_>, name: &str, (x, y): (i32, i32)) -> Result<(), PlotError> {
    let pos = Pos::new(HPos::Left, VPos::Center);
    let style = (FONT, 14).into_text_style(legend).pos(pos);
    legend.draw_text(name, &style, (x, y)).map_err(failed)
}

fn width(mark: Mark) -> u32 {
    match mark {
        Mark::Filled => 2,
        Mark::Open => 1,
    }
}

fn fill(mark: Mark, color: RGBColor) -> ShapeStyle {
    match mark {
        Mark::Filled => color.filled(),
        Mark::Open => color.stroke_width(1),
    }
}

/// Smallest and largest, positive whatever is there.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let positive = values.filter(|value| *value > 0.0 && value.is_finite());
    let (min, max) =
        positive.fold((f64::MAX, 0.0_f64), |(min, max), value| (min.min(value), max.max(value)));
    if min > max { (1.0, 1.0) } else { (min, max) }
}

/// 1, 2 and 5 times the powers of ten in between.
fn ticks(min: f64, max: f64) -> Vec<f64> {
    let powers = (min.log10().floor() as i32)..=(max.log10().ceil() as i32);
    // Not 10^power times a digit: 0.1 times 3 is not 0.3.
    let tick = |power: i32, digit: f64| {
        if power < 0 { digit / 10_f64.powi(-power) } else { digit * 10_f64.powi(power) }
    };
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| tick(power, digit)));
    all.filter(|tick| (min..=max).contains(tick)).collect()
}
