//! Figures by name and round.

use std::collections::BTreeMap;

/// What was measured of each side, one figure a round.
#[derive(Default)]
pub(crate) struct Rounds(BTreeMap<&'static str, Vec<f64>>);

impl Rounds {
    pub(crate) fn push(&mut self, name: &'static str, figure: f64) {
        self.0.entry(name).or_default().push(figure);
    }

    /// The median of a side, to so many digits behind the point; nothing if it was not measured.
    pub(crate) fn show(&self, name: &str, digits: usize) -> String {
        let figures = self.0.get(name).filter(|figures| figures.iter().all(|one| one.is_finite()));
        let shown = |figures: &Vec<f64>| format!("{:.digits$}", median(figures.clone()));
        figures.map_or_else(String::new, shown)
    }

    /// The lowest and the highest.
    pub(crate) fn range(&self, name: &str) -> String {
        let figures = self.0.get(name).map_or(&[][..], Vec::as_slice);
        let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let high = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{low:.0}–{high:.0}")
    }

    /// All of them together.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.0.get(name).map_or(0.0, |figures| figures.iter().sum())
    }

    /// The median of the ratios in each round: what made a round slow made it slow for both.
    pub(crate) fn ratio(&self, name: &str, other: &str) -> Option<f64> {
        let ours = self.0.get(name)?;
        let theirs = self.0.get(other)?;
        Some(median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()))
    }
}

pub(crate) fn median(figures: Vec<f64>) -> f64 {
    rank(figures, 500)
}

/// The figure that so many of a thousand are below.
pub(crate) fn rank(mut figures: Vec<f64>, per_mille: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() * per_mille / 1000).copied().unwrap_or(f64::NAN)
}
