//! Line charts as inline SVG: no script, colours by the page's style sheet, axes with round ticks.

use std::fmt::Write;

use super::html::escape;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;
/// Points of a line at most: of the points that share a column, the first, lowest, highest and last stay.
const COLUMNS: usize = 300;

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// What it is, for the legend; may be empty for a single one.
    pub(super) name: String,
    /// (x, y) by ascending x. Points that are not finite interrupt the line.
    pub(super) points: Vec<(f64, f64)>,
}

/// A line chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// Heading.
    pub(super) title: String,
    /// One sentence on how to read it.
    pub(super) note: String,
    /// Name and unit of the horizontal axis.
    pub(super) x_label: String,
    /// The lines.
    pub(super) series: Vec<Series>,
    /// A horizontal line with its name.
    pub(super) reference: Option<(f64, String)>,
    /// Values that must be visible whatever the data.
    pub(super) include: Vec<f64>,
    /// Whether y is a share and ticks are written as percentages.
    pub(super) percent: bool,
    /// Whether the last value of a single line stands beside the title.
    pub(super) headline: bool,
}

/// From a value to a place.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, v: f64) -> f64 {
        self.from + (v - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

impl Chart {
    /// The chart as a `<figure>`, or nothing when no point is finite.
    pub(super) fn figure(&self) -> String {
        let finite = |s: &Series| -> Vec<(f64, f64)> {
            s.points.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect()
        };
        let all: Vec<(f64, f64)> = self.series.iter().flat_map(finite).collect();
        let Some(last) = all.last() else { return String::new() };
        let extra = self.reference.iter().map(|r| r.0).chain(self.include.iter().copied());
        let (x_low, x_high) = span(all.iter().map(|p| p.0));
        let (y_low, y_high) = span(all.iter().map(|p| p.1).chain(extra));
        let y_ticks = ticks(y_low, y_high, 5);
        let y_low = y_low.min(y_ticks[0]);
        let y_high = y_high.max(y_ticks[y_ticks.len() - 1]);
        let x = Scale { low: x_low, high: x_high, from: LEFT, to: WIDTH - RIGHT };
        let y = Scale { low: y_low, high: y_high, from: HEIGHT - BOTTOM, to: TOP };

        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title)
        );
        for &tick in &y_ticks {
            let at = y.at(tick);
            let text = if self.percent {
                format!("{}\u{202f}%", number(tick * 100.0))
            } else {
                number(tick)
            };
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0
            );
        }
        let x_ticks = ticks(x_low, x_high, 7);
        for &tick in x_ticks.iter().filter(|&&t| t >= x_low && t <= x_high) {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x.at(tick),
                HEIGHT - BOTTOM + 16.0,
                number(tick)
            );
        }
        let _ = write!(
            svg,
            "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            HEIGHT - 3.0,
            escape(&self.x_label)
        );
        if let Some((value, name)) = &self.reference {
            let at = y.at(*value);
            let _ = write!(
                svg,
                "<path class=\"reference\" d=\"M{LEFT} {at:.1}H{}\"/><text class=\"label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                WIDTH - RIGHT - 6.0,
                // Above the line, or below it at the upper edge.
                if at < TOP + 14.0 { at + 13.0 } else { at - 5.0 },
                escape(name)
            );
        }
        for (i, series) in self.series.iter().enumerate() {
            let _ = write!(svg, "<path class=\"line c{}\" d=\"{}\"/>", i % 6, path(series, &x, &y));
            if let Some(&(px, py)) = finite(series).last() {
                let _ = write!(
                    svg,
                    "<circle class=\"dot c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                    i % 6,
                    x.at(px),
                    y.at(py)
                );
            }
        }
        svg.push_str("</svg>");
        let value = if self.percent {
            format!("{:.1}\u{202f}%", 100.0 * last.1)
        } else {
            number(significant(last.1, 4))
        };
        let side = match self.series.len() {
            1 if self.headline => value,
            1 => String::new(),
            _ => self.legend(),
        };
        format!(
            "<figure class=\"chart\"><figcaption><b>{}</b><span class=\"now\">{side}</span><p>{}</p></figcaption>{svg}</figure>",
            escape(&self.title),
            escape(&self.note)
        )
    }

    fn legend(&self) -> String {
        let entry = |(i, s): (usize, &Series)| {
            format!("<i class=\"key c{}\"></i>{} ", i % 6, escape(&s.name))
        };
        self.series.iter().enumerate().map(entry).collect()
    }
}

