//! Figures by name and round.

use std::collections::BTreeMap;

/// What was measured of each side, one figure a round.
#[derive(Default)]
pub(crate) struct Rounds(BTreeMap<&'static str, Vec<f64>>);

impl Rounds {
    pub(crate) fn push(&mut self, name: &'static str, figure: f64) {
        self.0.entry(name).or_default().push(figure);
    }

    /// The median of a side that was measured.
    pub(crate) fn any(&self, name: &str) -> Option<f64> {
        self.0.get(name).map(|figures| median(figures.clone()))
    }

    pub(crate) fn median(&self, name: &str) -> f64 {
        self.any(name).unwrap_or(f64::NAN)
    }

    /// The median of the ratios in each round: a slow round is slow for both sides.
    pub(crate) fn ratio(&self, name: &str, other_rounds: &Self, other: &str) -> f64 {
        let (Some(ours), Some(theirs)) = (self.0.get(name), other_rounds.0.get(other)) else {
            return f64::NAN;
        };
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