/// The `d` of a line, thinned to what the eye can tell apart.
fn path(series: &Series, x: &Scale, y: &Scale) -> String {
    let mut d = String::new();
    let mut pen_down = false;
    for (px, py) in thin(&series.points, x) {
        if !(px.is_finite() && py.is_finite()) {
            pen_down = false;
            continue;
        }
        let _ = write!(d, "{}{:.1} {:.1}", if pen_down { 'L' } else { 'M' }, x.at(px), y.at(py));
        pen_down = true;
    }
    d
}

fn thin(points: &[(f64, f64)], x: &Scale) -> Vec<(f64, f64)> {
    if points.len() <= 2 * COLUMNS {
        return points.to_vec();
    }
    let column = |p: &(f64, f64)| ((p.0 - x.low) / (x.high - x.low) * COLUMNS as f64) as usize;
    points
        .chunk_by(|a, b| column(a) == column(b))
        .flat_map(|same| {
            let by_y = |a: &&usize, b: &&usize| same[**a].1.total_cmp(&same[**b].1);
            let all: Vec<usize> = (0..same.len()).collect();
            let low = *all.iter().min_by(by_y).expect("a column holds at least one point");
            let high = *all.iter().max_by(by_y).expect("a column holds at least one point");
            let mut keep = vec![0, low, high, same.len() - 1];
            keep.sort_unstable();
            keep.dedup();
            keep.into_iter().map(|i| same[i])
        })
        .collect()
}

/// Lowest and highest value; apart even when all are equal.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if high > low {
        (low, high)
    } else {
        let room = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
        (low - room, high + room)
    }
}

/// About `count` round numbers (1, 2 or 5 times a power of ten apart) that cover the span.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|&s| s >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let first = (low / step).floor() as i64;
    let last = (high / step).ceil() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

fn significant(v: f64, digits: i32) -> f64 {
    if v == 0.0 {
        return v;
    }
    let scale = 10f64.powi(digits - 1 - v.abs().log10().floor() as i32);
    (v * scale).round() / scale
}

/// A number as short as it reads: 0.05, 12, 3000, 4.8e-5.
pub(super) fn number(v: f64) -> String {
    let v = significant(v, 6);
    let size = v.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) { format!("{v:e}") } else { format!("{v}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            title: "loss <b>".into(),
            note: String::new(),
            x_label: "epoch".into(),
            series: vec![Series { name: String::new(), points }],
            reference: Some((1.0, "ln K".into())),
            include: vec![],
            percent: false,
            headline: true,
        }
    }

    #[test]
    fn ticks_are_round_and_cover_the_span() {
        let close = |a: &[f64], b: &[f64]| {
            assert!(
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12),
                "{a:?}"
            );
        };
        close(&ticks(0.0, 1.0, 5), &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        close(&ticks(0.83, 1.04, 5), &[0.8, 0.85, 0.9, 0.95, 1.0, 1.05]);
        close(&ticks(-3.0, 12.0, 5), &[-5.0, 0.0, 5.0, 10.0, 15.0]);
    }

    #[test]
    fn numbers_read_short() {
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(3000.0), "3000");
        assert_eq!(number(4.8e-5), "4.8e-5");
        assert_eq!(number(0.0), "0");
    }

    #[test]
    fn the_reference_line_stands_where_its_value_is() {
        // One point at 0.5 and the reference at 1: the axis runs from 0.5 to 1, the reference is its top.
        let svg = chart(vec![(0.0, 0.5), (1.0, 0.5)]).figure();
        assert!(svg.contains(&format!("class=\"reference\" d=\"M58 {TOP:.1}H544\"")), "{svg}");
        assert!(svg.contains("loss &lt;b&gt;") && !svg.contains("<b>\""));
    }

    #[test]
    fn values_that_are_not_finite_interrupt_the_line_and_nothing_else() {
        let svg = chart(vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 1.5)]).figure();
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let line = svg.split("class=\"line c0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(line.matches('M').count(), 2);
        assert_eq!(chart(vec![(0.0, f64::NAN)]).figure(), "");
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 0.0)).collect();
        points[54_321].1 = 9.0;
        points[12_345].1 = -9.0;
        let x = Scale { low: 0.0, high: 99_999.0, from: 0.0, to: 500.0 };
        let kept = thin(&points, &x);
        assert!(kept.len() < 5 * COLUMNS);
        assert!(kept.contains(&(54_321.0, 9.0)) && kept.contains(&(12_345.0, -9.0)));
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
